//! The open serial port: raw, not blocking, ours alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::sys::termios::{self, ControlFlags, FlushArg, SetArg, SpecialCharacterIndices};

/// Closing waits in the kernel until the device took what was written, with a dead stick up to
/// 30 s (`tty_port_init` in `drivers/tty/tty_port.c`: `closing_wait`). The loop does not wait along.
const CLOSE_PATIENCE: Duration = Duration::from_millis(200);
/// More than the longest answer; what does not fit is read in the next turn.
const CHUNK: usize = 4096;

/// An open port.
#[derive(Debug)]
pub struct Serial {
    file: Option<Flock<File>>,
}

impl Serial {
    /// Opens the device.
    ///
    /// The lock is advisory, against a second dialer: `TIOCEXCL` would keep out pppd, too, which
    /// gets the port while it is open here.
    ///
    /// # Errors
    /// Whatever opening, locking or setting it up reports.
    pub fn open(path: &Path) -> io::Result<Self> {
        // Not waiting for carrier detect, which comes with the call only.
        let flags = OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags.bits()).open(path)?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
        set_raw(file.as_fd())?;
        Ok(Self { file: Some(file) })
    }

    /// What has come; empty if nothing has.
    ///
    /// # Errors
    /// If the port is gone; the end of the stream is an error, too.
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; CHUNK];
        match self.inner()?.read(&mut buffer) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "hung up")),
            Ok(n) => {
                buffer.truncate(n);
                Ok(buffer)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Writes a command.
    ///
    /// # Errors
    /// If the port is gone or takes nothing: a command is shorter than any driver's buffer.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner()?.write_all(bytes)
    }

    /// Another descriptor of the open port, for the program that takes it over.
    ///
    /// # Errors
    /// When there are too many descriptors.
    pub fn share(&self) -> io::Result<OwnedFd> {
        Ok(self.inner()?.try_clone()?.into())
    }

    fn inner(&self) -> io::Result<&File> {
        self.file.as_deref().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsFd for Serial {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_deref().expect("open until dropped").as_fd()
    }
}

impl Drop for Serial {
    /// Closes the port, which drops DTR (`HUPCL`) and so hangs up.
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        let _ = termios::tcflush(file.as_fd(), FlushArg::TCIOFLUSH);
        let (done, closed) = mpsc::channel();
        // If there are no threads left, `file` is dropped right here: late rather than never.
        let spawned = thread::Builder::new().name("close-port".to_owned()).spawn(move || {
            drop(file);
            let _ = done.send(());
        });
        if let Err(error) = spawned {
            log::warn!("close serial port in a thread: {error}");
            return;
        }
        if closed.recv_timeout(CLOSE_PATIENCE).is_err() {
            log::warn!("close serial port: the device does not take what was written; left to the kernel");
        }
    }
}

fn set_raw(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = termios::tcgetattr(fd)?;
    termios::cfmakeraw(&mut attributes);
    // No carrier outside a call; hang up on the last close.
    attributes.control_flags |= ControlFlags::CLOCAL | ControlFlags::CREAD | ControlFlags::HUPCL;
    attributes.control_flags &= !ControlFlags::CRTSCTS;
    attributes.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
    attributes.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
    termios::tcsetattr(fd, SetArg::TCSANOW, &attributes)?;
    termios::tcflush(fd, FlushArg::TCIOFLUSH)?;
    Ok(())
}
