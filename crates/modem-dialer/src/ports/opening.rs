//! Opens a serial port without making the loop wait.
//!
//! Opening sets DTR with a control transfer, and the kernel gives a dead stick 5 s for it
//! (`usb_wwan_send_setup` in `drivers/usb/serial/usb_wwan.c`, `USB_CTRL_SET_TIMEOUT`). So a thread
//! opens and a pipe wakes the loop.

use std::io::{self, PipeReader, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use super::serial::Serial;

/// Threads that may hang in the kernel at the same time; each ends with its port.
const MOST: usize = 4;
/// How long a port may still be locked by a descriptor of ours that another thread is closing, or that
/// came of a try nobody waits for any more. A second dialer would hold it for ever.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// Between two tries for the lock, which tells nobody when it is free.
const LOCK_PAUSE: Duration = Duration::from_millis(50);
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
            let _ = send.send(open(&path));
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

fn open(path: &Path) -> io::Result<Serial> {
    let until = Instant::now() + LOCK_PATIENCE;
    loop {
        match Serial::open(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                thread::sleep(LOCK_PAUSE);
            }
            result => return result,
        }
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
    use nix::fcntl::OFlag;
    use nix::poll::{PollFd, PollFlags, poll};
    use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};

    #[test]
    fn the_loop_is_woken_with_the_result() {
        let opening = Opening::begin(PathBuf::from("/nonexistent/ttyUSB9")).unwrap();
        let mut fds = [PollFd::new(opening.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, 5000_u16), Ok(1));
        assert_eq!(opening.take().unwrap().unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    fn result_of(opening: &Opening) -> io::Result<Serial> {
        let mut fds = [PollFd::new(opening.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut fds, 5000_u16), Ok(1));
        opening.take().unwrap()
    }

    #[test]
    fn a_port_that_is_just_being_let_go_is_waited_for_and_one_in_use_is_not_taken() {
        let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let path = PathBuf::from(ptsname_r(&master).unwrap());
        let holder = Serial::open(&path).unwrap();
        let refused = result_of(&Opening::begin(path.clone()).unwrap()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        let opening = Opening::begin(path).unwrap();
        drop(holder);
        result_of(&opening).unwrap();
    }
}
