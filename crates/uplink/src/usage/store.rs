//! Two files that take turns, so that the power may fail at any moment.
//!
//! Each is replaced whole (written beside it, synced, renamed); while one is being replaced the other
//! holds the state before. Cards lose more than what was being written, too: a file whose checksum is
//! wrong is set aside, and the other one counts.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use sysio::file;

const NAMES: [&str; 2] = ["usage-a", "usage-b"];
/// A full record is some 8 KiB.
const LIMIT: u64 = 64 * 1024;
/// What was used is nobody's secret, but only `uplink` writes it.
const MODE: u32 = 0o644;

/// The two files in a folder.
#[derive(Debug)]
pub(crate) struct Store {
    folder: PathBuf,
    /// Which one is written next.
    next: usize,
    sequence: u64,
}

/// What was found at start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found<T> {
    /// The newest state that is whole.
    pub(crate) state: Option<T>,
    /// What was wrong with the files, in words.
    pub(crate) trouble: Vec<String>,
}

impl Store {
    /// Reads what is there.
    pub(crate) fn open<T: DeserializeOwned>(folder: &Path) -> (Self, Found<T>) {
        let mut store = Self { folder: folder.to_owned(), next: 0, sequence: 0 };
        store.sweep();
        let mut found = Found { state: None, trouble: Vec::new() };
        for (which, name) in NAMES.iter().enumerate() {
            let path = store.path(which);
            match load::<T>(&path) {
                Ok(Some((sequence, state))) if found.state.is_none() || sequence > store.sequence => {
                    (store.sequence, store.next) = (sequence, 1 - which);
                    found.state = Some(state);
                }
                Ok(_) => {}
                Err(error) => {
                    let aside = path.with_file_name(format!("{name}.bad"));
                    let kept = match fs::rename(&path, &aside) {
                        Ok(()) => format!("kept as {}", aside.display()),
                        Err(error) => format!("cannot be set aside: {error}"),
                    };
                    found.trouble.push(format!("read {}: {error}; {kept}", path.display()));
                }
            }
        }
        (store, found)
    }

    /// Saves a state; when this returns it is on the card.
    ///
    /// # Errors
    /// What was refused, in words; then what was saved before is untouched.
    pub(crate) fn save(&mut self, text: &str) -> Result<(), String> {
        let path = self.path(self.next);
        let sequence = self.sequence + 1;
        let body = format!("{sequence}\n{text}");
        let content = format!("{:016x}\n{body}\n", checksum(body.as_bytes()));
        file::write_durable(&path, content.as_bytes(), MODE)
            .map_err(|error| format!("write {}: {error}", path.display()))?;
        (self.sequence, self.next) = (sequence, 1 - self.next);
        Ok(())
    }

    /// Removes what a cut left half written.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if NAMES.iter().any(|file| name.to_string_lossy().starts_with(&format!(".{file}.json."))) {
                // What cannot be removed is in nobody's way.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn path(&self, which: usize) -> PathBuf {
        self.folder.join(format!("{}.json", NAMES[which]))
    }
}

/// A state as [`Store::save`] takes it.
pub(crate) fn encode<T: Serialize>(state: &T) -> Result<String, String> {
    serde_json::to_string(state).map_err(|error| format!("write the usage record: {error}"))
}

fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<(u64, T)>, String> {
    let content = match file::read_bounded(path, LIMIT) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let text = String::from_utf8(content).map_err(|_| "not text".to_owned())?;
    let (sum, body) = text.split_once('\n').ok_or("cut short")?;
    let body = body.strip_suffix('\n').ok_or("cut short")?;
    if sum != format!("{:016x}", checksum(body.as_bytes())) {
        return Err("the checksum is wrong".to_owned());
    }
    let (sequence, state) = body.split_once('\n').ok_or("cut short")?;
    let sequence = sequence.parse().map_err(|_| "no sequence number".to_owned())?;
    let state = serde_json::from_str(state).map_err(|error| error.to_string())?;
    Ok(Some((sequence, state)))
}

/// FNV-1a, 64 bits (Fowler, Noll, Vo): tells a torn or flipped block, which is all it has to.
fn checksum(bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(folder: &Path) -> (Option<u64>, usize) {
        let (_, found) = Store::open::<u64>(folder);
        (found.state, found.trouble.len())
    }

    fn saved(folder: &Path, states: std::ops::Range<u64>) {
        let (mut store, _) = Store::open::<u64>(folder);
        for state in states {
            store.save(&state.to_string()).unwrap();
        }
    }

    #[test]
    fn the_newest_of_both_is_read_and_the_older_is_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(state(dir.path()), (None, 0));
        for n in 0..5 {
            // Started anew each time.
            saved(dir.path(), n..n + 1);
            assert_eq!(state(dir.path()), (Some(n), 0));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn wherever_the_newest_is_cut_the_one_before_counts() {
        let dir = tempfile::tempdir().unwrap();
        saved(dir.path(), 0..4);
        // 3 is in the second file.
        let newest = dir.path().join("usage-b.json");
        let whole = fs::read(&newest).unwrap();
        for length in 0..whole.len() {
            fs::write(&newest, &whole[..length]).unwrap();
            assert_eq!(state(dir.path()), (Some(2), 1), "{length} bytes");
            assert!(!newest.exists() && dir.path().join("usage-b.bad").exists());
        }
        for at in 0..whole.len() {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            fs::write(&newest, &flipped).unwrap();
            assert_eq!(state(dir.path()), (Some(2), 1), "byte {at}");
        }
        saved(dir.path(), 7..8);
        assert_eq!(state(dir.path()), (Some(7), 0));
    }

    #[test]
    fn a_cut_between_any_two_steps_of_a_save_loses_nothing_that_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        saved(dir.path(), 0..3);
        // The temporary file half written, then whole and not yet renamed.
        for rest in ["", "0123456789abcdef\n4\n", "garbage"] {
            fs::write(dir.path().join(".usage-b.json.4711"), rest).unwrap();
            assert_eq!(state(dir.path()), (Some(2), 0));
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        }
        // Both gone bad: it begins anew, and says so twice.
        for name in NAMES {
            fs::write(dir.path().join(format!("{name}.json")), [0xff; 100]).unwrap();
        }
        assert_eq!(state(dir.path()), (None, 2));
    }

    #[test]
    fn a_folder_that_cannot_be_written_keeps_its_turn() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("missing");
        let (mut store, _) = Store::open::<u64>(&folder);
        assert!(store.save("1").unwrap_err().starts_with("write "));
        fs::create_dir(&folder).unwrap();
        store.save("2").unwrap();
        assert_eq!(state(&folder), (Some(2), 0));
    }
}
