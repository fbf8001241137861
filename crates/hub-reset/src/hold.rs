//! What is off, on file before it is off, and who may switch just now.
//!
//! The note lies in memory: a reboot powers every port up again by itself (`hub_activate` in the
//! kernel's drivers/usb/core/hub.c switches all ports of a hub on when it finds it), so a copy on
//! the card would only wear it.

use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use sysio::{Root, file};

use crate::topology::Port;

/// Ours alone.
pub const DIRECTORY: &str = "/run/failberry-hub-reset";
const NOTE: &str = "off.json";
const LOCK: &str = "lock";
const SIZE_LIMIT: u64 = 16 * 1024;
const RETRY: Duration = Duration::from_millis(50);

/// Ports that are off, or were about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Off {
    /// The port that was meant.
    pub target: String,
    /// All that were switched.
    pub ports: Vec<String>,
    /// A person wants it so; without, it is the middle of a power cycle.
    pub held: bool,
    /// When, in milliseconds of `CLOCK_BOOTTIME`.
    pub since_ms: u64,
}

impl Off {
    /// The ports.
    pub fn ports(&self) -> Vec<Port> {
        self.ports.iter().filter_map(|name| Port::parse(name)).collect()
    }
}

/// The folder of notes.
#[derive(Clone, Debug)]
pub struct Hold(PathBuf);

impl Hold {
    /// Below `root`.
    pub fn new(root: &Root) -> Self {
        Self(root.path(DIRECTORY))
    }

    /// Notes what is going to be off.
    ///
    /// # Errors
    /// Then nothing may be switched off.
    pub fn note(&self, off: &Off) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        file::write_atomic(&self.0.join(NOTE), &serde_json::to_vec(off)?, 0o644)
    }

    /// What is off, if anything. A note that cannot be understood is dropped, because all that can be
    /// done about it is nothing.
    pub fn read(&self) -> Option<Off> {
        let content = file::read_bounded(&self.0.join(NOTE), SIZE_LIMIT).ok()?;
        serde_json::from_slice(&content).ok()
    }

    /// Power is back.
    pub fn clear(&self) {
        let _ = fs::remove_file(self.0.join(NOTE));
    }

    /// Waits for the right to switch, so that daemon and command do not fight.
    ///
    /// # Errors
    /// `WouldBlock` if another has it for all of `wait`; what the system said otherwise.
    pub fn lock(&self, wait: Duration) -> io::Result<Flock<File>> {
        fs::create_dir_all(&self.0)?;
        let end = Instant::now() + wait;
        loop {
            let file = File::create(self.0.join(LOCK))?;
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(lock),
                Err((_, Errno::EWOULDBLOCK)) if Instant::now() < end => std::thread::sleep(RETRY),
                Err((_, Errno::EWOULDBLOCK)) => return Err(io::ErrorKind::WouldBlock.into()),
                Err((_, errno)) => return Err(errno.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_survives_its_writer_and_is_gone_when_power_is_back() {
        let dir = tempfile::tempdir().unwrap();
        let hold = Hold::new(&Root::at(dir.path()));
        assert_eq!(hold.read(), None);
        let off = Off { target: "1-1.1".into(), ports: vec!["1-1.1".into()], held: false, since_ms: 7 };
        hold.note(&off).unwrap();
        assert_eq!(hold.read(), Some(off));
        hold.clear();
        assert_eq!(hold.read(), None);
    }

    #[test]
    fn only_one_may_switch() {
        let dir = tempfile::tempdir().unwrap();
        let hold = Hold::new(&Root::at(dir.path()));
        let first = hold.lock(Duration::ZERO).unwrap();
        assert_eq!(hold.lock(Duration::ZERO).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(first);
        assert!(hold.lock(Duration::ZERO).is_ok());
    }
}
