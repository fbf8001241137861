//! What survives a power cut: what every provider was told last, and who said to stop.
//!
//! One file, written beside its place and moved there. What cannot be read is put aside and said: then
//! the DNS is asked before anybody is told anything.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sysio::{Root, file};

use crate::machine::Memory;

/// Where it lies.
pub const FILE: &str = "/data/failberry/dyndns/state.json";
/// What could not be read is kept beside it.
const BAD: &str = "state.bad";
/// 64 names with two families and some hundred bytes each, and room.
const LARGEST: u64 = 128 * 1024;
const SCHEMA: u32 = 1;
/// Names say where somebody lives; nobody else needs to read them.
const MODE: u32 = 0o600;

/// One record's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// What the account was configured as, in a hash: a stop holds until that is another.
    pub account: String,
    /// What the machine remembers.
    #[serde(flatten)]
    pub memory: Memory,
}

/// All records, by "name type account".
pub type Records = BTreeMap<String, Kept>;

#[derive(Serialize, Deserialize)]
struct Content {
    schema: u32,
    records: Records,
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// It, or nothing.
    pub records: Records,
    /// Why it is nothing although something was there.
    pub lost: Option<String>,
}

/// The file below a root.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
}

impl Store {
    /// Below `root`.
    pub fn new(root: &Root) -> Self {
        Self { path: root.path(FILE) }
    }

    /// Reads it.
    pub fn load(&self) -> Found {
        let lost = |why: String| Found { lost: Some(why), ..Found::default() };
        let content = match file::read_bounded(&self.path, LARGEST) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::default(),
            Err(error) => return lost(error.to_string()),
        };
        let parsed = serde_json::from_slice::<Content>(&content).map_err(|error| error.to_string());
        match parsed {
            Ok(content) if content.schema == SCHEMA => Found { records: content.records, lost: None },
            other => {
                let why = other.err().unwrap_or_else(|| format!("not of schema {SCHEMA}"));
                let kept = fs::rename(&self.path, self.path.with_file_name(BAD)).is_ok();
                lost(if kept { format!("{why}; it is kept as {BAD}") } else { why })
            }
        }
    }

    /// Writes it; when this returns it is on the disk.
    ///
    /// # Errors
    /// Whatever writing reports; then the old content is untouched.
    pub fn save(&self, records: &Records) -> io::Result<()> {
        let content = Content { schema: SCHEMA, records: records.clone() };
        file::write_durable(&self.path, &serde_json::to_vec(&content)?, MODE)
    }
}

/// The memory of a record whose account is now configured as `account` says. What was told stands; a
/// stop and a wait were about the configuration there was.
pub fn recall(records: &Records, record: &str, account: &str) -> Memory {
    match records.get(record) {
        None => Memory::default(),
        Some(kept) if kept.account == account => kept.memory.clone(),
        Some(kept) => Memory { told: kept.memory.told.clone(), ..Memory::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Stopped, Told};

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("data/failberry/dyndns")).unwrap();
        let store = Store::new(&Root::at(dir.path()));
        (dir, store)
    }

    fn records() -> Records {
        let address = "192.0.2.1".parse().unwrap();
        let memory = Memory {
            told: Some(Told { wanted: address, address, unix: Some(1_800_000_000) }),
            stopped: Some(Stopped { code: "abuse".into(), why: "blocked".into() }),
            hold: Some(1_800_000_600),
        };
        Records::from([("h A x".to_owned(), Kept { account: "abc".into(), memory })])
    }

    #[test]
    fn what_was_kept_is_found_again() {
        let (_dir, store) = store();
        assert_eq!(store.load(), Found::default());
        store.save(&records()).unwrap();
        assert_eq!(store.load(), Found { records: records(), lost: None });
    }

    #[test]
    fn a_cut_at_any_byte_is_told_and_put_aside() {
        let (dir, store) = store();
        store.save(&records()).unwrap();
        // What a cut leaves of a write under way is beside the file, by another name.
        fs::write(dir.path().join("data/failberry/dyndns/.state.json.77"), "{\"sche").unwrap();
        assert_eq!(store.load().records, records());
        let whole = fs::read(&store.path).unwrap();
        for length in 0..whole.len() {
            fs::write(&store.path, &whole[..length]).unwrap();
            let found = store.load();
            assert!(found.lost.is_some() && found.records.is_empty(), "{length}");
            assert!(store.path.with_file_name(BAD).exists());
        }
    }

    #[test]
    fn a_stop_holds_until_the_configuration_is_another() {
        let records = records();
        let kept = &records["h A x"].memory;
        assert_eq!(recall(&records, "h A x", "abc"), *kept);
        let changed = recall(&records, "h A x", "abd");
        assert_eq!((changed.told, changed.stopped, changed.hold), (kept.told.clone(), None, None));
        assert_eq!(recall(&records, "other A x", "abc"), Memory::default());
    }
}
