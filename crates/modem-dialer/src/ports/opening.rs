//! Opens a serial port without making the loop wait.
//!
//! Opening sets DTR with a control transfer, and the kernel gives a dead stick 5 s for it
//! (`usb_wwan_send_setup` in `drivers/usb/serial/usb_wwan.c`, `USB_CTRL_SET_TIMEOUT`). So a thread
//! opens and a pipe wakes the loop.

use std::io::{self, PipeReader, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use super::serial::Serial;

/// Threads that may hang in the kernel at the same time; each ends with its port.
const MOST: usize = 4;
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// A port being opened. Dropped, its result is closed again as soon as it comes.
#[derive(Debug)]
pub struct Opening {
    wake: PipeReader,
    result: Receiver<io::Result<Serial>>,
}

impl Opening {
    /// Begins.
    ///
    /// # Errors
    /// When too many are under way, or there are no descriptors and threads left.
    pub fn begin(path: PathBuf) -> io::Result<Self> {
        if UNDER_WAY.fetch_add(1, Ordering::Relaxed) >= MOST {
            UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
            return Err(io::Error::other("earlier tries still hang in the kernel"));
        }
        let begun = Self::spawn(path);
        if begun.is_err() {
            UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
        }
        begun
    }

    fn spawn(path: PathBuf) -> io::Result<Self> {
        let (wake, mut ring) = io::pipe()?;
        let (send, result) = mpsc::channel();
        thread::Builder::new().name("open-port".to_owned()).spawn(move || {
            let _ = send.send(Serial::open(&path));
            UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
            let _ = ring.write_all(&[0]);
        })?;
        Ok(Self { wake, result })
    }

    /// The result, once there is one.
    pub fn take(&self) -> Option<io::Result<Serial>> {
        self.result.try_recv().ok()
    }
}

impl AsFd for Opening {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, poll};

    #[test]
    fn the_loop_is_woken_with_the_result() {
        let opening = Opening::begin(PathBuf::from("/nonexistent/ttyUSB9")).unwrap();
        let mut fds = [PollFd::new(opening.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, 5000_u16), Ok(1));
        assert_eq!(opening.take().unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
