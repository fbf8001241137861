//! What the settings that were read mean: as wanted, changed by somebody, fought over; and when to write.

use crate::fight::Fight;
use ruleset::Sysctl;
use std::collections::BTreeMap;
use std::time::Duration;
use sysio::Monotonic;

/// How long a change may go unnoticed. Forwarding has to be back within two seconds; one look is some
/// twenty reads that never touch a disk.
const PERIOD: Duration = Duration::from_secs(1);
/// A write that was refused is tried again after this: who makes /proc writable is a person.
const RETRY: Duration = Duration::from_secs(10);
/// A repair stays visible for this long: long enough to be seen by somebody who looks at the page.
const SHOWN: Duration = Duration::from_secs(600);

/// The kernel sets the second when the first changes (`inet_forward_change` in net/ipv4/devinet.c), so a
/// difference of both is one change.
const FOLLOWS: [(&str, &str); 1] = [("net/ipv4/ip_forward", "net/ipv4/conf/all/accept_redirects")];

/// What reading one setting gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// As wanted, or a value that is respected.
    Right,
    /// It does not exist here, which is fine: an interface that is not there yet, a kernel without IPv6.
    Absent,
    /// Something else.
    Differs(String),
    /// It cannot be read, or must not be written now, and why.
    Blocked(String),
}

/// What the machine hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Everything declared was read, in the order in which it has to be written.
    Looked(Vec<(Sysctl, Seen)>),
    /// A write that was asked for is over; with what the system said against it.
    Wrote {
        /// The setting.
        path: String,
        /// Why it was refused.
        refused: Option<String>,
    },
    /// Who sets it, in words.
    Explained {
        /// The setting.
        path: String,
        /// The words.
        reason: String,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write a setting.
    Write {
        /// Below `/proc/sys`.
        path: String,
        /// What it read.
        found: String,
        /// What it should read.
        value: String,
    },
    /// Find out who sets it to what it was found to be.
    Explain {
        /// The setting.
        path: String,
        /// What it was found to be.
        found: String,
        /// What it should be.
        wanted: String,
    },
}

/// A setting that was changed behind our back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Drift {
    pub(crate) path: String,
    /// What it was changed to.
    pub(crate) found: String,
    pub(crate) at: Monotonic,
    pub(crate) reason: String,
}

#[derive(Debug, Default)]
struct Key {
    /// It was as wanted at some time since it appeared: only then a difference is somebody's change.
    was_right: bool,
    failed: Option<String>,
    retry: Monotonic,
    fight: Fight,
    /// While a fight lasts: when it may be written again.
    next_write: Monotonic,
    drift: Option<Drift>,
    present: bool,
}

/// Decides; see the module.
#[derive(Debug, Default)]
pub struct Watch {
    next: Monotonic,
    keys: BTreeMap<String, Key>,
    changes: u64,
}

impl Watch {
    /// When to look again.
    pub fn next_look(&self) -> Monotonic {
        self.next
    }

    /// Takes an event and says what is to be done.
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Action> {
        match event {
            Event::Looked(seen) => return self.looked(now, &seen),
            Event::Wrote { path, refused } => self.wrote(now, &path, refused),
            Event::Explained { path, reason } => {
                if let Some(drift) = self.keys.get_mut(&path).and_then(|key| key.drift.as_mut()) {
                    drift.reason = reason;
                }
            }
        }
        Vec::new()
    }

    fn looked(&mut self, now: Monotonic, seen: &[(Sysctl, Seen)]) -> Vec<Action> {
        self.next = now + PERIOD;
        self.keys.retain(|path, _| seen.iter().any(|(sysctl, _)| sysctl.path == *path));
        let differing: Vec<&str> = seen
            .iter()
            .filter(|(_, s)| matches!(s, Seen::Differs(_)))
            .map(|(s, _)| s.path.as_str())
            .collect();
        let mut actions = Vec::new();
        for (sysctl, seen) in seen {
            let follows =
                FOLLOWS.iter().any(|(first, second)| sysctl.path == *second && differing.contains(first));
            let key = self.keys.entry(sysctl.path.clone()).or_default();
            self.changes += u64::from(key.looked(now, sysctl, seen, follows, &mut actions));
        }
        actions
    }

    fn wrote(&mut self, now: Monotonic, path: &str, refused: Option<String>) {
        let Some(key) = self.keys.get_mut(path) else { return };
        key.was_right = refused.is_none();
        if refused.is_some() {
            key.retry = now + RETRY;
        }
        key.failed = refused;
    }

    /// Changes by others since the start.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// How many settings are as they should be.
    pub(crate) fn right(&self) -> usize {
        self.keys.values().filter(|key| key.present && key.was_right && key.failed.is_none()).count()
    }

    /// Settings that cannot be put right, and why.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &str> {
        self.keys.values().filter_map(|key| key.failed.as_deref())
    }

    /// The latest change of each setting, those of the last ten minutes; the newest first.
    pub(crate) fn drifts(&self, now: Monotonic) -> Vec<&Drift> {
        let recent = |drift: &&Drift| now.since(drift.at) < SHOWN;
        let mut drifts: Vec<&Drift> =
            self.keys.values().filter_map(|k| k.drift.as_ref()).filter(recent).collect();
        drifts.sort_by_key(|drift| std::cmp::Reverse(drift.at));
        drifts
    }

    /// Settings that are fought over, with the last change of each.
    pub(crate) fn fights(&self) -> impl Iterator<Item = &Drift> {
        self.keys.values().filter(|key| key.fight.is_on()).filter_map(|key| key.drift.as_ref())
    }
}

impl Key {
    /// Judges what was read; true if somebody changed it.
    fn looked(
        &mut self,
        now: Monotonic,
        sysctl: &Sysctl,
        seen: &Seen,
        follows: bool,
        actions: &mut Vec<Action>,
    ) -> bool {
        self.present = *seen != Seen::Absent;
        match seen {
            Seen::Right => (self.was_right, self.failed) = (true, None),
            Seen::Absent => (self.was_right, self.failed) = (false, None),
            Seen::Blocked(why) => (self.was_right, self.failed) = (false, Some(why.clone())),
            Seen::Differs(found) => return self.differs(now, sysctl, found, follows, actions),
        }
        self.note(now, sysctl, None);
        false
    }

    fn differs(
        &mut self,
        now: Monotonic,
        sysctl: &Sysctl,
        found: &str,
        follows: bool,
        actions: &mut Vec<Action>,
    ) -> bool {
        let (path, found, wanted) = (sysctl.path.clone(), found.to_owned(), sysctl.value.to_owned());
        let changed = self.was_right && !follows;
        self.note(now, sysctl, changed.then_some(&found));
        if changed {
            actions.push(Action::Explain {
                path: path.clone(),
                found: found.clone(),
                wanted: wanted.clone(),
            });
        }
        self.was_right = false;
        let pause = self.fight.pause();
        let wait = pause.is_some() && now < self.next_write || self.failed.is_some() && now < self.retry;
        if !wait {
            self.next_write = now + pause.unwrap_or_default();
            actions.push(Action::Write { path, found, value: wanted });
        }
        changed
    }

    /// A look is over; somebody had set it to `found`, or nobody had.
    fn note(&mut self, now: Monotonic, sysctl: &Sysctl, found: Option<&String>) {
        let was_on = self.fight.is_on();
        let changes: Vec<String> = found.iter().map(|_| sysctl.path.clone()).collect();
        self.fight.looked(now, &changes);
        match (was_on, self.fight.is_on()) {
            (false, true) => log::error!("{}: changed again and again; put right more slowly", sysctl.path),
            (true, false) => log::info!("{}: nobody changes it any more", sysctl.path),
            _ => {}
        }
        if let Some(found) = found {
            let reason = self.drift.take().map(|drift| drift.reason).unwrap_or_default();
            self.drift = Some(Drift { path: sysctl.path.clone(), found: found.clone(), at: now, reason });
        }
    }
}

#[cfg(test)]
mod tests;
