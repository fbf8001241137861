//! The shape every daemon shares, so that a new one is only its own machine and ports.
//!
//! A daemon implements [`Daemon`]; [`run`] polls its descriptors, the signals, the snapshots it
//! follows and its requests, hands every occurrence over as an [`Event`], publishes its report,
//! and tells systemd that a turn was completed. There is no thread and no runtime.

mod arguments;
mod logging;
mod notify;
mod run;
mod signals;
mod start;
mod watch;

pub use arguments::Arguments;
pub use logging::init as init_logging;
pub use run::run;
pub use start::start;
pub use watch::REQUEST_LIMIT;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::BorrowedFd;

use sysio::Monotonic;

/// A random part of 256, so that boxes do not come back in step.
pub fn jitter() -> u8 {
    RandomState::new().build_hasher().finish().to_le_bytes()[0]
}

/// What a daemon waits for on one of its descriptors.
#[derive(Clone, Copy, Debug)]
pub struct Interest<'fd> {
    /// The descriptor.
    pub fd: BorrowedFd<'fd>,
    /// How the daemon recognises it in [`Event::Ready`].
    pub token: usize,
    /// Wake when it can be read.
    pub read: bool,
    /// Wake when it can be written.
    pub write: bool,
}

impl<'fd> Interest<'fd> {
    /// Wake when `fd` can be read.
    pub fn read(fd: BorrowedFd<'fd>, token: usize) -> Self {
        Self { fd, token, read: true, write: false }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The loop begins.
    Start,
    /// A descriptor is ready; an error or hang-up counts as readable, so that reading shows it.
    Ready {
        /// Which one.
        token: usize,
        /// It can be read, or reading will show the error.
        readable: bool,
        /// It can be written.
        writable: bool,
    },
    /// The moment of [`Daemon::deadline`] has come.
    Deadline,
    /// A followed daemon's snapshot was replaced.
    SnapshotChanged(String),
    /// Somebody with the right to do so asked for something by this name.
    Request(String),
    /// The same with something to say: the file was not empty.
    RequestWith {
        /// What is asked for.
        name: String,
        /// The file's content, at most [`REQUEST_LIMIT`] bytes of text.
        content: String,
    },
    /// A child process ended; which one, `waitpid` tells.
    ChildEnded,
    /// SIGHUP.
    Reload,
    /// SIGTERM or SIGINT: tear down in order, then let [`Daemon::finished`] say so.
    Terminate,
}

/// A program that lives in [`run`].
pub trait Daemon {
    /// An error that ends the process; systemd starts it again. Everything else is handled inside.
    type Error: std::error::Error + 'static;

    /// The descriptors to watch in the next turn.
    fn interests(&self) -> Vec<Interest<'_>>;

    /// Handles one event.
    ///
    /// # Errors
    /// Only what makes going on pointless.
    fn handle(&mut self, now: Monotonic, event: Event) -> Result<(), Self::Error>;

    /// When to wake without any event.
    fn deadline(&self) -> Option<Monotonic>;

    /// What to publish at this moment.
    fn report(&self, now: Monotonic) -> snapshot::Report;

    /// A number that changes when [`Daemon::report`] may say something new. A daemon that wakes many
    /// times a second with nothing to say names one, and is asked for its report only when it has
    /// changed or the heartbeat is due; without one it is asked in every turn.
    fn revision(&self) -> Option<u64> {
        None
    }

    /// Daemons whose snapshots it follows.
    fn follows(&self) -> &[&str] {
        &[]
    }

    /// Whether its work is over for this boot: then it ends, successfully, with what it published last
    /// left behind.
    fn done(&self) -> bool {
        false
    }

    /// After [`Event::Terminate`]: whether everything is torn down.
    fn finished(&self) -> bool {
        true
    }
}

/// Why a daemon ended other than by request.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    /// The loop itself could not go on.
    #[error("{action}: {source}")]
    Loop {
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The daemon gave up.
    #[error(transparent)]
    Daemon(E),
}
