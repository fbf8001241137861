//! When a provider is told of an address, for one record (a name, a family, an account).
//!
//! Pure: moments, addresses, verdicts and jitter come in; what to do goes out. It tells what differs
//! from what was told last, soon; all else (repairs, refreshes, repetitions) rarely, and nothing at all
//! once a provider has said to stop, until its configuration is another.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sysio::Monotonic;

use crate::address::{Reach, reach};
use crate::talk::Verdict;

/// A line that has just changed may change again: a failover settles within its next look.
const SETTLE: Duration = Duration::from_secs(2);
/// Two requests of one record are never closer.
const SPACING: Duration = Duration::from_secs(5);
/// A line that flaps may have so many updates ...
const BURST: usize = 5;
/// ... in this time; providers call more than one in ten minutes abuse if it lasts.
const BURST_TIME: Duration = Duration::from_secs(600);
/// Backoff after failures: from here, doubling ...
const BACKOFF: Duration = Duration::from_secs(30);
/// ... to here.
const BACKOFF_MOST: Duration = Duration::from_secs(3600);
/// A provider that asks for more is believed for a day.
const HOLD_MOST: u64 = 24 * 3600;
/// Told again although nothing changed: several providers drop names after 30 days (ddclient: 25 d).
const REFRESH: u64 = 25 * 24 * 3600;
/// How often it is looked at what the DNS says ...
const CHECK: Duration = Duration::from_secs(1800);
/// ... and first after an update: by then it has passed most caches (TTLs of dynamic names are small).
const CHECK_FIRST: Duration = Duration::from_secs(300);
/// An answer that differs is looked at again so soon; only the second in a row counts.
const CHECK_AGAIN: Duration = Duration::from_secs(600);
/// A name that the DNS has otherwise is told again, at first after this, then ever later ...
const REPAIR: Duration = Duration::from_secs(3600);
/// ... until once a day; at once this rare where the provider said that it has it (`nochg`).
const REPAIR_MOST: Duration = Duration::from_secs(24 * 3600);
/// Failures are somebody's business after this.
const PATIENCE: Duration = Duration::from_secs(600);
/// A date of what was told that lies this far ahead came from a wrong clock.
const AHEAD: u64 = 24 * 3600;

/// What survives a power cut.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What the provider took last.
    pub told: Option<Told>,
    /// That it said to stop.
    pub stopped: Option<Stopped>,
    /// Not before this (seconds since 1970): the provider asked for it.
    pub hold: Option<u64>,
}

/// What a provider took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What we wanted it to have.
    pub wanted: IpAddr,
    /// What it has by its own word: some take the sender's address.
    pub address: IpAddr,
    /// When, in seconds since 1970, once a clock could tell.
    pub unix: Option<u64>,
}

/// What a provider said when it wanted no more of us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Its word.
    pub code: String,
    /// In words.
    pub why: String,
}

/// What the daemon sees at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The address the name is to have: that of the line it leads to.
    pub address: Option<IpAddr>,
    /// Seconds since 1970, if the clock is plausible.
    pub unix: Option<u64>,
    /// Whether this provider can be asked: a clock where it needs one, a line to ask by.
    pub ready: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Tell the provider. Ends with [`Machine::told`].
    Tell(IpAddr),
    /// Ask the DNS. Ends with [`Machine::resolved`].
    Resolve,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The provider said to stop.
    Stopped(Stopped),
    /// Nobody outside can reach the address of the line.
    Unreachable {
        /// The address.
        address: IpAddr,
        /// Why not.
        reach: Reach,
    },
    /// The provider sees another address than the line has: somebody translates.
    Translated {
        /// The line's.
        ours: IpAddr,
        /// What the provider sees.
        seen: IpAddr,
    },
    /// The provider could not be told.
    Failing {
        /// Why, the last time.
        why: String,
    },
    /// The DNS says something else than the provider was told.
    NotServed {
        /// What it says.
        found: Vec<IpAddr>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Telling { wanted: IpAddr },
    Resolving { wanted: IpAddr },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Failing {
    since: Monotonic,
    count: u32,
    why: String,
}

/// One record.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts; the state is the phase")]
pub struct Machine {
    memory: Memory,
    /// Whether the DNS shows what the provider has; failover records and proxies answer otherwise.
    checked: bool,
    phase: Phase,
    address: Option<IpAddr>,
    since: Monotonic,
    attempts: VecDeque<Monotonic>,
    failing: Option<Failing>,
    /// Until then because we think so; a new address ends it.
    backoff: Monotonic,
    /// Until then because the provider says so.
    hold: Monotonic,
    hold_known: bool,
    next_check: Monotonic,
    /// What the DNS said last that differs, and how often in a row.
    differs: Option<(u32, Vec<IpAddr>)>,
    repair_at: Monotonic,
    repair_gap: Duration,
    asked_dns: bool,
    /// A person wants to see whether it works now.
    again: bool,
}

impl Machine {
    /// With what was kept, in a process that starts at `now`.
    pub fn new(memory: Memory, checked: bool, now: Monotonic) -> Self {
        Self {
            memory,
            checked,
            phase: Phase::Idle,
            address: None,
            since: now,
            attempts: VecDeque::new(),
            failing: None,
            backoff: now,
            hold: now,
            hold_known: false,
            next_check: now,
            differs: None,
            repair_at: now,
            repair_gap: REPAIR,
            asked_dns: false,
            again: false,
        }
    }

    /// A person has mended what was wrong at the provider: a stop and a backoff of ours are over, and it
    /// is told once more to see whether it works. A wait that the provider asked for stands, and so does
    /// what is polite. Says whether there was anything to forget.
    pub fn forget(&mut self, now: Monotonic) -> bool {
        let stopped = self.memory.stopped.take().is_some();
        if !stopped && self.failing.is_none() {
            return false;
        }
        self.backoff = now;
        self.again = true;
        true
    }

    /// What must survive.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Looks at the world; gives at most one thing to do.
    pub fn look(&mut self, now: Monotonic, view: &View) -> Option<Action> {
        self.follow_clock(now, view.unix);
        if self.address != view.address {
            self.address = view.address;
            self.since = now;
            // Another address is another question; what the provider asked for stands.
            self.backoff = now;
            self.differs = None;
            // Back at what the provider has: nothing is left to fail.
            if view.address.is_some_and(|address| !self.differs_from_told(address)) {
                self.failing = None;
            }
        }
        let wanted = self.wanted()?;
        if self.phase != Phase::Idle || !view.ready || self.memory.stopped.is_some() {
            return None;
        }
        if self.must_resolve(now, wanted) {
            self.phase = Phase::Resolving { wanted };
            return Some(Action::Resolve);
        }
        if self.must_tell(wanted, view.unix, now) && now >= self.may_tell() {
            self.phase = Phase::Telling { wanted };
            self.attempts.push_back(now);
            if self.attempts.len() > BURST {
                self.attempts.pop_front();
            }
            return Some(Action::Tell(wanted));
        }
        None
    }

    /// What came of [`Action::Tell`]; `jitter` is a random part of 256.
    pub fn told(&mut self, now: Monotonic, unix: Option<u64>, verdict: &Verdict, jitter: u8) {
        let Phase::Telling { wanted } = self.phase else { return };
        self.phase = Phase::Idle;
        match verdict {
            Verdict::Changed { address } => self.accepted(now, unix, wanted, *address, REPAIR),
            Verdict::Same { address } => self.accepted(now, unix, wanted, *address, REPAIR_MOST),
            Verdict::Stop { code, why } => {
                self.failing = None;
                self.again = false;
                self.memory.stopped = Some(Stopped { code: code.clone(), why: why.clone() });
            }
            Verdict::Later { why, at_least } => self.failed(now, unix, why, *at_least, jitter),
        }
    }

    /// What the DNS said after [`Action::Resolve`]: all addresses of the family, none if the name has
    /// none, an error if nobody answered.
    pub fn resolved(&mut self, now: Monotonic, unix: Option<u64>, answer: Result<&[IpAddr], ()>) {
        let Phase::Resolving { wanted } = self.phase else { return };
        self.phase = Phase::Idle;
        self.asked_dns = true;
        self.next_check = now + CHECK;
        let Ok(found) = answer else { return };
        if found == [wanted] {
            self.differs = None;
            self.repair_gap = REPAIR;
            if self.memory.told.is_none() {
                self.memory.told = Some(Told { wanted, address: wanted, unix });
            }
            return;
        }
        if self.memory.told.as_ref().is_some_and(|told| told.address == wanted) {
            let before = self.differs.take().map_or(0, |(times, _)| times);
            self.differs = Some((before.saturating_add(1), found.to_vec()));
            self.next_check = now + CHECK_AGAIN;
        }
    }

    /// When [`Machine::look`] has something to do that no news brings; `None` if only news does.
    pub fn deadline(&self) -> Option<Monotonic> {
        let wanted = self.wanted()?;
        if self.phase != Phase::Idle || self.memory.stopped.is_some() {
            return None;
        }
        let check = self.checked.then_some(self.next_check);
        let tell =
            (self.differs_from_told(wanted) || self.again || self.wants_repair()).then(|| self.may_tell());
        [check, tell].into_iter().flatten().min()
    }

    /// What is wrong.
    pub fn trouble(&self, now: Monotonic) -> Option<Trouble> {
        if let Some(stopped) = &self.memory.stopped {
            return Some(Trouble::Stopped(stopped.clone()));
        }
        let address = self.address?;
        let reach = reach(address);
        if reach != Reach::Public {
            return Some(Trouble::Unreachable { address, reach });
        }
        if let Some(failing) = self.failing.as_ref().filter(|f| now.since(f.since) >= PATIENCE) {
            return Some(Trouble::Failing { why: failing.why.clone() });
        }
        let told = self.memory.told.as_ref().filter(|told| told.wanted == address)?;
        if told.address != address {
            return Some(Trouble::Translated { ours: address, seen: told.address });
        }
        let (times, found) = self.differs.as_ref()?;
        (*times >= 2).then(|| Trouble::NotServed { found: found.clone() })
    }

    /// In a word: for the snapshot.
    pub fn state(&self) -> &'static str {
        match (self.phase, self.wanted()) {
            (Phase::Telling { .. }, _) => "telling",
            _ if self.memory.stopped.is_some() => "stopped",
            (_, None) => "no-address",
            _ if self.failing.is_some() => "retrying",
            (_, Some(wanted)) if self.differs_from_told(wanted) => "pending",
            _ => "current",
        }
    }

    /// Why the last try failed, if it did.
    pub fn last_error(&self) -> Option<&str> {
        self.failing.as_ref().map(|failing| failing.why.as_str())
    }

    fn wanted(&self) -> Option<IpAddr> {
        self.address.filter(|address| reach(*address) == Reach::Public)
    }

    fn differs_from_told(&self, wanted: IpAddr) -> bool {
        self.memory.told.as_ref().is_none_or(|told| told.wanted != wanted)
    }

    fn wants_repair(&self) -> bool {
        self.differs.as_ref().is_some_and(|(times, _)| *times >= 2)
    }

    /// The DNS is asked before the first word of a process that knows nothing, because an update that
    /// changes nothing is what providers block; else now and then.
    fn must_resolve(&self, now: Monotonic, wanted: IpAddr) -> bool {
        if !self.checked {
            return false;
        }
        if self.memory.told.is_none() {
            return !self.asked_dns;
        }
        !self.differs_from_told(wanted) && now >= self.next_check
    }

    fn must_tell(&self, wanted: IpAddr, unix: Option<u64>, now: Monotonic) -> bool {
        if self.differs_from_told(wanted) || self.again {
            return true;
        }
        let at = self.memory.told.as_ref().and_then(|told| told.unix);
        let old = unix.zip(at).is_some_and(|(unix, at)| unix.saturating_sub(at) >= REFRESH);
        old || (self.wants_repair() && now >= self.repair_at)
    }

    /// The moment from which telling is polite.
    fn may_tell(&self) -> Monotonic {
        let spacing = self.attempts.back().map(|last| *last + SPACING);
        let full = self.attempts.len() >= BURST;
        let burst = self.attempts.front().filter(|_| full).map(|first| *first + BURST_TIME);
        let settled = self.since + SETTLE;
        let same = self.address.is_some_and(|a| !self.differs_from_told(a));
        let repair = (same && !self.again).then_some(self.repair_at);
        let all = [spacing, burst, Some(settled), Some(self.backoff), Some(self.hold), repair];
        all.into_iter().flatten().max().unwrap_or(settled)
    }

    fn accepted(
        &mut self,
        now: Monotonic,
        unix: Option<u64>,
        wanted: IpAddr,
        address: IpAddr,
        gap: Duration,
    ) {
        if self.wants_repair() {
            self.repair_gap = (self.repair_gap * 2).min(REPAIR_MOST);
        }
        self.memory = Memory { told: Some(Told { wanted, address, unix }), stopped: None, hold: None };
        self.failing = None;
        self.again = false;
        self.differs = None;
        self.repair_at = now + self.repair_gap.max(gap);
        self.next_check = now + CHECK_FIRST;
    }

    fn failed(&mut self, now: Monotonic, unix: Option<u64>, why: &str, at_least: u64, jitter: u8) {
        let before = self.failing.take();
        let count = before.as_ref().map_or(0, |f| f.count).saturating_add(1);
        let since = before.map_or(now, |f| f.since);
        self.failing = Some(Failing { since, count, why: why.to_owned() });
        let base = BACKOFF.saturating_mul(1 << (count - 1).min(16)).min(BACKOFF_MOST);
        // Up to a quarter more, so that a thousand boxes do not come back at once.
        self.backoff = now + base + base / 4 * u32::from(jitter) / 256;
        let at_least = at_least.min(HOLD_MOST);
        self.hold = now + Duration::from_secs(at_least);
        self.hold_known = true;
        self.memory.hold = unix.filter(|_| at_least > 0).map(|unix| unix.saturating_add(at_least));
    }

    /// What depends on a clock that may be set late.
    fn follow_clock(&mut self, now: Monotonic, unix: Option<u64>) {
        let Some(unix) = unix else { return };
        if let Some(told) = &mut self.memory.told
            && told.unix.is_none_or(|at| at > unix.saturating_add(AHEAD))
        {
            told.unix = Some(unix);
        }
        if !self.hold_known {
            self.hold_known = true;
            let left = self.memory.hold.map_or(0, |until| until.saturating_sub(unix));
            // Further ahead than any provider is believed: another clock wrote it.
            let left = if left > HOLD_MOST { 0 } else { left };
            self.hold = now + Duration::from_secs(left);
        }
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
