//! What the findings of a check mean: applied, repaired, failed, fought over; and when to look again.

use crate::fight::Fight;
use ruleset::{Family, Policy};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use sysio::Monotonic;

/// How long something may be wrong before it is noticed where no event tells of it: the legacy tables
/// have none. A look at what did not change costs a question to the kernel and two reads, no process.
const PERIOD: Duration = Duration::from_secs(1);
/// A failed apply is tried again later than that: until it works, the doors may be open.
const RETRY: Duration = Duration::from_secs(3);
/// Between two looks that events ask for: a container engine that starts makes hundreds of changes.
const SETTLE: Duration = Duration::from_millis(250);
/// A repair stays visible for this long: long enough to be seen by somebody who looks at the page.
pub(crate) const SHOWN: Duration = Duration::from_secs(600);
/// So many changes are told one by one.
const TOLD: usize = 4;

/// What one look at one thing found, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// As it should be.
    Same,
    /// It differed and was put right.
    Changed,
    /// It does not exist here, which is fine.
    Absent,
    /// It differs and could not be put right, and why.
    Failed(String),
}

/// What one look at everything found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// The packet filter: what was found, and how many rules there should be.
    pub firewall: BTreeMap<Family, (Finding, usize)>,
    /// What somebody had done to rules that had been right, in words; all of it was put right.
    pub changes: Vec<String>,
    /// What the kernel's other back end holds beside us, in words.
    pub beside: Vec<String>,
    /// Settings by path.
    pub settings: BTreeMap<String, Finding>,
}

/// What the machine hears.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one a second, moved once")]
pub enum Event {
    /// Somebody else changed rules, any rules.
    Stirred {
        /// Who, as far as the kernel says.
        by: Vec<String>,
    },
    /// A look is over.
    Checked {
        /// What was wanted.
        policy: Policy,
        /// What was found.
        findings: Findings,
    },
    /// Programs that are known to change rules and run here; asked for after a repair.
    Suspects(Vec<String>),
}

/// Something was put right that had been right before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repair {
    pub(crate) at: Monotonic,
    pub(crate) count: u64,
    pub(crate) what: String,
    /// Who did it; empty if the kernel did not say.
    pub(crate) by: Vec<String>,
    pub(crate) suspects: Vec<String>,
}

/// Remembers what was right, so that the first application is no repair.
#[derive(Debug, Default)]
pub struct Machine {
    next_check: Monotonic,
    last_check: Option<Monotonic>,
    policy: Option<Policy>,
    last: Findings,
    right: BTreeSet<Family>,
    fight: Fight,
    /// Who changed rules since the last look.
    by: Vec<String>,
    repair: Option<Repair>,
}

impl Machine {
    /// When to look again.
    pub fn next_check(&self) -> Monotonic {
        self.next_check
    }

    /// Takes an event; whether something was repaired just now and suspects are worth looking for.
    pub fn step(&mut self, now: Monotonic, event: Event) -> bool {
        match event {
            Event::Stirred { by } => self.stirred(now, by),
            Event::Suspects(list) => {
                if let Some(repair) = &mut self.repair {
                    repair.suspects = list;
                }
            }
            Event::Checked { policy, findings } => return self.checked(now, policy, findings),
        }
        false
    }

    fn stirred(&mut self, now: Monotonic, by: Vec<String>) {
        for name in by {
            if !self.by.contains(&name) && self.by.len() < TOLD {
                self.by.push(name);
            }
        }
        // In a fight the clock decides, not the opponent.
        if !self.fight.is_on() {
            let soonest = self.last_check.map_or(now, |last| last + SETTLE).max(now);
            self.next_check = self.next_check.min(soonest);
        }
    }

    fn checked(&mut self, now: Monotonic, policy: Policy, findings: Findings) -> bool {
        let same_policy = self.policy.as_ref() == Some(&policy);
        let repaired = self.judge(now, same_policy, &findings);
        let failed = findings.firewall.values().any(|(finding, _)| matches!(finding, Finding::Failed(_)));
        self.next_check = now + if failed { RETRY } else { self.fight.pause().unwrap_or(PERIOD) };
        self.last_check = Some(now);
        self.policy = Some(policy);
        self.last = findings;
        self.by.clear();
        repaired
    }

    fn judge(&mut self, now: Monotonic, same_policy: bool, findings: &Findings) -> bool {
        let mut changes = findings.changes.clone();
        for (family, (finding, _)) in &findings.firewall {
            let was_right = same_policy && self.right.contains(family);
            if *finding == Finding::Changed && was_right && changes.is_empty() {
                changes.push(format!("{} rules", crate::driver::family_name(*family)));
            }
            match finding {
                Finding::Failed(_) => self.right.remove(family),
                _ => self.right.insert(*family),
            };
        }
        let repaired = !changes.is_empty() && self.last_check.is_some();
        self.fight.looked(now, if repaired { &changes } else { &[] });
        if repaired {
            let count = self.repair.as_ref().map_or(0, |r| r.count) + 1;
            let by = std::mem::take(&mut self.by);
            self.repair = Some(Repair { at: now, count, what: told(&changes), by, suspects: Vec::new() });
        }
        repaired
    }

    pub(crate) fn last(&self) -> &Findings {
        &self.last
    }

    /// Whether both families have the rules they should have.
    pub(crate) fn applied(&self) -> bool {
        Family::BOTH.iter().all(|family| self.right.contains(family))
    }

    /// Whether this family's packet filter was in place at the last look.
    pub(crate) fn in_place(&self, family: Family) -> bool {
        self.right.contains(&family)
    }

    pub(crate) fn repairs(&self) -> u64 {
        self.repair.as_ref().map_or(0, |r| r.count)
    }

    pub(crate) fn recent_repair(&self, now: Monotonic) -> Option<&Repair> {
        self.repair.as_ref().filter(|r| now.since(r.at) < SHOWN)
    }

    /// The last repair, while somebody keeps undoing what is put right.
    pub(crate) fn fight(&self) -> Option<&Repair> {
        self.repair.as_ref().filter(|_| self.fight.is_on())
    }
}

/// The first few, and how many more.
pub(crate) fn told(changes: &[String]) -> String {
    let mut words = changes.iter().take(TOLD).cloned().collect::<Vec<_>>().join("; ");
    if changes.len() > TOLD {
        let more = format!("; and {} more", changes.len() - TOLD);
        words.push_str(&more);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        Policy::standard("eth0".parse().unwrap())
    }

    fn checked(v4: Finding, setting: Finding) -> Event {
        let firewall = [(Family::V4, (v4, 30)), (Family::V6, (Finding::Same, 35))].into();
        let settings = [("net/ipv4/ip_forward".to_owned(), setting)].into();
        let findings = Findings { firewall, settings, ..Findings::default() };
        Event::Checked { policy: policy(), findings }
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_secs(seconds)
    }

    #[test]
    fn the_first_application_is_no_repair() {
        let mut machine = Machine::default();
        machine.step(at(1), checked(Finding::Changed, Finding::Changed));
        assert!(machine.applied());
        assert_eq!(machine.repairs(), 0);
    }

    #[test]
    fn a_change_behind_our_back_is_counted_and_shown_for_a_while() {
        let mut machine = Machine::default();
        machine.step(at(1), checked(Finding::Changed, Finding::Changed));
        machine.step(at(11), checked(Finding::Changed, Finding::Changed));
        assert_eq!(machine.repairs(), 1);
        assert!(machine.recent_repair(at(12)).is_some());
        assert!(machine.recent_repair(at(11) + SHOWN).is_none());
        assert_eq!(machine.repairs(), 1);
    }

    #[test]
    fn rules_that_follow_a_new_policy_are_no_repair() {
        let mut machine = Machine::default();
        machine.step(at(1), checked(Finding::Changed, Finding::Same));
        let Event::Checked { mut policy, findings } = checked(Finding::Changed, Finding::Same) else {
            unreachable!("made so")
        };
        policy.wired_uplink = true;
        machine.step(at(11), Event::Checked { policy, findings });
        assert_eq!(machine.repairs(), 0);
    }

    #[test]
    fn a_failure_is_tried_again_sooner_and_its_cure_is_no_repair() {
        let mut machine = Machine::default();
        machine.step(at(1), checked(Finding::Failed("no".to_owned()), Finding::Same));
        assert!(!machine.applied());
        assert_eq!(machine.next_check(), at(1) + RETRY);
        machine.step(at(4), checked(Finding::Changed, Finding::Same));
        assert!(machine.applied());
        assert_eq!(machine.next_check(), at(4) + PERIOD);
        assert_eq!(machine.repairs(), 0);
    }

    fn drift(what: &str) -> Event {
        let mut event = checked(Finding::Changed, Finding::Same);
        if let Event::Checked { findings, .. } = &mut event {
            findings.changes.push(what.to_owned());
        }
        event
    }

    #[test]
    fn an_event_asks_for_a_look_at_once_and_a_flood_of_them_for_few() {
        let mut machine = Machine::default();
        machine.step(at(1), checked(Finding::Changed, Finding::Same));
        machine.step(at(5), checked(Finding::Same, Finding::Same));
        let soon = at(5) + Duration::from_millis(100);
        machine.step(soon, Event::Stirred { by: vec!["nft".to_owned()] });
        assert_eq!(machine.next_check(), at(5) + SETTLE);
        let mut machine = Machine::default();
        machine.step(at(1), checked(Finding::Changed, Finding::Same));
        let later = at(1) + Duration::from_millis(700);
        machine.step(later, Event::Stirred { by: Vec::new() });
        assert_eq!(machine.next_check(), later);
    }

    #[test]
    fn a_repair_names_what_was_done_and_by_whom() {
        let mut machine = Machine::default();
        machine.step(at(1), checked(Finding::Changed, Finding::Same));
        machine.step(at(2), Event::Stirred { by: vec!["iptables (process 7)".to_owned()] });
        assert!(machine.step(at(2), drift("removed rule `-A FB-INPUT -j DROP`, IPv4")));
        machine.step(at(2), Event::Suspects(vec!["dockerd".to_owned()]));
        let repair = machine.recent_repair(at(3)).unwrap();
        assert_eq!(repair.what, "removed rule `-A FB-INPUT -j DROP`, IPv4");
        assert_eq!(
            (&repair.by[..], &repair.suspects[..]),
            (&["iptables (process 7)".to_owned()][..], &["dockerd".to_owned()][..])
        );
        // The next one is not theirs unless the kernel says so.
        machine.step(at(9), drift("x"));
        assert_eq!(machine.recent_repair(at(9)).unwrap().by, [""; 0]);
    }

    #[test]
    fn in_a_fight_events_do_not_hurry_us_and_it_ends() {
        let mut machine = Machine::default();
        machine.step(at(1), checked(Finding::Changed, Finding::Same));
        for second in 2..7 {
            machine.step(at(second), drift("removed chain FB-INPUT"));
        }
        assert!(machine.fight().is_some());
        assert_eq!(machine.next_check(), at(16));
        machine.step(at(8), Event::Stirred { by: Vec::new() });
        assert_eq!(machine.next_check(), at(16));
        let mut now = at(16);
        for _ in 0..20 {
            machine.step(now, checked(Finding::Same, Finding::Same));
            assert!(machine.next_check() > now);
            now = machine.next_check();
        }
        assert!(machine.fight().is_none());
        assert_eq!(machine.next_check().since(now), Duration::ZERO);
    }

    proptest::proptest! {
        /// Whatever comes, the next look is never further away than the slowest pace, nor is a look
        /// asked for sooner than the flood guard allows.
        #[test]
        fn looks_are_neither_forgotten_nor_endless(kinds in proptest::collection::vec((0_u8..5, 0_u64..4000), 0..120)) {
            let mut machine = Machine::default();
            let mut now = at(1);
            let mut looked = None;
            for (kind, gap) in kinds {
                now = now + Duration::from_millis(gap);
                if kind == 0 {
                    machine.step(now, Event::Stirred { by: Vec::new() });
                } else if now >= machine.next_check() {
                    machine.step(now, match kind {
                        1 => drift("the same"),
                        2 => checked(Finding::Failed("no".to_owned()), Finding::Same),
                        _ => checked(Finding::Same, Finding::Same),
                    });
                    looked = Some(now);
                }
                if let Some(looked) = looked {
                    let pause = machine.next_check().since(looked);
                    proptest::prop_assert!((SETTLE..=Duration::from_secs(10)).contains(&pause), "{:?}", pause);
                }
            }
        }
    }
}
