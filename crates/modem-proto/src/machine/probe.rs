//! From a stick on the bus to a port that answers.

use sysio::Monotonic;

use super::call::Phase;
use super::pace::Probes;
use super::{Action, Form, Machine, State, Trouble, pace, send};
use crate::codec::Response;
use crate::command::Command;
use crate::outcome::Outcome;

/// No port was asked yet.
const PORTS_AWAITED: u8 = 0;

impl Machine {
    /// A try from the start: the first candidate port, or whatever the bus allows.
    pub(super) fn begin(&mut self, now: Monotonic) -> Vec<Action> {
        self.port = None;
        // Opening the port ends a pppd that is still there, without a word.
        self.session = false;
        self.rung = self.plan.take();
        let form = self.chosen().map(|stick| stick.form.clone());
        let recovering = self.recovery.as_mut().filter(|recovery| recovery.ended.is_none());
        if let (Some(plan), Some(recovery), Some(Form::Serial { .. } | Form::NetworkCard { .. })) =
            (self.rung, recovering, &form)
        {
            recovery.step(now, plan);
        }
        match form {
            Some(Form::Serial { .. }) => self.probe(now, 0),
            Some(Form::NetworkCard { interface, .. }) => self.start_card(now, interface),
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
        let Some(interface) = interface else { return self.await_ports(now) };
        if !self.wanted(now) {
            let mut actions = vec![Action::Close];
            actions.extend(self.standby(now));
            return actions;
        }
        self.session = true;
        self.state = State::Dialling { phase: Phase::Negotiation, until: now + pace::NEGOTIATION };
        vec![Action::Close, Action::StartCard { interface }]
    }

    /// Its ports or its interface are still to come; that is an event.
    fn await_ports(&mut self, now: Monotonic) -> Vec<Action> {
        let until = now + pace::PORTS_APPEAR;
        self.state = State::Probing { candidate: 0, tries: PORTS_AWAITED, opening: false, until };
        vec![Action::Close, Action::Scan]
    }

    fn probe(&mut self, now: Monotonic, candidate: usize) -> Vec<Action> {
        let Some(stick) = self.chosen() else { return Vec::new() };
        let Some(port) = stick.ports().get(candidate).cloned() else {
            return if stick.ports().is_empty() { self.await_ports(now) } else { self.no_port_answers(now) };
        };
        self.port = Some(port.clone());
        let until = now + self.probes().open;
        self.state = State::Probing { candidate, tries: 0, opening: true, until };
        vec![Action::Close, Action::Open(port)]
    }

    fn probes(&self) -> Probes {
        if self.answered || self.stuck.is_some() { pace::QUICK_PROBES } else { pace::PATIENT_PROBES }
    }

    pub(super) fn on_opened(&mut self, now: Monotonic, result: Result<(), String>) -> Vec<Action> {
        let State::Probing { candidate, tries, .. } = self.state else { return vec![Action::Close] };
        match result {
            Ok(()) => self.ask_port(now, candidate, tries),
            Err(error) => self.port_refused(now, candidate, error),
        }
    }

    fn port_refused(&mut self, now: Monotonic, candidate: usize, error: String) -> Vec<Action> {
        self.port_error = Some(error);
        self.probe(now, candidate + 1)
    }

    fn ask_port(&mut self, now: Monotonic, candidate: usize, tries: u8) -> Vec<Action> {
        let until = now + self.probes().each;
        self.state = State::Probing { candidate, tries: tries + 1, opening: false, until };
        send(Command::probe())
    }

    pub(super) fn on_probe_answer(&mut self, now: Monotonic, response: &Response) -> Vec<Action> {
        if response.outcome != Outcome::Ok {
            // Not even `AT` pleases it: as good as no answer, and asked again in its time.
            self.port_error = Some(format!("AT is answered with {}", response.outcome));
            return Vec::new();
        }
        self.answered();
        if matches!(self.trouble, Some(Trouble::NoAnswer(_))) {
            self.trouble = None;
        }
        self.script(now)
    }

    pub(super) fn no_probe_answer(&mut self, now: Monotonic) -> Vec<Action> {
        let State::Probing { candidate, tries, opening, .. } = self.state else { return Vec::new() };
        if self.port.is_none() {
            return self.round_failed(now, "no serial port appeared".to_owned());
        }
        if opening {
            let error = "opening the port takes too long: the stick takes no requests".to_owned();
            return self.port_refused(now, candidate, error);
        }
        if tries >= self.probes().tries {
            return self.probe(now, candidate + 1);
        }
        self.ask_port(now, candidate, tries)
    }

    fn no_port_answers(&mut self, now: Monotonic) -> Vec<Action> {
        let ports: Vec<&str> = self
            .modem()
            .map(|stick| stick.ports().iter().map(|port| port.name.as_str()).collect())
            .unwrap_or_default();
        let silent = format!("no answer to AT on {}", ports.join(", "));
        let detail = match self.port_error.take() {
            Some(error) => format!("{silent} ({error})"),
            None => silent,
        };
        self.round_failed(now, detail)
    }
}
