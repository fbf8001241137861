//! How long trouble has lasted that may come and go: what is there for fifteen seconds of every
//! twenty is trouble, although it is never there for a minute without a break.

use std::time::Duration;

use sysio::Monotonic;

/// How long something has been there, all in all, since it came; while it comes and goes, the time
/// it is gone does not count.
#[derive(Clone, Debug)]
pub(super) struct Spell {
    before: Duration,
    there: Option<Monotonic>,
    gone: Monotonic,
}

impl Spell {
    pub(super) fn new(now: Monotonic) -> Self {
        Self { before: Duration::ZERO, there: Some(now), gone: now }
    }

    pub(super) fn there(&mut self, now: Monotonic) {
        self.there.get_or_insert(now);
    }

    pub(super) fn gone(&mut self, now: Monotonic) {
        if let Some(since) = self.there.take() {
            self.before += now.since(since);
            self.gone = now;
        }
    }

    pub(super) fn lasted(&self, now: Monotonic) -> Duration {
        self.before + self.there.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Whether it has been gone for `after`.
    pub(super) fn is_over(&self, now: Monotonic, after: Duration) -> bool {
        self.there.is_none() && now.since(self.gone) >= after
    }
}
