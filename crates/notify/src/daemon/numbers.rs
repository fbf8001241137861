//! Numbers for a Graphite server: sent and forgotten, for a gap in a graph is no loss.

use overview::{Overview, metrics};
use sysio::{Monotonic, Root};

use crate::deliver::Job;
use crate::outbox::Outcome;
use crate::settings::Graphite;

/// The push, if one is wanted.
#[derive(Debug)]
pub(crate) struct Numbers {
    place: Option<Graphite>,
    next: Monotonic,
    /// Why the last push failed.
    pub(crate) failing: Option<String>,
    /// Pushes that arrived.
    pub(crate) pushed: u64,
}

impl Numbers {
    pub(super) fn new(place: Option<Graphite>, now: Monotonic) -> Self {
        Self { place, next: now, failing: None, pushed: 0 }
    }

    /// Whether anybody wants numbers.
    pub(crate) fn wanted(&self) -> bool {
        self.place.is_some()
    }

    pub(super) fn next(&self) -> Option<Monotonic> {
        self.place.is_some().then_some(self.next)
    }

    /// The next push, if it is due: not over a line that is paid by volume, and not without a time.
    pub(super) fn job(
        &mut self,
        now: Monotonic,
        unix: Option<u64>,
        metered: bool,
        root: &Root,
    ) -> Option<Job> {
        let place = self.place.as_ref()?;
        if now < self.next {
            return None;
        }
        self.next = now + place.interval;
        if metered {
            return None;
        }
        let overview = Overview::gather(root).ok()?;
        let lines = metrics::graphite(&metrics::families(&overview, crate::VERSION), &place.prefix, unix?);
        Some(Job::Numbers { host: place.host.clone(), port: place.port, lines })
    }

    pub(super) fn outcome(&mut self, _now: Monotonic, outcome: Outcome) {
        match outcome {
            Outcome::Accepted => {
                self.pushed += 1;
                if self.failing.take().is_some() {
                    log::info!("numbers arrive at the graphite server again");
                }
            }
            Outcome::Failed { why, .. } | Outcome::Refused { why } => {
                if self.failing.is_none() {
                    log::warn!("push numbers to the graphite server: {why}; trying again every interval");
                }
                self.failing = Some(why);
            }
        }
    }
}
