//! Rung 2: leave the network and join it again, without losing the USB device.
//!
//! `AT+CFUN=1,1` is never sent: it re-enumerates the stick, and some come back as a CD-ROM
//! (gammu/gammu#687).

use sysio::Monotonic;

use super::{Action, Machine, Plan, State, pace, send};
use crate::codec::Response;
use crate::command::Command;
use crate::outcome::Outcome;

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// `AT+CGATT=0` (27.007 section 10.1.9).
    Detach,
    /// `AT+CGATT=1`.
    Attach,
    /// `AT+CFUN=4`: radio off, SIM stays on (27.007 section 8.2).
    RadioOff,
    /// `AT+CFUN=0`, for sticks that do not know 4.
    Minimum,
    /// `AT+CFUN=1`.
    RadioOn,
    /// The radio starts.
    Pause,
}

impl Machine {
    pub(super) fn reattach(&mut self, now: Monotonic, plan: Plan) -> Vec<Action> {
        self.network.registration = None;
        let phase = if plan == Plan::Radio { Phase::RadioOff } else { Phase::Detach };
        self.reattach_phase(now, phase)
    }

    fn reattach_phase(&mut self, now: Monotonic, phase: Phase) -> Vec<Action> {
        let command = match phase {
            Phase::Detach => Command::attach("AT+CGATT=0"),
            Phase::Attach => Command::attach("AT+CGATT=1"),
            Phase::RadioOff => Command::radio("AT+CFUN=4"),
            Phase::Minimum => Command::radio("AT+CFUN=0"),
            Phase::RadioOn => Command::radio("AT+CFUN=1"),
            Phase::Pause => {
                self.state = State::Reattaching { phase, until: now + pace::RADIO_STARTS };
                return Vec::new();
            }
        };
        self.state = State::Reattaching { phase, until: now + command.limit };
        send(command)
    }

    /// What it refuses is passed over: the call that follows shows whether it helped.
    pub(super) fn on_reattach_answer(
        &mut self,
        now: Monotonic,
        phase: Phase,
        response: &Response,
    ) -> Vec<Action> {
        match phase {
            Phase::Detach => self.reattach_phase(now, Phase::Attach),
            Phase::Attach => self.ask_sim(now),
            Phase::RadioOff if response.outcome != Outcome::Ok => self.reattach_phase(now, Phase::Minimum),
            Phase::RadioOff | Phase::Minimum => self.reattach_phase(now, Phase::RadioOn),
            Phase::RadioOn => self.reattach_phase(now, Phase::Pause),
            Phase::Pause => Vec::new(),
        }
    }

    pub(super) fn on_reattach_deadline(&mut self, now: Monotonic, phase: Phase) -> Vec<Action> {
        if phase == Phase::Pause { self.ask_sim(now) } else { self.no_answer(now) }
    }
}
