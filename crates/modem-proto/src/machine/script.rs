//! Setting the stick up and asking who it is.

use sysio::Monotonic;

use super::{Action, Machine, Plan, State, send};
use crate::codec::Response;
use crate::command::Command;
use crate::outcome::Outcome;
use crate::parse;

/// Set-up and identity. `ModemManager`'s and wvdial's initialisation agree on these; a stick that
/// refuses one of them works without, so an `ERROR` goes on to the next.
const SCRIPT: [(&str, Kind); 11] = [
    ("ATE0", Kind::Plain),
    ("ATV1", Kind::Plain),
    ("AT+CMEE=1", Kind::Plain),
    ("ATX4", Kind::Plain),
    ("AT&C1", Kind::Plain), // carrier detect tells of the call's end
    ("AT&D2", Kind::Plain), // dropping DTR hangs up
    ("AT+CGMI", Kind::Manufacturer),
    ("AT+CGMM", Kind::Model),
    ("AT+CGSN", Kind::Imei),
    ("AT+CFUN?", Kind::Radio),
    ("AT+CFUN=1", Kind::RadioOn),
];

/// How often a stick that must say its IMEI is asked again: a line may be lost.
const IMEI_TRIES: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Manufacturer,
    Model,
    Imei,
    /// Whether the radio is on: a stick keeps "off" over a restart of ours.
    Radio,
    /// Only if it is not.
    RadioOn,
}

impl Machine {
    pub(super) fn script(&mut self, now: Monotonic) -> Vec<Action> {
        self.script_step(now, 0)
    }

    fn script_step(&mut self, now: Monotonic, step: usize) -> Vec<Action> {
        let Some((text, kind)) = SCRIPT.get(step) else { return self.odd_step(now, step) };
        if self.may_skip(*kind) {
            return self.script_step(now, step + 1);
        }
        let command = match kind {
            Kind::Plain => Command::plain(text),
            Kind::Manufacturer => Command::text(text, "+CGMI:"),
            Kind::Model => Command::text(text, "+CGMM:"),
            Kind::Imei => Command::text(text, "+CGSN:"),
            Kind::Radio => Command::question(text, "+CFUN:"),
            Kind::RadioOn => Command::radio(text),
        };
        self.state = State::Initialising { step, until: now + command.limit };
        send(command)
    }

    /// What this model wants besides; refused commands are passed over, too.
    fn odd_step(&mut self, now: Monotonic, step: usize) -> Vec<Action> {
        let text = self.oddities().and_then(|odd| odd.commands.get(step - SCRIPT.len())).cloned();
        let Some(text) = text else { return self.script_done(now) };
        let command = Command::plain(&text);
        self.state = State::Initialising { step, until: now + command.limit };
        send(command)
    }

    /// A stick does not change who it is: a redial asks once less.
    fn may_skip(&self, kind: Kind) -> bool {
        match kind {
            Kind::Manufacturer => self.identity.manufacturer.is_some(),
            Kind::Model => self.identity.model.is_some(),
            Kind::Imei => self.identity.imei.is_some(),
            Kind::RadioOn => !self.radio_off,
            Kind::Plain | Kind::Radio => false,
        }
    }

    pub(super) fn on_script_answer(
        &mut self,
        now: Monotonic,
        step: usize,
        response: &Response,
    ) -> Vec<Action> {
        let kind = SCRIPT.get(step).map(|(_, kind)| *kind);
        if response.outcome == Outcome::Ok {
            let name = || response.lines.iter().find_map(|line| parse::name(line));
            match kind {
                Some(Kind::Manufacturer) => self.identity.manufacturer = name(),
                Some(Kind::Model) => self.identity.model = name(),
                Some(Kind::Imei) => {
                    self.identity.imei = response.lines.iter().find_map(|line| parse::identity(line));
                }
                Some(Kind::Radio) => self.radio_off = response.lines.iter().any(|line| is_off(line)),
                Some(Kind::RadioOn) => self.radio_off = false,
                Some(Kind::Plain) | None => {}
            }
        }
        if kind == Some(Kind::Imei) && self.settings.imei.is_some() {
            if self.identity.imei.is_none() && self.imei_asked < IMEI_TRIES {
                self.imei_asked += 1;
                return self.script_step(now, step);
            }
            self.imei_asked = 0;
            if self.is_another_stick() {
                return self.reject_imei(now);
            }
        }
        self.script_step(now, step + 1)
    }

    fn is_another_stick(&self) -> bool {
        match (&self.settings.imei, &self.identity.imei) {
            (Some(wanted), Some(imei)) => !same_imei(wanted, imei),
            // Which one it is nobody knows: the person who named one did not mean "any".
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    fn script_done(&mut self, now: Monotonic) -> Vec<Action> {
        match self.rung {
            Some(plan @ (Plan::Detach | Plan::Radio)) => self.reattach(now, plan),
            _ => self.ask_sim(now),
        }
    }
}

/// The first 14 digits are the device's; the rest is a check digit or the software's version
/// (3GPP TS 23.003 section 6.2).
fn same_imei(one: &str, other: &str) -> bool {
    const DEVICE: usize = 14;
    one.get(..DEVICE) == other.get(..DEVICE)
}

/// `+CFUN: <fun>[,…]`: 0 minimum, 4 radio off (27.007 section 8.2).
fn is_off(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("+CFUN:") else { return false };
    matches!(rest.split(',').next().map(str::trim), Some("0" | "4"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimum_and_flight_mode_are_off() {
        let off = ["+CFUN: 0", "+CFUN: 4", "+CFUN:4,0", "+CFUN: 1", "+CFUN: 5", "OK"].map(is_off);
        assert_eq!(off, [true, true, true, false, false, false]);
    }

    #[test]
    fn an_imei_is_the_same_with_another_check_digit() {
        assert!(same_imei("354762020123456", "3547620201234501"));
        assert!(!same_imei("354762020123456", "354762020123556"));
        assert!(!same_imei("354762020123456", ""));
    }
}
