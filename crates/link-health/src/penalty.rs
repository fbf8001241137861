//! How long a line that came back must have been good before it is trusted again.
//!
//! A line that fails again and again would take every connection down with it at each switch, so each
//! return that did not last doubles the wait; quiet times undo that.

use std::time::Duration;

use sysio::Monotonic;

/// What the first return has to hold: longer than a modem's retraining or a router's restart flaps.
pub const BASE: Duration = Duration::from_secs(30);
/// No line waits longer: a house should not stay on the metered line for an hour after an evening's storm.
pub const LONGEST: Duration = Duration::from_secs(600);
/// Quiet time after which one flap is forgotten.
pub const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// The wait after flaps: [`BASE`], doubled by each flap up to [`LONGEST`], halved by each
/// [`FORGIVEN_AFTER`] without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Penalty {
    flaps: u32,
    last: Monotonic,
}

impl Penalty {
    /// The line failed after it had been trusted again.
    pub fn flap(&mut self, now: Monotonic) {
        self.flaps = self.flaps(now).saturating_add(1).min(ENOUGH);
        self.last = now.max(self.last);
    }

    /// Flaps not yet forgiven.
    pub fn flaps(&self, now: Monotonic) -> u32 {
        let quiet = now.since(self.last).as_secs() / FORGIVEN_AFTER.as_secs();
        self.flaps.saturating_sub(u32::try_from(quiet).unwrap_or(u32::MAX))
    }

    /// How long the line must be good now before it is trusted.
    pub fn wait(&self, now: Monotonic) -> Duration {
        BASE.saturating_mul(1 << self.flaps(now).min(ENOUGH)).min(LONGEST)
    }
}

/// Flaps after which nothing is doubled any more: 30 s · 2⁵ is beyond [`LONGEST`].
const ENOUGH: u32 = 5;

/// Since when a line has been good without a break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hold(Option<Monotonic>);

impl Hold {
    /// The line is good now, or is not.
    pub fn observe(&mut self, now: Monotonic, good: bool) {
        self.0 = if good { self.0.or(Some(now)) } else { None };
    }

    /// It has been good for `wait`.
    pub fn ready(&self, now: Monotonic, wait: Duration) -> bool {
        self.0.is_some_and(|since| now.since(since) >= wait)
    }

    /// When it will have been, if it stays good.
    pub fn deadline(&self, wait: Duration) -> Option<Monotonic> {
        self.0.map(|since| since + wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Monotonic {
        Monotonic::from_secs(secs)
    }

    #[test]
    fn each_flap_doubles_the_wait_up_to_ten_minutes() {
        let mut penalty = Penalty::default();
        let mut waits = vec![penalty.wait(at(1000)).as_secs()];
        for n in 0..7 {
            penalty.flap(at(1000 + n));
            waits.push(penalty.wait(at(1000 + n)).as_secs());
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 600, 600, 600]);
    }

    #[test]
    fn quiet_times_forgive_one_flap_after_another() {
        let mut penalty = Penalty::default();
        for n in 0..3 {
            penalty.flap(at(n));
        }
        let waits: Vec<_> = [2, 603, 1203, 1803, 90_000].map(|s| penalty.wait(at(s)).as_secs()).into();
        assert_eq!(waits, [240, 120, 60, 30, 30]);
    }

    #[test]
    fn a_hundred_flaps_are_forgiven_within_the_hour() {
        let mut penalty = Penalty::default();
        for n in 0..100 {
            penalty.flap(at(n));
        }
        assert_eq!(penalty.wait(at(100 + 3600)), BASE);
    }

    #[test]
    fn a_break_starts_the_hold_anew() {
        let mut hold = Hold::default();
        hold.observe(at(10), true);
        hold.observe(at(35), true);
        assert!(!hold.ready(at(39), BASE) && hold.ready(at(40), BASE));
        assert_eq!(hold.deadline(BASE), Some(at(40)));
        hold.observe(at(41), false);
        assert!(!hold.ready(at(100), BASE) && hold.deadline(BASE).is_none());
        hold.observe(at(42), true);
        assert!(!hold.ready(at(71), BASE) && hold.ready(at(72), BASE));
    }
}
