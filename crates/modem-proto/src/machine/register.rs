//! Waiting for the network, then noting how well it is heard.

use sysio::Monotonic;

use super::{Action, Machine, State, Trouble, pace, send};
use crate::codec::Response;
use crate::command::Command;
use crate::outcome::Outcome;
use crate::parse::{self, Registration};

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Circuit-switched registration.
    Circuit,
    /// Packet registration, with the answer to the first question.
    Packet(Option<Registration>),
    /// Nothing: it is searching.
    Pause,
    /// Signal strength.
    Signal,
    /// To give the operator's name in letters.
    OperatorFormat,
    /// The operator's name.
    Operator,
}

impl Machine {
    pub(super) fn register(&mut self, now: Monotonic) -> Vec<Action> {
        self.ask_registration(now, now + pace::REGISTRATION)
    }

    pub(super) fn on_registering_deadline(&mut self, now: Monotonic) -> Vec<Action> {
        match self.state {
            State::Registering { phase: Phase::Pause, give_up, .. } if now < give_up => {
                self.ask_registration(now, give_up)
            }
            State::Registering { phase: Phase::Pause, .. } => {
                let trouble = self.registration_trouble();
                self.fail(now, trouble)
            }
            // The network is there; not knowing its name is no reason to wait.
            State::Registering { phase: Phase::Operator, .. } => self.dial(now),
            _ => self.no_answer(now),
        }
    }

    pub(super) fn on_registering_answer(
        &mut self,
        now: Monotonic,
        phase: Phase,
        give_up: Monotonic,
        response: &Response,
    ) -> Vec<Action> {
        let read = |prefix| response.lines.iter().find_map(|line| parse::registration(line, prefix));
        match phase {
            Phase::Circuit => {
                let command = Command::registration("AT+CGREG?", "+CGREG:");
                self.ask_network(now, Phase::Packet(read("+CREG:")), give_up, command)
            }
            Phase::Packet(circuit) => self.on_registration(now, give_up, circuit, read("+CGREG:")),
            Phase::Signal => {
                self.network.signal_dbm = response.lines.iter().find_map(|line| parse::signal_dbm(line));
                let command = Command::plain("AT+COPS=3,0");
                self.ask_network(now, Phase::OperatorFormat, give_up, command)
            }
            Phase::OperatorFormat => self.ask_network(now, Phase::Operator, give_up, Command::operator()),
            Phase::Operator => {
                if response.outcome == Outcome::Ok {
                    self.network.operator = response.lines.iter().find_map(|line| parse::operator(line));
                }
                self.dial(now)
            }
            Phase::Pause => Vec::new(),
        }
    }

    /// A change the modem tells by itself ends the pause early; the question decides.
    pub(super) fn on_unsolicited(&mut self, now: Monotonic, line: &str) -> Vec<Action> {
        let told = line.starts_with("+CREG:") || line.starts_with("+CGREG:");
        match self.state {
            State::Registering { phase: Phase::Pause, give_up, .. } if told => {
                self.ask_registration(now, give_up)
            }
            _ => Vec::new(),
        }
    }

    fn ask_registration(&mut self, now: Monotonic, give_up: Monotonic) -> Vec<Action> {
        self.ask_network(now, Phase::Circuit, give_up, Command::registration("AT+CREG?", "+CREG:"))
    }

    fn on_registration(
        &mut self,
        now: Monotonic,
        give_up: Monotonic,
        circuit: Option<Registration>,
        packet: Option<Registration>,
    ) -> Vec<Action> {
        let registration = better(circuit, packet);
        self.network.registration = registration;
        let usable = match registration {
            Some(Registration::Home) => true,
            Some(Registration::Roaming) => self.settings.roaming,
            _ => false,
        };
        if usable {
            self.trouble = self.trouble.take().filter(|trouble| !about_registration(trouble));
            return self.ask_network(now, Phase::Signal, give_up, Command::question("AT+CSQ", "+CSQ:"));
        }
        // Searching is normal and becomes trouble with time; these two are trouble at once.
        if matches!(registration, Some(Registration::Denied | Registration::Roaming)) {
            self.trouble = Some(self.registration_trouble());
        }
        self.state =
            State::Registering { phase: Phase::Pause, until: now + pace::REGISTRATION_PAUSE, give_up };
        Vec::new()
    }

    fn registration_trouble(&self) -> Trouble {
        match self.network.registration {
            Some(Registration::Denied) => Trouble::RegistrationDenied,
            Some(Registration::Roaming) => Trouble::RoamingOff,
            other => Trouble::NotRegistered(other),
        }
    }

    fn ask_network(
        &mut self,
        now: Monotonic,
        phase: Phase,
        give_up: Monotonic,
        command: Command,
    ) -> Vec<Action> {
        self.state = State::Registering { phase, until: now + command.limit, give_up };
        send(command)
    }
}

/// Data needs the packet side; many sticks report only the circuit side, or the packet side only
/// once a call is made. So the better of both counts, home before roaming before the rest.
fn better(circuit: Option<Registration>, packet: Option<Registration>) -> Option<Registration> {
    let both = [packet, circuit];
    [Registration::Home, Registration::Roaming, Registration::Denied, Registration::Searching]
        .into_iter()
        .find(|wanted| both.contains(&Some(*wanted)))
        .or(packet)
        .or(circuit)
}

fn about_registration(trouble: &Trouble) -> bool {
    matches!(trouble, Trouble::NotRegistered(_) | Trouble::RegistrationDenied | Trouble::RoamingOff)
}
