//! The dialer's machine against modems that behave, and against a world that does not.

mod common;

use std::time::Duration;

use common::{Firmware, cd_rom, link, settings, settle, stick, tick};
use modem_proto::codec::Response;
use modem_proto::machine::{
    Action, Bus, Event, Machine, PinRefusal, Reach, SessionEnd, Settings, Spent, Trouble, Wired,
};
use modem_proto::{MobileError, Outcome};
use proptest::prelude::*;
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
