//! What survives a power cut: what was told, what waits for a summary, and the queue, in one file,
//! so that no moment exists in which one of them knows of an alert and the other does not.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sysio::{Root, file};

use crate::alerts::{Held, Told};
use crate::notice::{Channel, Message};

/// Where it lies.
pub const FILE: &str = "/data/failberry/notify/state.json";
/// What could not be read is kept beside it.
const BAD: &str = "state.bad";
/// The queue's bound, what was told, and room.
const LARGEST: u64 = 512 * 1024;
const SCHEMA: u32 = 1;
/// Characters of a UUID: 48 random bits; that two of a million processes share them is one chance in 500.
const ID: usize = 12;
/// Titles may say what a network or a stick is called; nobody else needs to read them.
const MODE: u32 = 0o600;

/// All that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Version of this file.
    pub schema: u32,
    /// Who was told. What was told to none of those who are to be told now was told to nobody.
    #[serde(default)]
    pub channels: Vec<Channel>,
    /// What was told and is not over.
    pub told: Vec<Told>,
    /// What waits for a summary.
    pub held: Held,
    /// The queue.
    pub messages: Vec<Message>,
}

impl Default for Memory {
    fn default() -> Self {
        let (channels, told, messages) = (Vec::new(), Vec::new(), Vec::new());
        Self { schema: SCHEMA, channels, told, held: Held::default(), messages }
    }
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// It, or a fresh one.
    pub memory: Memory,
    /// Why it is a fresh one although something was there.
    pub lost: Option<String>,
}

/// The file below a root.
#[derive(Clone, Debug)]
pub struct Store {
    path: PathBuf,
    instance: PathBuf,
}

impl Store {
    /// Below `root`.
    pub fn new(root: &Root) -> Self {
        Self { path: root.path(FILE), instance: root.path("/proc/sys/kernel/random/uuid") }
    }

    /// Reads it; what is broken is put aside and said, because alerts may be in it.
    pub fn load(&self) -> Found {
        let fresh = |lost| Found { memory: Memory::default(), lost };
        let content = match file::read_bounded(&self.path, LARGEST) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return fresh(None),
            Err(error) => return fresh(Some(error.to_string())),
        };
        let parsed = serde_json::from_slice::<Memory>(&content).map_err(|error| error.to_string());
        let known = parsed.and_then(|memory| match memory.schema {
            SCHEMA => Ok(memory),
            other => Err(format!("schema {other}, this program knows {SCHEMA}")),
        });
        match known {
            Ok(memory) => Found { memory, lost: None },
            Err(why) => {
                let kept = fs::rename(&self.path, self.path.with_file_name(BAD)).is_ok();
                let aside = if kept { format!("; it is kept as {BAD}") } else { String::new() };
                fresh(Some(format!("{why}{aside}")))
            }
        }
    }

    /// What makes the ids of this process different from all others, here and elsewhere: a UUID without
    /// its hyphens. Nothing that is kept is part of it, because what cannot be written would be used
    /// again, and a receiver would take another alert for one it has.
    ///
    /// # Errors
    /// If the kernel gives none.
    pub fn instance(&self) -> io::Result<String> {
        let uuid = fs::read_to_string(&self.instance)?;
        Ok(uuid.chars().filter(char::is_ascii_alphanumeric).take(ID).collect())
    }

    /// Writes it; when this returns it is on the disk.
    ///
    /// # Errors
    /// Whatever writing reports; then the old content is untouched.
    pub fn save(&self, memory: &Memory) -> io::Result<()> {
        let content = serde_json::to_vec(memory)?;
        file::write_durable(&self.path, &content, MODE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::{Kind, Notice, Stamp};
    use snapshot::Severity;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("data/failberry/notify")).unwrap();
        fs::create_dir_all(dir.path().join("proc/sys/kernel/random")).unwrap();
        fs::write(dir.path().join("proc/sys/kernel/random/uuid"), "01234567-89ab-cdef-0000\n").unwrap();
        let store = Store::new(&Root::at(dir.path()));
        (dir, store)
    }

    fn memory(store: &Store) -> Memory {
        let notice = Notice::new(Kind::Alert, Severity::Error, "d", "c", "t", "x");
        let message =
            Message { id: "i-1".into(), at: Stamp::default(), notice, pending: vec![Channel::Mail] };
        Memory { messages: vec![message], ..store.load().memory }
    }

    #[test]
    fn what_was_kept_is_found_again() {
        let (_dir, store) = store();
        let memory = memory(&store);
        assert_eq!(store.instance().unwrap(), "0123456789ab");
        store.save(&memory).unwrap();
        assert_eq!(store.load(), Found { memory, lost: None });
    }

    #[test]
    fn a_cut_at_any_byte_of_a_write_leaves_the_old_content_or_says_so() {
        let (dir, store) = store();
        let memory = memory(&store);
        store.save(&memory).unwrap();
        // What a cut leaves of a write under way is beside the file, by another name.
        fs::write(dir.path().join("data/failberry/notify/.state.json.77"), "{\"sche").unwrap();
        assert_eq!(store.load().memory, memory);
        // And if a disk lies about syncing, whatever is left is told, not believed, and put aside.
        let whole = serde_json::to_vec(&memory).unwrap();
        for length in 0..whole.len() {
            fs::write(&store.path, &whole[..length]).unwrap();
            let found = store.load();
            assert!(found.lost.is_some() && found.memory.messages.is_empty(), "{length}");
            assert!(store.path.with_file_name(BAD).exists());
        }
    }

    #[test]
    fn a_newer_file_is_put_aside_rather_than_misread() {
        let (_dir, store) = store();
        let memory = Memory { schema: 2, ..memory(&store) };
        store.save(&memory).unwrap();
        assert!(store.load().lost.unwrap().contains("schema 2"));
    }
}
