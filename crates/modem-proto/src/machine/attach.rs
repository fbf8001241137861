//! From an empty bus to a port that answers and is set up.

use sysio::Monotonic;

use super::call::Phase;
use super::{Action, Bus, Form, Identity, Machine, Network, State, Stick, Trouble, pace, send};
use crate::codec::Response;
use crate::command::Command;
use crate::outcome::Outcome;
use crate::parse;

/// Set-up and identity. `ModemManager`'s and wvdial's initialisation agree on these; a stick that
/// refuses one of them works without, so an `ERROR` goes on to the next.
const SCRIPT: [(&str, Kind); 9] = [
    ("ATE0", Kind::Plain),
    ("ATV1", Kind::Plain),
    ("AT+CMEE=1", Kind::Plain),
    ("ATX4", Kind::Plain),
    ("AT&C1", Kind::Plain), // carrier detect tells of the call's end
    ("AT&D2", Kind::Plain), // dropping DTR hangs up
    ("AT+CGMI", Kind::Manufacturer),
    ("AT+CGMM", Kind::Model),
    ("AT+CGSN", Kind::Imei),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Manufacturer,
    Model,
    Imei,
}

impl Machine {
    pub(super) fn on_bus(&mut self, now: Monotonic, bus: Bus) -> Vec<Action> {
        let before = self.chosen().cloned();
        self.bus = bus;
        self.chosen = self.choose().map(|stick| stick.usb_path.clone());
        let Some(stick) = self.chosen() else { return self.on_bus_empty(now) };
        let same = before.is_some_and(|before| before.is_same(stick));
        match stick.form {
            Form::CdRom => self.on_cd_rom(now),
            _ if same => self.on_ports(now),
            _ => self.on_new_modem(now),
        }
    }

    /// The stick in use stays; a newcomer is preferred the more it can do at once.
    fn choose(&self) -> Option<&Stick> {
        let effort = |stick: &&Stick| match stick.form {
            Form::Serial { .. } => 0,
            Form::NetworkCard { .. } => 1,
            Form::CdRom => 2,
        };
        self.chosen().or_else(|| self.bus.sticks.iter().min_by_key(effort))
    }

    fn on_bus_empty(&mut self, now: Monotonic) -> Vec<Action> {
        if let State::Absent { until, .. } = &mut self.state {
            *until = now + pace::LOOK_WHILE_ABSENT;
            return Vec::new();
        }
        self.forget_modem();
        self.state = State::Absent { since: now, until: now + pace::LOOK_WHILE_ABSENT };
        self.release()
    }

    fn on_cd_rom(&mut self, now: Monotonic) -> Vec<Action> {
        if matches!(self.state, State::ModeSwitching { .. }) {
            return Vec::new();
        }
        self.forget_modem();
        let until = now + pace::LOOK_WHILE_ABSENT;
        self.state = State::ModeSwitching { switch_at: now + pace::SWITCH_OURSELVES, until };
        self.release()
    }

    fn on_new_modem(&mut self, now: Monotonic) -> Vec<Action> {
        self.forget_modem();
        self.attempt = 0;
        let mut actions = self.release();
        actions.extend(self.begin(now));
        actions
    }

    /// The ports of the stick we know changed.
    fn on_ports(&mut self, now: Monotonic) -> Vec<Action> {
        let Some(stick) = self.chosen() else { return Vec::new() };
        match (&self.state, &self.port) {
            (State::Probing { .. }, None) if stick.is_ready() => self.begin(now),
            (_, Some(port)) if !stick.ports().contains(port) && !self.session => {
                self.port = None;
                self.fail(now, Trouble::NoAnswer("the serial port vanished".to_owned()))
            }
            _ => Vec::new(),
        }
    }

    fn forget_modem(&mut self) {
        self.port = None;
        self.identity = Identity::default();
        self.network = Network::default();
        self.trouble = None;
    }

    /// Nobody told of a change: look for one.
    pub(super) fn look_again(&mut self, now: Monotonic) -> Vec<Action> {
        let mut actions = vec![Action::Scan];
        let cd_rom = self.chosen().filter(|stick| stick.form == Form::CdRom);
        let switch =
            cd_rom.map(|stick| Action::SwitchMode { usb_path: stick.usb_path.clone(), id: stick.id.clone() });
        match (&mut self.state, switch) {
            (State::ModeSwitching { switch_at, until }, Some(switch)) => {
                *until = now + pace::LOOK_WHILE_ABSENT;
                if now >= *switch_at {
                    *switch_at = now + pace::SWITCH_OURSELVES;
                    actions.push(switch);
                }
            }
            (State::Absent { until, .. } | State::ModeSwitching { until, .. }, _) => {
                *until = now + pace::LOOK_WHILE_ABSENT;
            }
            _ => {}
        }
        actions
    }

    /// A try from the start: the first candidate port, or whatever the bus allows.
    pub(super) fn begin(&mut self, now: Monotonic) -> Vec<Action> {
        self.port = None;
        // Opening the port ends a pppd that is still there, without a word.
        self.session = false;
        match self.chosen().map(|stick| &stick.form) {
            Some(Form::Serial { .. }) => self.probe(now, 0),
            Some(Form::NetworkCard { interface, .. }) => {
                let interface = interface.clone();
                self.start_card(now, interface)
            }
            None => {
                self.state = State::Absent { since: now, until: now + pace::LOOK_WHILE_ABSENT };
                vec![Action::Close, Action::Scan]
            }
            Some(Form::CdRom) => {
                let until = now + pace::LOOK_WHILE_ABSENT;
                self.state = State::ModeSwitching { switch_at: now + pace::SWITCH_OURSELVES, until };
                vec![Action::Close, Action::Scan]
            }
        }
    }

    /// A network card dials by itself; what is to be done is to take an address.
    fn start_card(&mut self, now: Monotonic, interface: Option<String>) -> Vec<Action> {
        let Some(interface) = interface else {
            // Its interface is still to come; that is an event.
            self.state =
                State::Probing { candidate: 0, tries: PORTS_AWAITED, until: now + pace::PORTS_APPEAR };
            return vec![Action::Close, Action::Scan];
        };
        self.session = true;
        self.state = State::Dialling { phase: Phase::Negotiation, until: now + pace::NEGOTIATION };
        vec![Action::Close, Action::StartCard { interface }]
    }

    fn probe(&mut self, now: Monotonic, candidate: usize) -> Vec<Action> {
        let Some(stick) = self.chosen() else { return Vec::new() };
        let Some(port) = stick.ports().get(candidate) else {
            if !stick.ports().is_empty() {
                return self.no_port_answers(now);
            }
            // Serial ports still to come; their coming is an event.
            self.state =
                State::Probing { candidate: 0, tries: PORTS_AWAITED, until: now + pace::PORTS_APPEAR };
            return vec![Action::Close, Action::Scan];
        };
        let port = port.clone();
        self.port = Some(port.clone());
        self.state = State::Probing { candidate, tries: 0, until: now + Command::probe().limit };
        vec![Action::Close, Action::Open(port)]
    }

    pub(super) fn on_opened(&mut self, now: Monotonic, result: Result<(), String>) -> Vec<Action> {
        let State::Probing { candidate, tries, .. } = self.state else { return vec![Action::Close] };
        match result {
            Ok(()) => {
                let command = Command::probe();
                self.state = State::Probing { candidate, tries: tries + 1, until: now + command.limit };
                send(command)
            }
            Err(error) => {
                let more = self.modem().is_some_and(|stick| candidate + 1 < stick.ports().len());
                if more { self.probe(now, candidate + 1) } else { self.fail(now, Trouble::NoAnswer(error)) }
            }
        }
    }

    pub(super) fn no_probe_answer(&mut self, now: Monotonic) -> Vec<Action> {
        let State::Probing { candidate, tries, .. } = self.state else { return Vec::new() };
        if self.port.is_none() {
            return self.fail(now, Trouble::NoAnswer("no serial port appeared".to_owned()));
        }
        if tries >= pace::PROBES {
            return self.probe(now, candidate + 1);
        }
        let command = Command::probe();
        self.state = State::Probing { candidate, tries: tries + 1, until: now + command.limit };
        send(command)
    }

    fn no_port_answers(&mut self, now: Monotonic) -> Vec<Action> {
        let ports: Vec<&str> = self
            .modem()
            .map(|stick| stick.ports().iter().map(|port| port.name.as_str()).collect())
            .unwrap_or_default();
        let detail = format!("no answer to AT on {}", ports.join(", "));
        self.fail(now, Trouble::NoAnswer(detail))
    }

    pub(super) fn initialise(&mut self, now: Monotonic) -> Vec<Action> {
        if matches!(self.trouble, Some(Trouble::NoAnswer(_))) {
            self.trouble = None;
        }
        self.script_step(now, 0)
    }

    fn script_step(&mut self, now: Monotonic, step: usize) -> Vec<Action> {
        let Some((text, kind)) = SCRIPT.get(step) else { return self.ask_sim(now) };
        let command = match kind {
            Kind::Plain => Command::plain(text),
            Kind::Manufacturer => Command::text(text, "+CGMI:"),
            Kind::Model => Command::text(text, "+CGMM:"),
            Kind::Imei => Command::text(text, "+CGSN:"),
        };
        self.state = State::Initialising { step, until: now + command.limit };
        send(command)
    }

    pub(super) fn on_script_answer(
        &mut self,
        now: Monotonic,
        step: usize,
        response: &Response,
    ) -> Vec<Action> {
        if response.outcome == Outcome::Ok {
            let name = || response.lines.iter().find_map(|line| parse::name(line));
            match SCRIPT.get(step).map(|(_, kind)| *kind) {
                Some(Kind::Manufacturer) => self.identity.manufacturer = name(),
                Some(Kind::Model) => self.identity.model = name(),
                Some(Kind::Imei) => {
                    self.identity.imei = response.lines.iter().find_map(|line| parse::identity(line));
                }
                Some(Kind::Plain) | None => {}
            }
        }
        self.script_step(now, step + 1)
    }
}

/// No port was asked yet.
const PORTS_AWAITED: u8 = 0;
