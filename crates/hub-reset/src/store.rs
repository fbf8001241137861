//! What survives a power cut, and what is read from the image.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sysio::{Root, file};

use crate::incidents::{History, MOST_BYTES};
use crate::ledger::Ledger;
use crate::machine::Stick;

const DIRECTORY: &str = "/data/failberry/hub-reset";
const LEDGER: &str = "reboots.json";
const MEMORY: &str = "memory.json";
/// Incidents, beside the copy in memory that is always current.
pub const INCIDENTS: &str = "incidents.json";
/// What is shipped, and what the user adds: the folders the dialer reads.
const MODEMS: [&str; 2] = ["/usr/share/failberry/hardware/modems", "/data/failberry/hardware/modems"];
const MOUNTS: &str = "/proc/self/mountinfo";
const SMALL: u64 = 16 * 1024;

/// What was learned about the stick's port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Where the stick was last seen.
    pub stick: Option<Stick>,
    /// The port whose power turned out not to be switchable, why, and when (service time).
    pub useless: Option<(String, String, u64)>,
}

/// Files below `root`.
#[derive(Clone, Debug)]
pub struct Store {
    root: Root,
}

impl Store {
    /// Below `root`.
    pub fn new(root: &Root) -> Self {
        Self { root: root.clone() }
    }

    fn load<T: DeserializeOwned + Default>(&self, name: &str) -> T {
        let path = self.root.path(DIRECTORY).join(name);
        match file::read_bounded(&path, SMALL) {
            Ok(content) => serde_json::from_slice(&content).unwrap_or_else(|error| {
                log::warn!("parse {}: {error}; starting afresh", path.display());
                T::default()
            }),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    log::warn!("read {}: {error}; starting afresh", path.display());
                }
                T::default()
            }
        }
    }

    fn save(&self, name: &str, content: &[u8]) -> io::Result<()> {
        file::write_durable(&self.root.path(DIRECTORY).join(name), content, 0o644)
    }

    /// The reboots. An unreadable ledger is a fresh start: no reboot happens before it is written anew.
    pub fn ledger(&self) -> Ledger {
        self.load(LEDGER)
    }

    /// Saves them.
    ///
    /// # Errors
    /// Then no reboot may happen.
    pub fn save_ledger(&self, ledger: &Ledger) -> io::Result<()> {
        self.save(LEDGER, &serde_json::to_vec(ledger)?)
    }

    /// What was learned.
    pub fn memory(&self) -> Memory {
        self.load(MEMORY)
    }

    /// Saves it.
    ///
    /// # Errors
    /// What the system said.
    pub fn save_memory(&self, memory: &Memory) -> io::Result<()> {
        self.save(MEMORY, &serde_json::to_vec(memory)?)
    }

    /// The incidents.
    pub fn history(&self) -> History {
        let path = self.root.path(DIRECTORY).join(INCIDENTS);
        // Twice the bound: a later version may keep more.
        let problem = match file::read_bounded(&path, 2 * MOST_BYTES as u64) {
            Ok(content) => match History::parse(&content) {
                Ok(history) => return history,
                Err(error) => error.to_string(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return History::default(),
            Err(error) => error.to_string(),
        };
        // The next one written would be the end of it, and somebody may want to know.
        let aside = path.with_extension("bad");
        let kept = match fs::rename(&path, &aside) {
            Ok(()) => format!("kept as {}", aside.display()),
            Err(error) => format!("not kept: {error}"),
        };
        log::warn!("read {}: {problem}; {kept}, starting afresh", path.display());
        History::default()
    }

    /// Saves them.
    ///
    /// # Errors
    /// What the system said.
    pub fn save_history(&self, history: &History) -> io::Result<()> {
        self.save(INCIDENTS, &history.bytes())
    }

    /// Whether what is saved survives a reboot: without the data partition it would be in memory, and
    /// reboots that nobody remembers have no end.
    pub fn is_durable(&self) -> bool {
        let mounts = fs::read_to_string(self.root.path(MOUNTS)).unwrap_or_default();
        data_file_system(&mounts)
            .is_some_and(|kind| !["tmpfs", "overlay", "ramfs", "squashfs"].contains(&kind))
    }
}

/// The file system mounted on or above `/data/failberry/hub-reset`, the nearest one (proc(5)).
fn data_file_system(mounts: &str) -> Option<&str> {
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(place), Some(kind)) = (fields.nth(4), line.split(" - ").nth(1)) else { continue };
        let kind = kind.split(' ').next().unwrap_or_default();
        let above = DIRECTORY == place || DIRECTORY.starts_with(&format!("{}/", place.trim_end_matches('/')));
        if above && best.is_none_or(|(length, _)| place.len() >= length) {
            best = Some((place.len(), kind));
        }
    }
    best.map(|(_, kind)| kind)
}

/// Every USB id the modem files name: anything in them that is written as one. The dialer owns their
/// schema; here they only tell a stick from a keyboard.
pub fn modem_ids(root: &Root) -> Vec<String> {
    let mut ids = Vec::new();
    let entries = MODEMS.iter().filter_map(|folder| fs::read_dir(root.path(folder)).ok());
    for entry in entries.flatten().flatten() {
        let text = fs::read_to_string(entry.path()).unwrap_or_default();
        if let Ok(table) = text.parse::<toml::Table>() {
            table.values().for_each(|value| collect(value, &mut ids));
        }
    }
    ids.sort();
    ids.dedup();
    ids
}

fn collect(value: &toml::Value, ids: &mut Vec<String>) {
    match value {
        toml::Value::String(text) if is_id(text) => ids.push(text.clone()),
        toml::Value::Array(values) => values.iter().for_each(|value| collect(value, ids)),
        toml::Value::Table(table) => table.values().for_each(|value| collect(value, ids)),
        _ => {}
    }
}

fn is_id(text: &str) -> bool {
    let digits = |part: &str| part.len() == 4 && part.bytes().all(|b| b.is_ascii_hexdigit());
    text.split_once(':').is_some_and(|(vendor, product)| digits(vendor) && digits(product))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_folder_in_memory_is_not_durable() {
        let disk = "1 0 0:1 / / rw - overlay o rw\n2 1 179:4 / /data rw,noatime - ext4 /dev/x rw\n";
        assert_eq!(data_file_system(disk), Some("ext4"));
        assert_eq!(data_file_system("1 0 0:1 / / rw - overlay o rw\n"), Some("overlay"));
        let private = format!("{disk}3 2 179:4 /f /data/failberry/hub-reset rw - ext4 /dev/x rw\n");
        assert_eq!(data_file_system(&private), Some("ext4"));
        assert_eq!(data_file_system(""), None);
    }

    #[test]
    fn what_is_saved_is_found_again_and_garbage_is_a_fresh_start() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        let store = Store::new(&root);
        assert!(store.save_ledger(&Ledger::default()).is_err(), "without its folder");
        fs::create_dir_all(root.path(DIRECTORY)).unwrap();
        let ledger = Ledger { boots: 3, reboots: vec![7], ..Ledger::default() };
        store.save_ledger(&ledger).unwrap();
        assert_eq!(store.ledger(), ledger);
        fs::write(root.path(DIRECTORY).join(MEMORY), "{").unwrap();
        assert_eq!(store.memory(), Memory::default());
    }

    #[test]
    fn incidents_that_cannot_be_read_are_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        let store = Store::new(&root);
        fs::create_dir_all(root.path(DIRECTORY)).unwrap();
        assert_eq!(store.history(), History::default(), "none yet");
        fs::write(root.path(DIRECTORY).join(INCIDENTS), "{").unwrap();
        assert_eq!(store.history(), History::default());
        store.save_history(&History::default()).unwrap();
        assert_eq!(fs::read_to_string(root.path(DIRECTORY).join("incidents.bad")).unwrap(), "{");
    }

    #[test]
    fn ids_of_sticks_come_from_the_modem_files_whatever_their_keys() {
        let dir = tempfile::tempdir().unwrap();
        let [folder, own] = MODEMS.map(|name| dir.path().join(name.trim_start_matches('/')));
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("c.toml"), "switch = [\"dead:beef\"]").unwrap();
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../hardware/modems/zte-mf180.toml");
        fs::copy(shipped, folder.join("a.toml")).unwrap();
        fs::write(folder.join("b.toml"), "garbage [").unwrap();
        let ids = modem_ids(&Root::at(dir.path()));
        for id in ["19d2:0031", "19d2:2000", "dead:beef"] {
            assert!(ids.contains(&id.to_owned()), "{ids:?}");
        }
    }
}
