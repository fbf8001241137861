//! Calls that are up and lead nowhere.

mod common;

use std::time::Duration;

use common::{Firmware, settings, settle, stick, tick};
use modem_proto::machine::{Event, Machine, Reach};
use sysio::Monotonic;

/// Longer than a fresh call must have been up before it is given up, far shorter than a later one.
const FRESH: Duration = Duration::from_secs(11);

fn connected(firmware: &mut Firmware, machine: &mut Machine, now: &mut Monotonic) {
    for _ in 0..1000 {
        if machine.name() == "connected" {
            return;
        }
        tick(machine, now, firmware);
    }
    panic!("never connected: {:?}", machine.state());
}

/// Whether a call of [`FRESH`] age that leads nowhere is given up.
fn gives_up(firmware: &mut Firmware, machine: &mut Machine, now: &mut Monotonic) -> bool {
    connected(firmware, machine, now);
    *now = *now + FRESH;
    let actions = machine.step(*now, 50, Event::Reach(Reach::Dead("silence".into())));
    settle(machine, *now, actions, firmware);
    machine.name() != "connected"
}

#[test]
fn what_was_tried_in_vain_is_not_held_against_another_stick_or_a_person() {
    let mut firmware = Firmware::new(None);
    let mut now = Monotonic::from_secs(10);
    let mut machine = Machine::new(settings(None), now);
    let actions = machine.step(now, 50, Event::Bus(stick()));
    settle(&mut machine, now, actions, &mut firmware);
    assert!(gives_up(&mut firmware, &mut machine, &mut now));
    assert!(!gives_up(&mut firmware, &mut machine, &mut now), "the second waits for longer");

    let actions = machine.step(now, 50, Event::Redial);
    settle(&mut machine, now, actions, &mut firmware);
    assert!(gives_up(&mut firmware, &mut machine, &mut now), "a person began anew");
    assert!(!gives_up(&mut firmware, &mut machine, &mut now));

    firmware.imei = "490154203237518";
    let gone = machine.step(now, 50, Event::Bus(modem_proto::machine::Bus::default()));
    for action in gone {
        if action == modem_proto::machine::Action::EndSession {
            let ended = modem_proto::machine::SessionEnd::Code(16);
            machine.step(now, 50, Event::SessionEnded(ended));
        }
    }
    let actions = machine.step(now, 50, Event::Bus(stick()));
    settle(&mut machine, now, actions, &mut firmware);
    assert!(gives_up(&mut firmware, &mut machine, &mut now), "another stick");
}
