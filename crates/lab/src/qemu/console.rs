//! The serial console: every line is stamped with the time since power-on, kept for scenarios that
//! wait for one, and written to a log for people.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Context, Result};

/// Longest line kept; the rest of a longer one becomes the next.
const LINE: u64 = 4096;

/// A line with the time it ended at.
type Line = (Duration, String);

/// What the machine says on its serial line.
#[derive(Debug, Clone)]
pub struct Console {
    log: PathBuf,
    power_on: Instant,
    lines: Arc<Mutex<Vec<Line>>>,
}

impl Console {
    /// An empty console whose clock starts now.
    ///
    /// # Errors
    /// When the log cannot be made.
    pub fn new(log: &Path) -> Result<Self> {
        File::create(log).context(format!("create {}", log.display()))?;
        Ok(Self { log: log.to_path_buf(), power_on: Instant::now(), lines: Arc::default() })
    }

    /// Time since it was made.
    pub fn now(&self) -> Duration {
        self.power_on.elapsed()
    }

    /// Reads a machine's serial line from now on, in a thread that ends with the machine.
    ///
    /// # Errors
    /// When the log cannot be opened.
    pub fn attach(&self, serial: impl Read + Send + 'static) -> Result<()> {
        let log = File::options().append(true).open(&self.log);
        let mut log = log.context(format!("open {}", self.log.display()))?;
        let console = self.clone();
        thread::spawn(move || {
            let mut serial = BufReader::new(serial);
            let mut bytes = Vec::new();
            while matches!(serial.by_ref().take(LINE).read_until(b'\n', &mut bytes), Ok(1..)) {
                let stamp = console.now();
                let line = clean(&bytes);
                bytes.clear();
                // A full disk costs the log, not the run.
                let _ = writeln!(log, "[{:9.3}] {line}", stamp.as_secs_f64());
                console.lines.lock().unwrap_or_else(PoisonError::into_inner).push((stamp, line));
            }
        });
        Ok(())
    }

    /// The first line with `text` in it at or after line `from`: its number and time.
    pub fn find(&self, text: &str, from: usize) -> Option<(usize, Duration)> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let hit = lines.iter().enumerate().skip(from).find(|(_, (_, line))| line.contains(text))?;
        Some((hit.0, hit.1.0))
    }

    /// How many lines have `text` in them.
    pub fn count(&self, text: &str) -> usize {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|(_, line)| line.contains(text)).count()
    }

    /// How many lines there are: what comes later is at or after this number.
    pub fn len(&self) -> usize {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether the machine has said nothing yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last `count` lines, for a report.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = &lines[lines.len().saturating_sub(count)..];
        tail.iter().map(|(stamp, line)| format!("[{:9.3}] {line}", stamp.as_secs_f64())).collect()
    }

    /// Where the whole log is.
    pub fn log(&self) -> &Path {
        &self.log
    }
}

/// Text without line end and terminal escapes (ECMA-48: ESC, `[`, parameters, a final letter).
fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut line = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            if characters.next_if_eq(&'[').is_some() {
                for character in characters.by_ref() {
                    if ('@'..='~').contains(&character) {
                        break;
                    }
                }
            }
        } else if !character.is_control() || character == '\t' {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::Stop;

    #[test]
    fn lines_are_found_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let console = Console::new(&folder.path().join("log")).unwrap();
        console.attach(&b"U-Boot\r\nLinux version\nU-Boot\n"[..]).unwrap();
        let limit = Duration::from_secs(10);
        let first = Stop::default().wait("line", limit, || Ok(console.find("Linux", 0))).unwrap();
        let again = Stop::default().wait("line", limit, || Ok(console.find("U-Boot", first.0))).unwrap();
        assert_eq!((first.0, again.0), (1, 2));
        assert!(console.tail(1)[0].ends_with("] U-Boot"));
    }

    #[test]
    fn escapes_and_line_ends_are_not_text() {
        assert_eq!(clean(b"\x1b[0;32m  OK  \x1b[0m Started\r\n"), "  OK   Started");
    }
}
