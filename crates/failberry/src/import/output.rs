//! What the import writes for the running system: slices and host name.

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::Path;

use config::Config;
use sysio::{Root, file};

use super::ImportError;

/// Slices are for root and the daemon's own group.
const SLICE_MODE: u32 = 0o440;

/// The group of a daemon that does not run as root (its sysusers.d file names it).
fn group_of(daemon: &str) -> &'static str {
    match daemon {
        "dyndns" => "failberry-dyndns",
        "notify" => "failberry-notify",
        "prober" => "failberry-prober",
        "statusd" => "failberry-status",
        "uplink" => "failberry-uplink",
        _ => "root",
    }
}

/// Writes every daemon's slice.
pub(super) fn write_slices(root: &Root, config: &Config) -> Result<(), ImportError> {
    let dir = root.path(config::SLICE_DIR);
    fs::create_dir_all(&dir).map_err(|source| ImportError::Write { path: dir.clone(), source })?;
    for daemon in config::daemons() {
        let path = dir.join(config::slice_name(daemon));
        let text = config::slice(config, daemon);
        let written = file::write_atomic(&path, text.as_bytes(), SLICE_MODE)
            .and_then(|()| give(root, &path, group_of(daemon)));
        written.map_err(|source| ImportError::Write { path, source })?;
    }
    Ok(())
}

/// Gives a file to a group. Until then it is root's alone, so nobody reads too early.
fn give(root: &Root, path: &Path, group: &str) -> io::Result<()> {
    if group == "root" {
        return Ok(());
    }
    let groups = fs::read_to_string(root.path("/etc/group"))?;
    match gid(&groups, group) {
        Some(id) => chown(path, None, Some(id)),
        // The image was baked without that daemon's layer.
        None => Ok(()),
    }
}

/// The number of a group in the text of /etc/group (group(5)).
fn gid(groups: &str, name: &str) -> Option<u32> {
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

/// Sets the kernel's host name, if it is another one.
pub(super) fn set_hostname(root: &Root, name: &str) -> io::Result<()> {
    let path = root.path("/proc/sys/kernel/hostname");
    if fs::read_to_string(&path)?.trim() == name {
        return Ok(());
    }
    fs::write(path, name)
}

/// Removes temporary files that a power cut left behind.
pub(super) fn remove_leftovers(store: &Path) {
    let Ok(entries) = fs::read_dir(store) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = [super::FILE, super::KEYS]
            .iter()
            .chain(&super::RULES)
            .any(|file| name.to_string_lossy().starts_with(&format!(".{file}.")));
        if ours {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_daemon_can_read_its_slice_as_the_group_its_unit_names() {
        let overlays = concat!(env!("CARGO_MANIFEST_DIR"), "/../../overlay");
        let mut checked = 0;
        for overlay in fs::read_dir(overlays).unwrap() {
            let units = overlay.unwrap().path().join("usr/lib/systemd/system");
            for daemon in config::daemons() {
                let Ok(unit) = fs::read_to_string(units.join(format!("{daemon}.service"))) else { continue };
                let group = unit.lines().find_map(|line| line.strip_prefix("Group=")).unwrap_or("root");
                assert_eq!(group_of(daemon), group, "{daemon}");
                checked += 1;
            }
        }
        assert!(checked > 0, "no unit of any reader in {overlays}");
    }

    #[test]
    fn groups_are_found_by_their_whole_name() {
        let text = "root:x:0:\nfailberry:x:990:failberry-status\nfailberry-status:x:989:\n";
        assert_eq!(gid(text, "failberry"), Some(990));
        assert_eq!(gid(text, "failberry-status"), Some(989));
        assert_eq!(gid(text, "fail"), None);
    }
}
