//! What can go wrong in the lab, as one type: every variant names operation, operand and cause.

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// The lab's result.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure of the lab itself, or of the appliance in it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call or file operation failed.
    #[error("{what}: {source}")]
    Io {
        /// Operation and operand.
        what: String,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A helper program ended badly.
    #[error("{what}: {cause}")]
    Command {
        /// The command line.
        what: String,
        /// Exit status and what it said.
        cause: String,
    },
    /// Something did not happen in time.
    #[error("{what}: not within {} s", .limit.as_secs_f64())]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// A file that should say something else.
    #[error("{path}: {cause}")]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// An answer that does not say what it should.
    #[error("{0}")]
    Unexpected(String),
    /// SIGINT or SIGTERM.
    #[error("interrupted")]
    Interrupted,
}

/// Adds operation and operand to an error of the system.
pub trait Context<T> {
    /// Names what was being done.
    ///
    /// # Errors
    /// The error it was called on, with the name added.
    fn context(self, what: impl Display) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: impl Display) -> Result<T> {
        self.map_err(|source| Error::Io { what: what.to_string(), source })
    }
}

impl<T> Context<T> for nix::Result<T> {
    fn context(self, what: impl Display) -> Result<T> {
        self.map_err(|errno| Error::Io { what: what.to_string(), source: errno.into() })
    }
}
