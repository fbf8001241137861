//! Moments of the wall clock, and the one number two answers can be compared by.

use std::time::{Duration, SystemTime};

use sysio::Monotonic;

/// A moment in UTC, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utc(pub i64);

/// When this boot began, in UTC, as somebody's answer implies: what the wall clock shows less what
/// `CLOCK_BOOTTIME` shows. Answers heard at different moments are compared by it, and it holds
/// however the wall clock is moved meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootedAt(pub i64);

impl Utc {
    /// So many seconds after 1970.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// That time of the system.
    pub fn of(time: SystemTime) -> Self {
        let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        Self(time.duration_since(SystemTime::UNIX_EPOCH).map_or_else(|before| -ms(before.duration()), ms))
    }

    /// Time since 1970; none before it.
    pub fn since_1970(self) -> Option<Duration> {
        u64::try_from(self.0).ok().map(Duration::from_millis)
    }

    /// As people write it, to the second (RFC 3339).
    pub fn words(self) -> String {
        match self.since_1970().and_then(|d| SystemTime::UNIX_EPOCH.checked_add(d)) {
            // Years of more than four digits have no form in RFC 3339.
            Some(time) if self.0 < 253_402_300_800_000 => humantime::format_rfc3339_seconds(time).to_string(),
            _ => "a time nobody can write".to_owned(),
        }
    }
}

impl BootedAt {
    /// If it is `utc` at the moment `at`.
    pub fn of(utc: Utc, at: Monotonic) -> Self {
        Self(utc.0.saturating_sub(millis(at)))
    }

    /// What time it then is at the moment `at`.
    pub fn at(self, at: Monotonic) -> Utc {
        Utc(self.0.saturating_add(millis(at)))
    }
}

/// Milliseconds since boot.
pub(crate) fn millis(at: Monotonic) -> i64 {
    i64::try_from(at.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_has_the_same_beginning_whenever_it_is_reckoned() {
        let one = BootedAt::of(Utc::from_secs(1_000), Monotonic::from_secs(10));
        let two = BootedAt::of(Utc::from_secs(1_090), Monotonic::from_secs(100));
        assert_eq!(one, two);
        assert_eq!(one.at(Monotonic::from_secs(20)), Utc::from_secs(1_010));
    }

    #[test]
    fn every_moment_has_words() {
        assert_eq!(Utc::from_secs(1_792_540_800).words(), "2026-10-21T00:00:00Z");
        for odd in [i64::MIN, -1, i64::MAX, 253_402_300_800_000] {
            assert_eq!(Utc(odd).words(), "a time nobody can write");
        }
    }
}
