//! The sysctl files, loaders and settings of a host, read without any right.

use ruleset::sysctl::{Content, File, Files, Folder, Key, Loader, blame};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use sysio::Root;

/// A sysctl file has some hundred lines; a larger one is a mistake, and memory is ours to guard.
const FILE_LIMIT: u64 = 2 << 20;
/// A folder has a dozen; see [`FILE_LIMIT`].
const FILES_LIMIT: usize = 1000;
/// Settings grow by some seventy an interface; a host with a thousand containers ends here.
const KEYS_LIMIT: usize = 100_000;
/// `net/ipv4/conf/NAME/KEY` has four folders.
const DEPTH: usize = 8;
/// Opening it makes systemd mount a file system.
const PASSED_OVER: &str = "fs/binfmt_misc";

const SYSTEMD: [&str; 2] = ["/usr/lib/systemd/systemd-sysctl", "/lib/systemd/systemd-sysctl"];
const PROCPS: [&str; 4] = ["/usr/sbin/sysctl", "/sbin/sysctl", "/usr/bin/sysctl", "/bin/sysctl"];

/// Every sysctl file of the system below `root`.
pub(crate) fn read_files(root: &Root) -> Files {
    let mut files = Vec::new();
    let usr = fs::canonicalize(root.path(Folder::Usr.path())).ok();
    for folder in Folder::FOLDERS {
        let path = root.path(folder.path());
        // On most systems /lib is /usr/lib.
        if folder == Folder::Lib && fs::canonicalize(&path).ok() == usr {
            continue;
        }
        let Ok(entries) = fs::read_dir(&path) else { continue };
        for entry in entries.flatten().take(FILES_LIMIT) {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push(File { folder, name, content: content(root, &entry.path()) });
        }
    }
    let main = root.path(Folder::Main.path());
    if main.is_file() {
        files.push(File {
            folder: Folder::Main,
            name: "sysctl.conf".to_owned(),
            content: content(root, &main),
        });
    }
    Files(files)
}

fn content(root: &Root, path: &Path) -> Content {
    let target = target(root, path);
    if target.as_deref() == Some(root.path("/dev/null").as_path()) {
        return Content::Mask;
    }
    let path = target.as_deref().unwrap_or(path);
    match fs::metadata(path) {
        // A link that leads nowhere hides like an empty file, with both loaders.
        Err(e) if e.kind() == io::ErrorKind::NotFound => Content::Mask,
        Err(e) => Content::Unreadable(e.to_string()),
        Ok(meta) if meta.is_dir() => Content::Mask,
        // Opening a pipe would wait for a writer.
        Ok(meta) if !meta.is_file() => Content::Unreadable("it is no file".to_owned()),
        Ok(_) => sysio::file::read_bounded(path, FILE_LIMIT)
            .map_or_else(|e| Content::Unreadable(e.to_string()), Content::Bytes),
    }
}

/// Where a link leads; an absolute one is meant within the root.
fn target(root: &Root, path: &Path) -> Option<PathBuf> {
    let link = fs::read_link(path).ok()?;
    if link.is_absolute() { Some(root.path(link)) } else { Some(path.parent()?.join(link)) }
}

/// The loaders this host has.
pub(crate) fn loaders(root: &Root) -> Vec<Loader> {
    let there = |path: &&str| fs::canonicalize(root.path(path));
    let systemd = SYSTEMD.iter().any(|path| there(path).is_ok());
    // BusyBox has a sysctl as well, which does not know these folders.
    let own = |path: PathBuf| path.file_name().is_some_and(|name| name == "sysctl");
    let procps = PROCPS.iter().filter_map(|path| there(path).ok()).any(own);
    let mut found = Vec::new();
    found.extend(systemd.then_some(Loader::Systemd));
    found.extend(procps.then_some(Loader::Procps));
    found
}

/// Who set `path` to `found`, in words.
pub(crate) fn reason(root: &Root, path: &str, found: &str, wanted: &str) -> String {
    match Key::parse(path) {
        Ok(key) => blame(&read_files(root), &key, found, wanted, &loaders(root)),
        Err(error) => error.to_string(),
    }
}

/// The paths of all settings the kernel has, sorted.
pub(crate) fn known(root: &Root) -> Vec<String> {
    let mut found = Vec::new();
    walk(&root.path("/proc/sys"), "", 0, &mut found);
    found.sort_unstable();
    found
}

fn walk(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if found.len() >= KEYS_LIMIT || path == PASSED_OVER {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && depth < DEPTH => {
                walk(&entry.path(), &format!("{path}/"), depth + 1, found);
            }
            Ok(kind) if kind.is_file() => found.push(path),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn links_masks_pipes_and_folders_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let (top, etc) = (dir.path(), dir.path().join("etc/sysctl.d"));
        put(top, "etc/sysctl.conf", "a.b=1\n");
        put(top, "usr/lib/sysctl.d/50-a.conf", "a.b=2\n");
        symlink("usr/lib", top.join("lib")).unwrap();
        fs::create_dir_all(etc.join("folder.conf")).unwrap();
        symlink("/dev/null", etc.join("50-a.conf")).unwrap();
        symlink("/etc/sysctl.conf", etc.join("99-sysctl.conf")).unwrap();
        symlink("../nowhere", etc.join("nowhere.conf")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(etc.join("socket.conf")).unwrap();
        let files = read_files(&Root::at(top));
        let content = |path: &str| &files.0.iter().find(|f| f.path() == path).unwrap().content;
        let text = |text: &str| Content::Bytes(text.as_bytes().to_vec());
        assert_eq!(content("/etc/sysctl.conf"), &text("a.b=1\n"));
        assert_eq!(content("/etc/sysctl.d/99-sysctl.conf"), &text("a.b=1\n"));
        assert_eq!(content("/usr/lib/sysctl.d/50-a.conf"), &text("a.b=2\n"));
        for mask in ["50-a", "nowhere", "folder"] {
            assert_eq!(content(&format!("/etc/sysctl.d/{mask}.conf")), &Content::Mask, "{mask}");
        }
        assert!(matches!(content("/etc/sysctl.d/socket.conf"), Content::Unreadable(_)));
        assert!(!files.0.iter().any(|f| f.folder == Folder::Lib), "/lib is /usr/lib");
    }

    #[test]
    fn busybox_is_not_procps() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "bin/busybox", "");
        symlink("busybox", dir.path().join("bin/sysctl")).unwrap();
        let root = Root::at(dir.path());
        assert_eq!(loaders(&root), []);
        put(dir.path(), "usr/sbin/sysctl", "");
        put(dir.path(), "lib/systemd/systemd-sysctl", "");
        assert_eq!(loaders(&root), Loader::BOTH);
    }

    #[test]
    fn settings_are_listed_with_dotted_interfaces() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "proc/sys/net/ipv4/conf/eth0.100/rp_filter", "1\n");
        put(dir.path(), "proc/sys/fs/binfmt_misc/status", "enabled\n");
        assert_eq!(known(&Root::at(dir.path())), ["net/ipv4/conf/eth0.100/rp_filter"]);
    }
}
