//! The call, the PPP session in it, and what follows their end.

use sysio::Monotonic;

use super::{Action, Link, Machine, SessionEnd, State, Trouble, pace, send};
use crate::codec::Response;
use crate::command::Command;
use crate::outcome::Outcome;

/// pppd's exit code after the stick dropped carrier detect (pppd(8)).
const HUNG_UP: i32 = 16;

/// What is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Telling the modem the access point.
    Context,
    /// The call.
    Call,
    /// Asking why the call failed, with what is known so far.
    Cause(String),
    /// pppd negotiates.
    Negotiation,
}

impl Machine {
    pub(super) fn dial(&mut self, now: Monotonic) -> Vec<Action> {
        match &self.settings.apn {
            Some(apn) => {
                let command = Command::context(apn);
                self.dialling(now, Phase::Context, command)
            }
            None => self.call(now),
        }
    }

    fn call(&mut self, now: Monotonic) -> Vec<Action> {
        let command = Command::dial(&self.settings.dial_number);
        self.dialling(now, Phase::Call, command)
    }

    fn dialling(&mut self, now: Monotonic, phase: Phase, command: Command) -> Vec<Action> {
        self.state = State::Dialling { phase, until: now + command.limit };
        send(command)
    }

    pub(super) fn on_dialling_answer(&mut self, now: Monotonic, response: &Response) -> Vec<Action> {
        let State::Dialling { phase, .. } = &self.state else { return Vec::new() };
        match (phase.clone(), &response.outcome) {
            (Phase::Context, Outcome::Ok) => self.call(now),
            (Phase::Context, other) => {
                self.fail(now, Trouble::CallFailed(format!("the stick refused the APN: {other}")))
            }
            (Phase::Call, Outcome::Connect(_)) => {
                self.session = true;
                self.state = State::Dialling { phase: Phase::Negotiation, until: now + pace::NEGOTIATION };
                vec![Action::StartSession]
            }
            (Phase::Call, other) => {
                let so_far = format!("the call ended with {other}");
                // 27.007 section 6.10: the network's reason for the last failed call.
                self.dialling(now, Phase::Cause(so_far), Command::question("AT+CEER", "+CEER:"))
            }
            (Phase::Cause(so_far), _) => {
                let reason =
                    response.lines.iter().find_map(|line| line.strip_prefix("+CEER:")).map(str::trim);
                let detail = match reason {
                    Some(reason) if !reason.is_empty() => format!("{so_far}: {reason}"),
                    _ => so_far,
                };
                self.fail(now, Trouble::CallFailed(detail))
            }
            (Phase::Negotiation, _) => Vec::new(),
        }
    }

    pub(super) fn on_dialling_deadline(&mut self, now: Monotonic) -> Vec<Action> {
        let State::Dialling { phase, .. } = &self.state else { return Vec::new() };
        match phase.clone() {
            Phase::Context => self.no_answer(now),
            Phase::Call => {
                self.fail(now, Trouble::CallFailed("the call was not answered in time".to_owned()))
            }
            Phase::Cause(so_far) => self.fail(now, Trouble::CallFailed(so_far)),
            Phase::Negotiation => {
                self.fail(now, Trouble::CallFailed("no addresses from the provider in time".to_owned()))
            }
        }
    }

    pub(super) fn on_session_up(&mut self, now: Monotonic, link: Link) -> Vec<Action> {
        let since = match &self.state {
            State::Dialling { phase: Phase::Negotiation, .. } => now,
            State::Connected { since, .. } => *since,
            _ => return Vec::new(),
        };
        self.trouble = None;
        self.state = State::Connected { link, since, until: now + pace::LOOK_WHILE_CONNECTED };
        Vec::new()
    }

    pub(super) fn on_session_ended(&mut self, now: Monotonic, end: &SessionEnd) -> Vec<Action> {
        self.session = false;
        match self.state {
            State::Connected { since, .. } => {
                if now.since(since) >= pace::HELD {
                    self.attempt = 0;
                }
                self.on_call_lost(now, end)
            }
            State::Dialling { .. } => self.fail(now, trouble_of(end)),
            State::Ending { .. } => self.again(now, end),
            State::Waiting { ref mut until } => {
                // The port is free; DTR stays low for a while, and failures keep their pace.
                let pause = pace::backoff(self.attempt, self.jitter).max(pace::HANG_UP);
                *until = (*until).min(now + pause);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// It worked until now: again, at once. What fails from here on is paced.
    fn on_call_lost(&mut self, now: Monotonic, end: &SessionEnd) -> Vec<Action> {
        let trouble = trouble_of(end);
        if self.attempt > 0 || matches!(trouble, Trouble::AuthRefused(_)) {
            return self.fail(now, trouble);
        }
        self.attempt = 1;
        self.trouble = Some(trouble);
        self.again(now, end)
    }

    /// A fresh call at once if the stick has hung up; else DTR is low for a while first.
    fn again(&mut self, now: Monotonic, end: &SessionEnd) -> Vec<Action> {
        if *end == SessionEnd::Code(HUNG_UP) {
            return self.begin(now);
        }
        self.state = State::Waiting { until: now + pace::HANG_UP };
        self.release()
    }

    pub(super) fn on_redial(&mut self, now: Monotonic) -> Vec<Action> {
        match self.state {
            State::Ending { .. } => Vec::new(),
            _ if self.session => {
                self.state = State::Ending { until: now + pace::SESSION_END };
                vec![Action::EndSession]
            }
            State::Waiting { .. } | State::Blocked { .. } => self.begin(now),
            _ => Vec::new(),
        }
    }
}

/// pppd's exit codes in words (pppd(8), section EXIT STATUS).
fn trouble_of(end: &SessionEnd) -> Trouble {
    let code = match end {
        SessionEnd::Code(code) => *code,
        SessionEnd::Signal(signal) => {
            return Trouble::CallFailed(format!("pppd was killed by signal {signal}"));
        }
        SessionEnd::NotStarted(why) => {
            return Trouble::CallFailed(format!("pppd could not be started: {why}"));
        }
    };
    let words = match code {
        0 | 5 => "the session was ended on request",
        1 => "pppd had a fatal error; its log says which",
        2 => "pppd did not understand its options",
        3 => "pppd may not run: it needs root",
        4 => "the kernel lacks PPP support",
        6 => "the serial port is locked by another program",
        7 => "the serial port could not be opened",
        10 => "the provider and pppd did not agree on addresses; check the APN",
        11 => "the provider did not authenticate itself",
        12 => "the link was idle too long",
        13 => "the time limit was reached",
        15 => "the provider stopped answering (LCP echo)",
        16 => "the provider ended the call (modem hang-up)",
        17 => "the line is looped back",
        19 => return Trouble::AuthRefused("the provider refused user and password (pppd 19)".to_owned()),
        126 | 127 => "pppd could not be executed",
        _ => "pppd ended",
    };
    Trouble::CallFailed(format!("{words} (pppd {code})"))
}
