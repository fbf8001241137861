//! Tells how a line to the internet is, from what probes of several kinds and operators found.
//!
//! Pure: time and results come in, probes to send and verdicts come out. `uplink` does the sending.

mod target;
mod verdict;

pub use target::{Family, Kind, Target};
pub use verdict::{Grade, Part, State, Verdict};
