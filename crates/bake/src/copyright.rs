//! Licences of Debian packages, read from their copyright files before those are dropped.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Folder of the full texts that copyright files point to.
const COMMON: &str = "/usr/share/common-licenses/";

/// Short names of the licences of an unpacked package; empty when it has no copyright file.
pub fn licences_of(root: &Path, package: &str) -> Vec<String> {
    let path = root.join("usr/share/doc").join(package).join("copyright");
    fs::read(path).map(|bytes| parse(&String::from_utf8_lossy(&bytes))).unwrap_or_default()
}

// Machine-readable files have `License:` fields (Debian's copyright format 1.0); the others at
// least point to the common texts.
fn parse(text: &str) -> Vec<String> {
    let mut names: BTreeSet<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("License:"))
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() {
        names = text.split(COMMON).skip(1).filter_map(common_name).collect();
    }
    names.into_iter().collect()
}

fn common_name(rest: &str) -> Option<String> {
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-.+".contains(c))).unwrap_or(rest.len());
    let name = rest[..end].trim_end_matches('.');
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fields_once_each() {
        assert_eq!(
            parse("Format: x\nLicense: MIT\n text\nLicense: GPL-2+\nLicense: MIT\nLicense:\n"),
            ["GPL-2+", "MIT"]
        );
    }

    #[test]
    fn falls_back_to_the_common_texts_named() {
        assert_eq!(
            parse("see `/usr/share/common-licenses/GPL-2'. Or\n/usr/share/common-licenses/LGPL-2.1."),
            ["GPL-2", "LGPL-2.1"]
        );
    }

    #[test]
    fn a_package_without_the_file_has_none() {
        assert!(licences_of(Path::new("/nonexistent"), "x").is_empty());
    }
}
