//! Content hashes: a stage is done again exactly when something it was made from has changed.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::error::{Error, IoContext};

/// Characters of a hash in a folder's name: 64 bits tell the stages of one repository apart.
const SHORT: usize = 16;
/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// Collects the inputs of a stage.
#[derive(Debug, Clone, Default)]
pub struct Key(Sha256);

impl Key {
    /// A key that starts with the stage's name.
    pub fn new(stage: &str) -> Self {
        let mut key = Self::default();
        key.text(stage);
        key
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Adds a list of texts.
    pub fn list<'a>(&mut self, items: impl IntoIterator<Item = &'a String>) -> &mut Self {
        for item in items {
            self.text(item);
        }
        self.bytes(b"end of list")
    }

    /// Adds a file's content, or a folder's whole tree: names, kinds, executable bits, contents.
    ///
    /// # Errors
    /// Something in it cannot be read.
    pub fn tree(&mut self, path: &Path) -> Result<&mut Self, Error> {
        let meta = fs::symlink_metadata(path).at("read", path)?;
        if meta.is_dir() {
            self.text("folder");
            for name in sorted_names(path)? {
                self.bytes(name.as_bytes());
                self.tree(&path.join(&name))?;
            }
            self.text("end of folder");
        } else if meta.is_symlink() {
            let target = fs::read_link(path).at("read link", path)?;
            self.text("link").bytes(target.as_os_str().as_bytes());
        } else {
            let kind = if meta.permissions().mode() & 0o100 == 0 { "file" } else { "program" };
            self.text(kind).bytes(sha256_file(path)?.as_bytes());
        }
        Ok(self)
    }

    /// The key as a short name.
    pub fn short(&self) -> String {
        hex(&self.0.clone().finalize())[..SHORT].to_owned()
    }

    // The length first, so that "ab","c" and "a","bc" differ.
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }
}

/// The names in a folder, sorted by bytes.
///
/// # Errors
/// The folder cannot be read.
pub fn sorted_names(folder: &Path) -> Result<Vec<std::ffi::OsString>, Error> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).at("list", folder)? {
        names.push(entry.at("list", folder)?.file_name());
    }
    names.sort();
    Ok(names)
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Errors
/// The file cannot be read.
pub fn sha256_file(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).at("open", path)?;
    let mut sum = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk).at("read", path)? {
            0 => return Ok(hex(&sum.finalize())),
            n => sum.update(&chunk[..n]),
        }
    }
}

/// SHA-256 of bytes, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_standard_test_vector() {
        // FIPS 180-4 example: SHA-256("abc").
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_tree_differs_by_content_name_and_executable_bit() {
        let folder = tempfile::tempdir().unwrap();
        let key = || Key::new("x").tree(folder.path()).unwrap().short();
        let file = folder.path().join("a");
        fs::write(&file, "1").unwrap();
        let first = key();
        assert_eq!(first, key());
        fs::write(&file, "2").unwrap();
        let second = key();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        let third = key();
        fs::rename(&file, folder.path().join("b")).unwrap();
        let fourth = key();
        let mut all = vec![first, second, third, fourth];
        all.dedup();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn item_borders_count() {
        assert_ne!(Key::new("x").text("ab").text("c").short(), Key::new("x").text("a").text("bc").short());
    }
}
