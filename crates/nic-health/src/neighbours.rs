//! Which neighbour entries to check and when, what a check means, and how a wrong entry is mended:
//! the kernel asks anew first, and only if that did not help the entry is deleted. Pure.
//!
//! The gateways and configured peers are checked every half minute and whenever their hardware
//! address becomes another; others only on suspicion. A stale entry that is right is left alone.

mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::time::Duration;

use netlink::{HardwareAddress, Neighbour, NeighbourChange, Nud};
use sysio::Monotonic;

use crate::entry::{Entry, FLAPPING, Key};
use crate::judge::{Verdict, in_use, judge};
use crate::limit::Limit;

pub use words::{Action, Conflict, Counts, Cure, Event, Finding};

/// Entries beyond these are not followed, watched ones excepted: four times the kernel's own bound of
/// IPv4 entries by default (`gc_thresh3`, 1024, and 16 times that is what large networks set).
pub const MOST: usize = 16_384;
/// The gateways and peers are checked so often.
pub const EVERY: Duration = Duration::from_secs(30);
/// One entry is not asked about more often than this.
const PAUSE: Duration = Duration::from_secs(2);
/// A suspicion that turned out to be none is not looked into again for so long.
const ACQUITTED: Duration = Duration::from_secs(10 * 60);
/// Questions a minute, all entries together, and how many of them are kept for the watched ones.
pub const CHECKS_A_MINUTE: usize = 30;
const RESERVED: usize = 10;
/// Mended entries a minute.
pub const REPAIRS_A_MINUTE: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);
/// The kernel gives up on a hardware address after three questions a second apart (`ucast_probes`,
/// `retrans_time_ms`); measured: 4 s.
const PROBED: Duration = Duration::from_millis(4_500);
/// An entry that was deleted is learned anew by the next packet.
const DELETED: Duration = Duration::from_secs(2);
/// An entry that goes wrong again is mended after this, doubled each time up to the second.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_AT_MOST: Duration = Duration::from_secs(10 * 60);
/// Our own addresses are asked for so often (RFC 5227, 2.4 asks for ongoing detection).
const OWN_EVERY: Duration = Duration::from_secs(60);
/// What was found stays reported so long.
pub const NEWS: Duration = Duration::from_secs(10 * 60);
/// Conflicts that are kept; more are one storm.
const CONFLICTS: usize = 64;

#[derive(Clone, Debug)]
struct Repair {
    wrong: HardwareAddress,
    deleted: bool,
    until: Monotonic,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    repair: bool,
    entries: BTreeMap<Key, Entry>,
    watched: BTreeSet<Key>,
    own: BTreeMap<(u32, Ipv4Addr), Monotonic>,
    queue: VecDeque<Key>,
    repairs: BTreeMap<Key, Repair>,
    findings: BTreeMap<Key, Finding>,
    conflicts: BTreeMap<Key, Conflict>,
    own_conflicts: BTreeMap<(u32, Ipv4Addr), Conflict>,
    checks: Limit,
    mends: Limit,
    counts: Counts,
}

impl Machine {
    /// Knows nothing yet; without `repair` it only reports.
    pub fn new(repair: bool) -> Self {
        Self {
            repair,
            entries: BTreeMap::new(),
            watched: BTreeSet::new(),
            own: BTreeMap::new(),
            queue: VecDeque::new(),
            repairs: BTreeMap::new(),
            findings: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            own_conflicts: BTreeMap::new(),
            checks: Limit::new(CHECKS_A_MINUTE, MINUTE),
            mends: Limit::new(REPAIRS_A_MINUTE, MINUTE),
            counts: Counts::default(),
        }
    }

    /// One step.
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Synced(all) => self.sync(now, all, &mut actions),
            Event::Changed(change) => self.change(now, change, &mut actions),
            Event::Watch(keys) => self.watched = keys,
            Event::Own(own) => {
                self.own.retain(|address, _| own.contains(address));
                self.own_conflicts.retain(|address, _| own.contains(address));
                for address in own {
                    self.own.entry(address).or_insert(now);
                }
            }
            Event::Checked { key, before, answers, after } => {
                self.checked(now, key, before.as_ref(), &answers, after.as_ref(), &mut actions);
            }
            Event::OwnChecked { link, address, others } => self.own_checked(now, (link, address), others),
            Event::Tick => {}
        }
        self.overdue(now, &mut actions);
        self.due(now, &mut actions);
        self.forget(now);
        actions
    }

    /// When [`Event::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        let idle = self.watched.iter().filter(|key| !self.repairs.contains_key(key));
        let watched = idle.filter_map(|key| self.entries.get(key)).map(due_at).min();
        let others = self.own.values().copied().min();
        // What must wait for the allowance waits until its oldest use is forgotten.
        let allowed = |at: Monotonic, reserve| {
            let spent = self.checks.times().count() + reserve >= CHECKS_A_MINUTE;
            if spent { at.max(self.checks.next().unwrap_or(at)) } else { at }
        };
        let queue = (!self.queue.is_empty()).then(|| self.checks.next()).flatten();
        let checks = [watched.map(|at| allowed(at, 0)), others.map(|at| allowed(at, RESERVED)), queue];
        checks.into_iter().flatten().chain(self.repairs.values().map(|repair| repair.until)).min()
    }

    fn sync(&mut self, now: Monotonic, all: Vec<Neighbour>, actions: &mut Vec<Action>) {
        let there: BTreeSet<Key> = all.iter().map(key_of).collect();
        let gone: Vec<Key> = self.entries.keys().filter(|key| !there.contains(key)).copied().collect();
        for key in gone {
            self.change(now, NeighbourChange::Gone { link: key.link, address: key.address }, actions);
        }
        for entry in all {
            let key = key_of(&entry);
            // What did not change is no confirmation; only its ages are new.
            match self.entries.get_mut(&key).filter(|known| same(&known.now, &entry)) {
                Some(known) => {
                    known.now = entry;
                    self.suspect(now, key);
                }
                None => self.change(now, NeighbourChange::Set(entry), actions),
            }
        }
        self.counts.ignored = there.len().saturating_sub(self.entries.len());
    }

    fn change(&mut self, now: Monotonic, change: NeighbourChange, actions: &mut Vec<Action>) {
        let (key, new) = match change {
            NeighbourChange::Gone { link, address } => (Key { link, address }, None),
            NeighbourChange::Set(new) => (key_of(&new), Some(new)),
        };
        match new {
            None => drop(self.entries.remove(&key)),
            Some(new) => self.set(now, key, new),
        }
        self.mending(now, key, new.as_ref(), actions);
    }

    fn set(&mut self, now: Monotonic, key: Key, new: Neighbour) {
        let room = self.entries.len() < MOST || self.watched.contains(&key);
        let Some(entry) = self.entries.get_mut(&key) else {
            if room {
                self.entries.insert(key, Entry::new(now, new));
            }
            return;
        };
        let moved = entry.note(now, new);
        if let Some(other) = entry.flapping().filter(|_| moved) {
            let owners = new.mac.into_iter().chain([other]).collect();
            self.conflict(now, key, owners);
        }
        self.suspect(now, key);
    }

    fn suspect(&mut self, now: Monotonic, key: Key) {
        let Some(entry) = self.entries.get_mut(&key) else { return };
        let free = now >= entry.not_before && !entry.queued && !self.watched.contains(&key);
        if free && entry.suspicious(now) {
            entry.queued = true;
            self.queue.push_back(key);
        }
    }

    /// What a change means for an entry that is being mended.
    fn mending(&mut self, now: Monotonic, key: Key, new: Option<&Neighbour>, actions: &mut Vec<Action>) {
        let Some(repair) = self.repairs.get(&key) else { return };
        let cure = if repair.deleted { Cure::Deletion } else { Cure::Probe };
        if new.and_then(in_use) != Some(repair.wrong) {
            self.repairs.remove(&key);
            self.cured(now, key, cure);
        } else if !repair.deleted && new.is_some_and(|n| n.state != Nud::Probe) {
            // Confirmed once more before anybody answered.
            self.delete(now, key, actions);
        }
    }

    fn checked(
        &mut self,
        now: Monotonic,
        key: Key,
        before: Option<&Neighbour>,
        answers: &[HardwareAddress],
        after: Option<&Neighbour>,
        actions: &mut Vec<Action>,
    ) {
        if answers.len() > 1 {
            self.conflict(now, key, answers.to_vec());
        }
        let verdict = judge(before, answers, after);
        let used = before.and_then(in_use);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.acquit();
            entry.verdict = verdict.clone();
            entry.checked_at = Some(now);
            let pause = if verdict == Verdict::Unchecked { PAUSE } else { ACQUITTED };
            entry.not_before = now + if self.watched.contains(&key) { PAUSE } else { pause };
            if verdict == Verdict::Right {
                entry.streak = entry.streak.saturating_sub(1);
            }
        }
        match (verdict, used) {
            (Verdict::Wrong(answer), Some(used)) => {
                self.found(now, key, used, answer, false);
                self.mend(now, key, used, actions);
            }
            (Verdict::LeftAlone(answer), Some(used)) => self.found(now, key, used, answer, true),
            (Verdict::Healed(answer), Some(used)) => {
                self.found(now, key, used, answer, false);
                self.cured(now, key, Cure::Answer);
            }
            (Verdict::Right, _) => self.findings.retain(|k, finding| *k != key || finding.cured.is_some()),
            _ => {}
        }
    }

    fn found(
        &mut self,
        at: Monotonic,
        key: Key,
        entry: HardwareAddress,
        answer: HardwareAddress,
        fixed: bool,
    ) {
        if self.findings.len() < CONFLICTS || self.findings.contains_key(&key) {
            self.findings.insert(key, Finding { at, entry, answer, cured: None, fixed });
        }
    }

    fn cured(&mut self, now: Monotonic, key: Key, cure: Cure) {
        self.counts.repaired += 1;
        if let Some(finding) = self.findings.get_mut(&key) {
            (finding.cured, finding.at) = (Some(cure), now);
        }
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.repairs = entry.repairs.saturating_add(1);
            entry.verdict = Verdict::Unchecked;
            // The next look tells whether it stayed mended; one that never does is looked at less.
            let again = AGAIN.saturating_mul(1 << entry.streak.min(10));
            entry.not_before = now + if entry.streak == 0 { PAUSE } else { again.min(AGAIN_AT_MOST) };
            entry.streak = entry.streak.saturating_add(1);
        }
    }

    fn mend(&mut self, now: Monotonic, key: Key, wrong: HardwareAddress, actions: &mut Vec<Action>) {
        if !self.repair || self.repairs.contains_key(&key) || !self.mends.take(now) {
            return;
        }
        self.repairs.insert(key, Repair { wrong, deleted: false, until: now + PROBED });
        actions.push(Action::Probe(key));
    }

    fn delete(&mut self, now: Monotonic, key: Key, actions: &mut Vec<Action>) {
        if let Some(repair) = self.repairs.get_mut(&key) {
            (repair.deleted, repair.until) = (true, now + DELETED);
            actions.push(Action::Delete(key));
        }
    }

    /// What neither mended nor went: the next rung, and after the last one a fresh check.
    fn overdue(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        let late: Vec<(Key, bool)> =
            self.repairs.iter().filter(|(_, r)| now >= r.until).map(|(key, r)| (*key, r.deleted)).collect();
        for (key, deleted) in late {
            if deleted {
                self.repairs.remove(&key);
            } else {
                self.delete(now, key, actions);
            }
        }
    }

    fn due(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        let keys: Vec<Key> = self.watched.iter().copied().collect();
        for key in keys {
            let Some(entry) = self.entries.get_mut(&key) else { continue };
            if now < due_at(entry) || self.repairs.contains_key(&key) || !self.checks.take(now) {
                continue;
            }
            (entry.checked_at, entry.not_before) = (Some(now), now + PAUSE);
            self.counts.checks += 1;
            actions.push(Action::Check(key));
        }
        for ((link, address), at) in &mut self.own {
            if now >= *at && self.checks.allows(now, RESERVED) && self.checks.take(now) {
                *at = now + OWN_EVERY;
                actions.push(Action::CheckOwn(*link, *address));
            }
        }
        self.suspects(now, actions);
    }

    fn suspects(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        while let Some(key) = self.queue.front().copied() {
            let Some(entry) = self.entries.get_mut(&key) else {
                self.queue.pop_front();
                continue;
            };
            // One that must wait does not hold up the others; it comes again by its next confirmation.
            if now < entry.not_before {
                self.queue.pop_front();
                entry.queued = false;
                continue;
            }
            if !self.checks.allows(now, RESERVED) || !self.checks.take(now) {
                return;
            }
            self.queue.pop_front();
            (entry.queued, entry.not_before) = (false, now + PAUSE);
            self.counts.checks += 1;
            actions.push(Action::Check(key));
        }
    }

    fn own_checked(&mut self, now: Monotonic, own: (u32, Ipv4Addr), others: Vec<HardwareAddress>) {
        if others.is_empty() || !self.own.contains_key(&own) {
            return;
        }
        self.own_conflicts.insert(own, Conflict { at: now, owners: others });
    }

    fn conflict(&mut self, at: Monotonic, key: Key, owners: Vec<HardwareAddress>) {
        if self.conflicts.len() < CONFLICTS || self.conflicts.contains_key(&key) {
            self.conflicts.insert(key, Conflict { at, owners });
        }
    }

    fn forget(&mut self, now: Monotonic) {
        self.conflicts.retain(|_, conflict| now.since(conflict.at) < FLAPPING);
        self.own_conflicts.retain(|_, conflict| now.since(conflict.at) < OWN_EVERY * 2);
        let entries = &self.entries;
        // Wrong and not mended is news for as long as the entry says so.
        self.findings.retain(|key, finding| {
            let still = finding.cured.is_none()
                && entries.get(key).and_then(|e| in_use(&e.now)) == Some(finding.entry);
            still || (finding.cured.is_some() && now.since(finding.at) < NEWS)
        });
    }

    /// All entries.
    pub fn entries(&self) -> &BTreeMap<Key, Entry> {
        &self.entries
    }

    /// The gateways and peers.
    pub fn watched(&self) -> &BTreeSet<Key> {
        &self.watched
    }

    /// Wrong entries, and those mended of late.
    pub fn findings(&self) -> &BTreeMap<Key, Finding> {
        &self.findings
    }

    /// Addresses with two owners.
    pub fn conflicts(&self) -> &BTreeMap<Key, Conflict> {
        &self.conflicts
    }

    /// Our own addresses that others have, too.
    pub fn own_conflicts(&self) -> &BTreeMap<(u32, Ipv4Addr), Conflict> {
        &self.own_conflicts
    }

    /// Whether something is being mended.
    pub fn mending_any(&self) -> bool {
        !self.repairs.is_empty()
    }

    /// Figures.
    pub fn counts(&self) -> Counts {
        self.counts
    }
}

/// When a watched entry is checked next: one never checked, or changed since, at once.
fn due_at(entry: &Entry) -> Monotonic {
    let regular = entry.checked_at.filter(|_| entry.verdict != Verdict::Unchecked).map(|at| at + EVERY);
    regular.unwrap_or_default().max(entry.not_before)
}

fn same(old: &Neighbour, new: &Neighbour) -> bool {
    (old.state, old.mac, old.learned_elsewhere) == (new.state, new.mac, new.learned_elsewhere)
}

fn key_of(entry: &Neighbour) -> Key {
    Key { link: entry.link, address: entry.address }
}

#[cfg(test)]
mod tests;
