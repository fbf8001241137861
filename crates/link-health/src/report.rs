//! What is known of one target, for the snapshot.

use std::time::Duration;

use sysio::Monotonic;

/// How a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TargetState {
    /// Not asked yet.
    #[default]
    Unknown,
    /// It answers.
    Up,
    /// It answers, and often does not.
    Lossy,
    /// It does not answer, or wrongly.
    Down,
    /// Its name is not resolved.
    Unresolvable,
}

impl TargetState {
    /// The word in snapshots.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Lossy => "lossy",
            Self::Down => "down",
            Self::Unresolvable => "unresolvable",
        }
    }
}

/// What is known of a target; its place in the list is the target's.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct TargetReport {
    /// How it is.
    pub state: TargetState,
    /// Of its last answer.
    pub latency: Option<Duration>,
    /// Of its last probes (at most [`crate::REMEMBERED`]), those that failed.
    pub loss_percent: Option<f64>,
    /// Of its last answer, right or wrong.
    pub code: Option<u16>,
    /// When its last probe ended.
    pub at: Option<Monotonic>,
}
