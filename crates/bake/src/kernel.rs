//! The kernel in the slot: gzip image, the machine's device trees, and only the modules layers ask for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, IoContext};
use crate::files;
use crate::hash::sorted_names;
use crate::initramfs::Index;
use crate::run::Runner;

/// `depmod` over all 4,000 modules, `xz` and `gzip` each take a few seconds.
const LIMIT: Duration = Duration::from_secs(120);

/// The version whose modules a root has.
///
/// # Errors
/// None, or more than one.
pub fn version(root: &Path) -> Result<String, Error> {
    let folder = root.join("usr/lib/modules");
    let names = sorted_names(&folder)?;
    match names.as_slice() {
        [one] => Ok(one.display().to_string()),
        _ => Err(Error::Invalid(format!(
            "list {}: {} kernels; an image has exactly one",
            folder.display(),
            names.len()
        ))),
    }
}

/// Keeps the named modules and what they depend on, uncompressed (the slot compresses them better
/// and the appliance loads them faster), and indexes them.
///
/// # Errors
/// Unknown modules, or a tool's.
pub fn trim_modules(runner: &Runner, root: &Path, names: &[String]) -> Result<(), Error> {
    let version = version(root)?;
    let folder = root.join("usr/lib/modules").join(&version);
    depmod(runner, root, &version)?;
    let closure = Index::read(&folder)
        .and_then(|index| index.closure(names, &version))
        .map_err(|e| Error::Invalid(format!("choose kernel modules: {e}")))?;
    let keep: BTreeSet<PathBuf> = closure.iter().map(|path| folder.join(path)).collect();
    remove_others(&folder.join("kernel"), &keep)?;
    let compressed: Vec<&PathBuf> =
        keep.iter().filter(|p| p.extension().is_some_and(|e| e == "xz")).collect();
    if !compressed.is_empty() {
        runner.command("modules", LIMIT, Command::new("xz").arg("-d").args(compressed))?;
    }
    depmod(runner, root, &version)
}

/// Puts the compressed kernel at `/boot/vmlinuz` and the device trees into `/boot/dtbs`.
///
/// # Errors
/// A missing kernel or device tree.
pub fn install_boot_files(runner: &Runner, root: &Path, dtbs: &[String]) -> Result<(), Error> {
    let version = version(root)?;
    let raw = root.join("boot").join(format!("vmlinuz-{version}"));
    let compressed = root.join("boot/vmlinuz");
    // No name and time in the header, or two bakes would differ.
    let mut gzip = Command::new("gzip");
    gzip.args(["-9", "-n", "-c"]).arg(&raw);
    runner.command_to("kernel", LIMIT, &mut gzip, &compressed)?;
    files::remove_any(&raw)?;
    let trees = root.join("usr/lib").join(format!("linux-image-{version}"));
    for dtb in dtbs {
        files::install(&trees.join(dtb), &root.join("boot/dtbs").join(dtb), 0o644)?;
    }
    files::remove_any(&trees)
}

fn depmod(runner: &Runner, root: &Path, version: &str) -> Result<(), Error> {
    runner.command("depmod", LIMIT, Command::new("depmod").arg("-b").arg(root).arg(version))
}

// Folders that become empty go as well.
fn remove_others(folder: &Path, keep: &BTreeSet<PathBuf>) -> Result<(), Error> {
    for name in sorted_names(folder)? {
        let path = folder.join(name);
        if !path.is_dir() {
            if !keep.contains(&path) {
                files::remove_any(&path)?;
            }
            continue;
        }
        remove_others(&path, keep)?;
        if sorted_names(&path)?.is_empty() {
            fs::remove_dir(&path).at("remove", &path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwanted_modules_go_with_their_empty_folders() {
        let root = tempfile::tempdir().unwrap();
        for file in ["fs/ext4/ext4.ko.xz", "fs/btrfs/btrfs.ko.xz", "net/x.ko.xz"] {
            files::write(&root.path().join(file), b"", 0o644).unwrap();
        }
        let ext4 = root.path().join("fs/ext4/ext4.ko.xz");
        remove_others(root.path(), &BTreeSet::from([ext4.clone()])).unwrap();
        assert!(ext4.exists());
        assert!(!root.path().join("fs/btrfs").exists() && !root.path().join("net").exists());
    }

    #[test]
    fn exactly_one_kernel_is_expected() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/lib/modules/6.12")).unwrap();
        assert_eq!(version(root.path()).unwrap(), "6.12");
        fs::create_dir_all(root.path().join("usr/lib/modules/6.13")).unwrap();
        assert!(version(root.path()).unwrap_err().to_string().contains("2 kernels"));
    }
}
