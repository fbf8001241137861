//! How often the box may reboot itself: counted on disk, few a day, ever further apart (pure).
//!
//! The clock for that is *service time*: seconds the daemon has been up, summed over boots. A Pi has
//! no battery-backed clock, so after a power cut the wall clock may say anything, and a wrong one
//! would allow a reboot loop. Service time leaves out the time the box was off and what was not yet
//! saved when power was cut: both make it slower, so it errs towards fewer reboots.

use serde::{Deserialize, Serialize};

/// Never more in [`DAY`].
pub const MOST_A_DAY: usize = 4;
/// Seconds of service time.
pub const DAY: u64 = 24 * 3600;
/// How far the next is from the last, by how many there were in the last day.
const GAPS: [u64; MOST_A_DAY] = [0, 15 * 60, 3600, 4 * 3600];

/// What is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// How often the daemon has found a new boot.
    pub boots: u32,
    /// The last boot it found.
    pub boot_id: String,
    /// Service time when this was saved.
    pub service_s: u64,
    /// Service times of the reboots of the last day.
    pub reboots: Vec<u64>,
}

impl Ledger {
    /// How many in the day before `service_s`.
    pub fn today(&self, service_s: u64) -> usize {
        self.recent(service_s).count()
    }

    fn recent(&self, service_s: u64) -> impl Iterator<Item = u64> {
        self.reboots.iter().copied().filter(move |at| at + DAY > service_s)
    }

    /// When the next is allowed, in service time; in the past or now if it is.
    pub fn next(&self, service_s: u64) -> u64 {
        let count = self.today(service_s);
        match GAPS.get(count) {
            Some(gap) => self.recent(service_s).max().map_or(0, |last| last + gap),
            None => self.recent(service_s).min().map_or(0, |first| first + DAY),
        }
    }

    /// Counts one; to be on disk before it happens.
    pub fn count(&mut self, service_s: u64) {
        self.reboots.retain(|at| at + DAY > service_s);
        self.reboots.push(service_s);
        self.service_s = service_s;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reboots_are_ever_further_apart() {
        let mut ledger = Ledger::default();
        let mut at = Vec::new();
        for service_s in 1000..2 * DAY {
            if service_s >= ledger.next(service_s) {
                ledger.count(service_s);
                at.push(service_s - 1000);
            }
        }
        assert_eq!(at[..4], [0, 900, 4500, 18_900]);
        assert_eq!(at[4], DAY, "the fifth waits until the first is a day old");
    }

    proptest! {
        #[test]
        fn never_more_than_the_budget_in_any_day(waits in prop::collection::vec(0u64..7200, 1..400)) {
            let (mut ledger, mut now, mut done) = (Ledger::default(), 0, Vec::new());
            for wait in waits {
                now += wait;
                if now >= ledger.next(now) {
                    ledger.count(now);
                    done.push(now);
                }
            }
            for first in &done {
                prop_assert!(done.iter().filter(|at| **at >= *first && **at < first + DAY).count() <= MOST_A_DAY);
            }
        }
    }
}
