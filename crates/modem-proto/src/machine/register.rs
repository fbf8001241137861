//! Waiting for the network, then noting how well it is heard.

use sysio::Monotonic;

use super::{Action, Machine, Network, State, Trouble, pace, send};
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
    /// Registration with an LTE core, with the better of the other two.
    Evolved(Option<Registration>),
    /// Nothing: it is searching.
    Pause,
    /// Signal strength.
    Signal,
    /// To give the operator's name in letters.
    OperatorFormat,
    /// The operator's name, and the radio technology.
    Operator,
    /// To give the operator in digits.
    CodeFormat,
    /// The operator's code.
    Code,
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
            State::Registering { phase: Phase::Operator | Phase::CodeFormat | Phase::Code, .. } => {
                self.dial(now)
            }
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
            Phase::Packet(circuit) => {
                let known = better(circuit, read("+CGREG:"));
                if known.is_some_and(registered) {
                    return self.on_registration(now, give_up, known);
                }
                let command = Command::registration("AT+CEREG?", "+CEREG:");
                self.ask_network(now, Phase::Evolved(known), give_up, command)
            }
            Phase::Evolved(known) => self.on_registration(now, give_up, better(known, read("+CEREG:"))),
            Phase::Signal => {
                self.network.signal_dbm = response.lines.iter().find_map(|line| parse::signal_dbm(line));
                self.network.measured_ms = Some(now.as_millis());
                // The name can wait while the line is down; networks take their time for it.
                let recovering = self.recovery.as_ref().is_some_and(|recovery| recovery.ended.is_none());
                if self.network.operator.is_some() || recovering {
                    return self.dial(now);
                }
                let command = Command::plain("AT+COPS=3,0");
                self.ask_network(now, Phase::OperatorFormat, give_up, command)
            }
            Phase::OperatorFormat => self.ask_network(now, Phase::Operator, give_up, Command::operator()),
            Phase::Operator => {
                if response.outcome == Outcome::Ok {
                    self.network.operator = response.lines.iter().find_map(|line| parse::operator(line));
                    self.network.technology = response.lines.iter().find_map(|line| technology(line));
                }
                let command = Command::plain("AT+COPS=3,2");
                self.ask_network(now, Phase::CodeFormat, give_up, command)
            }
            Phase::CodeFormat => self.ask_network(now, Phase::Code, give_up, Command::operator()),
            Phase::Code => {
                let code = response.lines.iter().find_map(|line| parse::operator(line));
                self.network.operator_code =
                    code.filter(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
                self.dial(now)
            }
            Phase::Pause => Vec::new(),
        }
    }

    /// A change the modem tells by itself ends the pause early; the question decides.
    pub(super) fn on_unsolicited(&mut self, now: Monotonic, line: &str) -> Vec<Action> {
        let told = ["+CREG:", "+CGREG:", "+CEREG:"].iter().any(|prefix| line.starts_with(prefix));
        match self.state {
            State::Standby { .. } if told => self.register(now),
            // As at the pause's own end: a modem that tells every second is given up, too.
            State::Registering { phase: Phase::Pause, .. } if told => self.on_registering_deadline(now),
            _ => Vec::new(),
        }
    }

    /// What the second port tells while the first one carries data.
    pub(super) fn on_measured(&mut self, now: Monotonic, network: Network) -> Vec<Action> {
        let old = &mut self.network;
        old.registration = network.registration.or(old.registration);
        old.operator = network.operator.or(old.operator.take());
        old.operator_code = network.operator_code.or(old.operator_code.take());
        old.technology = network.technology.or(old.technology);
        old.signal_dbm = network.signal_dbm;
        old.measured_ms = network.measured_ms.or(Some(now.as_millis()));
        let abroad = self.network.registration == Some(Registration::Roaming) && !self.settings.roaming;
        if abroad && matches!(self.state, State::Connected { .. }) {
            // Every byte may cost from here on.
            return self.hang_up(now);
        }
        Vec::new()
    }

    fn ask_registration(&mut self, now: Monotonic, give_up: Monotonic) -> Vec<Action> {
        self.ask_network(now, Phase::Circuit, give_up, Command::registration("AT+CREG?", "+CREG:"))
    }

    fn on_registration(
        &mut self,
        now: Monotonic,
        give_up: Monotonic,
        registration: Option<Registration>,
    ) -> Vec<Action> {
        self.network.registration = registration;
        let usable = match registration {
            Some(Registration::Home) => true,
            Some(Registration::Roaming) => self.settings.roaming,
            // It will not register before it is called with.
            Some(Registration::Denied | Registration::Limited) => false,
            _ => self.oddities().is_some_and(|odd| odd.registers_by_calling),
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

/// `+COPS: <mode>,<format>,"<operator>",<access>`: the radio technology (27.007 section 7.3).
fn technology(line: &str) -> Option<&'static str> {
    let rest = line.strip_prefix("+COPS:")?;
    let access = rest.rsplit('"').next()?.trim().strip_prefix(',')?.trim();
    Some(match access {
        "0" | "1" => "GSM",
        "2" => "UMTS",
        "3" => "EDGE",
        "4" => "HSDPA",
        "5" => "HSUPA",
        "6" => "HSPA",
        "7" | "10" => "LTE",
        "8" | "9" => "NB-IoT",
        "11" | "12" | "13" => "5G",
        _ => return None,
    })
}

fn registered(registration: Registration) -> bool {
    matches!(registration, Registration::Home | Registration::Roaming)
}

/// Data needs the packet side, so where that is registered its word counts: it is what a byte is
/// paid by, and voice may be at home (or said to be) while data roams. Many sticks report only the
/// circuit side, or the packet side only once a call is made: then the better of both counts.
fn better(circuit: Option<Registration>, packet: Option<Registration>) -> Option<Registration> {
    if packet.is_some_and(registered) {
        return packet;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packet_side_decides_where_data_roams() {
        let (home, roaming) = (Some(Registration::Home), Some(Registration::Roaming));
        assert_eq!(better(home, roaming), roaming);
        assert_eq!(better(roaming, home), home);
        assert_eq!(better(home, Some(Registration::Searching)), home);
        assert_eq!(better(roaming, None), roaming);
        assert_eq!(better(Some(Registration::Denied), Some(Registration::Idle)), Some(Registration::Denied));
    }
}
