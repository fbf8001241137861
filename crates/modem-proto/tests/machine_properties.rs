//! The dialer's machine against a world that does what it wants.

mod common;

use std::time::Duration;

use common::{Firmware, cd_rom, link, settings, settle, stick, tick};
use modem_proto::codec::Response;
use modem_proto::machine::{Action, Bus, Event, Machine, Reach, SessionEnd, Settings, Wired};
use modem_proto::{MobileError, Outcome};
use proptest::prelude::*;
use sysio::Monotonic;

const START: Monotonic = Monotonic::from_secs(10);

/// An event of a hostile world.
fn event() -> impl Strategy<Value = Event> {
    let line = prop_oneof![
        Just("+CPIN: READY"),
        Just("+CPIN: SIM PIN"),
        Just("+CPIN: SIM PUK"),
        Just("+CPIN: PH-NET PIN"),
        Just("+CSIM: 4,\"63C3\""),
        Just("+CSIM: 4,\"63C1\""),
        Just("+CREG: 0,1"),
        Just("+CREG: 0,3"),
        Just("+CGREG: 0,5"),
        Just("+CEER: Unspecified"),
        Just("nonsense"),
    ];
    let outcome = prop_oneof![
        6 => Just(Outcome::Ok),
        2 => Just(Outcome::Connect("1".into())),
        1 => Just(Outcome::Error),
        1 => Just(Outcome::NoCarrier),
        1 => prop_oneof![Just(10), Just(14), Just(16)].prop_map(|n| Outcome::Mobile(MobileError::Code(n))),
    ];
    let answer = (outcome, proptest::collection::vec(line, 0..2)).prop_map(|(outcome, lines)| {
        Event::Answer(Response { outcome, lines: lines.into_iter().map(str::to_owned).collect() })
    });
    prop_oneof![
        10 => answer,
        6 => Just(Event::Tick),
        2 => Just(Event::Opened(Ok(()))),
        1 => Just(Event::Opened(Err("busy".into()))),
        1 => Just(Event::Bus(Bus::default())),
        1 => Just(Event::Bus(cd_rom())),
        4 => Just(Event::Bus(stick())),
        1 => Just(Event::Unsolicited("+CREG: 1".into())),
        1 => Just(Event::PortLost("gone".into())),
        1 => Just(Event::PinNotRecorded),
        1 => Just(Event::SessionUp(link())),
        1 => prop_oneof![Just(16), Just(19), Just(1)].prop_map(|n| Event::SessionEnded(SessionEnd::Code(n))),
        1 => Just(Event::LinkDown),
        1 => Just(Event::SecondPortSilent),
        1 => prop_oneof![Just(Reach::Unknown), Just(Reach::Alive), Just(Reach::Dead("silence".into()))]
            .prop_map(Event::Reach),
        1 => prop_oneof![Just(Event::Redial), Just(Event::Dial), Just(Event::HangUp)],
        1 => prop_oneof![Just(Wired::Up), Just(Wired::Down), Just(Wired::Unknown)].prop_map(Event::Wired),
    ]
}

/// The longest any state may go without acting: attaching (`AT+CGATT=1`, 75 s).
const LONGEST: Duration = Duration::from_secs(76);

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// In a hostile world: a deadline always, and no PIN twice without the SIM's READY or its full
    /// counter between, and none that was called wrong.
    #[test]
    fn always_has_a_deadline_and_never_sends_a_pin_twice(
        events in proptest::collection::vec((event(), any::<u8>()), 1..300),
    ) {
        let mut machine = Machine::new(settings(Some("1234")), START);
        let mut now = START;
        let mut unproven = false;
        let mut before = false;
        let mut full = false;
        let mut refused = false;
        let mut just_sent = false;
        for (event, jitter) in events {
            if event == Event::PinNotRecorded {
                // The edge says so instead of sending, or not at all.
                if !just_sent {
                    continue;
                }
                unproven = before;
            }
            just_sent = false;
            let ready = matches!(&event, Event::Answer(r) if r.lines.iter().any(|l| l == "+CPIN: READY"));
            full |= matches!(&event, Event::Answer(r) if r.lines.iter().any(|l| l.contains("63C3")));
            if event == Event::Tick {
                now = machine.next_deadline().max(now);
            }
            let ticked = event == Event::Tick;
            let actions = machine.step(now, jitter, event);
            prop_assert!(machine.next_deadline() <= now + LONGEST, "{:?}", machine.state());
            if ticked {
                prop_assert!(machine.next_deadline() > now, "spins: {:?}", machine.state());
            }
            for action in actions {
                match action {
                    Action::Send(command) if command.carries_pin() => {
                        prop_assert!(!refused, "a wrong PIN was sent again");
                        prop_assert!(!unproven || full, "the PIN was sent twice");
                        (before, unproven, full) = (unproven, true, false);
                        just_sent = true;
                    }
                    Action::RefusePin => refused = true,
                    Action::SettlePin if ready => unproven = false,
                    _ => {}
                }
            }
        }
    }

    /// Whatever happened, once the world behaves the link comes up; or a person was told.
    #[test]
    fn never_latches(events in proptest::collection::vec((event(), any::<u8>()), 1..200)) {
        let mut machine = Machine::new(settings(None), START);
        let mut now = START;
        for (event, jitter) in events {
            if event == Event::Tick {
                now = machine.next_deadline().max(now);
            }
            machine.step(now, jitter, event);
        }
        let mut firmware = Firmware::new(None);
        let actions = machine.step(now, 50, Event::Bus(Bus::default()));
        settle(&mut machine, now, actions, &mut firmware);
        let healed = now;
        while machine.name() != "connected" {
            tick(&mut machine, &mut now, &mut firmware);
            prop_assert!(now.since(healed) < Duration::from_secs(600), "{:?}", machine.state());
        }
    }

    /// The same without anybody pulling the stick.
    #[test]
    fn never_latches_on_a_stick_that_stays(events in proptest::collection::vec((event(), any::<u8>()), 1..200)) {
        let (mut machine, mut now) = battered(events);
        let mut firmware = Firmware::new(None);
        let actions = machine.step(now, 50, Event::Bus(stick()));
        settle(&mut machine, now, actions, &mut firmware);
        let healed = now;
        while machine.name() != "connected" {
            tick(&mut machine, &mut now, &mut firmware);
            prop_assert!(now.since(healed) < Duration::from_secs(600), "{:?}", machine.state());
        }
        prop_assert_eq!(machine.stuck(), None);
    }

    /// Whatever happened before: a stick that is deaf is reported within a bound.
    #[test]
    fn a_deaf_stick_is_always_called_stuck(events in proptest::collection::vec((event(), any::<u8>()), 1..200)) {
        let (mut machine, mut now) = battered(events);
        let mut firmware = Firmware::new(None);
        firmware.dead = true;
        let deaf = now;
        while machine.stuck().is_none_or(|stuck| !stuck.reason.contains("no answer")) {
            if machine.name() == "connected" {
                // PPP notices; that is pppd's part.
                machine.step(now, 50, Event::LinkDown);
            }
            tick(&mut machine, &mut now, &mut firmware);
            prop_assert!(now.since(deaf) < Duration::from_secs(300), "{:?}", machine.state());
        }
    }

    /// SIMs are swapped, stick and appliance lose power, the counter cannot be read, the refusal has no
    /// number: no SIM sees a wrong PIN twice.
    #[test]
    fn no_sim_ever_sees_a_wrong_pin_twice(
        world in proptest::collection::vec((0..3usize, 0..4u8, 1..8u8), 1..40),
        knows_csim in any::<bool>(),
        wrong in prop_oneof![
            Just(Outcome::Error),
            prop_oneof![Just(14), Just(16), Just(100)].prop_map(|n| Outcome::Mobile(MobileError::Code(n))),
        ],
    ) {
        let mut machine = Machine::new(settings(Some("0000")), START);
        let mut now = START;
        let cards = [Some("89490123456789012345"), Some("89430123456789012345"), None];
        let mut sims: Vec<Firmware> = cards
            .iter()
            .map(|iccid| {
                let wrong = wrong.clone();
                Firmware { iccid: *iccid, knows_csim, wrong, ..Firmware::new(Some("1234")) }
            })
            .collect();
        for (sim, what, ticks) in world {
            if what == 0 {
                let pins_spent = sims.iter().flat_map(|sim| sim.record.clone()).collect();
                machine = Machine::new(Settings { pins_spent, ..settings(Some("0000")) }, now);
            }
            if what < 2 {
                let actions = machine.step(now, 50, Event::Bus(Bus::default()));
                settle(&mut machine, now, actions, &mut sims[sim]);
            }
            for _ in 0..ticks {
                tick(&mut machine, &mut now, &mut sims[sim]);
            }
            prop_assert!(sims.iter().all(|sim| sim.pins_sent <= 1));
        }
    }
}

/// A machine after a hostile history.
fn battered(events: Vec<(Event, u8)>) -> (Machine, Monotonic) {
    let mut machine = Machine::new(settings(None), START);
    let mut now = START;
    for (event, jitter) in events {
        if event == Event::Tick {
            now = machine.next_deadline().max(now);
        }
        machine.step(now, jitter, event);
    }
    (machine, now)
}
