//! Decides what is told: one alert when a condition has lasted a while, one message when it has been
//! gone for a while, a reminder a day while an error lasts, and a summary instead of a flood.
//!
//! Pure: looks and moments in, notices out; it wants to look every few seconds, whether something has
//! changed or not, because most of what it does is waiting. What was told is given back by [`Alerts::told`], so that
//! neither a restart nor a reboot tells it again. A daemon that nobody hears says nothing: its
//! conditions are neither there nor gone.

mod family;
mod spell;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use snapshot::{Condition, Severity};
use sysio::Monotonic;

use crate::notice::{Item, Kind, Notice};
use family::{Key, first, key, rank, worst};
use spell::Spell;

/// The condition of a daemon that nobody hears.
pub const SILENT: &str = "daemon-silent";
/// A daemon is back within this after a crash (systemd waits 30 s at most before it starts it again)
/// and after a boot; less would be noise.
const SILENT_SETTLE: Duration = Duration::from_secs(120);
/// The conditions of a part that is not there at all any more are over after this; a part that has
/// not started yet after a boot looks the same.
const VANISHED: Duration = Duration::from_secs(180);
/// More conditions at once than all daemons together have ids; what is beyond waits its turn.
const MOST_TRACKS: usize = 200;
/// While an error lasts it is told again after this.
const REMIND: Duration = Duration::from_secs(24 * 3600);
/// So many messages within [`WINDOW`] and no more.
pub const MOST: usize = 6;
/// See [`MOST`].
pub const WINDOW: Duration = Duration::from_secs(600);
/// The last message of a window waits so long for others to join it.
const GATHER: Duration = Duration::from_secs(30);

/// What is told, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// From this severity on.
    pub least: Severity,
    /// How long a warning must last.
    pub warning_settle: Duration,
    /// How long an error must last.
    pub error_settle: Duration,
    /// How long it must be gone.
    pub recovered: Duration,
}

impl Policy {
    fn settle(&self, id: &str, severity: Severity) -> Duration {
        match severity {
            _ if id == SILENT => SILENT_SETTLE,
            Severity::Error => self.error_settle,
            Severity::Warning | Severity::Info => self.warning_settle,
        }
    }
}

/// One daemon at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub daemon: String,
    /// What it says.
    pub says: Says,
}

/// What a daemon says at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// These are wrong.
    Heard(Vec<Condition>),
    /// Nothing that can be believed; why.
    Nothing(String),
}

/// What was told and is not over; kept on data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Who said it.
    pub daemon: String,
    /// The condition's id.
    pub id: String,
    /// As bad as it was told.
    pub severity: Severity,
    /// In words.
    pub summary: String,
    /// When it was told first, in seconds since 1970, if that was known.
    pub first_unix: Option<u64>,
    /// When it was told last.
    pub last_unix: Option<u64>,
}

#[derive(Debug)]
enum Track {
    /// Not told yet: there, or gone for a moment.
    Settling { spell: Spell },
    /// There, and told. `worse`: how long it has been worse than it was told; `milder`: since when
    /// another of its family stands in its place.
    Told { told: Told, worse: Option<Spell>, milder: Option<Monotonic>, remind: Monotonic },
    /// Told, and gone.
    Leaving { told: Told, since: Monotonic, vanished: bool, remind: Monotonic },
}

/// What the machine keeps over restarts besides [`Told`]: what waits for a summary.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The newest of them.
    pub items: Vec<Item>,
    /// How many more.
    pub more: u64,
}

/// The machine.
#[derive(Debug)]
pub struct Alerts {
    policy: Policy,
    tracks: BTreeMap<Key, Track>,
    sent: VecDeque<Monotonic>,
    held: Held,
    held_since: Monotonic,
}

impl Alerts {
    /// Goes on from what was told and held before.
    pub fn new(policy: Policy, now: Monotonic, unix: Option<u64>, told: Vec<Told>, held: Held) -> Self {
        let tracks = told.into_iter().map(|told| {
            let key = key(&told.daemon, &told.id);
            // The wall clock may have jumped: a reminder is never further away than a day.
            let since = told.last_unix.zip(unix).map(|(last, now)| now.saturating_sub(last));
            let left = since.map_or(REMIND, |past| REMIND.saturating_sub(Duration::from_secs(past)));
            (key, Track::Told { told, worse: None, milder: None, remind: now + left })
        });
        Self { policy, tracks: tracks.collect(), sent: VecDeque::new(), held, held_since: now }
    }

    /// What has been told and is not over.
    pub fn told(&self) -> Vec<Told> {
        let told = |track: &Track| match track {
            Track::Settling { .. } => None,
            Track::Told { told, .. } | Track::Leaving { told, .. } => Some(told.clone()),
        };
        self.tracks.values().filter_map(told).collect()
    }

    /// What waits for a summary.
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// How all daemons are at this moment; what is to be told now.
    pub fn look(&mut self, now: Monotonic, unix: Option<u64>, all: &[Seen]) -> Vec<Notice> {
        let mut due = Vec::new();
        for seen in all {
            match &seen.says {
                Says::Heard(conditions) => self.heard(now, &seen.daemon, conditions),
                Says::Nothing(_) => self.silent(now, &seen.daemon),
            }
        }
        self.vanished(now, all);
        let current = worst(all.iter().flat_map(current), self.policy.least);
        let keys: Vec<Key> = self.tracks.keys().cloned().collect();
        for key in keys {
            due.extend(self.ripe(now, unix, &key, current.get(&key)));
        }
        let mut out = Vec::new();
        for notice in due {
            out.extend(self.limited(now, notice));
        }
        out.extend(self.gathered(now));
        out
    }

    fn heard(&mut self, now: Monotonic, daemon: &str, conditions: &[Condition]) {
        let bad = conditions.iter().filter(|c| c.severity >= self.policy.least);
        let there: BTreeSet<Key> = bad.map(|c| key(daemon, &c.id)).collect();
        for (key, track) in self.tracks.range_mut(first(daemon)..).take_while(|(key, _)| key.0 == daemon) {
            if there.contains(key) {
                track.is_there(now);
            } else {
                track.is_gone(now, false);
            }
        }
        for key in there {
            self.begin(now, key);
        }
        self.forget_settled(now);
    }

    fn silent(&mut self, now: Monotonic, daemon: &str) {
        for (key, track) in self.tracks.range_mut(first(daemon)..).take_while(|(key, _)| key.0 == daemon) {
            // What it said last is not known to be over, and not known to go on.
            match track {
                Track::Settling { spell } if key.1 != SILENT => spell.gone(now),
                track => track.is_there(now),
            }
        }
        if self.policy.least <= Severity::Warning {
            self.begin(now, key(daemon, SILENT));
        }
        self.forget_settled(now);
    }

    fn begin(&mut self, now: Monotonic, key: Key) {
        if self.tracks.len() < MOST_TRACKS || self.tracks.contains_key(&key) {
            self.tracks.entry(key).or_insert(Track::Settling { spell: Spell::new(now) });
        }
    }

    /// Parts that are not in the list at all.
    fn vanished(&mut self, now: Monotonic, all: &[Seen]) {
        for (key, track) in &mut self.tracks {
            if !all.iter().any(|seen| seen.daemon == key.0) {
                track.is_gone(now, true);
            }
        }
        self.forget_settled(now);
    }

    /// What was never told and has been gone for as long as a recovery takes.
    fn forget_settled(&mut self, now: Monotonic) {
        let after = self.policy.recovered;
        self.tracks.retain(|_, track| match track {
            Track::Settling { spell } => !spell.is_over(now, after),
            Track::Told { .. } | Track::Leaving { .. } => true,
        });
    }

    /// What a family's time has come for; `is` is the worst of it at this moment.
    fn ripe(
        &mut self,
        now: Monotonic,
        unix: Option<u64>,
        key: &Key,
        is: Option<&Condition>,
    ) -> Option<Notice> {
        let policy = &self.policy;
        let track = self.tracks.get_mut(key)?;
        match track {
            Track::Settling { spell } => {
                let is = is?;
                if spell.lasted(now) < policy.settle(&is.id, is.severity) {
                    return None;
                }
                let told = Told {
                    daemon: key.0.clone(),
                    id: is.id.clone(),
                    severity: is.severity,
                    summary: is.summary.clone(),
                    first_unix: unix,
                    last_unix: unix,
                };
                *track = Track::Told { told, worse: None, milder: None, remind: now + REMIND };
                Some(notice(Kind::Alert, &key.0, is))
            }
            Track::Told { told, worse, milder, remind } => {
                if differs(policy, now, told, is, (&mut *worse, &mut *milder)) {
                    let was = std::mem::replace(&mut told.id, is?.id.clone());
                    (told.severity, told.last_unix, told.summary) = (is?.severity, unix, is?.summary.clone());
                    (*worse, *milder, *remind) = (None, None, now + REMIND);
                    return Some(notice(Kind::Alert, &key.0, is?).instead_of(was));
                }
                let is = is.filter(|is| is.id == told.id)?;
                if told.severity == Severity::Error && now >= *remind {
                    (told.last_unix, *remind) = (unix, now + REMIND);
                    return Some(notice(Kind::Reminder, &key.0, is));
                }
                None
            }
            Track::Leaving { told, since, vanished, .. } => {
                let wait = if *vanished { policy.recovered.max(VANISHED) } else { policy.recovered };
                if now.since(*since) < wait {
                    return None;
                }
                let over = recovery(told, unix);
                self.tracks.remove(key);
                Some(over)
            }
        }
    }

    /// A notice that may go out now; else it is held for a summary.
    fn limited(&mut self, now: Monotonic, notice: Notice) -> Option<Notice> {
        self.forget_sent(now);
        // The last one of a window is kept for the summary, and so is whatever comes behind it.
        if self.held.items.is_empty() && self.sent.len() + 1 < MOST {
            self.sent.push_back(now);
            return Some(notice);
        }
        if self.held.items.is_empty() {
            self.held_since = now;
        }
        let (items, more) = notice.into_items();
        self.held.items.extend(items);
        self.held.more += more;
        let beyond = self.held.items.len().saturating_sub(crate::notice::ITEMS);
        self.held.items.drain(..beyond);
        self.held.more += beyond as u64;
        None
    }

    /// The summary, once others had time to join it and the window has room for it.
    fn gathered(&mut self, now: Monotonic) -> Option<Notice> {
        self.forget_sent(now);
        if self.held.items.is_empty() || now.since(self.held_since) < GATHER || self.sent.len() >= MOST {
            return None;
        }
        self.sent.push_back(now);
        let Held { items, more } = std::mem::take(&mut self.held);
        let count = items.len() as u64 + more;
        let title = format!("{count} messages in one");
        let text =
            format!("More than {MOST} messages within {} minutes are told in one.", WINDOW.as_secs() / 60);
        Some(Notice::summary(items, more, &title, &text))
    }

    fn forget_sent(&mut self, now: Monotonic) {
        while self.sent.front().is_some_and(|at| now.since(*at) >= WINDOW) {
            self.sent.pop_front();
        }
    }
}

impl Track {
    fn is_there(&mut self, now: Monotonic) {
        match self {
            Self::Settling { spell } => spell.there(now),
            Self::Told { .. } => {}
            Self::Leaving { told, remind, .. } => {
                let (told, remind) = (told.clone(), *remind);
                *self = Self::Told { told, worse: None, milder: None, remind };
            }
        }
    }

    fn is_gone(&mut self, now: Monotonic, vanished: bool) {
        match self {
            Self::Settling { spell } => spell.gone(now),
            Self::Told { told, remind, .. } => {
                let (told, remind) = (told.clone(), *remind);
                *self = Self::Leaving { told, since: now, vanished, remind };
            }
            Self::Leaving { .. } => {}
        }
    }
}

/// Whether something else than what was told has stood long enough to be told in its place. What is
/// worse may come and go while it settles; what is milder must stand for as long as a recovery takes,
/// so that trouble that swings between two states is not told with every swing.
fn differs(
    policy: &Policy,
    now: Monotonic,
    told: &Told,
    is: Option<&Condition>,
    (worse, milder): (&mut Option<Spell>, &mut Option<Monotonic>),
) -> bool {
    let change = is.map(|is| rank(&is.id, is.severity).cmp(&rank(&told.id, told.severity)));
    match (is, change) {
        (Some(is), Some(Ordering::Greater)) => {
            let spell = worse.get_or_insert_with(|| Spell::new(now));
            spell.there(now);
            *milder = None;
            return spell.lasted(now) >= policy.settle(&is.id, is.severity);
        }
        // The same trouble as a lesser one is no news.
        (Some(is), Some(Ordering::Less)) if is.id != told.id => {
            let since = *milder.get_or_insert(now);
            if now.since(since) >= policy.settle(&is.id, is.severity).max(policy.recovered) {
                return true;
            }
        }
        _ => *milder = None,
    }
    if let Some(spell) = worse {
        spell.gone(now);
        if spell.is_over(now, policy.recovered) {
            *worse = None;
        }
    }
    false
}

fn current(seen: &Seen) -> Vec<(String, Condition)> {
    match &seen.says {
        Says::Heard(conditions) => conditions.iter().map(|c| (seen.daemon.clone(), c.clone())).collect(),
        Says::Nothing(why) => {
            let condition = Condition::new(
                SILENT,
                Severity::Warning,
                format!("{} is not heard of", seen.daemon),
                format!("{why}. systemd starts it again and again; what it does rests meanwhile."),
            );
            vec![(seen.daemon.clone(), condition)]
        }
    }
}

fn notice(kind: Kind, daemon: &str, is: &Condition) -> Notice {
    let title = if kind == Kind::Reminder { format!("still: {}", is.summary) } else { is.summary.clone() };
    Notice::new(kind, is.severity, daemon, &is.id, &title, &is.detail)
}

fn recovery(told: &Told, unix: Option<u64>) -> Notice {
    let lasted = told.first_unix.zip(unix).and_then(|(first, now)| now.checked_sub(first));
    let text = lasted.map_or_else(String::new, |seconds| {
        format!("It was told {} ago.", overview::ago(seconds.saturating_mul(1000)))
    });
    let title = format!("over: {}", told.summary);
    Notice::new(Kind::Recovery, told.severity, &told.daemon, &told.id, &title, &text)
}

#[cfg(test)]
#[path = "alerts_tests.rs"]
mod tests;
