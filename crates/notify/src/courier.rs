//! The daemon's side of the child that delivers.

use std::path::PathBuf;
use std::time::Duration;

use courier::{Lost, Office};
use sysio::Root;

use crate::deliver::WORD;
use crate::outbox::Outcome;

/// The child's own limits (30 s for a web service, some waits of 12 s each for mail), and room for a
/// slow machine. A resolver that never answers is only ended by this.
pub const LIMIT: Duration = Duration::from_secs(75);

/// Starts children of `program`, this binary, for the system below `root`.
pub fn office(program: impl Into<PathBuf>, root: &Root) -> Office {
    Office::new(program, WORD, root, LIMIT)
}

/// What a child without an answer comes to.
pub fn outcome(heard: Result<Outcome, Lost>) -> Outcome {
    heard.unwrap_or_else(|lost| Outcome::Failed { why: lost.to_string(), retry_after: None })
}
