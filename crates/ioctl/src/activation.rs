//! Descriptors a service manager opened for this process: `sd_listen_fds`(3). Nothing but the numbers
//! is handed over, and making an owner of a number is what safe Rust has no word for.

use std::env;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;

/// `SD_LISTEN_FDS_START` of `sd-daemon.h`.
const FIRST: RawFd = 3;
/// No unit of ours has more sockets; a larger number is a mistake.
const MOST: RawFd = 16;

/// A descriptor must not get two owners.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The descriptors handed over to this process; none when it was started by anybody else, and none
/// when it is asked again. To be called first in `main`, before anything is opened.
///
/// # Errors
/// When the environment names descriptors that are not open, or more than any unit of ours has.
pub fn handed_over() -> io::Result<Vec<OwnedFd>> {
    let text = |name: &str| env::var(name).ok();
    let count = count(text("LISTEN_PID").as_deref(), text("LISTEN_FDS").as_deref(), std::process::id())?;
    if count == 0 || TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    (FIRST..FIRST + count).map(own).collect()
}

/// As `sd_listen_fds` has it: the variables are for the process they name, and may be inherited by others.
fn count(pid: Option<&str>, fds: Option<&str>, own: u32) -> io::Result<RawFd> {
    let (Some(pid), Some(fds)) = (pid, fds) else { return Ok(0) };
    if pid.parse() != Ok(own) {
        return Ok(0);
    }
    match fds.parse() {
        Ok(count) if (0..=MOST).contains(&count) => Ok(count),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("LISTEN_FDS={fds}: 0 to {MOST}"))),
    }
}

fn own(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD takes an integer and touches no memory of ours; a closed number gives EBADF.
    if unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        let error = io::Error::last_os_error();
        return Err(io::Error::new(error.kind(), format!("descriptor {fd} of LISTEN_FDS: {error}")));
    }
    // SAFETY: the descriptor is open (fcntl just succeeded), the manager opened it for this process
    // alone, and `TAKEN` lets it get an owner once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_for_the_process_that_is_named() {
        assert_eq!(count(None, None, 7).unwrap(), 0);
        assert_eq!(count(None, Some("1"), 7).unwrap(), 0);
        assert_eq!(count(Some("8"), Some("1"), 7).unwrap(), 0);
        assert_eq!(count(Some("7"), Some("1"), 7).unwrap(), 1);
    }

    #[test]
    fn a_number_that_makes_no_sense_is_refused() {
        for fds in ["-1", "17", "x", ""] {
            assert!(count(Some("7"), Some(fds), 7).is_err(), "{fds}");
        }
    }
}
