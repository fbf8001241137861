//! What the settings that were read mean: as wanted, changed by somebody, fought over; and when to write.

use ruleset::Sysctl;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;
use sysio::Monotonic;

/// How long a change may go unnoticed. Forwarding has to be back within two seconds; one look is some
/// twenty reads that never touch a disk.
const PERIOD: Duration = Duration::from_secs(1);
/// A write that was refused is tried again after this: who makes /proc writable is a person.
const RETRY: Duration = Duration::from_secs(10);
/// So many changes of one setting within [`FIGHT_WINDOW`] are no accident and no restart of a service.
const FIGHT_CHANGES: usize = 5;
/// A container engine that starts writes a setting a few times within seconds, then rests.
const FIGHT_WINDOW: Duration = Duration::from_secs(60);
/// While two programs write one setting in turn it is put right this often: the line works most of the
/// time against a slow opponent, and a fast one cannot make us burn the processor.
const FIGHT_PERIOD: Duration = Duration::from_secs(10);
/// Without a change for this long the fight is over.
const CALM: Duration = Duration::from_secs(180);
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

/// A setting that another program changes again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fight {
    last: Monotonic,
    next_write: Monotonic,
}

#[derive(Debug, Default)]
struct Key {
    /// It was as wanted at some time since it appeared: only then a difference is somebody's change.
    was_right: bool,
    failed: Option<String>,
    retry: Monotonic,
    changes: VecDeque<Monotonic>,
    fight: Option<Fight>,
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
        self.keys.values().filter(|key| key.fight.is_some()).filter_map(|key| key.drift.as_ref())
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
        if self.fight.is_some_and(|fight| now.since(fight.last) >= CALM) {
            log::info!("{}: nobody changes it any more", sysctl.path);
            self.fight = None;
            self.changes.clear();
        }
        self.present = *seen != Seen::Absent;
        match seen {
            Seen::Right => (self.was_right, self.failed) = (true, None),
            Seen::Absent => (self.was_right, self.failed) = (false, None),
            Seen::Blocked(why) => (self.was_right, self.failed) = (false, Some(why.clone())),
            Seen::Differs(found) => return self.differs(now, sysctl, found, follows, actions),
        }
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
        if changed {
            self.note_change(now, &path, &found);
            actions.push(Action::Explain {
                path: path.clone(),
                found: found.clone(),
                wanted: wanted.clone(),
            });
        }
        self.was_right = false;
        let wait = self.fight.is_some_and(|fight| now < fight.next_write)
            || self.failed.is_some() && now < self.retry;
        if !wait {
            if let Some(fight) = &mut self.fight {
                fight.next_write = now + FIGHT_PERIOD;
            }
            actions.push(Action::Write { path, found, value: wanted });
        }
        changed
    }

    fn note_change(&mut self, now: Monotonic, path: &str, found: &str) {
        self.changes.retain(|at| now.since(*at) < FIGHT_WINDOW);
        self.changes.push_back(now);
        // Bounded whatever comes: only the number that makes a fight matters.
        self.changes.truncate(FIGHT_CHANGES);
        let reason = self.drift.take().map(|drift| drift.reason).unwrap_or_default();
        self.drift = Some(Drift { path: path.to_owned(), found: found.to_owned(), at: now, reason });
        match &mut self.fight {
            Some(fight) => fight.last = now,
            None if self.changes.len() >= FIGHT_CHANGES => {
                log::error!(
                    "{path}: changed {FIGHT_CHANGES} times within {} s; from now on it is put right every {} s only",
                    FIGHT_WINDOW.as_secs(),
                    FIGHT_PERIOD.as_secs()
                );
                self.fight = Some(Fight { last: now, next_write: now });
            }
            None => {}
        }
    }
}
