//! From counters that restart, wrap and vanish to bytes, each counted once.
//!
//! A counter belongs to an interface's number, not to its name: names move (`ppp0` is free again after
//! a redial, a person may rename it), numbers are not given twice. Where a counter stood is remembered
//! beside the sum it went into, so that a daemon that starts again goes on from there.

use netlink::Counters;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use sysio::Monotonic;

/// The most any stick brings: USB 3 sticks reach 1 Gbit/s. More within a time is a glitch of a
/// counter, not traffic: vnStat's users were billed a phantom 4 GB by one (vergoh/vnstat#224).
const FASTEST: u64 = 125_000_000;
/// Two readings at one moment may still differ by what was under way.
const SLACK: u64 = 1_000_000;
/// A driver of another age counts in 32 bits.
const WRAP: u64 = 1 << 32;
/// Interfaces remembered at once: the one in use, and what two sticks and a rename leave behind.
const MARKS: usize = 8;

/// Where an interface's counters stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    index: u32,
    received: u64,
    sent: u64,
    at_ms: u64,
}

/// Follows the interfaces of the metered line through one boot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Meter {
    boot_id: String,
    marks: Vec<Mark>,
    /// When it last looked; what an interface that appeared since has carried, it carried since then.
    looked_ms: u64,
}

impl Meter {
    /// Goes on in this boot. Numbers of another boot mean other interfaces.
    pub(crate) fn resume(self, boot_id: &str) -> Self {
        if self.boot_id == boot_id {
            return self;
        }
        Self { boot_id: boot_id.to_owned(), ..Self::default() }
    }

    /// Bytes since the last look, in both directions. `name` is the line's interface, if it has one;
    /// `gone` are interfaces that were removed since, `there` those that exist.
    pub(crate) fn look(
        &mut self,
        now: Monotonic,
        name: Option<&str>,
        gone: &[Counters],
        there: &[Counters],
    ) -> u64 {
        let mut bytes = 0;
        for counters in gone {
            bytes += self.take(now, name, counters);
            // Its number never comes back.
            self.marks.retain(|mark| mark.index != counters.index);
        }
        for counters in there {
            bytes += self.take(now, name, counters);
        }
        self.marks.sort_by_key(|mark| std::cmp::Reverse(mark.at_ms));
        self.marks.truncate(MARKS);
        self.looked_ms = now.as_millis();
        bytes
    }

    /// Where every counter stood: what is remembered changed when this did.
    pub(crate) fn sessions(&self) -> Vec<u32> {
        self.marks.iter().map(|mark| mark.index).collect()
    }

    fn take(&mut self, now: Monotonic, name: Option<&str>, counters: &Counters) -> u64 {
        let (received, sent) = (counters.received_bytes, counters.sent_bytes);
        let next = Mark { index: counters.index, received, sent, at_ms: now.as_millis() };
        if let Some(mark) = self.marks.iter_mut().find(|mark| mark.index == counters.index) {
            let most = most(now, mark.at_ms);
            let bytes = delta(mark.received, received, most) + delta(mark.sent, sent, most);
            *mark = next;
            return bytes;
        }
        if name != Some(counters.name.as_str()) {
            return 0;
        }
        // New to us: all it has carried, it carried since we looked last.
        let most = most(now, self.looked_ms);
        self.marks.push(next);
        delta(0, received, most) + delta(0, sent, most)
    }
}

fn most(now: Monotonic, since_ms: u64) -> u64 {
    let time = now.since(Monotonic::from_millis(since_ms)) + Duration::from_millis(1);
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    SLACK.saturating_add((FASTEST / 1000).saturating_mul(millis))
}

/// What was carried between two readings of one counter, if at most `most` can have been.
fn delta(before: u64, after: u64, most: u64) -> u64 {
    let wrapped = (before < WRAP).then(|| (WRAP - before).saturating_add(after));
    // It went on; or it wrapped; or it began anew, and shows what came since.
    let readings = [
        after.checked_sub(before),
        wrapped.filter(|_| after < before),
        Some(after).filter(|_| after < before),
    ];
    let Some(bytes) = readings.into_iter().flatten().find(|bytes| *bytes <= most) else {
        log::warn!(
            "a counter jumped from {before} to {after} bytes, where at most {most} can have passed; the jump is not counted"
        );
        return 0;
    };
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_secs(seconds)
    }

    fn counters(index: u32, name: &str, received: u64, sent: u64) -> Counters {
        let name = name.to_owned();
        Counters {
            index,
            name,
            received_bytes: received,
            sent_bytes: sent,
            received_packets: 0,
            sent_packets: 0,
        }
    }

    fn meter() -> Meter {
        Meter::default().resume("boot")
    }

    #[test]
    fn both_directions_count_and_only_of_the_line() {
        let mut meter = meter();
        let there = [counters(2, "eth0", 900, 900), counters(7, "ppp0", 1000, 200)];
        assert_eq!(meter.look(at(60), Some("ppp0"), &[], &there), 1200);
        assert_eq!(meter.look(at(62), Some("ppp0"), &[], &there), 0);
        let there = [counters(2, "eth0", 9000, 9000), counters(7, "ppp0", 1500, 300)];
        assert_eq!(meter.look(at(64), Some("ppp0"), &[], &there), 600);
    }

    #[test]
    fn a_new_session_begins_at_nothing_and_the_old_one_s_last_bytes_are_not_lost() {
        let mut meter = meter();
        meter.look(at(60), Some("ppp0"), &[], &[counters(7, "ppp0", 1000, 0)]);
        // Gone and back between two looks, under the same name.
        let (gone, there) = (counters(7, "ppp0", 1500, 0), counters(8, "ppp0", 30, 0));
        assert_eq!(meter.look(at(62), Some("ppp0"), &[gone], &[there]), 530);
        // A whole session that nobody saw.
        let gone = counters(9, "ppp0", 70, 7);
        assert_eq!(meter.look(at(64), Some("ppp0"), &[gone], &[counters(10, "ppp0", 1, 0)]), 78);
    }

    #[test]
    fn a_name_that_moves_does_not_lose_or_double_anything() {
        let mut meter = meter();
        meter.look(at(60), Some("ppp0"), &[], &[counters(7, "ppp0", 1000, 0)]);
        assert_eq!(meter.look(at(62), Some("ppp0"), &[], &[counters(7, "lte", 1100, 0)]), 100);
        assert_eq!(meter.look(at(64), Some("lte"), &[], &[counters(7, "lte", 1200, 0)]), 100);
        // To another stick and back.
        let both = |a, b| [counters(7, "lte", a, 0), counters(8, "wwan64", b, 0)];
        assert_eq!(meter.look(at(66), Some("wwan64"), &[], &both(1200, 50)), 50);
        assert_eq!(meter.look(at(68), Some("lte"), &[], &both(1210, 50)), 10);
    }

    #[test]
    fn a_daemon_that_starts_again_goes_on_and_another_boot_begins_anew() {
        let mut before = meter();
        before.look(at(60), Some("ppp0"), &[], &[counters(7, "ppp0", 1000, 0)]);
        let saved = serde_json::to_string(&before).unwrap();
        let mut same: Meter = serde_json::from_str::<Meter>(&saved).unwrap().resume("boot");
        assert_eq!(same.look(at(90), Some("ppp0"), &[], &[counters(7, "ppp0", 4000, 0)]), 3000);
        let mut other: Meter = serde_json::from_str::<Meter>(&saved).unwrap().resume("another");
        assert_eq!(other.look(at(30), Some("ppp0"), &[], &[counters(7, "ppp0", 4000, 0)]), 4000);
    }

    #[test]
    fn a_counter_that_restarts_wraps_or_jumps_is_never_a_phantom() {
        let two_seconds = most(at(2), 0);
        assert_eq!(delta(1000, 40, two_seconds), 40);
        assert_eq!(delta(3_000_000_000, 40, two_seconds), 40);
        assert_eq!(delta(WRAP - 100, 40, two_seconds), 140);
        assert_eq!(delta(0, WRAP, two_seconds), 0);
        assert_eq!(delta(3_000_000_000, 2_999_999_000, two_seconds), 0);
        assert_eq!(delta(u64::MAX, 5, two_seconds), 5);
        assert_eq!(delta(5, u64::MAX, two_seconds), 0);
    }

    proptest! {
        /// Any course of traffic, redials, restarts of the daemon and of the driver's 32-bit counter.
        #[test]
        fn every_byte_is_counted_once(steps in proptest::collection::vec((0..5_u8, 0..200_000_000_u64), 1..60)) {
            let (mut meter, mut index, mut shown, mut carried, mut counted) = (meter(), 7, WRAP - 150_000_000, 0, 0);
            // The counter's history before us.
            meter.look(at(100), Some("ppp0"), &[], &[counters(index, "ppp0", shown, 0)]);
            for (second, (step, bytes)) in (1_u64..).zip(steps) {
                let mut gone = Vec::new();
                match step {
                    0 => {
                        shown += bytes / 2;
                        gone.push(counters(index, "ppp0", shown, 0));
                        (index, shown) = (index + 1, bytes - bytes / 2);
                    }
                    1 => {
                        meter = serde_json::from_str::<Meter>(&serde_json::to_string(&meter).unwrap()).unwrap().resume("boot");
                        shown += bytes;
                    }
                    _ => shown += bytes,
                }
                carried += bytes;
                shown %= WRAP;
                for gone in &mut gone {
                    gone.received_bytes %= WRAP;
                }
                counted += meter.look(at(100 + 2 * second), Some("ppp0"), &gone, &[counters(index, "ppp0", shown, 0)]);
            }
            prop_assert_eq!(counted, carried);
        }
    }
}
