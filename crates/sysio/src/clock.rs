//! Clocks: one that never jumps, and the wall clock with its doubts.

use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime};

/// A moment of `CLOCK_BOOTTIME`: time since boot, suspended time included; never jumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(Duration);

/// Before this the wall clock is a default, not a time: a Pi has no battery-backed clock and
/// starts at the build time of its system at best. 2026-01-01T00:00:00Z.
const PLAUSIBLE_SINCE: Duration = Duration::from_secs(1_767_225_600);

impl Monotonic {
    /// The moment `since_boot` after boot.
    pub const fn new(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// Whole seconds after boot; handy in tests.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// Milliseconds after boot.
    pub const fn from_millis(ms: u64) -> Self {
        Self(Duration::from_millis(ms))
    }

    /// Time since boot.
    pub const fn since_boot(self) -> Duration {
        self.0
    }

    /// Milliseconds since boot, as snapshots carry them.
    pub fn as_millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }

    /// Time from `earlier` to this moment; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Monotonic {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }
}

impl Sub<Duration> for Monotonic {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }
}

/// This moment.
pub fn now() -> Monotonic {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .expect("CLOCK_BOOTTIME exists since Linux 2.6.39");
    Monotonic(Duration::from(time))
}

/// The wall clock, or `None` while it cannot be right.
pub fn wall() -> Option<SystemTime> {
    let time = SystemTime::now();
    (time.duration_since(SystemTime::UNIX_EPOCH).ok()? >= PLAUSIBLE_SINCE).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boot_time_moves_forward() {
        let first = now();
        assert!(now() >= first);
        assert!(first > Monotonic::default());
    }

    #[test]
    fn since_never_goes_below_zero() {
        assert_eq!(Monotonic::from_secs(1).since(Monotonic::from_secs(2)), Duration::ZERO);
    }
}
