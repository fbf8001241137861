//! Dialogues with the firmware, as text.

use super::super::{SimConfig, Timing};
use super::*;
use crate::fault::Fault;

const SECOND: Duration = Duration::from_secs(1);
const PORT: u8 = 3;

struct Desk {
    now: Duration,
    firmware: Firmware,
    persistent: Persistent,
}

impl Desk {
    /// Registered, echo off.
    fn ready() -> Self {
        let mut desk = Self::with(SimConfig::default());
        desk.pass(10 * SECOND);
        desk.typed("ATE0\r");
        desk
    }

    fn with(sim: SimConfig) -> Self {
        let timing = Timing { noise: 3600 * SECOND, ..Timing::default() };
        let persistent = Persistent { sim: Sim::new(sim), cdrom_off: false, faults: Faults::default() };
        Self { now: Duration::ZERO, firmware: Firmware::new(Duration::ZERO, timing), persistent }
    }

    /// Lets time pass, deadline by deadline.
    fn pass(&mut self, time: Duration) -> Vec<FwAction> {
        let end = self.now + time;
        let mut actions = Vec::new();
        loop {
            self.now = self.firmware.next_deadline().clamp(self.now, end);
            actions.extend(self.event(FwEvent::Tick));
            if self.now == end {
                return actions;
            }
        }
    }

    fn event(&mut self, event: FwEvent<'_>) -> Vec<FwAction> {
        self.firmware.step(self.now, event, &mut self.persistent)
    }

    fn typed(&mut self, text: &str) -> String {
        said(&self.event(FwEvent::Bytes(PORT, text.as_bytes())))
    }

    fn fault(&mut self, fault: impl Into<Fault>) -> Vec<FwAction> {
        self.persistent.faults.add(self.now, fault.into());
        self.event(FwEvent::Tick)
    }

    fn healed(&mut self, kind: Kind) -> Vec<FwAction> {
        self.persistent.faults.clear(kind);
        self.event(FwEvent::Tick);
        self.pass(10 * SECOND)
    }

    fn dial(&mut self) {
        assert_eq!(self.event(FwEvent::Bytes(PORT, b"ATD*99#\r")), [FwAction::Dial(false)]);
        let actions = self.event(FwEvent::Connected);
        assert_eq!(actions[0], FwAction::Dcd(PORT, true));
        assert_eq!(said(&actions), "\r\nCONNECT 7200000\r\n");
    }
}

fn said(actions: &[FwAction]) -> String {
    let bytes = actions.iter().flat_map(|action| match action {
        FwAction::Say(_, text) => &text[..],
        _ => &[],
    });
    String::from_utf8(bytes.copied().collect()).unwrap()
}

#[test]
fn echo_comes_first_and_can_be_switched_off() {
    let mut desk = Desk::with(SimConfig::default());
    assert_eq!(desk.typed("AT\r"), "AT\r\r\nOK\r\n");
    assert_eq!(desk.typed("ATE0\r"), "ATE0\r\r\nOK\r\n");
    assert_eq!(desk.typed("AT\r"), "\r\nOK\r\n");
    assert_eq!(desk.typed("ATV0\r"), "0\r");
    assert_eq!(desk.typed("ATQ1\r"), "");
    assert_eq!(desk.typed("AT&F\r"), "\r\nOK\r\n");
}

#[test]
fn the_init_strings_of_wvdial_and_modemmanager_are_taken() {
    let mut desk = Desk::ready();
    for line in
        ["ATQ0 V1 E0 S0=0 &C1 &D2 +FCLASS=0\r", "ATE0+CPMS?\r", "ATX4\r", "AT&C1\r", "AT+COPS=3,2;+COPS?\r"]
    {
        assert!(desk.typed(line).ends_with("\r\nOK\r\n"), "{line}");
    }
}

#[test]
fn errors_follow_cmee_and_stop_the_line() {
    let mut desk = Desk::ready();
    assert_eq!(desk.typed("AT+NONSENSE;+CSQ\r"), "\r\nERROR\r\n");
    assert_eq!(desk.typed("AT+CGDCONT=99\r"), "\r\nERROR\r\n");
    assert_eq!(desk.typed("AT+CMEE=1;+CGDCONT=99\r"), "\r\n+CME ERROR: 50\r\n");
    assert_eq!(desk.typed("AT+CMEE=2;+CGDCONT=99\r"), "\r\n+CME ERROR: invalid parameters\r\n");
}

#[test]
fn the_sim_is_busy_at_first_and_registration_takes_its_time() {
    let mut desk = Desk::with(SimConfig::default());
    desk.typed("ATE0+CMEE=1;+CREG=1\r");
    assert_eq!(desk.typed("AT+CPIN?\r"), "\r\n+CME ERROR: 14\r\n");
    assert_eq!(desk.typed("AT+CREG?;+CSQ\r"), "\r\n+CREG: 1,2\r\n\r\n+CSQ: 99,99\r\n\r\nOK\r\n");
    assert_eq!(said(&desk.pass(10 * SECOND)), "\r\n+CREG: 1\r\n");
    assert_eq!(desk.typed("AT+CPIN?\r"), "\r\n+CPIN: READY\r\n\r\nOK\r\n");
    assert_eq!(desk.typed("AT+CREG?;+CSQ\r"), "\r\n+CREG: 1,1\r\n\r\n+CSQ: 20,99\r\n\r\nOK\r\n");
}

#[test]
fn without_its_pin_nothing_registers_and_three_wrong_ones_ask_for_the_puk() {
    let mut desk = Desk::with(SimConfig { pin: Some("1234".into()), ..SimConfig::default() });
    desk.typed("ATE0+CMEE=1\r");
    desk.pass(60 * SECOND);
    assert_eq!(desk.typed("AT+CPIN?;+CREG?\r"), "\r\n+CPIN: SIM PIN\r\n\r\n+CREG: 0,2\r\n\r\nOK\r\n");
    assert_eq!(desk.typed("AT+CIMI\r"), "\r\n+CME ERROR: 11\r\n");
    for left in ["63C2", "63C1", "6983"] {
        assert_eq!(desk.typed("AT+CPIN=\"9999\"\r"), "\r\n+CME ERROR: 16\r\n");
        assert!(desk.typed("AT+CSIM=10,\"0020000100\"\r").contains(left));
    }
    assert!(desk.typed("AT+CPIN?\r").contains("SIM PUK"));
    assert_eq!(desk.typed("AT+CPIN=\"1234\"\r"), "\r\n+CME ERROR: 12\r\n");
    assert_eq!(desk.typed("AT+CPIN=\"12345678\",\"4321\"\r"), "\r\nOK\r\n");
    desk.pass(10 * SECOND);
    assert!(desk.typed("AT+CREG?\r").contains("+CREG: 0,1"));
}

#[test]
fn a_call_carries_bytes_untouched_until_the_network_ends_it() {
    let mut desk = Desk::ready();
    desk.dial();
    let actions = desk.event(FwEvent::Bytes(PORT, b"AT\r~}"));
    assert_eq!(actions, [FwAction::Data(b"AT\r~}".to_vec())]);
    let actions = desk.event(FwEvent::Ended);
    assert_eq!(actions[0], FwAction::Dcd(PORT, false));
    assert_eq!(said(&actions), "\r\nNO CARRIER\r\n");
    assert_eq!(desk.typed("AT\r"), "\r\nOK\r\n");
}

#[test]
fn the_other_port_answers_during_a_call() {
    let mut desk = Desk::ready();
    desk.dial();
    let actions = desk.event(FwEvent::Bytes(1, b"ATE0+CSQ\r"));
    assert!(said(&actions).contains("+CSQ: 20,99"));
}

#[test]
fn dtr_ends_the_call_only_where_it_is_followed() {
    for (setting, ends) in [("&D2", true), ("&D0", false)] {
        let mut desk = Desk::ready();
        desk.event(FwEvent::Dtr(PORT, true));
        desk.typed(&format!("AT{setting}\r"));
        desk.dial();
        let actions = desk.event(FwEvent::Dtr(PORT, false));
        assert_eq!(actions.contains(&FwAction::HangUp), ends, "{setting}");
        assert_eq!(desk.firmware.call == Call::Idle, ends);
    }
}

#[test]
fn three_plusses_between_silences_escape_and_ato_returns() {
    let mut desk = Desk::ready();
    desk.dial();
    desk.pass(2 * SECOND);
    desk.event(FwEvent::Bytes(PORT, b"+++"));
    assert_eq!(said(&desk.pass(2 * SECOND)), "\r\nOK\r\n");
    assert_eq!(desk.typed("ATO\r"), "\r\nCONNECT 7200000\r\n");
    desk.event(FwEvent::Bytes(PORT, b"data+++"));
    assert_eq!(said(&desk.pass(5 * SECOND)), "", "no silence before it");
    assert!(matches!(desk.firmware.call, Call::Online { .. }));
}

#[test]
fn a_character_aborts_dialling_but_a_line_feed_does_not() {
    let mut desk = Desk::ready();
    assert_eq!(desk.event(FwEvent::Bytes(PORT, b"ATD*99***1#\r\n")), [FwAction::Dial(false)]);
    let actions = desk.event(FwEvent::Bytes(PORT, b"x"));
    assert_eq!(actions[0], FwAction::HangUp);
    assert_eq!(said(&actions), "\r\nNO CARRIER\r\n");
}

#[test]
fn dialling_needs_a_network_and_a_context() {
    let mut desk = Desk::with(SimConfig::default());
    desk.typed("ATE0\r");
    assert_eq!(desk.typed("ATD*99#\r"), "\r\nNO CARRIER\r\n");
    assert!(desk.typed("AT+CEER\r").contains("No network service"));
    desk.pass(10 * SECOND);
    assert_eq!(desk.typed("ATD*99***7#\r"), "\r\nERROR\r\n");
    assert_eq!(desk.typed("AT+CGDCONT=7,\"IPV4V6\",\"internet\"\r"), "\r\nOK\r\n");
    assert_eq!(desk.event(FwEvent::Bytes(PORT, b"ATD*99***7#\r")), [FwAction::Dial(true)]);
}

#[test]
fn detaching_ends_the_call_and_attaching_lets_it_be_dialled_again() {
    let mut desk = Desk::ready();
    assert_eq!(desk.typed("AT+CGATT=0\r"), "\r\nOK\r\n");
    assert_eq!(desk.typed("ATD*99#\r"), "\r\nNO CARRIER\r\n");
    assert_eq!(desk.typed("AT+CGATT=1\r"), "\r\nOK\r\n");
    desk.dial();
}

#[test]
fn noise_comes_in_command_mode_only() {
    let mut desk = Desk::ready();
    assert!(said(&desk.pass(3601 * SECOND)).contains("+ZUSIMR"));
    desk.dial();
    let ports: Vec<u8> = desk
        .pass(3601 * SECOND)
        .iter()
        .filter_map(|action| match action {
            FwAction::Say(port, _) => Some(*port),
            _ => None,
        })
        .collect();
    assert_eq!(ports, [1]);
}

#[test]
fn nothing_typed_makes_it_panic() {
    let mut desk = Desk::ready();
    let pieces =
        ["AT", "+CPIN=", "+CGDCONT=", "+CSIM=", "+COPS=", "D*99***", "\"", ",", "1", "\r", ";", "=?", "?"];
    let mut seed = 7_u32;
    for _ in 0..20_000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let piece = pieces[(seed >> 16) as usize % pieces.len()];
        desk.event(FwEvent::Bytes(PORT, piece.as_bytes()));
    }
}

#[test]
fn a_dead_at_task_says_nothing_at_all_and_carries_the_call_on() {
    let mut desk = Desk::ready();
    desk.dial();
    desk.fault(Kind::NoAnswer);
    assert_eq!(desk.event(FwEvent::Bytes(PORT, b"~x")), [FwAction::Data(b"~x".to_vec())]);
    assert_eq!(desk.event(FwEvent::Bytes(1, b"AT\r")), []);
    assert_eq!(desk.event(FwEvent::Ended), [FwAction::Dcd(PORT, false)]);
    assert_eq!(desk.typed("AT\r"), "");
    assert_eq!(said(&desk.pass(3601 * SECOND)), "");
    desk.persistent.faults.event(Event::UsbReset);
    assert_eq!(desk.typed("AT\r"), "\r\nOK\r\n");
}

#[test]
fn one_that_says_unsolicited_lines_only_is_no_better() {
    let mut desk = Desk::ready();
    desk.fault(Kind::UrcsOnly);
    assert_eq!(desk.typed("AT\r"), "");
    assert!(said(&desk.pass(3601 * SECOND)).contains("+ZUSIMR"));
}

#[test]
fn a_flood_leaves_room_for_answers_and_ends_with_cpms() {
    let mut desk = Desk::ready();
    desk.fault(Kind::UrcFlood);
    let flood = said(&desk.pass(SECOND));
    assert!(flood.matches("+ZUSIMR:2").count() > 150, "on both ports: {flood}");
    assert!(desk.typed("AT\r").contains("\r\nOK\r\n"));
    assert!(desk.typed("AT+CPMS?\r").contains("OK"));
    assert_eq!(said(&desk.pass(SECOND)), "");
}

#[test]
fn errors_to_everything_need_the_power() {
    let mut desk = Desk::ready();
    desk.fault(Kind::ErrorToAll);
    for line in ["AT\r", "AT+CSQ\r", "ATD*99#\r", "AT+CFUN=4\r"] {
        assert_eq!(desk.typed(line), "\r\nERROR\r\n");
    }
    desk.persistent.faults.event(Event::UsbReset);
    assert_eq!(desk.typed("AT\r"), "\r\nERROR\r\n");
    desk.persistent.faults.event(Event::Power);
    assert_eq!(desk.typed("AT\r"), "\r\nOK\r\n");
}

#[test]
fn equipment_errors_come_where_they_belong() {
    for (kind, command, code) in [
        (Kind::SimMissing, "AT+CPIN?\r", 10),
        (Kind::SimFailure, "AT+CPIN?\r", 13),
        (Kind::SimBusy, "AT+CIMI\r", 14),
        (Kind::NoService, "AT+CGATT=1\r", 30),
        (Kind::BadParameters, "AT+CGDCONT=1,\"IP\",\"x\"\r", 50),
        (Kind::PsNotAllowed, "AT+CGATT=1\r", 107),
    ] {
        let mut desk = Desk::ready();
        desk.typed("AT+CMEE=1\r");
        desk.fault(kind);
        assert_eq!(desk.typed(command), format!("\r\n+CME ERROR: {code}\r\n"), "{kind}");
        assert_eq!(desk.typed("AT\r"), "\r\nOK\r\n", "{kind}");
    }
}

#[test]
fn without_its_card_the_stick_leaves_the_network_and_comes_back_with_it() {
    let mut desk = Desk::ready();
    desk.dial();
    let actions = desk.fault(Kind::SimMissing);
    assert!(actions.contains(&FwAction::HangUp) && actions.contains(&FwAction::Dcd(PORT, false)));
    assert!(desk.typed("AT+CREG?\r").contains("+CREG: 0,2"));
    desk.healed(Kind::SimMissing);
    assert!(desk.typed("AT+CREG?\r").contains("+CREG: 0,1"));
}

#[test]
fn a_card_failure_is_healed_by_switching_the_radio_off_and_on() {
    let mut desk = Desk::ready();
    desk.fault(Kind::SimFailure);
    let actions = desk.event(FwEvent::Bytes(PORT, b"AT+CFUN=4\r"));
    assert!(actions.contains(&FwAction::Happened(Event::Radio)));
}

#[test]
fn lost_registration_has_its_status_and_is_reported() {
    for code in [0, 2, 3, 4] {
        let mut desk = Desk::ready();
        desk.typed("AT+CREG=1\r");
        let seconds = Some(20 * SECOND);
        let fault = Fault { code: Some(code), seconds, ..Kind::RegistrationLost.into() };
        assert!(said(&desk.fault(fault)).contains(&format!("+CREG: {code}")));
        assert_eq!(desk.typed("ATD*99#\r"), "\r\nNO CARRIER\r\n");
        assert!(said(&desk.healed(Kind::RegistrationLost)).contains("+CREG: 1"));
    }
}

#[test]
fn roaming_and_an_unknown_signal_are_told_and_nothing_else() {
    let mut desk = Desk::ready();
    desk.fault(Kind::Roaming);
    desk.fault(Kind::SignalUnknown);
    assert_eq!(desk.typed("AT+CREG?;+CSQ\r"), "\r\n+CREG: 0,5\r\n\r\n+CSQ: 99,99\r\n\r\nOK\r\n");
    desk.dial();
}

#[test]
fn packet_service_can_be_denied_alone() {
    let mut desk = Desk::ready();
    desk.fault(Kind::PsNotAllowed);
    assert!(desk.typed("AT+CREG?\r").contains("0,1") && desk.typed("AT+CGREG?\r").contains("0,3"));
    assert_eq!(desk.typed("ATD*99#\r"), "\r\nNO CARRIER\r\n");
}

#[test]
fn hidden_pin_tries_cannot_be_read() {
    let mut desk = Desk::ready();
    desk.persistent.sim.demand_pin("1234", 3);
    desk.fault(Kind::PinTriesHidden);
    assert_eq!(desk.typed("AT+CSIM=10,\"0020000100\"\r"), "\r\nERROR\r\n");
    assert!(desk.typed("AT+CPIN?\r").contains("SIM PIN"));
    assert_eq!(desk.typed("AT+CPIN=\"1234\"\r"), "\r\nOK\r\n");
}

#[test]
fn a_call_that_is_up_ends_when_packet_service_is_denied() {
    let mut desk = Desk::ready();
    desk.dial();
    let actions = desk.fault(Kind::PsNotAllowed);
    assert!(actions.contains(&FwAction::HangUp), "{actions:?}");
    assert!(actions.contains(&FwAction::Dcd(PORT, false)), "{actions:?}");
    assert_eq!(desk.firmware.call, Call::Idle);
    assert!(desk.firmware.registered, "circuit service stays");
}

#[test]
fn the_right_pin_ends_every_fault_that_asked_for_it() {
    for kind in [Kind::SimPin, Kind::PinTries, Kind::PinTriesHidden] {
        let mut desk = Desk::ready();
        desk.persistent.sim.demand_pin(fault::PIN, u8::MAX);
        desk.fault(kind);
        assert_eq!(desk.typed("AT+CPIN=\"1234\"\r"), "\r\nOK\r\n");
        assert!(!desk.persistent.faults.has(kind), "{kind}");
    }
}
