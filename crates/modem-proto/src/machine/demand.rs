//! Whether a call is wanted: always, or only while the wired line is down.
//!
//! A wired line that is down for a moment, or that nobody reports on, counts as down after a while: on
//! a plan paid by the day a call too many costs a day's fee, a call too few costs what the appliance is
//! there for.

use sysio::Monotonic;

use super::{Action, Dial, Machine, State, Wired, pace};

/// What is known about the need for a call.
#[derive(Debug)]
pub(super) struct Demand {
    wired: Wired,
    since: Monotonic,
    /// When the wired line was last known to work; the start, if never.
    worked: Monotonic,
    /// What a person asked for.
    asked: Option<bool>,
    /// When.
    asked_at: Monotonic,
}

impl Demand {
    pub(super) fn new(now: Monotonic) -> Self {
        Self { wired: Wired::Unknown, since: now, worked: now, asked: None, asked_at: now }
    }

    /// When the wired line, if it stays as it is, has been away for so long that a call is worth it.
    fn due(&self) -> Option<Monotonic> {
        let unknown = self.worked + pace::UNKNOWN_IS_DOWN;
        match self.wired {
            Wired::Up => None,
            // A line that keeps going from one to the other works in neither.
            Wired::Down => Some(unknown.min(self.since + pace::DOWN_HOLDS)),
            Wired::Unknown => Some(unknown),
        }
    }
}

impl Machine {
    /// Whether to make a call.
    pub(super) fn wanted(&self, now: Monotonic) -> bool {
        self.settings.dial == Dial::Always
            || self.demand.asked.unwrap_or_else(|| self.demand.due().is_some_and(|due| now >= due))
    }

    /// Whether a call is held, or being made, because a person asked for it while the wired line works.
    pub fn dialled_on_request(&self) -> bool {
        let held = !matches!(self.state, State::Standby { .. } | State::Absent { .. });
        self.settings.dial != Dial::Always
            && held
            && self.demand.asked == Some(true)
            && self.demand.wired == Wired::Up
    }

    /// When the call that is up should end, if the wired line stays as it is.
    fn hang_up_at(&self) -> Option<Monotonic> {
        match (self.settings.dial, self.demand.asked, self.demand.wired) {
            (Dial::OnDemand { .. }, Some(false), _) => Some(self.demand.since),
            (Dial::OnDemand { .. }, Some(true), Wired::Up) => Some(self.demand.asked_at + pace::ASKED_CALL),
            (Dial::OnDemand { idle_hangup }, None, Wired::Up) => Some(self.demand.since + idle_hangup),
            _ => None,
        }
    }

    pub(super) fn on_wired(&mut self, now: Monotonic, wired: Wired) -> Vec<Action> {
        if wired != self.demand.wired {
            // What was asked for was asked for the line as it was: a call for that outage ends with
            // it, and "no call now" must not keep the line down in the next one.
            if wired == Wired::Up || self.demand.wired == Wired::Up {
                self.demand.asked = self.demand.asked.filter(|call| *call && wired != Wired::Up);
            }
            if self.demand.wired == Wired::Up {
                self.demand.worked = now;
            }
            self.demand.wired = wired;
            self.demand.since = now;
        }
        self.judge_demand(now)
    }

    pub(super) fn on_asked(&mut self, now: Monotonic, call: bool) -> Vec<Action> {
        self.demand.asked = Some(call);
        self.demand.asked_at = now;
        let mut actions = self.judge_demand(now);
        if call && matches!(self.state, State::Waiting { .. }) && !self.session {
            actions.extend(self.begin(now));
        }
        actions
    }

    /// Dials or hangs up if that is due.
    pub(super) fn judge_demand(&mut self, now: Monotonic) -> Vec<Action> {
        let over = now.since(self.demand.asked_at) >= pace::ASKED_CALL;
        if over && self.demand.asked == Some(true) && self.demand.wired == Wired::Up {
            // Forgotten: on a plan paid by the day it must not go on for ever.
            self.demand.asked = Some(false);
        }
        if matches!(self.state, State::Standby { .. }) && self.wanted(now) {
            return self.leave_standby(now);
        }
        let due = self.demand.due().filter(|_| self.demand.asked.is_none());
        if let (State::Standby { until }, Some(due)) = (&mut self.state, due) {
            *until = (*until).min(due);
        }
        let Some(at) = self.hang_up_at() else { return Vec::new() };
        match &mut self.state {
            State::Connected { .. } if now >= at => self.hang_up(now),
            State::Connected { until, .. } => {
                *until = (*until).min(at);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Ends the session in order; what follows is decided when it has ended.
    pub(super) fn hang_up(&mut self, now: Monotonic) -> Vec<Action> {
        self.state = State::Ending { lost: None, until: now + pace::SESSION_END };
        vec![Action::EndSession]
    }

    /// Everything is ready, and no call is wanted.
    pub(super) fn standby(&mut self, now: Monotonic) -> Vec<Action> {
        self.note_success(now, "ready; no call is wanted");
        self.trouble = None;
        self.attempt = 0;
        self.ladder.settle();
        let mut until = now + pace::STANDBY_LOOK;
        if let Some(due) = self.demand.due().filter(|_| self.demand.asked.is_none()) {
            until = until.min(due.max(now + pace::HANG_UP));
        }
        self.state = State::Standby { until };
        Vec::new()
    }

    /// A network card has no port to ask; its address is what is to be had.
    fn leave_standby(&mut self, now: Monotonic) -> Vec<Action> {
        if self.port.is_some() { self.dial(now) } else { self.begin(now) }
    }

    pub(super) fn on_standby_deadline(&mut self, now: Monotonic) -> Vec<Action> {
        if self.wanted(now) {
            return self.leave_standby(now);
        }
        if self.port.is_some() { self.register(now) } else { self.standby(now) }
    }
}
