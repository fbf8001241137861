//! Which line is in use, decided from what is known of both; pure.
//!
//! The wired line is preferred: it costs nothing. It is left at once for a better one, and taken again
//! only after it has been good for a hold time, which doubles with every return that did not last. A
//! wired line of which nothing bad is known, come up after the other one, need not prove itself. No
//! line is taken that is worse than the one in use: with nothing better known, all stays.

use link_health::Grade;
use link_health::penalty::{FORGIVEN_AFTER, Hold, LONGEST, Penalty};
use ruleset::marks::Line;
use std::time::Duration;
use sysio::Monotonic;

/// The line that is taken when both are good.
const PREFERRED: Line = Line::Wired;
/// So long the preferred line may be unknown while the other is known to work: after a start its
/// probes need a few seconds, and the other one's data costs money.
const PATIENCE: Duration = Duration::from_secs(10);
/// A line that comes back may stumble once or twice; more often, it comes and goes.
const STUMBLES: u32 = 3;

/// What counts when lines are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// There is an interface with an address and a default route.
    pub way: bool,
    /// What probes say.
    pub grade: Grade,
}

/// One change from line to line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switched {
    /// The line that was left.
    pub from: Line,
    /// The line that was taken.
    pub to: Line,
    /// When.
    pub at: Monotonic,
    /// Why, in words.
    pub reason: String,
}

/// The choice and its history.
#[derive(Debug)]
pub struct Switch {
    hold: Duration,
    current: Option<Line>,
    /// How long the preferred line has been good while the other is in use.
    good: Hold,
    /// Since when the preferred line in use has been unknown while the other works.
    unknown_since: Option<Monotonic>,
    /// The preferred line was found bad, or was left: it has to prove itself.
    suspected: bool,
    /// The preferred line was taken because it had been good, and not for want of another.
    proven: bool,
    penalty: Penalty,
    /// Times the preferred line came back and was bad again before its hold time was over. That begins
    /// anew by itself; this is for saying so.
    breaks: Penalty,
    count: u64,
    last: Option<Switched>,
}

impl Switch {
    /// Nothing is chosen yet. `hold`: how long the preferred line must have been good to be taken again.
    pub fn new(hold: Duration) -> Self {
        Self {
            hold,
            current: None,
            good: Hold::default(),
            unknown_since: None,
            suspected: false,
            proven: false,
            penalty: Penalty::default(),
            breaks: Penalty::default(),
            count: 0,
            last: None,
        }
    }

    /// Goes on from what is in place already, left by an earlier process: that is no switch.
    pub fn resume(&mut self, line: Line) {
        self.current = Some(line);
    }

    /// Takes over what an earlier process counted.
    pub fn remember(&mut self, count: u64, last: Option<Switched>) {
        self.suspected |= last.is_some();
        self.proven = true;
        (self.count, self.last) = (count, last);
    }

    /// The line that is to be used.
    pub fn current(&self) -> Option<Line> {
        self.current
    }

    /// How often a line was left for the other, and the last time.
    pub fn history(&self) -> (u64, Option<&Switched>) {
        (self.count, self.last.as_ref())
    }

    /// How long the preferred line must be good just now.
    pub fn hold(&self, now: Monotonic) -> Duration {
        if !self.suspected {
            return Duration::ZERO;
        }
        let doubled = 1_u32.checked_shl(self.penalty.flaps(now)).unwrap_or(u32::MAX);
        self.hold.saturating_mul(doubled).min(LONGEST.max(self.hold))
    }

    /// The hold time and the number of returns that did not last, while the line comes and goes.
    pub fn penalty(&self, now: Monotonic) -> Option<(Duration, u32)> {
        let (flaps, breaks) = (self.penalty.flaps(now), self.breaks.flaps(now));
        (flaps > 0 || breaks >= STUMBLES).then(|| (self.hold(now), flaps + breaks))
    }

    /// When to decide again though nothing new is heard.
    pub fn deadline(&self, now: Monotonic) -> Option<Monotonic> {
        let patience = self.unknown_since.map(|since| since + PATIENCE);
        [self.good.deadline(self.hold(now)), patience].into_iter().flatten().min()
    }

    /// Decides; what was switched, if anything was. The first choice is none, and so is the preferred
    /// line's late arrival after a start.
    pub fn decide(&mut self, now: Monotonic, wired: Candidate, cellular: Candidate) -> Option<&Switched> {
        let Some(current) = self.current else {
            self.current = match (wired.way, cellular.way) {
                (true, _) => Some(Line::Wired),
                (false, true) => Some(Line::Cellular),
                (false, false) => None,
            };
            return None;
        };
        let (used, other) = match current {
            Line::Wired => (wired, cellular),
            Line::Cellular => (cellular, wired),
        };
        self.suspected |= wired.way && matches!(wired.grade, Grade::Dead | Grade::Poor);
        if !self.suspected && current != PREFERRED && wired.way && wired.grade == Grade::Good {
            self.current = Some(PREFERRED);
            return None;
        }
        let reason = self.reason(now, current, used, other)?;
        self.go(now, current, reason, other.grade == Grade::Good);
        self.last.as_ref()
    }

    fn go(&mut self, now: Monotonic, from: Line, reason: String, good: bool) {
        let to = other(from);
        self.current = Some(to);
        self.suspected = true;
        (self.good, self.unknown_since) = (Hold::default(), None);
        let returned = self.last.as_ref().filter(|last| last.to == PREFERRED && self.proven);
        if from == PREFERRED && returned.is_some_and(|last| now.since(last.at) < FORGIVEN_AFTER) {
            self.penalty.flap(now);
        }
        (self.count, self.proven) = (self.count + 1, to == PREFERRED && good);
        self.last = Some(Switched { from, to, at: now, reason });
    }

    /// Why the line in use should be left; none if it should not.
    fn reason(&mut self, now: Monotonic, line: Line, used: Candidate, other: Candidate) -> Option<String> {
        let preferred_is_good = line != PREFERRED && other.way && other.grade == Grade::Good;
        if line != PREFERRED && !preferred_is_good && self.good != Hold::default() {
            self.breaks.flap(now);
        }
        self.good.observe(now, preferred_is_good);
        let unknown = line == PREFERRED && used.grade == Grade::Unknown && other.grade >= Grade::Poor;
        self.unknown_since = if unknown && other.way { self.unknown_since.or(Some(now)) } else { None };
        let name = line.name();
        if !other.way {
            return None;
        }
        if !used.way {
            return Some(format!("there is no way out by the {name} line"));
        }
        if used.grade == Grade::Dead && other.grade > Grade::Dead {
            return Some(format!("nothing comes back by the {name} line"));
        }
        if line == PREFERRED {
            if used.grade == Grade::Poor && other.grade == Grade::Good {
                return Some(format!("the {name} line works only in part"));
            }
            let since = self.unknown_since?;
            return (now.since(since) >= PATIENCE)
                .then(|| format!("nothing is known of the {name} line, and the other works"));
        }
        let hold = self.hold(now);
        self.good
            .ready(now, hold)
            .then(|| format!("the {} line has been good for {} s", PREFERRED.name(), hold.as_secs()))
    }
}

/// The line that is not this one.
pub(crate) fn other(line: Line) -> Line {
    match line {
        Line::Wired => Line::Cellular,
        Line::Cellular => Line::Wired,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOLD: Duration = Duration::from_secs(30);
    const ABSENT: Candidate = Candidate { way: false, grade: Grade::Unknown };

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_secs(seconds)
    }

    fn is(grade: Grade) -> Candidate {
        Candidate { way: true, grade }
    }

    fn on(line: Line) -> Switch {
        let mut switch = Switch::new(HOLD);
        switch.resume(line);
        // As if the preferred line had been left before.
        switch.suspected = line != PREFERRED;
        switch
    }

    #[test]
    fn the_line_with_a_way_is_used_until_more_is_known() {
        let mut switch = Switch::new(HOLD);
        assert!(switch.decide(at(1), ABSENT, ABSENT).is_none());
        assert_eq!(switch.current(), None);
        assert!(switch.decide(at(2), ABSENT, is(Grade::Unknown)).is_none());
        assert_eq!(switch.current(), Some(Line::Cellular));
    }

    #[test]
    fn a_wired_line_that_comes_up_after_the_other_one_need_not_prove_itself() {
        let mut switch = Switch::new(HOLD);
        switch.decide(at(0), ABSENT, is(Grade::Good));
        assert_eq!(switch.current(), Some(Line::Cellular));
        switch.decide(at(1), is(Grade::Unknown), is(Grade::Good));
        assert_eq!(switch.current(), Some(Line::Cellular), "and nothing is known of it");
        assert!(switch.decide(at(2), is(Grade::Good), is(Grade::Good)).is_none());
        assert_eq!(switch.current(), Some(Line::Wired));
        assert_eq!(switch.history(), (0, None), "that was no switch");
        switch.decide(at(3), is(Grade::Dead), is(Grade::Good));
        assert_eq!(switch.hold(at(3)), HOLD, "nor is its first failure a return that did not last");
    }

    #[test]
    fn a_wired_line_that_was_bad_after_the_start_has_to_prove_itself() {
        let mut switch = Switch::new(HOLD);
        switch.decide(at(0), ABSENT, is(Grade::Good));
        switch.decide(at(1), is(Grade::Dead), is(Grade::Good));
        switch.decide(at(2), is(Grade::Good), is(Grade::Good));
        assert_eq!(switch.current(), Some(Line::Cellular));
        switch.decide(at(32), is(Grade::Good), is(Grade::Good));
        assert_eq!(switch.current(), Some(Line::Wired));
    }

    #[test]
    fn a_dead_line_is_left_at_once_for_one_of_which_nothing_bad_is_known() {
        for grade in [Grade::Unknown, Grade::Poor, Grade::Good] {
            let mut switch = on(Line::Wired);
            assert!(switch.decide(at(1), is(Grade::Dead), is(grade)).is_some(), "{grade:?}");
            assert_eq!(switch.current(), Some(Line::Cellular));
        }
    }

    #[test]
    fn with_everything_dead_or_both_poor_all_stays_as_it_is() {
        for line in [Line::Wired, Line::Cellular] {
            for grade in [Grade::Dead, Grade::Poor] {
                let mut switch = on(line);
                for second in 0..1000 {
                    assert!(switch.decide(at(second), is(grade), is(grade)).is_none());
                }
            }
        }
    }

    #[test]
    fn a_line_that_works_in_part_is_left_for_a_good_one_alone() {
        let mut switch = on(Line::Wired);
        assert!(switch.decide(at(1), is(Grade::Poor), is(Grade::Unknown)).is_none());
        assert!(switch.decide(at(2), is(Grade::Poor), is(Grade::Good)).is_some());
    }

    #[test]
    fn the_wired_line_is_taken_again_after_the_hold_time_without_a_break() {
        let mut switch = on(Line::Cellular);
        assert!(switch.decide(at(0), is(Grade::Good), is(Grade::Good)).is_none());
        assert_eq!(switch.deadline(at(0)), Some(at(30)));
        assert!(switch.decide(at(29), is(Grade::Good), is(Grade::Good)).is_none());
        assert!(switch.decide(at(29), is(Grade::Poor), is(Grade::Good)).is_none());
        assert!(switch.decide(at(31), is(Grade::Good), is(Grade::Good)).is_none());
        assert!(switch.decide(at(60), is(Grade::Good), is(Grade::Good)).is_none());
        assert!(switch.decide(at(61), is(Grade::Good), is(Grade::Good)).is_some());
        assert_eq!(switch.current(), Some(Line::Wired));
    }

    #[test]
    fn a_line_that_never_stays_for_the_hold_time_is_said_to_come_and_go() {
        let mut switch = on(Line::Cellular);
        for n in 0..3 {
            assert_eq!(switch.penalty(at(n * 40)), None);
            switch.decide(at(n * 40), is(Grade::Good), is(Grade::Good));
            switch.decide(at(n * 40 + 20), is(Grade::Dead), is(Grade::Good));
            assert_eq!(switch.current(), Some(Line::Cellular));
        }
        assert_eq!(switch.penalty(at(100)), Some((HOLD, 3)), "and the hold time stays as it is");
        assert_eq!(switch.penalty(at(800)), None);
    }

    #[test]
    fn a_flap_that_is_forgiven_while_the_line_is_good_makes_no_deadline_in_the_past() {
        let mut switch = on(Line::Wired);
        for second in [0, 2, 4, 6] {
            switch.decide(at(second), is(Grade::Dead), is(Grade::Good));
            switch.decide(at(second + 1), is(Grade::Good), is(Grade::Dead));
        }
        switch.decide(at(8), is(Grade::Dead), is(Grade::Good));
        for second in 250..700 {
            if switch.decide(at(second), is(Grade::Good), is(Grade::Good)).is_some() {
                return;
            }
            assert!(switch.deadline(at(second)).unwrap() > at(second), "at {second}");
        }
        panic!("never back");
    }

    #[test]
    fn a_dead_stick_does_not_wait_for_the_hold_time() {
        let mut switch = on(Line::Cellular);
        assert!(switch.decide(at(1), is(Grade::Good), is(Grade::Dead)).is_some());
    }

    #[test]
    fn a_start_waits_for_the_wired_line_s_first_word() {
        let mut switch = on(Line::Wired);
        assert!(switch.decide(at(1), is(Grade::Unknown), is(Grade::Good)).is_none());
        assert_eq!(switch.deadline(at(1)), Some(at(11)));
        assert!(switch.decide(at(11), is(Grade::Unknown), is(Grade::Good)).is_some());
    }

    #[test]
    fn a_wired_line_taken_for_want_of_another_has_not_come_back() {
        let mut switch = on(Line::Wired);
        for second in [0, 2, 4] {
            switch.decide(at(second), is(Grade::Dead), is(Grade::Good));
            // The call drops: there is no other line, whatever this one is like.
            assert!(switch.decide(at(second + 1), is(Grade::Dead), ABSENT).is_some());
        }
        assert_eq!(switch.penalty(at(6)), None);
    }

    #[test]
    fn each_return_that_did_not_last_doubles_the_hold_time_and_time_forgives() {
        let mut switch = on(Line::Wired);
        let mut now = 0;
        for expected in [30, 60, 120, 240, 480, 600, 600] {
            switch.decide(at(now), is(Grade::Dead), is(Grade::Good));
            assert_eq!(switch.hold(at(now)).as_secs(), expected);
            switch.decide(at(now + 1), is(Grade::Good), is(Grade::Dead));
            assert_eq!(switch.current(), Some(Line::Wired));
            now += 2;
        }
        assert!(switch.penalty(at(now)).is_some());
        assert_eq!(switch.penalty(at(now + 3600)), None);
        assert_eq!(switch.hold(at(now + 3600)), HOLD);
    }

    fn candidate() -> impl Strategy<Value = Candidate> {
        let grades =
            prop_oneof![Just(Grade::Dead), Just(Grade::Unknown), Just(Grade::Poor), Just(Grade::Good)];
        (any::<bool>(), grades).prop_map(|(way, grade)| Candidate { way, grade })
    }

    fn worth(c: Candidate) -> u8 {
        if c.way { 1 + c.grade as u8 } else { 0 }
    }

    proptest! {
        /// Whatever happens: no switch to something worse, and from any past a good wired line is in use
        /// again in bounded time.
        #[test]
        fn never_to_a_worse_line_and_nothing_latches(
            past in proptest::collection::vec((candidate(), candidate(), 0_u64..400), 0..60),
        ) {
            let mut switch = Switch::new(HOLD);
            let mut now = 0;
            for (wired, cellular, seconds) in past {
                now += seconds;
                if let Some(switched) = switch.decide(at(now), wired, cellular) {
                    let (from, to) = match switched.to {
                        Line::Wired => (cellular, wired),
                        Line::Cellular => (wired, cellular),
                    };
                    prop_assert!(worth(to) >= worth(from), "{switched:?}: {from:?} to {to:?}");
                }
            }
            switch.decide(at(now), is(Grade::Good), is(Grade::Good));
            now += LONGEST.as_secs();
            switch.decide(at(now), is(Grade::Good), is(Grade::Good));
            prop_assert_eq!(switch.current(), Some(Line::Wired));
        }
    }
}
