//! The dialer's rungs, against sticks that fail in one way each.

mod common;

use std::time::Duration;

use common::{Firmware, link, settings, settle, stick, tick};
use modem_proto::Outcome;
use modem_proto::machine::{Action, Bus, Event, Machine, Reach, SessionEnd, Settings, State, Trouble};
use sysio::Monotonic;

const START: Monotonic = Monotonic::from_secs(10);
/// From the end of the call to "needs a reset": detection of a dead peer takes 9 to 12 s of the 25.
const SOON: Duration = Duration::from_secs(12);

fn connected(settings: Settings, firmware: &mut Firmware) -> Machine {
    let mut machine = Machine::new(settings, START);
    let actions = machine.step(START, 50, Event::Bus(stick()));
    settle(&mut machine, START, actions, firmware);
    assert_eq!(machine.name(), "connected");
    machine
}

fn seconds(now: Monotonic, count: u64) -> Monotonic {
    now + Duration::from_secs(count)
}

#[test]
fn a_stick_that_hangs_during_a_call_is_stuck_soon_and_says_what_was_tried() {
    let mut firmware = Firmware::new(None);
    let mut machine = connected(settings(None), &mut firmware);
    firmware.dead = true;
    let hang = seconds(START, 100);
    let actions = machine.step(hang, 50, Event::LinkDown);
    settle(&mut machine, hang, actions, &mut firmware);
    let mut now = hang;
    while machine.stuck().is_none() {
        // pppd hangs with the stick, and nobody reports its end.
        now = machine.next_deadline().max(now);
        let actions = machine.step(now, 50, Event::Tick);
        let actions = actions.into_iter().filter(|action| *action != Action::EndSession).collect();
        settle(&mut machine, now, actions, &mut firmware);
        assert!(now.since(hang) < SOON, "{:?}", machine.state());
    }
    let recovery = machine.recovery().unwrap();
    assert_eq!((recovery.steps[0].rung, recovery.ended), (3, None));
    assert_eq!(machine.stuck().unwrap().usb_path, "1-1");
    // The trying goes on, and the first answer takes it back.
    firmware.dead = false;
    let healed = now;
    while machine.name() != "connected" {
        tick(&mut machine, &mut now, &mut firmware);
        assert!(now.since(healed) < Duration::from_secs(20), "{:?}", machine.state());
    }
    assert_eq!(machine.stuck(), None);
    assert!(machine.recovery().unwrap().ended.is_some());
}

#[test]
fn a_silent_second_port_ends_the_call_and_leads_to_the_ports_at_once() {
    let mut machine = connected(settings(None), &mut Firmware::new(None));
    let actions = machine.step(seconds(START, 50), 50, Event::SecondPortSilent);
    assert!(actions.contains(&Action::KillSession), "{actions:?}");
    assert!(matches!(actions.last(), Some(Action::Open(_))), "{actions:?}");
    assert_eq!(machine.name(), "probing");
}

#[test]
fn calls_that_fail_lead_to_detach_then_radio_then_stuck_and_the_trying_goes_on() {
    let mut firmware = Firmware::new(None);
    firmware.call = Outcome::NoCarrier;
    let mut machine = Machine::new(settings(None), START);
    let mut now = START;
    let actions = machine.step(START, 50, Event::Bus(stick()));
    settle(&mut machine, START, actions, &mut firmware);
    let mut stuck = Vec::new();
    while now < seconds(START, 400) {
        let before = machine.stuck().is_some();
        tick(&mut machine, &mut now, &mut firmware);
        if machine.stuck().is_some() && !before {
            stuck.push(now.since(START).as_secs());
        }
    }
    let first = |text: &str| firmware.heard.iter().position(|heard| heard == text).unwrap();
    assert!(first("AT+CGATT=0") < first("AT+CGATT=1"));
    assert!(first("AT+CGATT=1") < first("AT+CFUN=4"));
    assert!(first("AT+CFUN=4") < first("AT+CFUN=1"));
    assert!(!firmware.heard.iter().any(|heard| heard == "AT+CFUN=1,1"));
    assert_eq!(stuck.len(), 1, "once in the first minutes: {stuck:?}");
    assert!((180..240).contains(&stuck[0]), "{stuck:?}");
    assert_eq!(machine.stuck(), None, "failing calls alone are not called stuck for ever");
    let recovery = machine.recovery().unwrap();
    assert!(recovery.steps.len() <= 32 && recovery.dropped > 0);
    firmware.call = Outcome::Connect(String::new());
    for _ in 0..20 {
        tick(&mut machine, &mut now, &mut firmware);
    }
    assert_eq!(machine.name(), "connected");
}

#[test]
fn a_refused_password_and_a_missing_sim_never_ask_for_a_reset() {
    let mut firmware = Firmware::new(None);
    firmware.call = Outcome::Mobile(modem_proto::MobileError::Code(149));
    let mut machine = Machine::new(settings(None), START);
    let mut now = START;
    let actions = machine.step(START, 50, Event::Bus(stick()));
    settle(&mut machine, START, actions, &mut firmware);
    for _ in 0..2000 {
        tick(&mut machine, &mut now, &mut firmware);
        assert_eq!(machine.stuck(), None);
    }
    assert!(now.since(START) > Duration::from_secs(3600));
    assert!(!firmware.heard.iter().any(|heard| heard.starts_with("AT+CFUN=")));
}

#[test]
fn a_radio_that_is_off_is_switched_on() {
    for off in [0, 4] {
        let mut firmware = Firmware::new(None);
        firmware.radio = off;
        connected(settings(None), &mut firmware);
        assert_eq!(firmware.radio, 1);
    }
}

#[test]
fn a_redial_of_a_known_stick_asks_only_what_may_have_changed() {
    let mut firmware = Firmware::new(None);
    let mut machine = connected(settings(None), &mut firmware);
    firmware.heard.clear();
    let now = seconds(START, 60);
    let actions = machine.step(now, 50, Event::SessionEnded(SessionEnd::Code(16)));
    settle(&mut machine, now, actions, &mut firmware);
    assert_eq!(machine.name(), "connected");
    assert!(
        !firmware.heard.iter().any(|heard| heard == "AT+CGSN" || heard == "AT+COPS?"),
        "{:?}",
        firmware.heard
    );
}

#[test]
fn an_lte_stick_that_is_registered_there_alone_is_registered() {
    let mut firmware = Firmware::new(None);
    firmware.registration = "0";
    let mut machine = Machine::new(settings(None), START);
    let mut queue: std::collections::VecDeque<Action> = machine.step(START, 50, Event::Bus(stick())).into();
    while let Some(action) = queue.pop_front() {
        let event = match action {
            Action::Open(_) => Event::Opened(Ok(())),
            Action::Send(command) if command.to_string() == "AT+CEREG?" => {
                let lines = vec!["+CEREG: 0,1".to_owned()];
                Event::Answer(modem_proto::codec::Response { outcome: Outcome::Ok, lines })
            }
            Action::Send(command) => Event::Answer(firmware.answer(&command)),
            Action::StartSession => Event::SessionUp(link()),
            _ => continue,
        };
        queue.extend(machine.step(START, 50, event));
    }
    assert_eq!(machine.name(), "connected");
}

#[test]
fn a_port_where_at_is_an_error_is_passed_over() {
    let mut machine = Machine::new(settings(None), START);
    machine.step(START, 50, Event::Bus(stick()));
    machine.step(START, 50, Event::Opened(Ok(())));
    let error = modem_proto::codec::Response { outcome: Outcome::Error, lines: Vec::new() };
    let mut now = START;
    let mut opened = None;
    while opened.is_none() {
        machine.step(now, 50, Event::Answer(error.clone()));
        now = machine.next_deadline();
        assert!(now.since(START) < Duration::from_secs(20));
        opened = machine.step(now, 50, Event::Tick).into_iter().find_map(|action| match action {
            Action::Open(port) => Some(port.name),
            _ => None,
        });
    }
    assert_eq!(opened.as_deref(), Some("ttyUSB1"));
}

#[test]
fn a_stick_that_stays_dead_is_left_for_another_and_a_pinned_one_is_not() {
    let mut both = stick();
    let mut second = both.sticks[0].clone();
    second.usb_path = "1-2".into();
    both.sticks.push(second);
    for pinned in [None, Some("1-1".to_owned())] {
        let settings = Settings { usb_path: pinned.clone(), ..settings(None) };
        let mut machine = Machine::new(settings, START);
        let mut now = START;
        machine.step(now, 50, Event::Bus(both.clone()));
        assert_eq!(machine.chosen().unwrap().usb_path, "1-1");
        while now < seconds(START, 600) && machine.chosen().unwrap().usb_path == "1-1" {
            now = machine.next_deadline().max(now);
            for action in machine.step(now, 50, Event::Tick) {
                if action == Action::Scan {
                    machine.step(now, 50, Event::Bus(both.clone()));
                }
            }
        }
        let expected = if pinned.is_some() { "1-1" } else { "1-2" };
        assert_eq!(machine.chosen().unwrap().usb_path, expected);
    }
}

#[test]
fn only_the_stick_with_the_configured_imei_is_used() {
    let mut firmware = Firmware::new(None);
    let wanted = |imei: &str| Settings { imei: Some(imei.into()), ..settings(None) };
    connected(wanted("354762020123450"), &mut firmware);
    let mut machine = Machine::new(wanted("490154203237518"), START);
    let mut now = START;
    let actions = machine.step(START, 50, Event::Bus(stick()));
    settle(&mut machine, START, actions, &mut firmware);
    while now < seconds(START, 60) {
        tick(&mut machine, &mut now, &mut firmware);
    }
    assert!(matches!(machine.trouble(now), Some(Trouble::OtherStick(_))), "{:?}", machine.trouble(now));
    assert_eq!(machine.stuck(), None);
}

#[test]
fn a_stick_that_does_not_say_its_imei_is_not_the_one_that_is_named() {
    let mut firmware = Firmware { imei: "", ..Firmware::new(None) };
    connected(settings(None), &mut firmware);
    let named = Settings { imei: Some("354762020123450".into()), ..settings(None) };
    let mut machine = Machine::new(named, START);
    let actions = machine.step(START, 50, Event::Bus(stick()));
    settle(&mut machine, START, actions, &mut firmware);
    assert_eq!((machine.name(), machine.chosen()), ("absent", None));
    assert!(firmware.heard.iter().filter(|heard| *heard == "AT+CGSN").count() > 1);
}

#[test]
fn a_stick_that_left_the_bus_is_not_stuck() {
    let mut firmware = Firmware::new(None);
    firmware.dead = true;
    let mut machine = Machine::new(settings(None), START);
    let mut now = START;
    let actions = machine.step(START, 50, Event::Bus(stick()));
    settle(&mut machine, START, actions, &mut firmware);
    while machine.stuck().is_none() {
        tick(&mut machine, &mut now, &mut firmware);
        assert!(now.since(START) < Duration::from_secs(60));
    }
    machine.step(now, 50, Event::Bus(Bus::default()));
    assert_eq!((machine.stuck(), machine.name()), (None, "absent"));
}

#[test]
fn a_new_configuration_drops_the_call_only_if_it_concerns_it() {
    let mut firmware = Firmware::new(None);
    let mut machine = connected(settings(None), &mut firmware);
    let now = seconds(START, 60);
    let same = Event::Reconfigured {
        settings: Settings { pin: modem_proto::machine::Pin::new("1234"), ..settings(None) },
        fresh_call: false,
    };
    assert!(machine.step(now, 50, same).is_empty());
    assert!(matches!(machine.state(), State::Connected { .. }));
    let other = Event::Reconfigured {
        settings: Settings { apn: modem_proto::machine::Apn::new("other"), ..settings(None) },
        fresh_call: false,
    };
    let actions = machine.step(now, 50, other);
    assert_eq!(actions, [Action::EndSession]);
    settle(&mut machine, now, actions, &mut firmware);
    let mut now = now;
    tick(&mut machine, &mut now, &mut firmware);
    assert_eq!(machine.name(), "connected");
    assert!(
        firmware.heard.iter().any(|heard| heard == "AT+CGDCONT=1,\"IP\",\"other\""),
        "{:?}",
        firmware.heard
    );
}

#[test]
fn the_call_ends_when_the_stick_roams_and_that_is_not_allowed() {
    let mut machine = connected(settings(None), &mut Firmware::new(None));
    let mut abroad = machine.network().clone();
    abroad.registration = Some(modem_proto::parse::Registration::Roaming);
    assert_eq!(machine.step(seconds(START, 60), 50, Event::Measured(abroad)), [Action::EndSession]);
}

#[test]
fn an_odd_model_gets_its_commands_its_number_and_a_call_before_registration() {
    let odd = modem_proto::machine::Oddities {
        registers_by_calling: true,
        commands: vec!["AT+ZSNT=0,0,2".into()],
        dial_number: Some("*99***2#".into()),
        ..Default::default()
    };
    let oddities = [("19d2:0031".to_owned(), odd)].into();
    let mut firmware = Firmware::new(None);
    firmware.registration = "2";
    let mut machine = Machine::new(Settings { oddities, ..settings(None) }, START);
    let actions = machine.step(START, 50, Event::Bus(stick()));
    settle(&mut machine, START, actions, &mut firmware);
    assert!(firmware.heard.contains(&"AT+ZSNT=0,0,2".to_owned()));
    assert!(firmware.heard.contains(&"ATD*99***2#".to_owned()), "{:?}", firmware.heard);
}

/// One look at the probes every 2 s, as the driver does; `pppd` ends when told.
fn watched(machine: &mut Machine, firmware: &mut Firmware, from: u64, to: u64, reach: &Reach) -> Vec<u64> {
    let mut ended = Vec::new();
    for second in (from..to).step_by(2) {
        let now = seconds(START, second);
        let actions = machine.step(now, 50, Event::Reach(reach.clone()));
        if actions.contains(&Action::EndSession) {
            ended.push(second);
            settle(machine, now, actions, firmware);
            let actions = machine.step(now, 50, Event::SessionEnded(SessionEnd::Code(5)));
            settle(machine, now, actions, firmware);
        }
        let actions = machine.step(now, 50, Event::Tick);
        settle(machine, now, actions, firmware);
    }
    ended
}

#[test]
fn a_call_that_leads_nowhere_is_made_anew_then_the_network_joined_anew_ever_later() {
    let mut firmware = Firmware::new(None);
    let mut machine = connected(settings(None), &mut firmware);
    let dead = Reach::Dead("none of 3 operators answers".to_owned());
    let ended = watched(&mut machine, &mut firmware, 2, 700, &dead);
    assert!((10..14).contains(&ended[0]), "{ended:?}");
    assert!(ended.len() >= 4 && ended.windows(3).all(|w| w[2] - w[1] > w[1] - w[0]), "{ended:?}");
    let heard = |text: &str| firmware.heard.iter().any(|heard| heard == text);
    assert!(heard("AT+CGATT=0") && heard("AT+CFUN=4"), "{:?}", firmware.heard);
    assert!(machine.recovery().unwrap().cause.contains("none of 3 operators answers"));
    // A provider's outage of a day is no storm: half an hour apart from here on.
    let day = watched(&mut machine, &mut firmware, 700, 86_400, &dead);
    assert!(day.len() <= 48, "{}", day.len());
    // It leads somewhere again: the next time begins with the first rung.
    watched(&mut machine, &mut firmware, 86_400, 86_500, &Reach::Alive);
    let again = watched(&mut machine, &mut firmware, 86_500, 86_520, &dead);
    assert_eq!(again.len(), 1, "{again:?}");
}

#[test]
fn no_word_about_the_call_changes_nothing() {
    let mut firmware = Firmware::new(None);
    let mut machine = connected(settings(None), &mut firmware);
    assert_eq!(watched(&mut machine, &mut firmware, 2, 600, &Reach::Unknown), [0_u64; 0]);
}
