//! What Debian's maintainer scripts would have done, done from outside: accounts, units, kernel, drops.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::apn;
use crate::elf;
use crate::error::{Error, IoContext};
use crate::files;
use crate::hash::Key;
use crate::kernel;
use crate::layer::{Layer, Machine};
use crate::run::Runner;

/// Copying 400 MB within one file system.
const COPY_LIMIT: Duration = Duration::from_secs(300);
/// systemd's offline tools each take well under a second.
const TOOL_LIMIT: Duration = Duration::from_secs(60);

/// Everything the base depends on, beside the unpacked packages.
pub fn key(unpacked: &Path, machine: &Machine, layers: &[Layer]) -> Key {
    let mut key = Key::new("base");
    for recipe in [
        include_str!("base.rs"),
        include_str!("kernel.rs"),
        include_str!("initramfs.rs"),
        include_str!("elf.rs"),
        include_str!("apn.rs"),
    ] {
        key.text(recipe);
    }
    key.text(&unpacked.display().to_string()).list(&machine.dtbs).list(&machine.firmware);
    for layer in layers {
        key.list(&layer.modules).list(&layer.initramfs_modules).list(&layer.drop).list(&layer.directories);
    }
    key
}

/// Makes `stage/root` (trimmed, configured) and `stage/firmware` from the unpacked packages.
///
/// # Errors
/// A tool's, or something a layer names that does not exist.
pub fn make(
    runner: &Runner,
    unpacked: &Path,
    stage: &Path,
    machine: &Machine,
    layers: &[Layer],
) -> Result<(), Error> {
    let root = stage.join("root");
    copy_tree(runner, &unpacked.join("root"), &root)?;
    for file in &machine.firmware {
        let from = root.join(file);
        let name = from.file_name().unwrap_or_default();
        files::install(&from, &stage.join("firmware").join(name), 0o644)?;
    }
    let modules: Vec<String> =
        layers.iter().flat_map(|l| l.modules.iter().chain(&l.initramfs_modules)).cloned().collect();
    kernel::trim_modules(runner, &root, &modules)?;
    kernel::install_boot_files(runner, &root, &machine.dtbs)?;
    accounts(&root)?;
    runtime_links(&root)?;
    apn::make(&root)?;
    for layer in layers {
        drop_files(&root, layer)?;
        for folder in &layer.directories {
            let path = root.join(folder);
            fs::create_dir_all(&path).at("make", &path)?;
        }
    }
    elf::check_libraries(runner, &root, &stage.join("libraries"))
}

/// Copies a tree with everything that belongs to it.
///
/// # Errors
/// The copy's.
pub fn copy_tree(runner: &Runner, from: &Path, to: &Path) -> Result<(), Error> {
    files::make_parent(to)?;
    let mut copy = Command::new("cp");
    runner.command("copy", COPY_LIMIT, copy.args(["-a", "--reflink=auto"]).arg(from).arg(to))
}

/// Accounts the packages and layers declare, and the units the layers enable and mask.
///
/// # Errors
/// A unit that does not exist, or a tool's.
pub fn configure(runner: &Runner, root: &Path, layers: &[Layer], epoch: u64) -> Result<(), Error> {
    let mut root_option = std::ffi::OsString::from("--root=");
    root_option.push(root);
    let mut sysusers = Command::new("systemd-sysusers");
    // The day of the last password change in /etc/shadow is the build's, not today.
    sysusers.arg(&root_option).env("SOURCE_DATE_EPOCH", epoch.to_string());
    runner.command("sysusers", TOOL_LIMIT, &mut sysusers)?;
    for backup in ["etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-", "etc/.pwd.lock"] {
        files::remove_any(&root.join(backup))?;
    }
    for (verb, list) in [("enable", units(layers, |l| &l.enable)), ("mask", units(layers, |l| &l.mask))] {
        if !list.is_empty() {
            let mut systemctl = Command::new("systemctl");
            systemctl.arg(&root_option).args(["--quiet", verb]).args(list);
            runner.command(&format!("systemctl-{verb}"), TOOL_LIMIT, &mut systemctl)?;
        }
    }
    // Empty: systemd makes an identity at boot and an image shares none.
    files::write(&root.join("etc/machine-id"), b"", 0o644)?;
    // systemd starts no clock before this file's time (systemd-timesyncd.service(8)); a Pi has no battery.
    let clock = root.join("usr/lib/clock-epoch");
    files::write(&clock, b"", 0o644)?;
    files::set_time(&clock, epoch)
}

fn units<'a>(layers: &'a [Layer], list: impl Fn(&'a Layer) -> &'a Vec<String>) -> Vec<&'a String> {
    layers.iter().flat_map(list).collect()
}

fn accounts(root: &Path) -> Result<(), Error> {
    for (from, to) in [
        ("usr/share/base-passwd/passwd.master", "etc/passwd"),
        ("usr/share/base-passwd/group.master", "etc/group"),
        ("usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf"),
    ] {
        files::install(&root.join(from), &root.join(to), 0o644)?;
    }
    Ok(())
}

/// base-files ships these as folders; its maintainer script makes them links.
fn runtime_links(root: &Path) -> Result<(), Error> {
    for (link, target) in [("var/run", "/run"), ("var/lock", "/run/lock")] {
        let link = root.join(link);
        files::remove_any(&link)?;
        std::os::unix::fs::symlink(target, &link).at("link", &link)?;
    }
    Ok(())
}

fn drop_files(root: &Path, layer: &Layer) -> Result<(), Error> {
    for pattern in &layer.drop {
        for path in files::glob(root, pattern)? {
            files::remove_any(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropping_takes_whole_folders_and_tolerates_what_is_not_there() {
        let root = tempfile::tempdir().unwrap();
        for file in ["usr/share/doc/x/copyright", "usr/share/keep", "boot/config-6"] {
            files::write(&root.path().join(file), b"", 0o644).unwrap();
        }
        let layer = Layer {
            drop: vec!["usr/share/doc".into(), "boot/config-*".into(), "absent/*".into()],
            ..Layer::default()
        };
        drop_files(root.path(), &layer).unwrap();
        assert!(!root.path().join("usr/share/doc").exists() && !root.path().join("boot/config-6").exists());
        assert!(root.path().join("usr/share/keep").exists());
    }
}
