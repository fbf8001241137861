//! What an interface's counters tell of a line that carries nothing else.

use std::time::Duration;

use sysio::Monotonic;

/// What goes out and is not followed by anything coming in for so long is looked into.
const UNANSWERED: Duration = Duration::from_secs(1);
/// After a look that found the line alive: some flows have no answers (syslog, telemetry), so the next
/// look waits, longer each time.
const AGAIN_FIRST: Duration = Duration::from_secs(10);
const AGAIN_LONGEST: Duration = Duration::from_secs(160);

/// Traffic that was answered so long ago says nothing of now.
const FRESH: Duration = Duration::from_secs(3);

/// What a count says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Says {
    Nothing,
    /// What was sent was followed by something received.
    Alive,
}

#[derive(Debug, Default)]
pub(crate) struct Passive {
    sent: Option<u64>,
    received: u64,
    /// Something went out then, nothing has come in since.
    waiting: Option<Monotonic>,
    not_before: Monotonic,
    again: Duration,
    /// Packets that came in since the last answer to a probe.
    pub(crate) unasked: u64,
    /// When traffic was answered last.
    alive: Option<Monotonic>,
}

impl Passive {
    pub(crate) fn count(&mut self, now: Monotonic, sent: u64, received: u64) -> Says {
        // A new interface counts from zero.
        let restarted = self.sent.is_none_or(|before| sent < before) || received < self.received;
        let (out, into) =
            if restarted { (0, 0) } else { (sent - self.sent.unwrap_or(sent), received - self.received) };
        (self.sent, self.received) = (Some(sent), received);
        self.unasked = self.unasked.saturating_add(into);
        let waited = self.waiting.is_some() || out > 0;
        if into > 0 {
            self.waiting = None;
            self.alive = if waited { Some(now) } else { self.alive };
            return if waited { Says::Alive } else { Says::Nothing };
        }
        if out > 0 && self.waiting.is_none() {
            self.waiting = Some(now);
        }
        Says::Nothing
    }

    /// Traffic is being answered: counters come once a second or so.
    pub(crate) fn is_fresh(&self, now: Monotonic) -> bool {
        self.alive.is_some_and(|at| now.since(at) < FRESH)
    }

    /// It is time to look: something went out and nothing came back.
    pub(crate) fn is_due(&self, now: Monotonic) -> bool {
        self.deadline().is_some_and(|at| now >= at)
    }

    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        self.waiting.map(|since| (since + UNANSWERED).max(self.not_before))
    }

    /// A look was taken.
    pub(crate) fn looked(&mut self, now: Monotonic) {
        let calm = now.since(self.not_before) > AGAIN_LONGEST;
        self.waiting = None;
        self.again = if calm { AGAIN_FIRST } else { (self.again * 2).clamp(AGAIN_FIRST, AGAIN_LONGEST) };
        self.not_before = now + self.again;
    }

    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }
}
