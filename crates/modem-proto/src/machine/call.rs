//! The call, the session in it, and what follows their end.

use sysio::Monotonic;

use super::apn::Lookup;
use super::reach::Nowhere;
use super::session::{self, trouble_of};
use super::{Action, Apn, Link, LinkKind, Machine, PdpType, Plan, SessionEnd, State, Trouble, pace, send};
use crate::codec::Response;
use crate::command::Command;
use crate::outcome::Outcome;
use crate::parse;

/// What is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Asking the SIM who it is, to look up its access point.
    Imsi,
    /// Telling the modem the access point.
    Context(PdpType),
    /// The call.
    Call,
    /// Asking why the call failed, with what is known so far.
    Cause(Trouble),
    /// pppd negotiates, or the network card takes an address.
    Negotiation,
}

impl Machine {
    /// The network is there: a call if one is wanted.
    pub(super) fn dial(&mut self, now: Monotonic) -> Vec<Action> {
        if !self.wanted(now) {
            return self.standby(now);
        }
        if self.settings.apn.is_none() && self.lookup == Lookup::NotYet {
            return self.dialling(now, Phase::Imsi, Command::text("AT+CIMI", "+CIMI:"));
        }
        self.context(now, self.settings.pdp_type)
    }

    fn apn(&self) -> Option<&Apn> {
        self.settings.apn.as_ref().or(self.lookup.found())
    }

    fn context(&mut self, now: Monotonic, pdp_type: PdpType) -> Vec<Action> {
        match self.apn() {
            Some(apn) => {
                let command = Command::context(pdp_type, apn);
                self.dialling(now, Phase::Context(pdp_type), command)
            }
            None => self.call(now),
        }
    }

    fn call(&mut self, now: Monotonic) -> Vec<Action> {
        let odd = self.oddities().and_then(|odd| odd.dial_number.as_ref());
        let number = odd.filter(|_| self.settings.dial_number == USUAL_NUMBER);
        let command = Command::dial(number.unwrap_or(&self.settings.dial_number));
        self.dialling(now, Phase::Call, command)
    }

    fn dialling(&mut self, now: Monotonic, phase: Phase, command: Command) -> Vec<Action> {
        self.state = State::Dialling { phase, until: now + command.limit };
        send(command)
    }

    pub(super) fn on_dialling_answer(&mut self, now: Monotonic, response: &Response) -> Vec<Action> {
        let State::Dialling { phase, .. } = &self.state else { return Vec::new() };
        match (phase.clone(), &response.outcome) {
            (Phase::Imsi, _) => self.on_imsi(now, response),
            (Phase::Context(_), Outcome::Ok) => self.call(now),
            // A stick older than the type it was asked for (27.007: IPV4V6 since release 9).
            (Phase::Context(PdpType::Ipv4v6), _) => self.context(now, PdpType::Ipv4),
            (Phase::Context(_), other) => {
                self.fail(now, Trouble::CallFailed(format!("the stick refused the APN: {other}")))
            }
            (Phase::Call, Outcome::Connect(_)) => {
                self.session = true;
                self.state = State::Dialling { phase: Phase::Negotiation, until: now + pace::NEGOTIATION };
                vec![Action::StartSession]
            }
            (Phase::Call, other) => {
                let so_far = refusal(other);
                // 27.007 section 6.10: the network's reason for the last failed call.
                self.dialling(now, Phase::Cause(so_far), Command::question("AT+CEER", "+CEER:"))
            }
            (Phase::Cause(so_far), _) => {
                let trouble = with_reason(so_far, response);
                self.fail(now, trouble)
            }
            (Phase::Negotiation, _) => Vec::new(),
        }
    }

    fn on_imsi(&mut self, now: Monotonic, response: &Response) -> Vec<Action> {
        let Some(imsi) = response.lines.iter().find_map(|line| parse::identity(line)) else {
            // No access point to be found then; the stick's own may do.
            return self.call(now);
        };
        self.state = State::Dialling { phase: Phase::Imsi, until: now + pace::REOPEN };
        vec![Action::LookUpApn { imsi }]
    }

    pub(super) fn on_access_point(&mut self, now: Monotonic, apn: Option<Apn>) -> Vec<Action> {
        if !matches!(self.state, State::Dialling { phase: Phase::Imsi, .. }) {
            return Vec::new();
        }
        self.lookup = apn.map_or(Lookup::Nothing, Lookup::Found);
        self.context(now, self.settings.pdp_type)
    }

    pub(super) fn on_dialling_deadline(&mut self, now: Monotonic) -> Vec<Action> {
        let State::Dialling { phase, .. } = &self.state else { return Vec::new() };
        match phase.clone() {
            Phase::Imsi => self.call(now),
            Phase::Context(_) => self.no_answer(now),
            Phase::Call => {
                // Dropping DTR ends it; whether the stick still lives, its ports tell.
                let trouble = Trouble::CallFailed("the stick said nothing to the call in time".to_owned());
                self.fail_with(now, trouble, Plan::Reopen)
            }
            Phase::Cause(so_far) => self.fail(now, so_far),
            Phase::Negotiation => {
                let detail = "no addresses in time; check the APN".to_owned();
                self.fail(now, Trouble::CallFailed(detail))
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
        self.rung = None;
        self.note_success(now, "connected");
        self.stuck = None;
        // A card has no port to answer on: an address is its answer.
        self.answered |= link.kind == LinkKind::NetworkCard;
        self.state = State::Connected { link, since, until: now + pace::LOOK_WHILE_CONNECTED };
        self.judge_demand(now)
    }

    /// The link is down; the exit code that follows says why, unless the stick took pppd with it.
    pub(super) fn on_link_down(&mut self, now: Monotonic) -> Vec<Action> {
        if let State::Connected { since, .. } = self.state {
            self.note_loss(now, "the link went down");
            self.state = State::Ending { lost: Some(since), until: now + pace::LAST_WORDS };
        }
        Vec::new()
    }

    pub(super) fn on_session_ended(&mut self, now: Monotonic, end: &SessionEnd) -> Vec<Action> {
        let held = std::mem::take(&mut self.session);
        if let SessionEnd::Card { why, silent: true } = end
            && held
            && self.answered
        {
            return self.on_card_silent(now, why);
        }
        match self.state {
            State::Connected { since, .. } | State::Ending { lost: Some(since), .. } => {
                self.on_call_lost(now, since, end)
            }
            State::Dialling { .. } if held => self.on_no_session(now, end),
            State::Ending { lost: None, .. } => self.again(now, end),
            State::Waiting { ref mut until } => {
                // The port is free; DTR stays low for a while, and failures keep their pace.
                let pause = pace::backoff(self.attempt, self.jitter).max(pace::HANG_UP);
                *until = (*until).min(now + pause);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// A card that worked and hangs, although it was plugged in anew: nothing else is left to try
    /// from here.
    fn on_card_silent(&mut self, now: Monotonic, why: &str) -> Vec<Action> {
        self.note_loss(now, why);
        self.round_failed(now, why.to_owned())
    }

    fn on_no_session(&mut self, now: Monotonic, end: &SessionEnd) -> Vec<Action> {
        let trouble = trouble_of(end);
        if session::doubts_the_stick(end) {
            return self.fail_with(now, trouble, Plan::Reopen);
        }
        self.fail(now, trouble)
    }

    /// pppd does not end although the link is down: it waits for a stick that takes nothing.
    pub(super) fn on_ending_deadline(&mut self, now: Monotonic) -> Vec<Action> {
        let State::Ending { lost, .. } = self.state else { return Vec::new() };
        self.session = false;
        let mut actions = vec![Action::KillSession];
        actions.extend(match lost {
            Some(since) => self.on_call_lost(now, since, &SessionEnd::Signal(KILLED)),
            None => self.begin(now),
        });
        actions
    }

    /// It worked until now: again, at once. What fails from here on is paced.
    fn on_call_lost(&mut self, now: Monotonic, since: Monotonic, end: &SessionEnd) -> Vec<Action> {
        if now.since(since) >= pace::HELD {
            self.attempt = 0;
            self.ladder.settle();
        }
        let trouble = trouble_of(end);
        self.note_cause(now, &trouble);
        if self.attempt > 0 || matches!(trouble, Trouble::AuthRefused(_)) {
            return self.on_no_session(now, end);
        }
        self.attempt = 1;
        self.trouble = Some(trouble);
        if session::doubts_the_stick(end) {
            self.plan = Some(Plan::Reopen);
            return self.begin(now);
        }
        self.plan = Some(Plan::Redial);
        self.again(now, end)
    }

    fn note_cause(&mut self, now: Monotonic, trouble: &Trouble) {
        let words = trouble.to_string();
        self.note_loss(now, &words);
        // "The link went down" was said before the reason was known.
        if let Some(recovery) = self.recovery.as_mut().filter(|recovery| recovery.steps.is_empty()) {
            recovery.cause = words;
        }
    }

    /// A fresh call at once if the stick has hung up; else DTR is low for a while first.
    fn again(&mut self, now: Monotonic, end: &SessionEnd) -> Vec<Action> {
        if *end == SessionEnd::Code(session::HUNG_UP) {
            return self.begin(now);
        }
        self.state = State::Waiting { until: now + pace::HANG_UP };
        self.release()
    }

    /// The stick hangs, and PPP would take longer to notice.
    pub(super) fn on_second_port_silent(&mut self, now: Monotonic) -> Vec<Action> {
        if !matches!(self.state, State::Connected { .. } | State::Ending { lost: Some(_), .. }) {
            return Vec::new();
        }
        let cause = "the stick's second port fell silent";
        self.note_loss(now, cause);
        self.attempt = self.attempt.max(1);
        self.trouble = Some(Trouble::NoAnswer(cause.to_owned()));
        self.plan = Some(Plan::Reopen);
        let mut actions = vec![Action::KillSession];
        actions.extend(self.begin(now));
        actions
    }

    pub(super) fn on_redial(&mut self, now: Monotonic) -> Vec<Action> {
        self.nowhere = Nowhere::default();
        match self.state {
            State::Ending { .. } => Vec::new(),
            _ if self.session => self.hang_up(now),
            State::Waiting { .. } | State::Blocked { .. } => self.begin(now),
            _ => Vec::new(),
        }
    }
}

/// The GPRS service code (27.007 section 10.2.1.1), which is what nobody had to configure.
const USUAL_NUMBER: &str = "*99#";
/// SIGKILL, by us.
const KILLED: i32 = 9;

/// What an answer to the call other than `CONNECT` means.
fn refusal(outcome: &Outcome) -> Trouble {
    let detail = format!("the call ended with {outcome}");
    // 27.007 section 9.2.2: user authentication failed, PDP authentication failure.
    if outcome.is_mobile(129) || outcome.is_mobile(149) {
        return Trouble::AuthRefused(detail);
    }
    Trouble::CallFailed(detail)
}

/// A bare number, as some sticks give it, is the network's session management cause (3GPP TS 24.008
/// section 10.5.6.6, table 10.5.157).
fn in_words(reason: &str) -> String {
    let words = match reason.parse::<u8>() {
        Ok(26) => "insufficient resources",
        Ok(27) => "missing or unknown APN",
        Ok(28) => "unknown PDP address or type",
        Ok(29) => "user authentication failed",
        Ok(30) => "activation rejected by the gateway",
        Ok(31) => "activation rejected, unspecified",
        Ok(32) => "service option not supported",
        Ok(33) => "requested service option not subscribed",
        Ok(34) => "service option temporarily out of order",
        Ok(35) => "session identifier already in use",
        Ok(36) => "regular deactivation",
        Ok(37) => "quality of service not accepted",
        Ok(38) => "network failure",
        Ok(39) => "reactivation requested",
        _ => return reason.to_owned(),
    };
    format!("{words} ({reason})")
}

fn with_reason(so_far: Trouble, response: &Response) -> Trouble {
    let reason = response.lines.iter().find_map(|line| line.strip_prefix("+CEER:")).map(str::trim);
    let reason = reason.filter(|reason| !reason.is_empty()).map(in_words);
    match (so_far, reason) {
        (Trouble::CallFailed(detail), Some(reason)) => Trouble::CallFailed(format!("{detail}: {reason}")),
        (Trouble::AuthRefused(detail), Some(reason)) => Trouble::AuthRefused(format!("{detail}: {reason}")),
        (so_far, _) => so_far,
    }
}

#[cfg(test)]
mod tests {
    use super::in_words;

    #[test]
    fn a_bare_cause_gets_its_words_and_words_stay() {
        assert_eq!(in_words("33"), "requested service option not subscribed (33)");
        assert_eq!(in_words("No cause information available"), "No cause information available");
        assert_eq!(in_words("200"), "200");
    }
}
