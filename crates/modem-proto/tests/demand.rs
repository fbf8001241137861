//! Calls on demand: down while the wired line works, up when it does not.

mod common;

use std::time::Duration;

use common::{Firmware, settings, settle, stick, tick};
use modem_proto::machine::{Dial, Event, Machine, Settings, Wired};
use sysio::Monotonic;

const START: Monotonic = Monotonic::from_secs(10);
const IDLE: Duration = Duration::from_secs(120);

/// A machine with a stick that is ready, told that the wired line works.
fn ready(firmware: &mut Firmware) -> Machine {
    let settings = Settings { dial: Dial::OnDemand { idle_hangup: IDLE }, ..settings(None) };
    let mut machine = Machine::new(settings, START);
    machine.step(START, 50, Event::Wired(Wired::Up));
    let actions = machine.step(START, 50, Event::Bus(stick()));
    settle(&mut machine, START, actions, firmware);
    assert_eq!(machine.name(), "standby");
    machine
}

fn tell(machine: &mut Machine, now: Monotonic, event: Event, firmware: &mut Firmware) {
    let actions = machine.step(now, 50, event);
    settle(machine, now, actions, firmware);
}

#[test]
fn dials_when_the_wired_line_dies_and_hangs_up_a_while_after_it_is_back() {
    let mut firmware = Firmware::new(None);
    let mut machine = ready(&mut firmware);
    assert_eq!(machine.network().signal_dbm, Some(-77));
    assert_eq!(machine.trouble(START), None);
    let mut now = START + Duration::from_secs(500);
    let down = now;
    tell(&mut machine, now, Event::Wired(Wired::Down), &mut firmware);
    while machine.name() != "connected" {
        tick(&mut machine, &mut now, &mut firmware);
        assert!(now.since(down) < Duration::from_secs(10), "{:?}", machine.state());
    }
    let back = now + Duration::from_secs(30);
    now = back;
    tell(&mut machine, now, Event::Wired(Wired::Up), &mut firmware);
    while machine.name() != "standby" {
        assert!(now.since(back) <= IDLE + Duration::from_secs(5), "{:?}", machine.state());
        tick(&mut machine, &mut now, &mut firmware);
    }
    assert!(now.since(back) >= IDLE);
}

#[test]
fn a_plug_that_is_moved_costs_no_day_s_fee() {
    let mut firmware = Firmware::new(None);
    let mut machine = ready(&mut firmware);
    let mut now = START + Duration::from_secs(500);
    for away in [Wired::Down, Wired::Unknown, Wired::Down] {
        tell(&mut machine, now, Event::Wired(away), &mut firmware);
        now = now + Duration::from_secs(4);
        tell(&mut machine, now, Event::Tick, &mut firmware);
        tell(&mut machine, now, Event::Wired(Wired::Up), &mut firmware);
        now = now + Duration::from_secs(100);
        tell(&mut machine, now, Event::Tick, &mut firmware);
    }
    assert!(!firmware.heard.iter().any(|heard| heard.starts_with("ATD")));
}

#[test]
fn a_line_that_is_down_and_unknown_in_turn_is_away_all_the_same() {
    let mut firmware = Firmware::new(None);
    let mut machine = ready(&mut firmware);
    let mut now = START + Duration::from_secs(500);
    let away = now;
    while machine.name() != "connected" {
        for wired in [Wired::Down, Wired::Unknown] {
            tell(&mut machine, now, Event::Wired(wired), &mut firmware);
            now = now + Duration::from_secs(2);
            tell(&mut machine, now, Event::Tick, &mut firmware);
        }
        assert!(now.since(away) < Duration::from_secs(90), "{:?}", machine.state());
    }
}

#[test]
fn stays_down_for_hours_and_keeps_asking_for_the_signal() {
    let mut firmware = Firmware::new(None);
    let mut machine = ready(&mut firmware);
    let mut now = START;
    while now.since(START) < Duration::from_secs(7200) {
        tick(&mut machine, &mut now, &mut firmware);
        assert!(["standby", "registering"].contains(&machine.name()), "{}", machine.name());
    }
    assert!(!firmware.heard.iter().any(|heard| heard.starts_with("ATD")));
    assert!(now.as_millis() - machine.network().measured_ms.unwrap() < 60_000);
}

#[test]
fn a_wired_line_nobody_reports_on_counts_as_down_after_a_minute() {
    let mut firmware = Firmware::new(None);
    let mut machine = ready(&mut firmware);
    let mut now = START + Duration::from_secs(300);
    let silent = now;
    tell(&mut machine, now, Event::Wired(Wired::Unknown), &mut firmware);
    assert_eq!(machine.name(), "standby");
    while machine.name() != "connected" {
        tick(&mut machine, &mut now, &mut firmware);
        assert!(now.since(silent) < Duration::from_secs(120), "{:?}", machine.state());
    }
    assert!(now.since(silent) >= Duration::from_secs(60));
}

#[test]
fn a_person_may_ask_for_a_call_and_for_its_end() {
    let mut firmware = Firmware::new(None);
    let mut machine = ready(&mut firmware);
    let mut now = START + Duration::from_secs(300);
    tell(&mut machine, now, Event::Dial, &mut firmware);
    assert_eq!(machine.name(), "connected");
    for _ in 0..20 {
        tick(&mut machine, &mut now, &mut firmware);
    }
    assert_eq!(machine.name(), "connected", "asked for, so it stays");
    tell(&mut machine, now, Event::HangUp, &mut firmware);
    tick(&mut machine, &mut now, &mut firmware);
    assert_eq!(machine.name(), "standby");
}

#[test]
fn a_dead_stick_in_standby_is_found_out() {
    let mut firmware = Firmware::new(None);
    let mut machine = ready(&mut firmware);
    firmware.dead = true;
    let mut now = START;
    while machine.stuck().is_none() {
        tick(&mut machine, &mut now, &mut firmware);
        assert!(now.since(START) < Duration::from_secs(60), "{:?}", machine.state());
    }
}

#[test]
fn a_call_ended_by_hand_does_not_keep_the_line_down_in_the_next_outage() {
    for dead in [Wired::Down, Wired::Unknown] {
        let mut firmware = Firmware::new(None);
        let mut machine = ready(&mut firmware);
        let mut now = START + Duration::from_secs(300);
        tell(&mut machine, now, Event::Dial, &mut firmware);
        tell(&mut machine, now, Event::HangUp, &mut firmware);
        tick(&mut machine, &mut now, &mut firmware);
        assert_eq!(machine.name(), "standby");
        now = now + Duration::from_secs(3600);
        let died = now;
        tell(&mut machine, now, Event::Wired(dead), &mut firmware);
        while machine.name() != "connected" {
            tick(&mut machine, &mut now, &mut firmware);
            assert!(now.since(died) < Duration::from_secs(120), "{:?}", machine.state());
        }
    }
}

#[test]
fn a_call_somebody_asked_for_and_forgot_ends_within_an_hour_or_so() {
    let mut firmware = Firmware::new(None);
    let mut machine = ready(&mut firmware);
    let mut now = START + Duration::from_secs(300);
    let asked = now;
    tell(&mut machine, now, Event::Dial, &mut firmware);
    assert!(machine.dialled_on_request());
    while machine.name() != "standby" {
        tick(&mut machine, &mut now, &mut firmware);
        assert!(now.since(asked) < Duration::from_secs(3700), "{:?}", machine.state());
    }
    assert!(now.since(asked) >= Duration::from_secs(3600));
    assert!(!machine.dialled_on_request());
    for _ in 0..200 {
        tick(&mut machine, &mut now, &mut firmware);
        assert!(machine.name() != "connected");
    }
}
