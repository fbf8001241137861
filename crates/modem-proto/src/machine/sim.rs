//! The SIM: ready, or a person has to know why not.

use std::time::Duration;

use sysio::Monotonic;

use super::pin::Fate;
use super::{Action, Iccid, Machine, Pin, PinRefusal, Plan, State, Trouble, iccid, pace, send};
use crate::codec::Response;
use crate::command::Command;
use crate::outcome::Outcome;
use crate::parse::{self, SimLock};

/// With fewer tries a wrong PIN could leave the next person with the PUK (gammu/gammu#458).
const FEWEST_TRIES: u8 = 3;
/// All the tries a PIN has: three wrong ones in a row block it (3GPP TS 51.011 section 9.3, ETSI TS
/// 102 221 section 9.5). Cards count a try before they compare, so this also stands for "no wrong one
/// since the last right one" after a power cut. A card that has more shows nothing by it.
const ALL_TRIES: u8 = 3;
/// Sending a wrong PIN costs 27.007's "incorrect password", or the SIM's last try: "SIM PUK required".
const WRONG: u16 = 16;
const PUK: u16 = 12;
/// "SIM not inserted", which sticks also say of a card they lost until they are reset
/// (eclipse-kura/kura#2820).
const NOT_INSERTED: u16 = 10;
/// "SIM failure" and "SIM busy": for a moment, after power-up.
const FOR_A_MOMENT: [u16; 2] = [13, 14];

/// How long a missing SIM stands as "stuck": the resetting daemon looks every second or so.
const MISSING_STANDS: Duration = Duration::from_secs(60);

/// What is known of a SIM the stick says is not there.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// Whether it worked in this process, or asked for its PIN.
    seen: bool,
    /// How often it was waited for in vain since.
    rounds: u8,
    /// Whether the waiting is over, so that one more look is enough.
    pub(super) given_up: bool,
}

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
    /// Nothing: it could not say how many are left.
    TriesPause,
    /// The same in 27.007's words.
    Retries,
    /// To accept the PIN.
    Pin,
}

impl Machine {
    pub(super) fn ask_sim(&mut self, now: Monotonic) -> Vec<Action> {
        self.pin.counter_refused = false;
        let known = self.network.measured_ms.is_some();
        let patience = if known { pace::SIM_RECOVERS } else { pace::SIM_STARTS };
        self.sim_ask(now, Phase::State, now + patience, Command::sim("AT+CPIN?", "+CPIN:"))
    }

    pub(super) fn on_sim_deadline(&mut self, now: Monotonic) -> Vec<Action> {
        match self.state {
            State::Sim { phase: Phase::Pause, give_up, .. } => {
                self.sim_ask(now, Phase::State, give_up, Command::sim("AT+CPIN?", "+CPIN:"))
            }
            // From its number on: it may have been swapped meanwhile.
            State::Sim { phase: Phase::TriesPause, give_up, .. } => self.ask_card(now, give_up, 0),
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
            Phase::Retries => self.on_retries(now, give_up, response),
            Phase::Pin => self.on_pin_answer(now, give_up, response),
            Phase::Pause | Phase::TriesPause => Vec::new(),
        }
    }

    fn on_sim_state(&mut self, now: Monotonic, give_up: Monotonic, response: &Response) -> Vec<Action> {
        let lock = response.lines.iter().find_map(|line| parse::sim_lock(line));
        if lock.is_some() {
            self.missing = Missing { seen: true, ..Missing::default() };
        }
        match (&response.outcome, lock) {
            (Outcome::Ok, Some(SimLock::Ready)) => self.on_sim_ready(now),
            (Outcome::Ok, Some(SimLock::Pin)) => self.on_pin_wanted(now, give_up),
            (Outcome::Ok, Some(SimLock::Puk)) => self.block(now, Trouble::PukRequired),
            (Outcome::Ok, Some(SimLock::Other(what))) => self.block(now, Trouble::Locked(what)),
            (outcome, _) if outcome.is_mobile(11) => self.on_pin_wanted(now, give_up),
            (outcome, _) if outcome.is_mobile(PUK) => self.block(now, Trouble::PukRequired),
            (outcome, _) if outcome.is_mobile(NOT_INSERTED) => {
                self.sim_missing(now, give_up, outcome.to_string())
            }
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
            self.pin.fate = Fate::Open;
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
        if !self.pin.may_send_to_a_full_counter() {
            return self.block(now, Trouble::PinRefused(PinRefusal::Wrong));
        }
        // An empty VERIFY: ETSI TS 102 221 section 11.1.9.
        let command = Command::sim("AT+CSIM=10,\"0020000100\"", "+CSIM:");
        self.sim_ask(now, Phase::Tries, give_up, command)
    }

    /// A card that starts cannot say it yet, and one refusal may be a moment's, too: a blind try is
    /// the last resort.
    fn on_tries(&mut self, now: Monotonic, give_up: Monotonic, response: &Response) -> Vec<Action> {
        if let Some(tries) = response.lines.iter().find_map(|line| parse::pin_tries(line)) {
            return self.on_tries_known(now, give_up, Some(tries));
        }
        let moment = FOR_A_MOMENT.iter().any(|code| response.outcome.is_mobile(*code));
        if (moment && now < give_up) || !std::mem::replace(&mut self.pin.counter_refused, true) {
            self.state = State::Sim { phase: Phase::TriesPause, until: now + pace::SIM_PAUSE, give_up };
            return Vec::new();
        }
        // 27.007 section 8.65, optional.
        self.sim_ask(now, Phase::Retries, give_up, Command::sim("AT+CPINR=\"SIM PIN\"", "+CPINR:"))
    }

    fn on_retries(&mut self, now: Monotonic, give_up: Monotonic, response: &Response) -> Vec<Action> {
        let tries = response.lines.iter().find_map(|line| parse::pin_retries(line));
        self.on_tries_known(now, give_up, tries)
    }

    fn on_tries_known(&mut self, now: Monotonic, give_up: Monotonic, tries: Option<u8>) -> Vec<Action> {
        let Some(pin) = self.settings.pin.clone() else { return self.block(now, Trouble::PinRequired) };
        match tries {
            Some(tries) if tries < FEWEST_TRIES => {
                self.block(now, Trouble::PinRefused(PinRefusal::FewTries(tries)))
            }
            Some(ALL_TRIES) => self.send_pin(now, give_up, &pin),
            // Nobody says: the written-down try is what keeps this from happening twice.
            _ if self.pin.may_send() => self.send_pin(now, give_up, &pin),
            _ => self.block(now, Trouble::PinRefused(PinRefusal::SentBefore)),
        }
    }

    fn send_pin(&mut self, now: Monotonic, give_up: Monotonic, pin: &Pin) -> Vec<Action> {
        self.pin.sent();
        self.sim_ask(now, Phase::Pin, give_up, Command::pin(pin.digits()))
    }

    /// It could not be written down, so it was not sent: the next look may try again.
    pub(super) fn on_pin_not_recorded(&mut self, now: Monotonic) -> Vec<Action> {
        if matches!(self.state, State::Sim { phase: Phase::Pin, .. }) {
            self.pin.not_sent();
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
        if response.outcome.is_mobile(WRONG) || response.outcome.is_mobile(PUK) {
            self.pin.fate = Fate::Refused;
            let last = response.outcome.is_mobile(PUK);
            let trouble = if last { Trouble::PukRequired } else { Trouble::PinRefused(PinRefusal::Wrong) };
            let mut actions = vec![Action::RefusePin];
            actions.extend(self.block(now, trouble));
            return actions;
        }
        // Busy, failing, or a stick without numbers: the SIM's state tells, and its counter.
        self.sim_pause(now, give_up)
    }

    /// A person says that the PIN may be sent once more.
    pub(super) fn on_forget_pin(&mut self, now: Monotonic) -> Vec<Action> {
        if !self.pin.forget() {
            return Vec::new();
        }
        self.settings.pins_spent.clear();
        let mut actions = vec![Action::ForgetPin];
        if matches!(self.state, State::Blocked { .. }) {
            actions.extend(self.begin(now));
        }
        actions
    }

    /// "Not inserted". A card that worked a moment ago may be lost to the stick alone: the radio off
    /// and on, then one reset from outside, then it is a person's.
    fn sim_missing(&mut self, now: Monotonic, give_up: Monotonic, reason: String) -> Vec<Action> {
        let trouble = Trouble::NoSim(reason);
        if now < give_up && !self.missing.given_up {
            return self.sim_pause(now, give_up);
        }
        self.missing.rounds = self.missing.rounds.saturating_add(1);
        match self.missing.rounds {
            1 if self.missing.seen => self.fail_with(now, trouble, Plan::Radio),
            2 if self.missing.seen => {
                let reason =
                    format!("the SIM worked, and the radio off and on did not bring it back: {trouble}");
                self.set_stuck(now, reason, Some(now + MISSING_STANDS));
                self.fail_with(now, trouble, Plan::Reopen)
            }
            _ => {
                self.missing.given_up = true;
                self.block(now, trouble)
            }
        }
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
