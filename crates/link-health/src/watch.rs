//! The watch over one line.

use sysio::Monotonic;

use crate::{Action, Event, Settings, Target, TargetReport, Verdict};

/// Watches one line.
#[derive(Debug)]
pub struct Watch {
    verdict: Verdict,
    reports: Vec<TargetReport>,
}

impl Watch {
    /// A watch over `targets`; `seed` shifts its phases.
    pub fn new(_settings: Settings, _targets: Vec<Target>, _seed: u64) -> Self {
        Self { verdict: Verdict::default(), reports: Vec::new() }
    }

    /// Something happened, or a deadline passed.
    pub fn step(&mut self, _now: Monotonic, _event: Event) -> Vec<Action> {
        Vec::new()
    }

    /// When [`Event::Tick`] is due at the latest; always some moment while the line has a link.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        None
    }

    /// How the line is.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// What is known of each target, in the order of the list last given.
    pub fn targets(&self) -> Vec<TargetReport> {
        self.reports.clone()
    }
}
