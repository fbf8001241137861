//! The dialer's machine against modems that behave, and against a world that does not.

mod common;

use std::time::Duration;

use common::{Firmware, cd_rom, settings, settle, stick, tick};
use modem_proto::codec::Response;
use modem_proto::machine::{Action, Bus, Event, Machine, PinRefusal, SessionEnd, Settings, Spent, Trouble};
use modem_proto::{MobileError, Outcome};
use sysio::Monotonic;

const START: Monotonic = Monotonic::from_secs(10);

fn plugged_in(settings: Settings, firmware: &mut Firmware) -> Machine {
    let mut machine = Machine::new(settings, START);
    let actions = machine.step(START, 50, Event::Bus(stick()));
    settle(&mut machine, START, actions, firmware);
    machine
}

#[test]
fn connects_a_stick_that_answers() {
    let machine = plugged_in(settings(None), &mut Firmware::new(None));
    assert_eq!(machine.name(), "connected");
    assert_eq!(machine.network().signal_dbm, Some(-77));
    assert_eq!(machine.trouble(START), None);
}

#[test]
fn redials_at_once_when_a_call_that_held_is_dropped_and_then_paces_itself() {
    let mut firmware = Firmware::new(None);
    let mut machine = plugged_in(settings(None), &mut firmware);
    let dropped = START + Duration::from_secs(60);
    let actions = machine.step(dropped, 50, Event::SessionEnded(SessionEnd::Code(16)));
    assert!(matches!(actions.last(), Some(Action::Open(_))), "{actions:?}");
    settle(&mut machine, dropped, actions, &mut firmware);
    assert_eq!(machine.name(), "connected");
    // It is dropped again after a second: not a call that held.
    let again = dropped + Duration::from_secs(1);
    machine.step(again, 50, Event::SessionEnded(SessionEnd::Code(16)));
    assert_eq!(machine.name(), "waiting");
    assert!(machine.next_deadline().since(again) <= Duration::from_secs(2));
}

#[test]
fn a_wrong_pin_is_sent_once_and_never_again() {
    let mut firmware = Firmware::new(Some("1234"));
    let mut machine = plugged_in(settings(Some("0000")), &mut firmware);
    let mut now = START;
    for _ in 0..500 {
        tick(&mut machine, &mut now, &mut firmware);
    }
    assert_eq!(firmware.pins_sent, 1);
    assert_eq!(machine.trouble(now), Some(Trouble::PinRefused(PinRefusal::Wrong)));
    assert!(now.since(START) > Duration::from_secs(3600), "it kept looking for hours");
}

#[test]
fn no_pin_is_sent_with_fewer_than_three_tries_left() {
    let mut firmware = Firmware::new(Some("1234"));
    firmware.tries = 2;
    let machine = plugged_in(settings(Some("1234")), &mut firmware);
    assert_eq!(firmware.pins_sent, 0);
    assert_eq!(machine.trouble(START), Some(Trouble::PinRefused(PinRefusal::FewTries(2))));
}

#[test]
fn a_pin_an_earlier_process_sent_in_vain_is_not_sent() {
    let mut firmware = Firmware::new(Some("1234"));
    firmware.knows_csim = false;
    let settings =
        Settings { pins_spent: vec![Spent { sim: None, refused: false }], ..settings(Some("0000")) };
    let mut machine = plugged_in(settings, &mut firmware);
    let mut now = START;
    tick(&mut machine, &mut now, &mut firmware);
    assert_eq!(firmware.pins_sent, 0);
    assert_eq!(machine.trouble(now), Some(Trouble::PinRefused(PinRefusal::SentBefore)));
}

#[test]
fn an_accepted_pin_unlocks_the_sim_again_after_it_lost_power() {
    let mut firmware = Firmware::new(Some("1234"));
    let mut machine = plugged_in(settings(Some("1234")), &mut firmware);
    let mut now = START;
    tick(&mut machine, &mut now, &mut firmware);
    assert_eq!(machine.name(), "connected");
    firmware.unlocked = false;
    let mut later = START + Duration::from_secs(100);
    let gone = machine.step(later, 50, Event::Bus(Bus::default()));
    assert!(gone.contains(&Action::EndSession), "{gone:?}");
    assert_eq!(machine.name(), "absent");
    let actions = machine.step(later, 50, Event::Bus(stick()));
    settle(&mut machine, later, actions, &mut firmware);
    tick(&mut machine, &mut later, &mut firmware);
    assert_eq!((machine.name(), firmware.pins_sent), ("connected", 2));
}

#[test]
fn says_what_a_person_has_to_do() {
    let mut locked = Firmware::new(Some("1234"));
    let machine = plugged_in(settings(None), &mut locked);
    assert_eq!((machine.name(), machine.trouble(START)), ("blocked", Some(Trouble::PinRequired)));
    locked.tries = 0;
    let machine = plugged_in(settings(Some("1234")), &mut locked);
    assert_eq!(machine.trouble(START), Some(Trouble::PukRequired));
    assert_eq!(locked.pins_sent, 0);
}

#[test]
fn a_foreign_network_is_not_used_unless_allowed() {
    let mut abroad = Firmware::new(None);
    abroad.registration = "5";
    let machine = plugged_in(settings(None), &mut abroad);
    assert_eq!((machine.name(), machine.trouble(START)), ("registering", Some(Trouble::RoamingOff)));
    let allowed = Settings { roaming: true, ..settings(None) };
    assert_eq!(plugged_in(allowed, &mut abroad).name(), "connected");
}

#[test]
fn tries_the_second_port_when_the_first_is_deaf() {
    let mut machine = Machine::new(settings(None), START);
    let mut actions = machine.step(START, 50, Event::Bus(stick()));
    let mut now = START;
    let mut opened = Vec::new();
    while opened.len() < 2 {
        for action in std::mem::take(&mut actions) {
            if let Action::Open(port) = action {
                opened.push(port.name);
                machine.step(now, 50, Event::Opened(Ok(())));
            }
        }
        now = machine.next_deadline();
        assert!(now.since(START) < Duration::from_secs(60), "{:?}", machine.state());
        actions = machine.step(now, 50, Event::Tick);
    }
    assert_eq!(opened, ["ttyUSB2", "ttyUSB1"]);
}

#[test]
fn a_refused_password_is_retried_slowly_and_named() {
    let mut machine = plugged_in(settings(None), &mut Firmware::new(None));
    machine.step(START, 50, Event::SessionEnded(SessionEnd::Code(19)));
    assert!(matches!(machine.trouble(START), Some(Trouble::AuthRefused(_))));
    assert!(machine.next_deadline().since(START) >= Duration::from_secs(60));
}

#[test]
fn switches_the_cd_rom_itself_when_nobody_else_does() {
    let mut machine = Machine::new(settings(None), START);
    let cd = cd_rom();
    machine.step(START, 50, Event::Bus(cd.clone()));
    assert_eq!(machine.name(), "mode-switching");
    let switched = loop {
        let now = machine.next_deadline();
        let actions = machine.step(now, 50, Event::Tick);
        if actions.iter().any(|action| matches!(action, Action::SwitchMode { .. })) {
            break now;
        }
        machine.step(now, 50, Event::Bus(cd.clone()));
        assert!(now.since(START) < Duration::from_secs(60));
    };
    assert!((15..18).contains(&switched.since(START).as_secs()), "{switched:?}");
}

#[test]
fn a_pin_that_could_not_be_written_down_is_tried_again_later() {
    let mut machine = Machine::new(settings(Some("1234")), START);
    let mut now = START;
    let mut refusals = 0;
    let mut queue = machine.step(now, 50, Event::Bus(stick()));
    while refusals < 2 {
        assert!(now.since(START) < Duration::from_secs(120), "{:?}", machine.state());
        let Some(action) = queue.pop() else {
            now = machine.next_deadline();
            queue = machine.step(now, 50, Event::Tick);
            continue;
        };
        let answer =
            |line: &str| Event::Answer(Response { outcome: Outcome::Ok, lines: vec![line.to_owned()] });
        let event = match action {
            Action::Open(_) => Event::Opened(Ok(())),
            Action::Send(command) if command.carries_pin() => {
                refusals += 1;
                Event::PinNotRecorded
            }
            Action::Send(command) if command.to_string().contains("+CSIM") => answer("+CSIM: 4,\"63C3\""),
            Action::Send(_) => answer("+CPIN: SIM PIN"),
            _ => continue,
        };
        queue.extend(machine.step(now, 50, event));
    }
}

#[test]
fn a_stick_that_tells_of_its_search_every_second_is_given_up_as_any_other() {
    let mut firmware = Firmware::new(None);
    firmware.registration = "2";
    let mut machine = plugged_in(settings(None), &mut firmware);
    let mut now = START;
    while machine.name() == "registering" {
        assert!(now.since(START) < Duration::from_secs(200), "{:?}", machine.state());
        now = now + Duration::from_millis(900);
        let actions = machine.step(now, 50, Event::Unsolicited("+CREG: 2".into()));
        settle(&mut machine, now, actions, &mut firmware);
        let actions = machine.step(now, 50, Event::Tick);
        settle(&mut machine, now, actions, &mut firmware);
    }
    assert!(matches!(machine.trouble(now), Some(Trouble::NotRegistered(_))), "{:?}", machine.trouble(now));
}

#[test]
fn a_right_pin_whose_answer_was_lost_is_sent_again_if_the_counter_is_full() {
    let open = Settings { pins_spent: vec![Spent { sim: None, refused: false }], ..settings(Some("1234")) };
    for (tries, sent) in [(3, 1), (2, 0), (10, 0)] {
        let mut firmware = Firmware { tries, ..Firmware::new(Some("1234")) };
        let mut machine = plugged_in(open.clone(), &mut firmware);
        let mut now = START;
        tick(&mut machine, &mut now, &mut firmware);
        assert_eq!((firmware.pins_sent, machine.name() == "connected"), (sent, sent == 1), "{tries} tries");
        assert!(firmware.record.is_empty());
    }
}

#[test]
fn a_stick_that_hangs_over_a_right_pin_and_is_power_cycled_gets_it_again() {
    let mut firmware = Firmware::new(Some("1234"));
    firmware.right = Some(Outcome::Mobile(MobileError::Code(14)));
    let mut machine = plugged_in(settings(Some("1234")), &mut firmware);
    assert_eq!((firmware.pins_sent, firmware.record.len()), (1, 1));
    let mut now = START + Duration::from_secs(1);
    let actions = machine.step(now, 50, Event::Bus(Bus::default()));
    firmware.unlocked = false;
    firmware.right = None;
    settle(&mut machine, now, actions, &mut firmware);
    for _ in 0..3 {
        tick(&mut machine, &mut now, &mut firmware);
    }
    assert_eq!((machine.name(), firmware.pins_sent), ("connected", 2));
    assert!(firmware.record.is_empty());
}

#[test]
fn a_right_pin_answered_with_another_error_is_not_called_wrong() {
    for answer in [Outcome::Error, Outcome::Mobile(MobileError::Code(14))] {
        let mut firmware = Firmware { right: Some(answer), ..Firmware::new(Some("1234")) };
        let mut machine = plugged_in(settings(Some("1234")), &mut firmware);
        let mut now = START;
        tick(&mut machine, &mut now, &mut firmware);
        assert_eq!((machine.name(), firmware.pins_sent), ("connected", 1));
        assert!(firmware.record.is_empty());
    }
}

#[test]
fn a_pin_called_wrong_is_sent_again_only_if_a_person_says_so() {
    let mut firmware = Firmware::new(Some("1234"));
    let wrong = Settings { pins_spent: vec![Spent { sim: None, refused: true }], ..settings(Some("1234")) };
    let mut machine = plugged_in(wrong, &mut firmware);
    let mut now = START;
    for _ in 0..50 {
        tick(&mut machine, &mut now, &mut firmware);
    }
    assert_eq!((machine.name(), firmware.pins_sent), ("blocked", 0));
    let actions = machine.step(now, 50, Event::ForgetPin);
    assert_eq!(actions.first(), Some(&Action::ForgetPin));
    settle(&mut machine, now, actions, &mut firmware);
    tick(&mut machine, &mut now, &mut firmware);
    assert_eq!((machine.name(), firmware.pins_sent), ("connected", 1));
}

#[test]
fn a_counter_that_is_busy_for_a_moment_is_asked_again_before_the_pin_goes() {
    for counter_busy in [1, 5, 20] {
        let mut firmware = Firmware { tries: 1, counter_busy, ..Firmware::new(Some("1234")) };
        let mut machine = plugged_in(settings(Some("1234")), &mut firmware);
        let mut now = START;
        while machine.name() != "blocked" {
            tick(&mut machine, &mut now, &mut firmware);
        }
        assert_eq!(firmware.pins_sent, 0);
        assert_eq!(machine.trouble(now), Some(Trouble::PinRefused(PinRefusal::FewTries(1))));
    }
}

#[test]
fn a_stick_without_csim_is_asked_for_the_counter_in_the_standards_words() {
    let mut firmware =
        Firmware { tries: 2, knows_csim: false, knows_cpinr: true, ..Firmware::new(Some("1234")) };
    let mut machine = plugged_in(settings(Some("1234")), &mut firmware);
    let mut now = START;
    tick(&mut machine, &mut now, &mut firmware);
    assert_eq!(machine.trouble(now), Some(Trouble::PinRefused(PinRefusal::FewTries(2))));
    assert_eq!(firmware.pins_sent, 0);
}

#[test]
fn a_sim_the_stick_lost_gets_the_radio_and_one_reset_and_then_waits_for_a_person() {
    let mut firmware = Firmware::new(None);
    let mut machine = plugged_in(settings(None), &mut firmware);
    firmware.no_sim = true;
    let mut now = START + Duration::from_secs(60);
    let actions = machine.step(now, 50, Event::SessionEnded(SessionEnd::Code(16)));
    settle(&mut machine, now, actions, &mut firmware);
    let (mut resets, mut was) = (0, false);
    for _ in 0..600 {
        tick(&mut machine, &mut now, &mut firmware);
        let is = machine.stuck().is_some();
        if is && !was {
            resets += 1;
            assert!(firmware.heard.contains(&"AT+CFUN=4".to_owned()), "the radio first");
            let actions = machine.step(now, 50, Event::Bus(Bus::default()));
            settle(&mut machine, now, actions, &mut firmware);
        }
        was = is;
    }
    assert_eq!((machine.name(), resets), ("blocked", 1));
    assert!(matches!(machine.trouble(now), Some(Trouble::NoSim(_))));
    firmware.no_sim = false;
    let back = now;
    tick(&mut machine, &mut now, &mut firmware);
    assert_eq!(machine.name(), "connected");
    assert!(now.since(back) <= Duration::from_secs(10));
}

#[test]
fn a_sim_that_appears_late_is_waited_for_and_one_that_never_was_there_resets_nothing() {
    let mut firmware = Firmware { no_sim: true, ..Firmware::new(None) };
    let mut machine = plugged_in(settings(None), &mut firmware);
    let mut now = START;
    while now.since(START) < Duration::from_secs(20) {
        assert_eq!((machine.name(), machine.trouble(now)), ("initialising", None));
        tick(&mut machine, &mut now, &mut firmware);
    }
    for _ in 0..100 {
        tick(&mut machine, &mut now, &mut firmware);
        assert_eq!(machine.stuck(), None);
    }
    assert!(!firmware.heard.iter().any(|heard| heard.starts_with("AT+CFUN=")));
    assert!(matches!(machine.trouble(now), Some(Trouble::NoSim(_))));
}
