//! What can go wrong while baking, in words that name the operation, its operand and the next step.

use std::path::{Path, PathBuf};

/// Every way a bake ends early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A TOML file does not say what it must.
    #[error("read {}: {message}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// The parser's message, with line and column.
        message: String,
    },
    /// The layers asked for do not fit together.
    #[error("{0}")]
    Resolve(String),
    /// Two layers bring the same file.
    #[error(
        "layers {first} and {second} both bring /{file}; remove one, or let {second} declare it in `overrides`"
    )]
    Conflict {
        /// The path below the root.
        file: String,
        /// The layer applied first.
        first: String,
        /// The layer applied second.
        second: String,
    },
    /// A command failed or ran out of time.
    #[error("{step}: {cause}; last lines of its log:\n{tail}\nthe whole log: {}", log.display())]
    Command {
        /// The step that ran it.
        step: String,
        /// Exit status or time limit.
        cause: String,
        /// The end of its output.
        tail: String,
        /// Where the whole output is.
        log: PathBuf,
    },
    /// Something about the inputs or results is not as it must be.
    #[error("{0}")]
    Invalid(String),
}

/// Attaches operation and path to an [`std::io::Error`].
pub trait IoContext<T> {
    /// Turns the error into [`Error::Io`].
    ///
    /// # Errors
    /// The same error, with its context.
    fn at(self, operation: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, operation: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error::Io { operation, path: path.to_owned(), source })
    }
}
