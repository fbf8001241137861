//! Faults of the USB device and the carrier, seen by the guest: what they do, and that nothing but
//! their cure ends them.

use std::time::{Duration, Instant};

use lab::carrier::CallState;
use lab::fault::{Fault, Kind};
use lab::stick::StickCommand;

use super::guest::PATIENCE;
use super::subscriber::{self, IN, OUT, Ppp, at, at_until};
use super::{Bench, SETTLE};

/// Status of a transfer: STALL (`usb_redir_stall`).
const STALL: u8 = 4;

impl Bench {
    fn fault(&self, fault: impl Into<Fault>) {
        let seen = self.stick.state().faults_seen;
        self.stick.command(StickCommand::Fault(fault.into()));
        self.stick.wait_for(PATIENCE, |state| state.faults_seen > seen).expect("the fault is on");
    }

    fn wait_healed(&self, kind: Kind) {
        self.stick.wait_for(PATIENCE, |state| !state.has(kind)).expect("the fault is over");
    }

    fn lose_power(&mut self) {
        self.stick.power_lost();
        self.guest.wait_gone();
        self.stick.power_restored();
    }

    /// Dials with the next call spoilt: what the stick says.
    fn dial_spoilt(&mut self, end: &str) {
        at_until(&mut self.guest, "ATE0+CREG?", "+CREG: 0,1");
        at(&mut self.guest, "ATD*99#", end);
    }

    /// Whether anything comes on the line.
    fn hears(&mut self) -> Option<Vec<u8>> {
        self.guest.bulk_in(IN, SETTLE)
    }
}

#[test]
fn a_soft_hang_ends_with_a_bus_reset() {
    let mut bench = Bench::modem();
    bench.fault(Kind::SoftHang);
    let asked = bench.guest.start_control([0x80, 6, 0, 1, 0, 0, 18, 0]);
    assert_eq!(bench.guest.cancel(100, asked), 1);
    bench.guest.reset();
    bench.wait_healed(Kind::SoftHang);
    bench.guest.configure();
    at(&mut bench.guest, "AT", "OK");
    assert_eq!(bench.stick.state().bus_resets, 1);
}

#[test]
fn a_hang_of_two_cycles_is_still_there_after_the_first() {
    let mut bench = Bench::modem();
    bench.fault(Fault { cycles: 2, ..Kind::Hang.into() });
    bench.guest.reset();
    bench.lose_power();
    assert_eq!(bench.guest.device().2, 0x2000);
    let asked = bench.guest.start_control([0x80, 6, 0, 1, 0, 0, 18, 0]);
    assert_eq!(bench.guest.cancel(100, asked), 1, "it hangs as a CD-ROM");
    bench.lose_power();
    bench.switch();
    at(&mut bench.guest, "AT", "OK");
    assert_eq!(bench.stick.state().power_losses, 2);
}

#[test]
fn stalled_bulk_endpoints_end_with_a_bus_reset_and_control_goes_on() {
    let mut bench = Bench::modem();
    bench.fault(Kind::Stall);
    assert_eq!(bench.guest.bulk_out_status(OUT, b"AT\r"), STALL);
    assert_eq!(bench.guest.bulk_in_status(IN), STALL);
    assert_eq!(bench.guest.control([0x80, 6, 0, 1, 0, 0, 18, 0]).0, 0);
    bench.guest.reset();
    bench.wait_healed(Kind::Stall);
    bench.guest.configure();
    at(&mut bench.guest, "AT", "OK");
}

#[test]
fn a_device_that_stalls_everything_needs_the_power() {
    let mut bench = Bench::modem();
    bench.fault(Kind::StallAll);
    assert_eq!(bench.guest.control([0x80, 6, 0, 1, 0, 0, 18, 0]).0, STALL);
    bench.guest.reset();
    assert_eq!(bench.guest.control([0x80, 6, 0, 1, 0, 0, 18, 0]).0, STALL);
    bench.lose_power();
    bench.switch();
    at(&mut bench.guest, "AT", "OK");
}

#[test]
fn it_comes_back_under_another_number_as_a_cdrom_or_after_a_while() {
    let mut bench = Bench::modem();
    bench.fault(Kind::Renumbered);
    bench.guest.wait_gone();
    assert_eq!(bench.guest.device().2, 0x2003);
    bench.guest.configure();
    at(&mut bench.guest, "AT", "OK");

    bench.fault(Kind::BackAsCdrom);
    bench.guest.wait_gone();
    bench.switch();

    let away = Duration::from_millis(400);
    let begin = Instant::now();
    bench.fault(Fault { seconds: Some(away), ..Kind::Vanish.into() });
    bench.guest.wait_gone();
    bench.switch();
    assert!(begin.elapsed() >= away);
}

#[test]
fn calls_fail_as_often_as_the_fault_says() {
    for (kind, end) in [(Kind::NoCarrier, "NO CARRIER"), (Kind::Busy, "BUSY"), (Kind::DailyCut, "NO CARRIER")]
    {
        let mut bench = Bench::modem();
        let fault = Fault { cycles: 2, ..kind.into() };
        bench.fault(fault);
        bench.dial_spoilt(end);
        bench.dial_spoilt(end);
        bench.dial();
        assert_eq!(bench.stick.state().carrier.refused, 2, "{kind}");
    }
}

#[test]
fn the_daily_cut_ends_the_call_first() {
    let mut bench = Bench::modem();
    bench.dial();
    bench.fault(Kind::DailyCut);
    bench.wait_call(CallState::Idle);
    assert_eq!(bench.guest.interrupt()[8] & 1, 0, "carrier detect is off");
}

#[test]
fn silence_after_dialling_ends_when_the_host_gives_up() {
    let mut bench = Bench::modem();
    bench.fault(Kind::DialSilence);
    at_until(&mut bench.guest, "ATE0+CREG?", "+CREG: 0,1");
    bench.guest.bulk_out(OUT, b"ATD*99#\r");
    assert_eq!(bench.hears(), None);
    at(&mut bench.guest, "x", "NO CARRIER");
    bench.dial();
}

#[test]
fn connected_to_nobody_or_to_noise_until_dtr_falls() {
    for (kind, noisy) in [(Kind::LcpSilence, false), (Kind::ConnectGarbage, true)] {
        let mut bench = Bench::modem();
        bench.fault(kind);
        bench.dial_spoilt("CONNECT 7200000\r\n");
        assert_eq!(bench.hears().is_some(), noisy, "{kind}");
        bench.dtr(false);
        bench.wait_healed(kind);
        bench.dtr(true);
    }
}

#[test]
fn a_dead_call_keeps_its_carrier_and_ends_with_the_call() {
    let mut bench = Bench::modem();
    bench.dial();
    Ppp::negotiate(&mut bench.guest);
    bench.wait_call(CallState::Open);
    bench.fault(Kind::EchoDead);
    subscriber::echo_lcp(&mut bench.guest);
    assert_eq!(bench.hears(), None);
    bench.wait_call(CallState::Open);
    bench.dtr(false);
    bench.wait_healed(Kind::EchoDead);
}

#[test]
fn terminate_requests_come_as_soon_as_the_call_is_up_and_again() {
    let mut bench = Bench::modem();
    bench.fault(Kind::TerminateStorm);
    bench.dial();
    Ppp::negotiate(&mut bench.guest);
    let mut requests = 0;
    let end = Instant::now() + PATIENCE;
    while requests < 2 {
        assert!(Instant::now() < end, "{requests} Terminate-Requests");
        requests += subscriber::terminate_requests(&mut bench.guest);
    }
}

#[test]
fn the_pin_is_asked_for_again_with_the_tries_the_fault_says() {
    let mut bench = Bench::modem();
    at_until(&mut bench.guest, "ATE0+CREG?", "+CREG: 0,1");
    bench.fault(Fault { code: Some(1), ..Kind::PinTries.into() });
    assert!(at(&mut bench.guest, "AT+CPIN?", "OK").contains("SIM PIN"));
    assert!(at(&mut bench.guest, "AT+CSIM=10,\"0020000100\"", "OK").contains("63C1"));
    bench.stick.command(StickCommand::Clear(Kind::PinTries));
    bench.wait_healed(Kind::PinTries);
    at_until(&mut bench.guest, "AT+CREG?", "+CREG: 0,1");
    bench.fault(Kind::SimPuk);
    assert!(at(&mut bench.guest, "AT+CPIN?", "OK").contains("SIM PUK"));
}

#[test]
fn refused_credentials_end_the_call() {
    let mut bench = Bench::modem();
    bench.fault(Kind::AuthRefused);
    bench.dial();
    subscriber::offer_pap(&mut bench.guest);
    bench.wait_call(CallState::Idle);
}
