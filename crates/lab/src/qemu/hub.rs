//! The switchable hub's power: QEMU does not tell the stick's process when a port loses power, but
//! its trace of the hub's requests does.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::{Context, Result};
use crate::stick::StickHandle;

/// Shorter than any power cycle: hubs are given at least 20 ms to power a port up
/// (`bPwrOn2PwrGood` of the emulated one), and resets switch off for seconds.
const POLL: Duration = Duration::from_millis(20);
/// The hub port the stick is in.
const PORT: &str = "port 1,";

/// A thread that follows the trace and tells the stick.
#[derive(Debug)]
pub(super) struct HubTrace {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HubTrace {
    /// Follows the trace in `file`, which must exist.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn follow(file: &Path, stick: StickHandle) -> Result<Self> {
        let file = File::open(file).context(format!("open {}", file.display()))?;
        let end = Arc::new(AtomicBool::new(false));
        let flag = end.clone();
        let thread = thread::spawn(move || follow(BufReader::new(file), &flag, &stick));
        Ok(Self { end, thread: Some(thread) })
    }
}

impl Drop for HubTrace {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn follow(mut file: impl BufRead, end: &AtomicBool, stick: &StickHandle) {
    let mut line = String::new();
    while !end.load(Ordering::Relaxed) {
        // At the end of the file a line may be half written: it is completed by the next turn.
        match file.read_line(&mut line) {
            Ok(_) if line.ends_with('\n') => {
                match power(&line) {
                    Some(true) => stick.power_restored(),
                    Some(false) => stick.power_lost(),
                    None => {}
                }
                line.clear();
            }
            Ok(_) => thread::sleep(POLL),
            Err(_) => return,
        }
    }
}

/// What a line of the trace says about the stick's port (QEMU's hw/usb/trace-events).
fn power(line: &str) -> Option<bool> {
    let request = line.trim_end();
    if !request.contains(PORT) || !request.ends_with("feature power") {
        return None;
    }
    if request.contains("usb_hub_set_port_feature") {
        Some(true)
    } else if request.contains("usb_hub_clear_port_feature") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_of_the_sticks_port_is_recognised() {
        assert_eq!(power("usb_hub_clear_port_feature dev 2, port 1, feature power\n"), Some(false));
        assert_eq!(power("usb_hub_set_port_feature dev 2, port 1, feature power\n"), Some(true));
    }

    #[test]
    fn other_ports_and_features_are_not() {
        assert_eq!(power("usb_hub_clear_port_feature dev 2, port 2, feature power\n"), None);
        assert_eq!(power("usb_hub_clear_port_feature dev 2, port 1, feature enable\n"), None);
        assert_eq!(power("usb_hub_get_port_status dev 2, port 1, status 0x103, changed 0x0\n"), None);
    }
}
