//! Whether another program keeps undoing what is put right.
//!
//! Two programs that repair each other's work without end help nobody and burn the processor. A fight
//! is the same change again and again; a person who edits this and that is none.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;
use sysio::Monotonic;

/// The same change so often within [`WINDOW`] is no accident and no restart of a service. As for
/// settings (`sysctl/watch.rs`).
const CHANGES: usize = 5;
const WINDOW: Duration = Duration::from_secs(60);
/// While it lasts, rules are looked at this often.
const PAUSE: Duration = Duration::from_secs(10);
/// Without any change for this long it is over.
const CALM: Duration = Duration::from_secs(180);
/// So many different changes are remembered; an opponent who invents new ones does not fill the memory.
const REMEMBERED: usize = 512;

#[derive(Debug, Default)]
pub(crate) struct Fight {
    /// By what was done, all of it in one number: flushing a chain is a hundred lines.
    seen: BTreeMap<u64, VecDeque<Monotonic>>,
    /// The last change, while it lasts.
    last: Option<Monotonic>,
}

impl Fight {
    /// A look is over; `changes` were found and put right.
    pub(crate) fn looked(&mut self, now: Monotonic, changes: &[String]) {
        self.seen.retain(|_, times| {
            times.retain(|at| now.since(*at) < WINDOW);
            !times.is_empty()
        });
        let again = !changes.is_empty() && self.again(now, changes);
        match self.last {
            Some(last) if changes.is_empty() && now.since(last) >= CALM => self.last = None,
            Some(_) if !changes.is_empty() => self.last = Some(now),
            None if again => self.last = Some(now),
            _ => {}
        }
    }

    fn again(&mut self, now: Monotonic, changes: &[String]) -> bool {
        let mut hasher = DefaultHasher::new();
        changes.hash(&mut hasher);
        let deed = hasher.finish();
        if self.seen.len() >= REMEMBERED && !self.seen.contains_key(&deed) {
            return false;
        }
        let times = self.seen.entry(deed).or_default();
        times.push_back(now);
        // More than that says no more.
        if times.len() > CHANGES {
            times.pop_front();
        }
        times.len() >= CHANGES
    }

    pub(crate) fn is_on(&self) -> bool {
        self.last.is_some()
    }

    /// How long to wait before the next look, while it lasts.
    pub(crate) fn pause(&self) -> Option<Duration> {
        self.last.map(|_| PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_secs(seconds)
    }

    fn flush() -> [String; 1] {
        ["removed rule `-A INPUT -j FB-INPUT`".to_owned()]
    }

    #[test]
    fn the_fifth_same_change_within_a_minute_is_a_fight_and_calm_ends_it() {
        let mut fight = Fight::default();
        for second in 0..4 {
            fight.looked(at(second * 10), &flush());
            assert!(!fight.is_on());
        }
        fight.looked(at(40), &flush());
        assert_eq!(fight.pause(), Some(PAUSE));
        fight.looked(at(40) + CALM - Duration::from_secs(1), &[]);
        assert!(fight.is_on());
        fight.looked(at(40) + CALM, &[]);
        assert!(!fight.is_on());
    }

    #[test]
    fn many_different_changes_are_no_fight() {
        let mut fight = Fight::default();
        for n in 0..2000 {
            fight.looked(at(n / 10), &[format!("added rule {n}")]);
            assert!(!fight.is_on());
        }
        assert!(fight.seen.len() <= REMEMBERED);
    }

    proptest! {
        /// Whatever an opponent does: it ends after calm, and never begins with fewer than five.
        #[test]
        fn a_fight_never_latches(gaps in proptest::collection::vec(0_u64..30, 0..60), kinds in proptest::collection::vec(0_u8..4, 60)) {
            let mut fight = Fight::default();
            let mut now = at(0);
            let mut count = 0;
            for (gap, kind) in gaps.iter().zip(kinds) {
                now = now + Duration::from_secs(*gap);
                let changes = if kind == 0 { vec![] } else { vec![format!("change {kind}")] };
                count += changes.len();
                fight.looked(now, &changes);
                prop_assert!(!fight.is_on() || count >= CHANGES);
            }
            fight.looked(now + CALM, &[]);
            prop_assert!(!fight.is_on());
            prop_assert!(fight.seen.is_empty());
        }
    }
}
