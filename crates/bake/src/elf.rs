//! Layers drop packages Debian thinks are needed; this proves that no program misses a library by that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Error, IoContext};
use crate::files;
use crate::hash::sorted_names;
use crate::run::Runner;

/// `readelf` over a few hundred files takes about a second.
const LIMIT: Duration = Duration::from_secs(60);
/// First bytes of every ELF file (System V ABI, "ELF Identification").
const MAGIC: [u8; 4] = *b"\x7fELF";

/// Checks that every library a program or library of the root names is there.
///
/// # Errors
/// The missing libraries with those that want them.
pub fn check_libraries(runner: &Runner, root: &Path, scratch: &Path) -> Result<(), Error> {
    let mut elves = Vec::new();
    let mut names = BTreeSet::new();
    for folder in ["usr/bin", "usr/sbin", "usr/lib", "usr/libexec"] {
        collect(&root.join(folder), &mut elves, &mut names)?;
    }
    let mut readelf = Command::new("readelf");
    // A symbolic link to a file outside the list is fine; kernel modules have no dynamic section.
    readelf.args(["--dynamic", "--wide"]).args(&elves);
    runner.command_to("readelf", LIMIT, &mut readelf, scratch)?;
    let missing = missing(&files::read(scratch)?, &names);
    if missing.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = missing
        .iter()
        .map(|(library, users)| format!("{library} (wanted by {})", users.join(", ")))
        .collect();
    Err(Error::Invalid(format!(
        "libraries dropped but needed: {}; see `without-packages` and `drop` in image/layers/",
        lines.join("; ")
    )))
}

fn collect(folder: &Path, elves: &mut Vec<PathBuf>, names: &mut BTreeSet<String>) -> Result<(), Error> {
    if folder.file_name().is_some_and(|name| name == "modules") || !folder.is_dir() {
        return Ok(());
    }
    for name in sorted_names(folder)? {
        let path = folder.join(&name);
        let meta = fs::symlink_metadata(&path).at("look at", &path)?;
        if meta.is_dir() {
            collect(&path, elves, names)?;
            continue;
        }
        names.insert(name.display().to_string());
        if meta.is_file() && is_elf(&path)? {
            elves.push(path);
        }
    }
    Ok(())
}

fn is_elf(path: &Path) -> Result<bool, Error> {
    let mut head = [0; MAGIC.len()];
    let mut file = File::open(path).at("open", path)?;
    Ok(file.read(&mut head).at("read", path)? == MAGIC.len() && head == MAGIC)
}

// `File: /path` and ` 0x…01 (NEEDED)  Shared library: [libc.so.6]`.
fn missing(listing: &str, names: &BTreeSet<String>) -> BTreeMap<String, Vec<String>> {
    let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut file = "";
    for line in listing.lines() {
        if let Some(path) = line.strip_prefix("File: ") {
            file = path.rsplit('/').next().unwrap_or(path);
        } else if let Some((_, rest)) = line.split_once("(NEEDED)") {
            let library = rest.split(['[', ']']).nth(1).unwrap_or_default();
            if !names.contains(library) {
                missing.entry(library.to_owned()).or_default().push(file.to_owned());
            }
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_is_missing_and_who_wants_it() {
        let listing = "\nFile: /r/usr/sbin/sshd\n 0x1 (NEEDED)   Shared library: [libpam.so.0]\n \
                       0x1 (NEEDED)   Shared library: [libc.so.6]\n";
        let missing = missing(listing, &BTreeSet::from(["libc.so.6".to_owned()]));
        assert_eq!(missing, BTreeMap::from([("libpam.so.0".to_owned(), vec!["sshd".to_owned()])]));
    }

    #[test]
    fn tells_elf_files_from_scripts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, b"#!/bin/sh").unwrap();
        assert!(!is_elf(&path).unwrap());
        fs::write(&path, b"\x7fELF\x02").unwrap();
        assert!(is_elf(&path).unwrap());
    }
}
