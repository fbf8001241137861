//! Tells how a line to the internet is, from what probes of several kinds and operators found.
//!
//! Pure: time and results come in, probes to send and verdicts come out. `uplink` does the sending.
//! How fast and how sure it is stands in `docs/detection.md`, which `examples/simulate.rs` writes.

mod bytes;
mod classify;
mod event;
mod flight;
mod judge;
mod loss;
mod pace;
mod passive;
pub mod penalty;
mod report;
mod schedule;
mod settings;
mod target;
mod track;
mod verdict;
mod watch;
mod words;

pub use bytes::probe_bytes;
pub use event::{Action, Event, Outcome};
pub use report::{TargetReport, TargetState};
pub use settings::{Settings, Tempo};
pub use target::{Family, Kind, Target};
pub use verdict::{Grade, Part, State, Verdict};
pub use watch::Watch;

/// Probes remembered of each target.
pub const REMEMBERED: usize = 20;
