//! Clocks: one that never jumps, and the wall clock with its doubts.

use std::io;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime};

use crate::{Root, file};

/// A moment of `CLOCK_BOOTTIME`: time since boot, suspended time included; never jumps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Monotonic(Duration);

/// Before this the wall clock is a default, not a time: a Pi has no battery-backed clock and
/// starts at the build time of its system at best. 2026-01-01T00:00:00Z.
const PLAUSIBLE_SINCE: Duration = Duration::from_secs(1_767_225_600);

/// systemd-timesyncd's folder, from its start to its end (`RuntimeDirectory=` of its unit) ...
const TIMESYNCD: &str = "/run/systemd/timesync";
/// ... and in it, since it has synchronised the clock (systemd-timesyncd.service(8)).
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// `timekeeper` has set the clock during this boot, or found it right.
const SET: &str = "/run/failberry/clock-set";

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

/// The wall clock, or `None` while it cannot be right. Good enough to date a record by; for
/// certificates see [`is_set`].
pub fn wall() -> Option<SystemTime> {
    let time = SystemTime::now();
    (time >= plausible_since()).then_some(time)
}

/// Seconds since 1970 by [`wall`].
pub fn unix() -> Option<u64> {
    wall()?.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// No clock shows an earlier time and is right.
pub fn plausible_since() -> SystemTime {
    SystemTime::UNIX_EPOCH + PLAUSIBLE_SINCE
}

/// Whether the wall clock has somebody's word during this boot. A plausible one may still be as old
/// as the image or the last shutdown: systemd sets it to the later of the two at boot, and a certificate
/// that was issued since is not valid yet by it. Where no timesyncd runs, somebody else keeps the time.
pub fn is_set(root: &Root) -> bool {
    let there = |path: &str| root.path(path).exists();
    wall().is_some() && (synchronised(root) || there(SET) || !there(TIMESYNCD))
}

/// Whether systemd-timesyncd has synchronised the clock.
pub fn synchronised(root: &Root) -> bool {
    root.path(SYNCHRONISED).exists()
}

/// Makes [`is_set`] true for the rest of this boot.
///
/// # Errors
/// Whatever writing says.
pub fn mark_set(root: &Root) -> io::Result<()> {
    /// Everybody looks.
    const MODE: u32 = 0o644;
    file::write_atomic(&root.path(SET), b"", MODE)
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
    fn a_clock_is_set_by_timesyncds_word_or_by_ours_or_is_not_timesyncds_business() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        assert!(is_set(&root), "no timesyncd");
        std::fs::create_dir_all(root.path(TIMESYNCD)).unwrap();
        assert!(!is_set(&root));
        std::fs::write(root.path(SYNCHRONISED), "").unwrap();
        assert!(is_set(&root));
        std::fs::remove_file(root.path(SYNCHRONISED)).unwrap();
        std::fs::create_dir_all(root.path("/run/failberry")).unwrap();
        mark_set(&root).unwrap();
        assert!(is_set(&root));
    }

    #[test]
    fn since_never_goes_below_zero() {
        assert_eq!(Monotonic::from_secs(1).since(Monotonic::from_secs(2)), Duration::ZERO);
    }
}
