//! What the findings of a check mean: applied, repaired, failed; and when to look again.

use ruleset::{Family, Policy};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use sysio::Monotonic;

/// How long something may be wrong before it is noticed: /proc gives no events. A look at what did not
/// change costs some reads and three questions to the kernel, no process.
const PERIOD: Duration = Duration::from_secs(10);
/// A failed apply is tried again sooner: until it works, the doors may be open.
const RETRY: Duration = Duration::from_secs(3);
/// A repair stays visible for this long: long enough to be seen by somebody who looks at the page.
pub(crate) const SHOWN: Duration = Duration::from_secs(600);

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
    /// Settings by path.
    pub settings: BTreeMap<String, Finding>,
}

/// What the machine hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A look is over.
    Checked {
        /// What was wanted.
        policy: Policy,
        /// What was found.
        findings: Findings,
    },
}

/// Something was put right that had been right before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repair {
    pub(crate) at: Monotonic,
    pub(crate) count: u64,
    pub(crate) what: String,
}

/// Remembers what was right, so that the first application is no repair.
#[derive(Debug, Default)]
pub struct Machine {
    next_check: Monotonic,
    policy: Option<Policy>,
    last: Findings,
    right: BTreeSet<Family>,
    repaired_firewall: Option<Repair>,
}

impl Machine {
    /// When to look again.
    pub fn next_check(&self) -> Monotonic {
        self.next_check
    }

    /// Takes an event.
    pub fn step(&mut self, now: Monotonic, event: Event) {
        let Event::Checked { policy, findings } = event;
        let same_policy = self.policy.as_ref() == Some(&policy);
        self.judge_firewall(now, same_policy, &findings);
        let failed = findings.firewall.values().any(|(finding, _)| matches!(finding, Finding::Failed(_)));
        self.next_check = now + if failed { RETRY } else { PERIOD };
        self.policy = Some(policy);
        self.last = findings;
    }

    fn judge_firewall(&mut self, now: Monotonic, same_policy: bool, findings: &Findings) {
        for (family, (finding, _)) in &findings.firewall {
            if *finding == Finding::Changed && same_policy && self.right.contains(family) {
                let name = if *family == Family::V4 { "IPv4" } else { "IPv6" };
                note(&mut self.repaired_firewall, now, format!("{name} rules"));
            }
            match finding {
                Finding::Failed(_) => self.right.remove(family),
                _ => self.right.insert(*family),
            };
        }
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
        self.repaired_firewall.as_ref().map_or(0, |r| r.count)
    }

    pub(crate) fn recent_firewall_repair(&self, now: Monotonic) -> Option<&Repair> {
        self.repaired_firewall.as_ref().filter(|r| now.since(r.at) < SHOWN)
    }
}

fn note(repair: &mut Option<Repair>, now: Monotonic, what: String) {
    let count = repair.as_ref().map_or(0, |r| r.count) + 1;
    *repair = Some(Repair { at: now, count, what });
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
        Event::Checked { policy: policy(), findings: Findings { firewall, settings } }
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
        assert!(machine.recent_firewall_repair(at(12)).is_some());
        assert!(machine.recent_firewall_repair(at(11) + SHOWN).is_none());
        assert_eq!(machine.repairs(), 1);
    }

    #[test]
    fn rules_that_follow_a_new_policy_are_no_repair() {
        let mut machine = Machine::default();
        machine.step(at(1), checked(Finding::Changed, Finding::Same));
        let Event::Checked { mut policy, findings } = checked(Finding::Changed, Finding::Same);
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
}
