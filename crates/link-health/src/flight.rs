//! Probes under way, and what became of the last ones.

use std::time::Duration;

use sysio::Monotonic;

use crate::pace::{GRACE, IN_FLIGHT, LATE};

/// What became of a probe, as far as a silence is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Waiting,
    /// No answer, or a refusal.
    Failed,
    /// Says nothing: not sent, or its name was not resolved.
    Void,
    Answered,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) id: u64,
    pub(crate) track: usize,
    pub(crate) at: Monotonic,
    pub(crate) timeout: Duration,
    pub(crate) fate: Fate,
}

impl Sent {
    /// Unanswered for as long as a judgement needs.
    pub(crate) fn is_silent(&self, now: Monotonic, unanswered: Duration) -> bool {
        match self.fate {
            Fate::Failed => true,
            Fate::Waiting => now.since(self.at) >= unanswered.min(self.timeout),
            Fate::Void | Fate::Answered => false,
        }
    }
}

/// The last probes, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    sent: Vec<Sent>,
    next: u64,
}

/// Probes remembered; a silence is judged by the last few seconds of them.
const REMEMBERED: usize = 4 * IN_FLIGHT;

impl Flight {
    pub(crate) fn launch(&mut self, now: Monotonic, track: usize, timeout: Duration) -> u64 {
        self.next += 1;
        if self.sent.len() == REMEMBERED {
            self.sent.remove(0);
        }
        self.sent.push(Sent { id: self.next, track, at: now, timeout, fate: Fate::Waiting });
        self.next
    }

    pub(crate) fn full(&self) -> bool {
        self.sent.iter().filter(|s| s.fate == Fate::Waiting).count() >= IN_FLIGHT
    }

    pub(crate) fn waits_for(&self, track: usize) -> bool {
        self.sent.iter().any(|s| s.track == track && s.fate == Fate::Waiting)
    }

    pub(crate) fn find(&mut self, id: u64) -> Option<&mut Sent> {
        self.sent.iter_mut().rev().find(|s| s.id == id)
    }

    /// A probe whose result should be here by now.
    pub(crate) fn overdue(&mut self, now: Monotonic) -> Option<Sent> {
        let sent =
            self.sent.iter_mut().find(|s| s.fate == Fate::Waiting && now >= s.at + s.timeout + GRACE)?;
        sent.fate = Fate::Failed;
        Some(*sent)
    }

    pub(crate) fn forget_old(&mut self, now: Monotonic) {
        self.sent.retain(|s| s.fate == Fate::Waiting || now.since(s.at) < s.timeout + LATE);
    }

    /// We slept: what is under way says nothing.
    pub(crate) fn void(&mut self) {
        self.sent.iter_mut().filter(|s| s.fate == Fate::Waiting).for_each(|s| s.fate = Fate::Void);
    }

    pub(crate) fn clear(&mut self) {
        self.sent.clear();
    }

    /// Targets have other places in the list now, or none.
    pub(crate) fn renumber(&mut self, place: impl Fn(usize) -> Option<usize>) {
        self.sent.retain_mut(|s| place(s.track).inspect(|new| s.track = *new).is_some());
    }

    pub(crate) fn since(&self, moment: Monotonic) -> impl Iterator<Item = &Sent> {
        self.sent.iter().filter(move |s| s.at >= moment)
    }

    /// Moments after `now` at which something of a probe becomes true.
    pub(crate) fn deadlines(&self, now: Monotonic, unanswered: Duration) -> impl Iterator<Item = Monotonic> {
        self.sent
            .iter()
            .filter(|s| s.fate == Fate::Waiting)
            .flat_map(move |s| [s.at + s.timeout + GRACE, s.at + unanswered.min(s.timeout)])
            .filter(move |at| *at > now)
    }
}
