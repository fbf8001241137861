//! What layers put over Debian: overlay trees, our programs, data files; one owner for each path.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::error::{Error, IoContext};
use crate::files;
use crate::hash::sorted_names;
use crate::layer::Layer;

/// One file or link to install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it comes from.
    pub source: PathBuf,
    /// The layer that brings it.
    pub layer: String,
}

/// Everything to install, by path below the root.
pub type Plan = BTreeMap<String, Entry>;

/// Plans the files of all layers, in their order.
///
/// # Errors
/// Two layers with the same path where the later does not declare it, or missing sources.
pub fn plan(top: &Path, programs: &Path, layers: &[Layer]) -> Result<Plan, Error> {
    let mut plan = Plan::new();
    for layer in layers {
        let mut own = Plan::new();
        let folder = top.join("overlay").join(&layer.name);
        if folder.is_dir() {
            walk(&folder, "", &layer.name, &mut own)?;
        }
        add_programs(programs, layer, &mut own);
        add_data(top, layer, &mut own)?;
        for (path, entry) in own {
            if let Some(first) = plan.get(&path).filter(|_| !layer.overrides.contains(&path)) {
                let (first, second) = (first.layer.clone(), layer.name.clone());
                return Err(Error::Conflict { file: path, first, second });
            }
            plan.insert(path, entry);
        }
    }
    Ok(plan)
}

/// Installs a plan into a root; folders as needed, owner root, modes 0644 and 0755.
///
/// # Errors
/// A path that would go through a link of the root (such as `lib/`, which is `usr/lib/`), or the
/// file system's.
pub fn apply(root: &Path, plan: &Plan) -> Result<(), Error> {
    for (path, entry) in plan {
        refuse_links(root, path, &entry.layer)?;
        let to = root.join(path);
        let meta = fs::symlink_metadata(&entry.source).at("look at", &entry.source)?;
        if meta.is_symlink() {
            let target = fs::read_link(&entry.source).at("read link", &entry.source)?;
            files::make_parent(&to)?;
            files::remove_any(&to)?;
            symlink(target, &to).at("link", &to)?;
        } else {
            let mode = if meta.permissions().mode() & 0o100 == 0 { 0o644 } else { 0o755 };
            files::install(&entry.source, &to, mode)?;
        }
    }
    Ok(())
}

fn walk(folder: &Path, prefix: &str, layer: &str, plan: &mut Plan) -> Result<(), Error> {
    for name in sorted_names(folder)? {
        let source = folder.join(&name);
        let name = name.to_str().ok_or_else(|| {
            Error::Invalid(format!("read {}: names in overlays are plain ASCII", source.display()))
        })?;
        let path = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        if fs::symlink_metadata(&source).at("look at", &source)?.is_dir() {
            walk(&source, &path, layer, plan)?;
        } else {
            plan.insert(path, Entry { source, layer: layer.to_owned() });
        }
    }
    Ok(())
}

fn add_programs(programs: &Path, layer: &Layer, plan: &mut Plan) {
    let daemons = layer.binaries.iter().map(|name| ("usr/libexec/failberry", name));
    let commands = layer.commands.iter().map(|name| ("usr/bin", name));
    for (folder, name) in daemons.chain(commands) {
        let entry = Entry { source: programs.join(name), layer: layer.name.clone() };
        plan.insert(format!("{folder}/{name}"), entry);
    }
}

fn add_data(top: &Path, layer: &Layer, plan: &mut Plan) -> Result<(), Error> {
    for (from, to) in &layer.data {
        let folder = top.join(from);
        for name in sorted_names(&folder)? {
            let source = folder.join(&name);
            if source.extension().is_some_and(|e| e == "toml") {
                let path = format!("{to}/{}", name.display());
                plan.insert(path, Entry { source, layer: layer.name.clone() });
            }
        }
    }
    Ok(())
}

fn refuse_links(root: &Path, path: &str, layer: &str) -> Result<(), Error> {
    let mut folder = root.to_owned();
    let parents = Path::new(path).parent().into_iter().flat_map(Path::components);
    for part in parents {
        folder.push(part);
        if folder.is_symlink() {
            return Err(Error::Invalid(format!(
                "layer {layer}: /{path} goes through the link /{}; put it where the link points",
                folder.strip_prefix(root).unwrap_or(&folder).display()
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture(tempfile::TempDir);

    impl Fixture {
        fn new(files: &[&str]) -> Self {
            let top = tempfile::tempdir().unwrap();
            for file in files {
                files::write(&top.path().join(file), file.as_bytes(), 0o664).unwrap();
            }
            Self(top)
        }

        fn plan(&self, layers: &[Layer]) -> Result<Plan, Error> {
            plan(self.0.path(), &self.0.path().join("programs"), layers)
        }
    }

    fn layer(name: &str) -> Layer {
        Layer { name: name.into(), ..Layer::default() }
    }

    #[test]
    fn two_layers_with_one_file_are_named_with_it() {
        let top = Fixture::new(&["overlay/a/etc/x", "overlay/b/etc/x"]);
        let message = top.plan(&[layer("a"), layer("b")]).unwrap_err().to_string();
        assert!(message.contains("layers a and b") && message.contains("/etc/x"), "{message}");
    }

    #[test]
    fn a_declared_override_wins() {
        let top = Fixture::new(&["overlay/a/etc/x", "overlay/b/etc/x"]);
        let mut b = layer("b");
        b.overrides = vec!["etc/x".into()];
        assert_eq!(top.plan(&[layer("a"), b]).unwrap()["etc/x"].layer, "b");
    }

    #[test]
    fn a_program_and_an_overlay_file_conflict_as_well() {
        let top = Fixture::new(&["overlay/a/usr/bin/tool"]);
        let mut b = layer("b");
        b.commands = vec!["tool".into()];
        assert!(matches!(top.plan(&[layer("a"), b]), Err(Error::Conflict { .. })));
    }

    #[test]
    fn data_folders_give_their_toml_files_only() {
        let top = Fixture::new(&["hardware/modems/x.toml", "hardware/modems/README.md"]);
        let mut a = layer("a");
        a.data.insert("hardware/modems".into(), "usr/share/m".into());
        assert_eq!(top.plan(&[a]).unwrap().into_keys().collect::<Vec<_>>(), ["usr/share/m/x.toml"]);
    }

    #[test]
    fn applying_normalises_modes_and_replaces_what_is_there_even_twice() {
        let top = Fixture::new(&["overlay/a/etc/x"]);
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        symlink("/nowhere", root.path().join("etc/x")).unwrap();
        let plan = top.plan(&[layer("a")]).unwrap();
        for _ in 0..2 {
            apply(root.path(), &plan).unwrap();
            let meta = fs::symlink_metadata(root.path().join("etc/x")).unwrap();
            assert!(meta.is_file());
            assert_eq!(meta.permissions().mode() & 0o7777, 0o644);
        }
    }

    #[test]
    fn a_path_through_a_link_of_the_root_is_refused() {
        let top = Fixture::new(&["overlay/a/lib/x"]);
        let root = tempfile::tempdir().unwrap();
        symlink("usr/lib", root.path().join("lib")).unwrap();
        let message = apply(root.path(), &top.plan(&[layer("a")]).unwrap()).unwrap_err().to_string();
        assert!(message.contains("the link /lib"), "{message}");
    }
}
