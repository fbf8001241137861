//! The SIM: ready, or a person has to know why not.

use sysio::Monotonic;

use super::pin::Fate;
use super::{Action, Iccid, Machine, Pin, PinRefusal, State, Trouble, iccid, pace, send};
use crate::codec::Response;
use crate::command::Command;
use crate::outcome::Outcome;
use crate::parse::{self, SimLock};

/// With fewer tries a wrong PIN could leave the next person with the PUK (gammu/gammu#458).
const FEWEST_TRIES: u8 = 3;

/// What the SIM was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// What it needs.
    State,
    /// Nothing: it was busy, or has just accepted its PIN.
    Pause,
    /// Its number, by the question of this place in [`iccid::QUESTIONS`].
    Card(usize),
    /// How many tries are left.
    Tries,
    /// To accept the PIN.
    Pin,
}

impl Machine {
    pub(super) fn ask_sim(&mut self, now: Monotonic) -> Vec<Action> {
        let known = self.network.measured_ms.is_some();
        let patience = if known { pace::SIM_RECOVERS } else { pace::SIM_STARTS };
        self.sim_ask(now, Phase::State, now + patience, Command::sim("AT+CPIN?", "+CPIN:"))
    }

    pub(super) fn on_sim_deadline(&mut self, now: Monotonic) -> Vec<Action> {
        match self.state {
            State::Sim { phase: Phase::Pause, give_up, .. } => {
                self.sim_ask(now, Phase::State, give_up, Command::sim("AT+CPIN?", "+CPIN:"))
            }
            _ => self.no_answer(now),
        }
    }

    pub(super) fn on_sim_answer(
        &mut self,
        now: Monotonic,
        phase: Phase,
        give_up: Monotonic,
        response: &Response,
    ) -> Vec<Action> {
        match phase {
            Phase::State => self.on_sim_state(now, give_up, response),
            Phase::Card(question) => self.on_card(now, give_up, question, response),
            Phase::Tries => self.on_tries(now, give_up, response),
            Phase::Pin => self.on_pin_answer(now, give_up, response),
            Phase::Pause => Vec::new(),
        }
    }

    fn on_sim_state(&mut self, now: Monotonic, give_up: Monotonic, response: &Response) -> Vec<Action> {
        let lock = response.lines.iter().find_map(|line| parse::sim_lock(line));
        match (&response.outcome, lock) {
            (Outcome::Ok, Some(SimLock::Ready)) => self.on_sim_ready(now),
            (Outcome::Ok, Some(SimLock::Pin)) => self.on_pin_wanted(now, give_up),
            (Outcome::Ok, Some(SimLock::Puk)) => self.block(now, Trouble::PukRequired),
            (Outcome::Ok, Some(SimLock::Other(what))) => self.block(now, Trouble::Locked(what)),
            (outcome, _) if outcome.is_mobile(11) => self.on_pin_wanted(now, give_up),
            (outcome, _) if outcome.is_mobile(12) => self.block(now, Trouble::PukRequired),
            (outcome, _) if outcome.is_mobile(10) => self.block(now, Trouble::NoSim(outcome.to_string())),
            (outcome, _) => self.sim_not_yet(now, give_up, &outcome.to_string()),
        }
    }

    fn on_sim_ready(&mut self, now: Monotonic) -> Vec<Action> {
        self.trouble = self.trouble.take().filter(|trouble| !about_sim(trouble));
        let mut actions = Vec::new();
        if self.pin.fate == Fate::Sent {
            self.pin.fate = Fate::Accepted;
            actions.push(Action::SettlePin);
        }
        actions.extend(self.register(now));
        actions
    }

    fn on_pin_wanted(&mut self, now: Monotonic, give_up: Monotonic) -> Vec<Action> {
        if self.pin.fate == Fate::Sent {
            if now < give_up {
                // Accepted a moment ago, and slow to say so.
                return self.sim_pause(now, give_up);
            }
            self.pin.fate = Fate::Refused;
        }
        if self.settings.pin.is_none() {
            return self.block(now, Trouble::PinRequired);
        }
        self.ask_card(now, give_up, 0)
    }

    /// Which SIM it is: another one than before may get the PIN.
    fn ask_card(&mut self, now: Monotonic, give_up: Monotonic, question: usize) -> Vec<Action> {
        match iccid::QUESTIONS.get(question) {
            Some((text, prefix)) => {
                self.sim_ask(now, Phase::Card(question), give_up, Command::text(text, prefix))
            }
            None => self.on_card_known(now, give_up, None),
        }
    }

    fn on_card(
        &mut self,
        now: Monotonic,
        give_up: Monotonic,
        question: usize,
        response: &Response,
    ) -> Vec<Action> {
        let card = response.lines.iter().find_map(|line| Iccid::of(line));
        match card.filter(|_| response.outcome == Outcome::Ok) {
            Some(card) => self.on_card_known(now, give_up, Some(card)),
            None => self.ask_card(now, give_up, question + 1),
        }
    }

    fn on_card_known(&mut self, now: Monotonic, give_up: Monotonic, card: Option<Iccid>) -> Vec<Action> {
        self.pin.see(card);
        if !self.pin.may_send() {
            let again = match self.trouble {
                Some(Trouble::PinRefused(PinRefusal::Wrong)) => PinRefusal::Wrong,
                _ => PinRefusal::SentBefore,
            };
            return self.block(now, Trouble::PinRefused(again));
        }
        // An empty VERIFY: ETSI TS 102 221 section 11.1.9.
        let command = Command::sim("AT+CSIM=10,\"0020000100\"", "+CSIM:");
        self.sim_ask(now, Phase::Tries, give_up, command)
    }

    fn on_tries(&mut self, now: Monotonic, give_up: Monotonic, response: &Response) -> Vec<Action> {
        let Some(pin) = self.settings.pin.clone() else { return self.block(now, Trouble::PinRequired) };
        match response.lines.iter().find_map(|line| parse::pin_tries(line)) {
            Some(tries) if tries < FEWEST_TRIES => {
                self.block(now, Trouble::PinRefused(PinRefusal::FewTries(tries)))
            }
            // A stick without +CSIM: the written-down try is what keeps this from happening twice.
            Some(_) | None => self.send_pin(now, give_up, &pin),
        }
    }

    fn send_pin(&mut self, now: Monotonic, give_up: Monotonic, pin: &Pin) -> Vec<Action> {
        self.pin.fate = Fate::Sent;
        self.sim_ask(now, Phase::Pin, give_up, Command::pin(pin.digits()))
    }

    /// It could not be written down, so it was not sent: the next look may try again.
    pub(super) fn on_pin_not_recorded(&mut self, now: Monotonic) -> Vec<Action> {
        if matches!(self.state, State::Sim { phase: Phase::Pin, .. }) {
            self.pin.fate = Fate::Untried;
        }
        self.block(now, Trouble::PinRefused(PinRefusal::NotRecorded))
    }

    fn on_pin_answer(&mut self, now: Monotonic, give_up: Monotonic, response: &Response) -> Vec<Action> {
        if response.outcome == Outcome::Ok {
            // Right: the record of an open try goes, so that no power cut from here on blocks a good PIN.
            let mut actions = vec![Action::SettlePin];
            actions.extend(self.sim_pause(now, give_up));
            return actions;
        }
        self.pin.fate = Fate::Refused;
        self.block(now, Trouble::PinRefused(PinRefusal::Wrong))
    }

    /// Busy or failing: asked again for a while.
    fn sim_not_yet(&mut self, now: Monotonic, give_up: Monotonic, reason: &str) -> Vec<Action> {
        if now >= give_up {
            // It is there and does not work: the radio off and on, or power, cures some of that.
            return self.fail(now, Trouble::SimFailed(reason.to_owned()));
        }
        self.sim_pause(now, give_up)
    }

    fn sim_pause(&mut self, now: Monotonic, give_up: Monotonic) -> Vec<Action> {
        self.state = State::Sim { phase: Phase::Pause, until: now + pace::SIM_PAUSE, give_up };
        Vec::new()
    }

    fn sim_ask(&mut self, now: Monotonic, phase: Phase, give_up: Monotonic, command: Command) -> Vec<Action> {
        self.state = State::Sim { phase, until: now + command.limit, give_up };
        send(command)
    }
}

fn about_sim(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::NoSim(_)
            | Trouble::SimFailed(_)
            | Trouble::Locked(_)
            | Trouble::PinRequired
            | Trouble::PinRefused(_)
            | Trouble::PukRequired
    )
}
