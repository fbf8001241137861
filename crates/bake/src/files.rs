//! Small file operations that name their operand when they fail.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::error::{Error, IoContext};
use crate::hash::sorted_names;
use crate::stage::remove_tree;

/// Copies a file, makes its folder, and sets its mode.
///
/// # Errors
/// Either file cannot be used.
pub fn install(from: &Path, to: &Path, mode: u32) -> Result<(), Error> {
    make_parent(to)?;
    remove_any(to)?;
    fs::copy(from, to).at("copy to", to)?;
    set_mode(to, mode)
}

/// Writes a file with a mode, making its folder.
///
/// # Errors
/// The file cannot be written.
pub fn write(to: &Path, content: &[u8], mode: u32) -> Result<(), Error> {
    make_parent(to)?;
    remove_any(to)?;
    fs::write(to, content).at("write", to)?;
    set_mode(to, mode)
}

/// Reads a text file.
///
/// # Errors
/// The file cannot be read or is not UTF-8.
pub fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).at("read", path)
}

/// Makes the folder a file will be in.
///
/// # Errors
/// It cannot be made.
pub fn make_parent(path: &Path) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).at("make", parent)
}

/// Sets a mode.
///
/// # Errors
/// It cannot be set.
pub fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).at("set mode of", path)
}

/// Removes a file, link or whole folder; fine when there is none.
///
/// # Errors
/// It cannot be removed.
pub fn remove_any(path: &Path) -> Result<(), Error> {
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).at("look at", path),
        Ok(meta) if meta.is_dir() => remove_tree(path),
        Ok(_) => fs::remove_file(path).at("remove", path),
    }
}

/// The size of a file in bytes.
///
/// # Errors
/// There is no such file.
pub fn size(path: &Path) -> Result<u64, Error> {
    Ok(fs::metadata(path).at("look at", path)?.len())
}

/// Gives a file the build's time stamp.
///
/// # Errors
/// It cannot be set.
pub fn set_time(path: &Path, epoch: u64) -> Result<(), Error> {
    let file = File::options().write(true).open(path).at("open", path)?;
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(epoch)).at("set time of", path)
}

/// Every file, link and folder below `root` that matches `pattern`, whose names may contain `*` and `?`.
/// Links are not followed.
///
/// # Errors
/// A folder cannot be listed.
pub fn glob(root: &Path, pattern: &str) -> Result<Vec<PathBuf>, Error> {
    let mut found = vec![root.to_owned()];
    for part in pattern.split('/') {
        let mut next = Vec::new();
        for folder in &found {
            if !folder.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
                continue;
            }
            for name in sorted_names(folder)? {
                if matches(part.as_bytes(), name.as_encoded_bytes()) {
                    next.push(folder.join(name));
                }
            }
        }
        found = next;
    }
    Ok(found)
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => (0..=name.len()).any(|n| matches(rest, &name[n..])),
        (Some((b'?', rest)), Some((_, name))) => matches(rest, name),
        (Some((p, rest)), Some((n, name))) => p == n && matches(rest, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stay_within_a_name() {
        assert!(matches(b"rc?.d", b"rc3.d"));
        assert!(matches(b"systemd-pcr*", b"systemd-pcrlock"));
        assert!(matches(b"*", b""));
        assert!(!matches(b"rc?.d", b"rcS.e"));
    }

    #[test]
    fn glob_finds_across_folders_and_does_not_follow_links() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("usr/lib/a/gconv")).unwrap();
        std::os::unix::fs::symlink("usr/lib", root.path().join("lib")).unwrap();
        assert_eq!(glob(root.path(), "usr/lib/*/gconv").unwrap(), [root.path().join("usr/lib/a/gconv")]);
        assert!(glob(root.path(), "lib/*").unwrap().is_empty());
        assert!(glob(root.path(), "none/*").unwrap().is_empty());
    }
}
