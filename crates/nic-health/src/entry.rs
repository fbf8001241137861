//! One neighbour entry's life as the monitor saw it, in a few hundred bytes: ten thousand of them
//! must fit.

use std::net::IpAddr;
use std::time::Duration;

use netlink::{HardwareAddress, Neighbour, Nud};
use sysio::Monotonic;

use crate::judge::Verdict;

/// Which entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// The interface.
    pub link: u32,
    /// Whose.
    pub address: IpAddr,
}

/// States that are remembered.
pub const HISTORY: usize = 8;
/// So many confirmations in a row without the kernel asking make an entry suspicious: it may be
/// another host's replies that confirm it.
const LOOPS: u32 = 3;
/// And they took so long: the confirmations of one busy download are no news.
const LOOPING: Duration = Duration::from_secs(60);
/// An address that moves there and back so often within [`FLAPPING`] has two owners.
const FLIPS: u8 = 2;
/// See [`FLIPS`].
pub(crate) const FLAPPING: Duration = Duration::from_secs(10 * 60);

/// What is known of an entry.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As it is now.
    pub now: Neighbour,
    /// Since when we know of it.
    pub since: Monotonic,
    /// States with the second since boot in which they began, oldest first.
    history: [(Nud, u32); HISTORY],
    remembered: u8,
    /// Confirmations without a question of the kernel's, and since when.
    loops: u32,
    loops_since: Monotonic,
    /// The hardware address before, and how often it went back to it.
    previous: Option<HardwareAddress>,
    flips: u8,
    flips_since: Monotonic,
    /// What the last check found.
    pub verdict: Verdict,
    /// When that was.
    pub checked_at: Option<Monotonic>,
    /// Not before this moment again.
    pub(crate) not_before: Monotonic,
    /// Waits for its turn to be checked.
    pub(crate) queued: bool,
    /// How often it was mended.
    pub repairs: u32,
    /// How often in a row it was wrong again.
    pub(crate) streak: u32,
}

impl Entry {
    pub(crate) fn new(at: Monotonic, now: Neighbour) -> Self {
        let mut entry = Self {
            now,
            since: at - Duration::from_millis(now.updated_ms),
            history: [(Nud::None, 0); HISTORY],
            remembered: 0,
            loops: 0,
            loops_since: at,
            previous: None,
            flips: 0,
            flips_since: at,
            verdict: Verdict::Unchecked,
            checked_at: None,
            not_before: Monotonic::default(),
            queued: false,
            repairs: 0,
            streak: 0,
        };
        entry.remember(at, now.state);
        entry
    }

    /// Takes a change; whether the hardware address in use became another.
    pub(crate) fn note(&mut self, at: Monotonic, new: Neighbour) -> bool {
        let old = std::mem::replace(&mut self.now, new);
        match new.state {
            // `neigh_timer_handler` tells DELAY → REACHABLE; DELAY itself it does not tell.
            Nud::Reachable if matches!(old.state, Nud::Reachable | Nud::Stale | Nud::Delay) => {
                if self.loops == 0 {
                    self.loops_since = at;
                }
                self.loops = self.loops.saturating_add(1);
            }
            Nud::Probe | Nud::Incomplete | Nud::Failed => self.loops = 0,
            _ => {}
        }
        if new.state != old.state {
            self.remember(at, new.state);
        }
        let moved = old.mac.is_some() && new.mac.is_some() && old.mac != new.mac;
        if moved {
            self.moved(at, old.mac, new.mac);
        }
        moved
    }

    fn moved(&mut self, at: Monotonic, old: Option<HardwareAddress>, new: Option<HardwareAddress>) {
        if at.since(self.flips_since) > FLAPPING {
            (self.flips, self.flips_since) = (0, at);
        }
        if self.previous == new {
            self.flips = self.flips.saturating_add(1);
        }
        self.previous = old;
        (self.loops, self.verdict) = (0, Verdict::Unchecked);
    }

    /// The other owner, if the address goes back and forth.
    pub(crate) fn flapping(&self) -> Option<HardwareAddress> {
        self.previous.filter(|_| self.flips >= FLIPS)
    }

    /// Confirmed again and again, and never asked: through the states that the monitor tells, or, while
    /// confirmations come faster than it can leave the first of them, by its ages.
    pub fn suspicious(&self, now: Monotonic) -> bool {
        let looping = self.loops >= LOOPS && now.since(self.loops_since) >= LOOPING;
        let long = LOOPING.as_millis();
        let held = u128::from(self.now.updated_ms) >= long && u128::from(self.now.confirmed_ms) < long;
        looping || (self.now.state == Nud::Reachable && held)
    }

    /// The suspicion was looked into.
    pub(crate) fn acquit(&mut self) {
        self.loops = 0;
    }

    /// The states it had, oldest first, with the second since boot in which each began.
    pub fn history(&self) -> &[(Nud, u32)] {
        &self.history[..usize::from(self.remembered)]
    }

    /// Whether it was confirmed within `span`, as far as its states tell.
    pub(crate) fn confirmed_within(&self, now: Monotonic, span: Duration) -> bool {
        let since =
            now.as_millis().saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)) / 1000;
        let recent = |(state, second): &(Nud, u32)| *state == Nud::Reachable && u64::from(*second) >= since;
        self.now.state == Nud::Reachable || self.history().iter().any(recent)
    }

    fn remember(&mut self, at: Monotonic, state: Nud) {
        if usize::from(self.remembered) == HISTORY {
            self.history.rotate_left(1);
            self.remembered -= 1;
        }
        let second = u32::try_from(at.as_millis() / 1000).unwrap_or(u32::MAX);
        self.history[usize::from(self.remembered)] = (state, second);
        self.remembered += 1;
    }
}
