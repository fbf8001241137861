//! A stick that is a network card goes through the same states, and says so when it hangs.

use modem_proto::machine::{Action, Bus, Event, Form, Link, LinkKind, Machine, SessionEnd, Settings, Stick};
use sysio::Monotonic;

fn at(seconds: u64) -> Monotonic {
    Monotonic::from_secs(seconds)
}

fn bus(interface: Option<&str>) -> Event {
    let form = Form::NetworkCard { interface: interface.map(str::to_owned), ports: Vec::new() };
    let stick = Stick { usb_path: "1-1".into(), id: "12d1:14dc".into(), model: "E3372".into(), form };
    Event::Bus(Bus { sticks: vec![stick] })
}

fn up() -> Event {
    let local = Some([192, 168, 8, 100].into());
    let remote = Some([192, 168, 8, 1].into());
    Event::SessionUp(Link {
        interface: "wwan64".into(),
        kind: LinkKind::NetworkCard,
        local,
        remote,
        ..Link::default()
    })
}

fn starts(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::StartCard { .. }))
}

fn connected() -> Machine {
    let mut machine = Machine::new(Settings::default(), at(0));
    assert!(!starts(&machine.step(at(1), 50, bus(None))));
    assert_eq!(machine.name(), "probing");
    assert!(starts(&machine.step(at(2), 50, bus(Some("usb0")))));
    assert_eq!(machine.name(), "dialling");
    machine.step(at(3), 50, up());
    assert_eq!(machine.name(), "connected");
    machine
}

/// Lets the machine's deadlines pass until it starts the card again.
fn restarted(machine: &mut Machine, from: u64) -> u64 {
    for second in from..from + 120 {
        let mut actions = Vec::new();
        if at(second) >= machine.next_deadline() {
            actions = machine.step(at(second), 50, Event::Tick);
        }
        if starts(&actions) {
            return second;
        }
    }
    panic!("not started again from {}", machine.name());
}

#[test]
fn a_card_that_gets_a_new_name_stays_the_same_stick() {
    let mut machine = connected();
    assert!(!starts(&machine.step(at(10), 50, bus(Some("wwan64")))));
    assert_eq!(machine.name(), "connected");
}

#[test]
fn a_lost_lease_is_asked_for_again_within_seconds() {
    let mut machine = connected();
    let lost = SessionEnd::Card { why: "the lease ended".into(), silent: false };
    let actions = machine.step(at(100), 50, Event::SessionEnded(lost));
    let again = if starts(&actions) { 100 } else { restarted(&mut machine, 100) };
    assert!(again <= 103, "{again}");
    assert!(machine.stuck().is_none());
}

#[test]
fn a_card_that_hangs_is_called_stuck_and_tried_on_until_it_answers() {
    let mut machine = connected();
    let hung = || SessionEnd::Card { why: "its router does not answer".into(), silent: true };
    machine.step(at(100), 50, Event::SessionEnded(hung()));
    assert!(machine.stuck().is_some_and(|stuck| stuck.usb_path == "1-1"));
    for round in 0..3 {
        let again = restarted(&mut machine, 101 + 40 * round);
        machine.step(at(again + 30), 50, Event::SessionEnded(hung()));
    }
    let again = restarted(&mut machine, 300);
    machine.step(at(again + 2), 50, up());
    assert_eq!((machine.name(), machine.stuck()), ("connected", None));
}

#[test]
fn a_card_is_not_used_where_another_sticks_imei_is_named_unless_its_place_is() {
    let imei = Some("354762020123450".to_owned());
    for (usb_path, used) in [(None, false), (Some("1-1".to_owned()), true)] {
        let settings = Settings { imei: imei.clone(), usb_path, ..Settings::default() };
        let mut machine = Machine::new(settings, at(0));
        assert_eq!(starts(&machine.step(at(1), 50, bus(Some("usb0")))), used);
    }
}
