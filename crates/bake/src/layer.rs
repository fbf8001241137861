//! Layers and machines as they are written in `image/`: one TOML file each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, IoContext};

/// One concern of the image: packages, modules, programs, units and an overlay of the same name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Layer {
    /// Name; also the name of its file and of its folder in `overlay/`.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Lower is applied earlier; a layer comes after those it requires.
    pub priority: u32,
    /// In every image, unless left out with `--without`.
    #[serde(default)]
    pub default: bool,
    /// Machines it is for; empty means all.
    #[serde(default)]
    pub machines: Vec<String>,
    /// Layers it cannot be without.
    #[serde(default)]
    pub requires: Vec<String>,
    /// Layers it cannot be with.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// Debian packages, whose dependencies come along.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Dependencies that do not come along after all.
    #[serde(default)]
    pub without_packages: Vec<String>,
    /// Kernel modules kept in the slot, with their dependencies.
    #[serde(default)]
    pub modules: Vec<String>,
    /// Kernel modules early-init loads, in this order; kept in the slot as well.
    #[serde(default)]
    pub initramfs_modules: Vec<String>,
    /// Our daemons, built and put into `/usr/libexec/failberry`.
    #[serde(default)]
    pub binaries: Vec<String>,
    /// Our commands, built and put into `/usr/bin`.
    #[serde(default)]
    pub commands: Vec<String>,
    /// Folders of the repository whose `.toml` files go to a folder of the root.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
    /// Units to enable.
    #[serde(default)]
    pub enable: Vec<String>,
    /// Units to mask.
    #[serde(default)]
    pub mask: Vec<String>,
    /// Empty folders of the root.
    #[serde(default)]
    pub directories: Vec<String>,
    /// Files and folders of Debian to drop; `*` stands for any part of one name.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Files of earlier layers it replaces on purpose.
    #[serde(default)]
    pub overrides: Vec<String>,
}

impl Layer {
    /// Whether the layer may be part of an image for `machine`.
    pub fn fits(&self, machine: &str) -> bool {
        self.machines.is_empty() || self.machines.iter().any(|name| name == machine)
    }
}

/// What an image is for: architecture, device trees, firmware.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Machine {
    /// Name; also the name of its file.
    pub name: String,
    /// One line for people.
    pub description: String,
    /// Debian's name of the architecture.
    pub architecture: String,
    /// Rust's name of it.
    pub rust_target: String,
    /// Device trees of the kernel package kept in `/boot/dtbs`.
    pub dtbs: Vec<String>,
    /// Files of the unpacked packages that go to the FAT partition.
    pub firmware: Vec<String>,
    /// Files of the repository that go to the FAT partition, by their name there.
    pub boot_files: BTreeMap<String, String>,
}

/// Reads every layer below `image/layers`, by name.
///
/// # Errors
/// A file that cannot be read or parsed, or whose name is not its layer's.
pub fn load_layers(top: &Path) -> Result<BTreeMap<String, Layer>, Error> {
    let folder = top.join("image/layers");
    let mut layers = BTreeMap::new();
    for entry in fs::read_dir(&folder).at("list layers in", &folder)? {
        let path = entry.at("list layers in", &folder)?.path();
        if path.extension().is_some_and(|e| e == "toml") {
            let layer: Layer = load(&path)?;
            check_name(&path, &layer.name)?;
            layers.insert(layer.name.clone(), layer);
        }
    }
    Ok(layers)
}

/// Reads one machine.
///
/// # Errors
/// An unknown machine, or a file that cannot be parsed.
pub fn load_machine(top: &Path, name: &str) -> Result<Machine, Error> {
    let path = top.join("image/machines").join(format!("{name}.toml"));
    if !path.is_file() {
        return Err(Error::Resolve(format!(
            "no machine is called {name}; image/machines/ has one file for each"
        )));
    }
    let machine: Machine = load(&path)?;
    check_name(&path, &machine.name)?;
    Ok(machine)
}

fn load<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read_to_string(path).at("read", path)?;
    toml::from_str(&text).map_err(|e| Error::Toml { path: path.to_owned(), message: e.to_string() })
}

fn check_name(path: &Path, name: &str) -> Result<(), Error> {
    if path.file_stem().is_some_and(|stem| stem == name) {
        return Ok(());
    }
    Err(Error::Invalid(format!("read {}: its name says {name}; file and name must agree", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top() -> &'static Path {
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
    }

    #[test]
    fn every_shipped_layer_and_machine_is_readable() {
        assert!(load_layers(top()).unwrap().contains_key("base"));
        assert_eq!(load_machine(top(), "rpi-arm64").unwrap().architecture, "arm64");
    }

    #[test]
    fn every_overlay_belongs_to_a_layer() {
        let layers = load_layers(top()).unwrap();
        for entry in fs::read_dir(top().join("overlay")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(layers.contains_key(&name), "overlay/{name} has no image/layers/{name}.toml");
        }
    }

    #[test]
    fn a_misspelt_key_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        fs::write(&path, "name = \"x\"\ndescription = \"\"\npriority = 1\npakages = []\n").unwrap();
        let message = load::<Layer>(&path).unwrap_err().to_string();
        assert!(message.contains("line 4") && message.contains("pakages"), "{message}");
    }

    #[test]
    fn an_unknown_machine_is_named() {
        assert!(load_machine(top(), "rpi-mips").unwrap_err().to_string().contains("rpi-mips"));
    }
}
