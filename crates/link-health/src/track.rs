//! What is known of one target.

use std::collections::VecDeque;
use std::time::Duration;

use sysio::Monotonic;

use crate::pace::{LOSSY_FROM, Sort, fails_needed};
use crate::{REMEMBERED, Target, TargetReport, TargetState};

/// Why a target is not alive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Failure {
    #[default]
    Silent,
    Refused(String),
    Wrong(String),
    Nameless,
}

/// Whether a target answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Life {
    #[default]
    Unknown,
    Alive,
    Dead,
}

/// Answers in a row after which a dead target is alive again.
const WINS_NEEDED: u32 = 2;
/// Failures that confirm a dead target's death in a doubt.
const REFUTED: u32 = 2;
/// Fewer probes of a target say nothing of its loss.
const LOSS_NEEDS: usize = 10;

#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) target: Target,
    pub(crate) sort: Sort,
    pub(crate) life: Life,
    /// Of the last probe that failed.
    pub(crate) failure: Failure,
    /// In a row, one of them 0.
    pub(crate) fails: u32,
    pub(crate) wins: u32,
    /// When it was asked last.
    pub(crate) asked: Option<Monotonic>,
    /// When the last question that was answered was sent.
    good: Option<Monotonic>,
    unsent: Option<Monotonic>,
    refuted: u32,
    /// Its death is part of what is said already.
    pub(crate) accounted: bool,
    smoothed: Option<(Duration, Duration)>,
    recent: VecDeque<bool>,
    latency: Option<Duration>,
    code: Option<u16>,
    at: Option<Monotonic>,
}

impl Track {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            sort: Sort::of(&target.kind),
            target,
            life: Life::Unknown,
            failure: Failure::Silent,
            fails: 0,
            wins: 0,
            asked: None,
            good: None,
            unsent: None,
            refuted: 0,
            accounted: false,
            smoothed: None,
            recent: VecDeque::with_capacity(REMEMBERED),
            latency: None,
            code: None,
            at: None,
        }
    }

    /// A new address or path: what was known of the way is not true any more, latency likely is.
    pub(crate) fn forget(&mut self) {
        let mut fresh = Self::new(self.target.clone());
        fresh.smoothed = self.smoothed;
        *self = fresh;
    }

    /// It answered a question sent at `sent`; `late` if that had been counted as failed.
    pub(crate) fn good(
        &mut self,
        now: Monotonic,
        sent: Monotonic,
        latency: Duration,
        code: Option<u16>,
        late: bool,
    ) {
        if !(late && self.recent.back_mut().map(|lost| *lost = false).is_some()) {
            self.remember(false);
        }
        self.smooth(latency);
        (self.latency, self.code, self.at) = (Some(latency), code, Some(now));
        self.good = self.good.max(Some(sent));
        self.fails = 0;
        self.wins = self.wins.saturating_add(1);
        if self.life == Life::Unknown || self.wins >= WINS_NEEDED {
            self.life = Life::Alive;
            self.accounted = false;
        }
    }

    /// It did not answer, or not as it should.
    pub(crate) fn bad(&mut self, now: Monotonic, failure: Failure, code: Option<u16>, loss_percent: f64) {
        self.remember(true);
        self.code = code;
        self.at = Some(now);
        self.failure = failure;
        self.wins = 0;
        self.fails = self.fails.saturating_add(1);
        self.refuted = self.refuted.saturating_add(1);
        if self.fails >= fails_needed(self.sort, loss_percent) {
            self.life = Life::Dead;
        }
    }

    pub(crate) fn unsent(&mut self, now: Monotonic) {
        self.unsent = Some(now);
    }

    /// Whether a question sent at `at` says something of how much the line loses. Several in a row that
    /// nobody answered say that the target is dying, until it answers after all.
    pub(crate) fn tells_of_loss(&self, at: Monotonic) -> bool {
        const IN_A_ROW: u32 = 2;
        self.life != Life::Dead && (self.fails < IN_A_ROW || Some(at) <= self.good)
    }

    /// The line is silent as a whole.
    pub(crate) fn kill(&mut self) {
        self.life = Life::Dead;
        self.accounted = true;
        self.wins = 0;
    }

    pub(crate) fn doubt(&mut self) {
        self.refuted = 0;
    }

    /// What is known of it is newer than the doubt that began at `since`.
    pub(crate) fn settled(&self, since: Monotonic) -> bool {
        self.unsent.is_some_and(|at| at >= since)
            || match self.life {
                Life::Unknown => false,
                Life::Alive => self.fails == 0 && self.good.is_some_and(|at| at >= since),
                Life::Dead => self.wins == 0 && self.refuted >= REFUTED,
            }
    }

    /// Its last probe contradicts what is thought of it.
    pub(crate) fn contradicts(&self) -> bool {
        match self.life {
            Life::Dead => self.wins > 0,
            Life::Alive | Life::Unknown => self.fails > 0,
        }
    }

    pub(crate) fn is_nameless(&self) -> bool {
        self.life == Life::Dead && self.failure == Failure::Nameless
    }

    pub(crate) fn smoothed(&self) -> Option<(Duration, Duration)> {
        self.smoothed
    }

    /// RFC 6298, section 2.
    fn smooth(&mut self, latency: Duration) {
        self.smoothed = Some(match self.smoothed {
            None => (latency, latency / 2),
            Some((mean, deviation)) => {
                ((mean * 7 + latency) / 8, (deviation * 3 + mean.abs_diff(latency)) / 4)
            }
        });
    }

    fn remember(&mut self, lost: bool) {
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(lost);
    }

    pub(crate) fn report(&self) -> TargetReport {
        let loss_percent = (!self.recent.is_empty())
            .then(|| percent(self.recent.iter().filter(|lost| **lost).count(), self.recent.len()));
        let state = match self.life {
            Life::Unknown => TargetState::Unknown,
            Life::Dead if self.failure == Failure::Nameless => TargetState::Unresolvable,
            Life::Dead => TargetState::Down,
            Life::Alive if self.recent.len() >= LOSS_NEEDS && loss_percent >= Some(LOSSY_FROM) => {
                TargetState::Lossy
            }
            Life::Alive => TargetState::Up,
        };
        TargetReport { state, latency: self.latency, loss_percent, code: self.code, at: self.at }
    }
}

/// `part` of `whole` in percent.
#[expect(clippy::cast_precision_loss, reason = "counts of probes are far below 2^52")]
pub(crate) fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
