//! How long answers took: a histogram of fixed size, and what it says of the last minutes.

use std::time::Duration;

use sysio::Monotonic;

/// Minutes that count.
const SLOTS: usize = 5;
/// Length of a slot.
const SLOT: Duration = Duration::from_secs(60);
/// Steps in a doubling: a figure is at most a quarter too high.
const STEPS: u32 = 4;
/// Up to 16 s in microseconds (2^24), by [`STEPS`]; no answer takes as long.
const BUCKETS: usize = 96;

/// What a server's answers took.
#[derive(Debug, Clone)]
pub(crate) struct Latencies([Slot; SLOTS]);

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Number of this slot since boot: an older one is empty.
    number: u64,
    buckets: [u32; BUCKETS],
    worst: Duration,
}

/// What the last five minutes' answers took, from the moment the loop saw the request (or woke for it)
/// to the moment its last byte was handed to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Latency {
    /// Requests that were counted.
    pub requests: u64,
    /// Half took no longer, within a quarter.
    pub p50: Duration,
    /// 99 of 100 took no longer, within a quarter.
    pub p99: Duration,
    /// The longest.
    pub worst: Duration,
}

impl Default for Latencies {
    fn default() -> Self {
        Self([Slot { number: 0, buckets: [0; BUCKETS], worst: Duration::ZERO }; SLOTS])
    }
}

impl Latencies {
    /// `count` answers took this long.
    pub(crate) fn record(&mut self, now: Monotonic, took: Duration, count: u64) {
        let number = slot(now);
        let place = usize::try_from(number % SLOTS as u64).unwrap_or(0);
        let slot = &mut self.0[place];
        if slot.number != number {
            *slot = Slot { number, buckets: [0; BUCKETS], worst: Duration::ZERO };
        }
        let bucket = &mut slot.buckets[bucket(took)];
        *bucket = bucket.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        slot.worst = slot.worst.max(took);
    }

    /// Of the last minutes; nothing without a request in them.
    pub(crate) fn summary(&self, now: Monotonic) -> Option<Latency> {
        let (number, mut all, mut worst) = (slot(now), [0_u64; BUCKETS], Duration::ZERO);
        for slot in self.0.iter().filter(|slot| slot.number + (SLOTS as u64) > number) {
            all.iter_mut().zip(slot.buckets).for_each(|(sum, count)| *sum += u64::from(count));
            worst = worst.max(slot.worst);
        }
        let requests: u64 = all.iter().sum();
        let at = |percent: u64| {
            let rank = (requests * percent).div_ceil(100);
            let mut seen = 0;
            let found = all.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            found.map_or(worst, |bucket| upper(bucket).min(worst))
        };
        (requests > 0).then(|| Latency { requests, p50: at(50), p99: at(99), worst })
    }
}

fn slot(now: Monotonic) -> u64 {
    now.since_boot().as_secs() / SLOT.as_secs()
}

/// Buckets of a microsecond each below [`STEPS`], then [`STEPS`] for each doubling.
fn bucket(took: Duration) -> usize {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let bucket = match us.checked_ilog2() {
        Some(octave) if octave >= 2 => {
            (octave - 1) * STEPS + u32::try_from((us >> (octave - 2)) & 3).unwrap_or(0)
        }
        _ => u32::try_from(us).unwrap_or(0),
    };
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// What is just too long for a bucket.
fn upper(bucket: usize) -> Duration {
    let (octave, step) = (bucket as u64 / u64::from(STEPS), bucket as u64 % u64::from(STEPS));
    let us = if octave == 0 { step + 1 } else { (u64::from(STEPS) + step + 1) << (octave - 1) };
    Duration::from_micros(us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Monotonic = Monotonic::from_secs(1000);

    #[test]
    fn one_slow_answer_in_a_hundred_shows_in_the_worst_and_two_in_the_percentile() {
        let mut latencies = Latencies::default();
        latencies.record(NOW, Duration::from_micros(100), 99);
        latencies.record(NOW, Duration::from_millis(700), 1);
        let one = latencies.summary(NOW).unwrap();
        assert!(one.p50 < Duration::from_micros(130) && one.p99 < Duration::from_micros(130), "{one:?}");
        assert_eq!((one.requests, one.worst), (100, Duration::from_millis(700)));
        latencies.record(NOW, Duration::from_millis(700), 1);
        assert_eq!(latencies.summary(NOW).unwrap().p99, Duration::from_millis(700));
    }

    #[test]
    fn what_is_older_than_the_last_minutes_no_longer_counts() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.summary(NOW), None);
        latencies.record(NOW, Duration::from_secs(1), 10);
        assert_eq!(latencies.summary(NOW + SLOT * 4).unwrap().requests, 10);
        assert_eq!(latencies.summary(NOW + SLOT * 5), None);
        latencies.record(NOW + SLOT * 5, Duration::from_micros(1), 1);
        assert_eq!(latencies.summary(NOW + SLOT * 5).unwrap().requests, 1);
    }

    proptest! {
        #[test]
        fn a_figure_is_never_too_low_and_at_most_a_quarter_too_high(us in 0_u64..16_000_000) {
            let (took, bound) = (Duration::from_micros(us), upper(bucket(Duration::from_micros(us))));
            prop_assert!(bound > took && bound.as_micros() <= u128::from(us + us / 4 + 1), "{bound:?}");
        }
    }
}
