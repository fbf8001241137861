//! The PINs that were sent and not yet accepted; on disk, so that no crash and no power cut makes a
//! SIM lose a second try. A SIM is known by its number, so that another SIM gets its own try.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use modem_proto::machine::{Iccid, Pin, Spent};
use serde::{Deserialize, Serialize};
use sysio::{Root, file};

const PATH: &str = "/data/failberry/modem-dialer/pin-sent";
/// More SIMs than anybody tries; the oldest go.
const MOST: usize = 16;
const LARGEST: u64 = 16 * 1024;

/// One try that is not settled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Try {
    pin: String,
    /// The SIM's number, if it said one.
    sim: Option<String>,
    /// Whether the SIM said that it is wrong. Earlier versions did not tell; then it counts so.
    #[serde(default = "wrong")]
    refused: bool,
}

impl Try {
    fn is_of(&self, pin: &Pin, sim: Option<&Iccid>) -> bool {
        self.pin == pin.digits() && self.sim.as_deref() == sim.map(Iccid::as_str)
    }
}

fn wrong() -> bool {
    true
}

/// The record.
#[derive(Debug)]
pub struct PinRecord {
    path: PathBuf,
}

impl PinRecord {
    /// Below this root.
    pub fn new(root: &Root) -> Self {
        Self { path: root.path(PATH) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SIMs that did not accept `pin`. A record that cannot be read may be of this very PIN and
    /// any SIM: not at the SIM's cost.
    pub fn spent(&self, pin: &Pin) -> Vec<Spent> {
        match self.read() {
            Ok(tries) => tries
                .iter()
                .filter(|entry| entry.pin == pin.digits())
                .map(|entry| Spent { sim: entry.sim.as_deref().and_then(Iccid::of), refused: entry.refused })
                .collect(),
            Err(error) => {
                log::warn!("read {}: {error}; the PIN counts as sent", self.path.display());
                vec![Spent { sim: None, refused: true }]
            }
        }
    }

    /// Writes a try down, on disk before this returns.
    ///
    /// # Errors
    /// If that is not possible: then the PIN must not be sent.
    pub fn add(&self, pin: &Pin, sim: Option<&Iccid>) -> io::Result<()> {
        self.note(pin, sim, false)
    }

    /// The SIM said that it is wrong.
    ///
    /// # Errors
    /// If the record cannot be changed; then the SIM's own counter is what stands against a second try.
    pub fn refuse(&self, pin: &Pin, sim: Option<&Iccid>) -> io::Result<()> {
        self.note(pin, sim, true)
    }

    fn note(&self, pin: &Pin, sim: Option<&Iccid>, refused: bool) -> io::Result<()> {
        let mut tries = self.read()?;
        tries.retain(|other| !other.is_of(pin, sim));
        tries.push(entry(pin, sim, refused));
        let surplus = tries.len().saturating_sub(MOST);
        tries.drain(..surplus);
        self.write(&tries)
    }

    /// The SIM accepted it.
    ///
    /// # Errors
    /// If the record cannot be changed; it then stands for a refusal, which costs no try.
    pub fn settle(&self, pin: &Pin, sim: Option<&Iccid>) -> io::Result<()> {
        let mut tries = self.read()?;
        tries.retain(|other| !other.is_of(pin, sim));
        self.keep(&tries)
    }

    /// A person says that this PIN may be sent again, to any SIM. A record that cannot be read goes
    /// as a whole.
    ///
    /// # Errors
    /// If the record cannot be changed.
    pub fn forget(&self, pin: &Pin) -> io::Result<()> {
        let mut tries = self.read().unwrap_or_default();
        tries.retain(|other| other.pin != pin.digits());
        self.keep(&tries)
    }

    fn keep(&self, tries: &[Try]) -> io::Result<()> {
        if !tries.is_empty() {
            return self.write(tries);
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            // Gone for good, also after a power cut in the next moment.
            Ok(()) => fs::File::open(self.path.parent().unwrap_or(Path::new("/")))?.sync_all(),
        }
    }

    fn read(&self) -> io::Result<Vec<Try>> {
        let content = match file::read_bounded(&self.path, LARGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        // Earlier versions wrote the digits alone, for whatever SIM was there.
        let text = String::from_utf8_lossy(&content);
        if let Some(pin) = Pin::new(text.trim()) {
            return Ok(vec![entry(&pin, None, wrong())]);
        }
        Ok(serde_json::from_slice(&content)?)
    }

    fn write(&self, tries: &[Try]) -> io::Result<()> {
        file::write_durable(&self.path, &serde_json::to_vec(tries)?, 0o600)
    }
}

fn entry(pin: &Pin, sim: Option<&Iccid>, refused: bool) -> Try {
    Try { pin: pin.digits().to_owned(), sim: sim.map(|sim| sim.as_str().to_owned()), refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> (tempfile::TempDir, PinRecord) {
        let dir = tempfile::tempdir().unwrap();
        let record = PinRecord::new(&Root::at(dir.path()));
        fs::create_dir_all(record.path().parent().unwrap()).unwrap();
        (dir, record)
    }

    #[test]
    fn each_sim_has_its_own_try_and_settles_its_own() {
        let (_dir, record) = record();
        let pin = Pin::new("1234").unwrap();
        let (one, other) = (Iccid::of("89490123456789012345"), Iccid::of("89430123456789012345"));
        record.add(&pin, one.as_ref()).unwrap();
        record.add(&pin, other.as_ref()).unwrap();
        record.add(&pin, other.as_ref()).unwrap();
        let open = |sim: &Option<Iccid>| Spent { sim: sim.clone(), refused: false };
        assert_eq!(record.spent(&pin), [open(&one), open(&other)]);
        assert!(record.spent(&Pin::new("9999").unwrap()).is_empty());
        record.settle(&pin, one.as_ref()).unwrap();
        assert_eq!(record.spent(&pin), [open(&other)]);
        record.settle(&pin, other.as_ref()).unwrap();
        assert!(!record.path().exists());
    }

    #[test]
    fn a_record_of_an_earlier_version_or_of_nobody_counts_for_every_sim() {
        let (_dir, record) = record();
        let pin = Pin::new("1234").unwrap();
        fs::write(record.path(), "1234\n").unwrap();
        assert_eq!(record.spent(&pin), [Spent { sim: None, refused: true }]);
        fs::write(record.path(), "{garbage").unwrap();
        assert_eq!(record.spent(&pin), [Spent { sim: None, refused: true }]);
        assert!(record.add(&pin, None).is_err(), "a record that cannot be read is not overwritten");
    }

    #[test]
    fn a_refusal_stays_written_down_until_a_person_says_otherwise() {
        let (_dir, record) = record();
        let (pin, other) = (Pin::new("1234").unwrap(), Pin::new("4321").unwrap());
        let sim = Iccid::of("89490123456789012345");
        record.add(&pin, sim.as_ref()).unwrap();
        record.refuse(&pin, sim.as_ref()).unwrap();
        record.add(&other, sim.as_ref()).unwrap();
        assert_eq!(record.spent(&pin), [Spent { sim: sim.clone(), refused: true }]);
        record.forget(&pin).unwrap();
        assert!(record.spent(&pin).is_empty());
        assert_eq!(record.spent(&other).len(), 1, "another PIN's record stays");
        fs::write(record.path(), "{garbage").unwrap();
        record.forget(&pin).unwrap();
        assert!(!record.path().exists());
    }
}
