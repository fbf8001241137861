//! What a watch makes of particular lines, and what holds for any sequence of events.

mod sim;

use link_health::{Action, Event, Family, Kind, Outcome, Part, Settings, State, TargetState, Watch};
use proptest::prelude::*;
use sim::world::{Fault, Weather, World};
use sim::{Play, moment, target, targets};
use std::time::Duration;

fn play(settings: Settings) -> Play {
    Play::new(settings, World::new(5, Weather::default()), 5)
}

/// Half a minute of a fault; the verdict then.
fn after(fault: Fault) -> Play {
    let mut play = play(Settings::wired());
    play.world.fail(fault, 10.0, f64::INFINITY);
    play.run(40.0, |_| false);
    play
}

#[test]
fn a_fresh_line_is_up_within_a_second_on_both_tempos() {
    for settings in [Settings::wired(), Settings::cellular()] {
        let mut play = play(settings);
        assert_eq!(play.watch.verdict().state, State::Unknown);
        play.run(1.0, |_| false);
        assert_eq!(play.watch.verdict().state, State::Up, "{settings:?}");
    }
}

#[test]
fn a_fresh_line_that_is_dead_is_never_called_up() {
    let mut play = Play::new(Settings::cellular(), World::new(5, Weather::default()), 5);
    play.world.fail(Fault::Hard, 0.0, f64::INFINITY);
    play.give(Event::Link(false));
    play.give(Event::Link(true));
    play.run(10.0, |_| false);
    assert_eq!(play.watch.verdict().state, State::Down);
    // Probes sent before the fault began may have been answered; none of the fresh ones was.
    assert!(!play.told.said.iter().any(|(_, state, _)| *state == State::Up));
}

#[test]
fn reasons_say_who_and_what() {
    let reason = |fault| after(fault).watch.verdict().reason.clone();
    assert_eq!(
        reason(Fault::Hard),
        "none of 5 operators answers echoes, questions of names, TLS or web requests"
    );
    assert_eq!(
        reason(Fault::Dns),
        "names are not resolved (cloudflare, google and quad9: silent), addresses answer"
    );
    assert_eq!(
        reason(Fault::Portal),
        "web pages of 3 of 3 operators come back wrong (302 to http://login.example/): a login or payment page"
    );
    assert!(reason(Fault::Unreachable).ends_with("on the way somebody says: net unreachable"));
    assert_eq!(reason(Fault::V6), "IPv6 does not work (3 of 3 operators silent), IPv4 does");
    assert_eq!(reason(Fault::Target), "");
}

#[test]
fn a_gateway_that_answers_for_everybody_is_a_portal() {
    assert_eq!(after(Fault::Impostor).watch.verdict().state, State::Partial(Part::Portal));
}

#[test]
fn one_dead_target_shows_in_its_own_report_alone() {
    let play = after(Fault::Target);
    let states: Vec<_> = play.watch.targets().iter().map(|t| t.state).collect();
    assert_eq!(states[0], TargetState::Down);
    assert!(states[1..].iter().all(|state| *state == TargetState::Up), "{states:?}");
    assert_eq!(play.watch.verdict().state, State::Up);
}

#[test]
fn packets_that_come_in_while_none_of_ours_is_answered_are_named_in_the_reason() {
    let mut play = play(Settings::cellular());
    play.run(10.0, |_| false);
    play.world.fail(Fault::Asymmetric, 10.0, f64::INFINITY);
    for second in 10..200_u32 {
        play.run(f64::from(second), |_| false);
        let count = 1000 + u64::from(second);
        play.give(Event::Traffic { sent_packets: count, received_packets: count });
        if second == 20 {
            play.give(Event::Active(true));
        }
    }
    let verdict = play.watch.verdict();
    assert!(
        verdict.state == State::Down && verdict.reason.contains("packets came in meanwhile"),
        "{verdict:?}"
    );
}

#[test]
fn answered_traffic_on_a_metered_line_saves_every_probe() {
    let mut play = play(Settings::cellular());
    play.run(10.0, |_| false);
    let before = play.told.probes;
    for second in 10..500_u64 {
        play.run(moment_of(second), |_| false);
        play.give(Event::Traffic { sent_packets: second * 10, received_packets: second * 12 });
    }
    assert!(play.told.probes - before <= 1, "{} probes", play.told.probes - before);
}

#[expect(clippy::cast_precision_loss, reason = "seconds of a test")]
fn moment_of(second: u64) -> f64 {
    second as f64
}

#[test]
fn traffic_without_answers_is_looked_into_after_a_second_and_the_line_called_dead_within_five() {
    let mut play = play(Settings::cellular());
    play.run(100.0, |_| false);
    play.world.fail(Fault::Hard, 100.0, f64::INFINITY);
    let mut tenth = 1000_u64;
    while play.watch.verdict().state != State::Down && tenth < 1200 {
        play.run(moment_of(tenth) / 10.0, |_| false);
        if tenth.is_multiple_of(10) {
            play.give(Event::Traffic { sent_packets: tenth, received_packets: 50 });
        }
        tenth += 1;
    }
    assert!(play.now() < 105.5, "{} {:?}", play.now(), play.watch.verdict());
}

#[test]
fn traffic_that_is_never_answered_by_its_nature_costs_little() {
    let mut play = play(Settings::cellular());
    play.run(100.0, |_| false);
    let before = play.told.bytes;
    for second in 100..3700_u64 {
        play.run(moment_of(second), |_| false);
        play.give(Event::Traffic { sent_packets: second, received_packets: 50 });
    }
    assert!(play.told.bytes - before < 20_000, "{} bytes in an hour", play.told.bytes - before);
    assert_eq!(play.watch.verdict().state, State::Up);
}

#[test]
fn what_our_own_kernel_refuses_says_nothing_of_the_line() {
    let mut watch = Watch::new(Settings::wired(), targets(), 1);
    let mut actions = watch.step(moment(1.0), Event::Link(true));
    let mut now = 1.0;
    while now < 60.0 {
        for action in std::mem::take(&mut actions) {
            match action {
                Action::Probe { probe, .. } => {
                    let outcome = Outcome::Unsent("network is unreachable".to_owned());
                    actions.extend(watch.step(moment(now), Event::Result { probe, outcome }));
                }
                Action::Changed(verdict) => assert_eq!(verdict.state, State::Unknown, "{verdict:?} at {now}"),
            }
        }
        now = sim::secs(watch.next_deadline().expect("a deadline")).max(now);
        actions.extend(watch.step(moment(now), Event::Tick));
    }
    assert_eq!(watch.verdict().reason, "probes cannot be sent: network is unreachable");
}

#[test]
fn a_loop_that_slept_blames_nobody() {
    let mut watch = Watch::new(Settings::wired(), targets(), 1);
    let mut probes: Vec<(u64, f64)> = Vec::new();
    let mut now = 1.0;
    let mut actions = watch.step(moment(now), Event::Link(true));
    while now < 300.0 {
        for action in actions.drain(..) {
            match action {
                Action::Probe { probe, .. } => probes.push((probe, now + 0.02)),
                Action::Changed(verdict) => assert_ne!(verdict.state, State::Down, "at {now}"),
            }
        }
        let due = sim::secs(watch.next_deadline().expect("a deadline"));
        // Every ten seconds or so the whole box stands still for five.
        let asleep = if now % 10.0 < 0.2 { 5.0 } else { 0.0 };
        let next = probes.iter().map(|(_, at)| *at).fold(due, f64::min);
        now = next.max(now) + asleep;
        // The tick comes first: the worst order.
        actions.extend(watch.step(moment(now), Event::Tick));
        let ready: Vec<u64> = probes.extract_if(.., |(_, at)| *at <= now).map(|(probe, _)| probe).collect();
        for probe in ready {
            let outcome = Outcome::Answered { latency: Duration::from_millis(20), code: None };
            actions.extend(watch.step(moment(now), Event::Result { probe, outcome }));
        }
    }
    assert_eq!(watch.verdict().state, State::Up);
}

#[test]
fn a_loop_that_is_always_late_still_tells_a_dead_line() {
    let mut watch = Watch::new(Settings::wired(), targets(), 1);
    let mut now = 1.0;
    watch.step(moment(now), Event::Link(true));
    while watch.verdict().state != State::Down && now < 60.0 {
        now = sim::secs(watch.next_deadline().expect("a deadline")) + 0.5;
        watch.step(moment(now), Event::Tick);
    }
    assert!(now < 15.0, "{now}");
}

#[test]
fn without_targets_nothing_is_known_and_the_reason_says_what_to_do() {
    let mut watch = Watch::new(Settings::wired(), Vec::new(), 1);
    watch.step(moment(1.0), Event::Link(true));
    assert_eq!(watch.verdict().state, State::Unknown);
    assert!(watch.verdict().reason.contains("[uplink] targets"));
    assert!(watch.next_deadline().is_some());
    watch.step(moment(2.0), Event::Targets(targets()));
    assert!(watch.next_deadline().unwrap() < moment(4.0));
}

#[test]
fn names_that_are_all_unresolvable_are_trouble_with_names() {
    let kind = |host: &str| Kind::Http {
        host: host.to_owned(),
        path: "/".to_owned(),
        status: 200,
        body: String::new(),
    };
    let named: Vec<_> = ["a", "b", "c"].map(|op| target(op, op, kind(op), Family::V4, None)).into();
    let mut play = Play::with(Settings::wired(), named, World::new(1, Weather::default()), 1);
    play.run(10.0, |_| false);
    assert_eq!(play.watch.verdict().state, State::Up);
    play.world.fail(Fault::Dns, 10.0, f64::INFINITY);
    play.run(40.0, |_| false);
    assert_eq!(play.watch.verdict().state, State::Partial(Part::Dns), "{:?}", play.watch.verdict());
    assert!(play.watch.targets().iter().all(|t| t.state == TargetState::Unresolvable));
}

#[test]
fn a_single_target_is_enough_to_tell_a_dead_line() {
    let only = vec![target("icmp 192.0.2.1", "one", Kind::Icmp, Family::V4, Some("192.0.2.1"))];
    let mut play = Play::with(Settings::wired(), only, World::new(1, Weather::default()), 1);
    play.run(10.0, |_| false);
    assert_eq!(play.watch.verdict().state, State::Up);
    play.world.fail(Fault::Hard, 10.0, f64::INFINITY);
    play.run(12.0, |_| false);
    assert_eq!(play.watch.verdict().state, State::Down);
}

#[test]
fn a_line_without_echoes_is_watched_by_what_else_answers() {
    let others: Vec<_> = targets().into_iter().filter(|t| t.kind != Kind::Icmp).collect();
    let mut play = Play::with(Settings::wired(), others, World::new(2, Weather::default()), 2);
    play.run(10.0, |_| false);
    assert_eq!(play.watch.verdict().state, State::Up);
    play.world.fail(Fault::Hard, 10.0, f64::INFINITY);
    play.run(12.5, |_| false);
    assert_eq!(play.watch.verdict().state, State::Down, "{:?} {:?}", play.told.said, play.watch.targets());
}

#[test]
fn new_targets_take_over_and_known_ones_keep_what_is_known() {
    let mut play = play(Settings::wired());
    play.run(10.0, |_| false);
    let mut fewer = targets();
    fewer.truncate(6);
    fewer.reverse();
    play.targets = fewer.clone();
    play.give(Event::Targets(fewer));
    let known = play.watch.targets();
    assert_eq!(known.len(), 6);
    assert!(known.iter().all(|t| t.latency.is_some()));
    play.run(20.0, |_| false);
    assert_eq!(play.watch.verdict().state, State::Up);
}

#[test]
fn a_line_without_link_is_down_and_says_so() {
    let mut play = play(Settings::wired());
    play.run(5.0, |_| false);
    play.give(Event::Link(false));
    assert_eq!((play.watch.verdict().state, play.watch.next_deadline()), (State::Down, None));
    play.give(Event::Link(true));
    play.run(6.0, |_| false);
    assert_eq!(play.watch.verdict().state, State::Up);
}

/// Anything that can happen to a watch; results name a probe by how long ago it was sent.
#[derive(Debug, Clone)]
enum Any {
    Pass(u16),
    Result(u8, u8),
    Stranger(u64),
    Traffic(u16, u16),
    Link(bool),
    Active(bool),
    Targets(u8),
}

fn happening() -> impl Strategy<Value = Any> {
    prop_oneof![
        8 => (1..3000_u16).prop_map(Any::Pass),
        12 => (0..20_u8, 0..6_u8).prop_map(|(ago, outcome)| Any::Result(ago, outcome)),
        1 => any::<u64>().prop_map(Any::Stranger),
        3 => (any::<u16>(), any::<u16>()).prop_map(|(sent, received)| Any::Traffic(sent, received)),
        1 => any::<bool>().prop_map(Any::Link),
        1 => any::<bool>().prop_map(Any::Active),
        1 => (0..19_u8).prop_map(Any::Targets),
    ]
}

fn outcome(n: u8) -> Outcome {
    match n {
        0 | 1 => Outcome::Answered { latency: Duration::from_millis(30), code: Some(204) },
        2 => Outcome::Silent,
        3 => Outcome::Refused { why: "net unreachable".to_owned() },
        4 => Outcome::Wrong { code: Some(302), why: "302".to_owned() },
        _ => Outcome::Unsent("no route".to_owned()),
    }
}

/// Probes sent and not yet told, and whether the line has a link.
struct Daemon {
    watch: Watch,
    now: f64,
    open: Vec<u64>,
    in_flight: std::collections::BTreeMap<u64, f64>,
    link: bool,
    targets: usize,
}

impl Daemon {
    fn step(&mut self, event: Event) {
        if let Event::Result { probe, .. } = &event {
            self.in_flight.remove(probe);
        }
        for action in self.watch.step(moment(self.now), event) {
            if let Action::Probe { probe, target, timeout } = action {
                assert!(target < self.targets && self.link);
                self.open.push(probe);
                self.in_flight.insert(probe, self.now + timeout.as_secs_f64() + 0.2);
            }
        }
        self.in_flight.retain(|_, until| *until > self.now);
        assert!(self.in_flight.len() <= 64, "{} in flight", self.in_flight.len());
        assert_eq!(self.watch.next_deadline().is_some(), self.link);
        if let Some(due) = self.watch.next_deadline() {
            assert!(due > moment(self.now), "a deadline in the past would make the loop spin");
        }
    }

    /// Time passes as in the daemon: every deadline is kept; `answer` says what becomes of probes.
    fn pass(&mut self, until: f64, answer: Option<u8>) {
        let mut steps = 0;
        while let Some(due) = self.watch.next_deadline().map(sim::secs).filter(|due| *due <= until) {
            self.now = due;
            if let Some(kind) = answer {
                for probe in std::mem::take(&mut self.open) {
                    self.step(Event::Result { probe, outcome: outcome(kind) });
                }
            }
            self.step(Event::Tick);
            steps += 1;
            assert!(steps < 2000, "{steps} steps in {} s", until - self.now);
        }
        self.now = until;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happens_a_healed_line_is_up_and_a_dead_one_down(
        events in proptest::collection::vec(happening(), 1..150), wired: bool, seed: u64, lives: bool
    ) {
        let settings = if wired { Settings::wired() } else { Settings::cellular() };
        let mut it = Daemon {
            watch: Watch::new(settings, targets(), seed), now: 1.0, open: Vec::new(),
            in_flight: std::collections::BTreeMap::new(), link: false, targets: targets().len(),
        };
        for event in events {
            match event {
                Any::Pass(ms) => it.pass(it.now + f64::from(ms) / 1000.0, None),
                Any::Result(ago, kind) => {
                    let place = it.open.len().checked_sub(1 + usize::from(ago));
                    if let Some(probe) = place.map(|place| it.open[place]) {
                        it.step(Event::Result { probe, outcome: outcome(kind) });
                    }
                }
                Any::Stranger(probe) => it.step(Event::Result { probe: probe | 1 << 40, outcome: outcome(0) }),
                Any::Traffic(sent, received) => it.step(Event::Traffic { sent_packets: sent.into(), received_packets: received.into() }),
                Any::Active(active) => it.step(Event::Active(active)),
                Any::Link(link) => {
                    it.link = link;
                    if !link { it.in_flight.clear(); }
                    it.step(Event::Link(link));
                }
                Any::Targets(n) => {
                    it.targets = usize::from(n).min(targets().len());
                    it.step(Event::Targets(targets().into_iter().take(it.targets).collect()));
                }
            }
        }
        if !it.link { it.link = true; it.step(Event::Link(true)); }
        it.targets = targets().len();
        it.step(Event::Targets(targets()));
        if lives {
            it.pass(it.now + 150.0, Some(0));
            prop_assert_eq!(it.watch.verdict().state, State::Up, "{:?}", it.watch.verdict());
        } else {
            it.step(Event::Active(true));
            it.pass(it.now + 150.0, Some(2));
            prop_assert_eq!(it.watch.verdict().state, State::Down, "{:?}", it.watch.verdict());
        }
    }

    #[test]
    fn a_line_most_operators_answer_on_is_never_called_down(seed in 0..10_000_u64, dead in 0..18_usize, loss in 0.0..0.15_f64) {
        let mut play = Play::new(Settings::wired(), World::new(seed, Weather { loss, ..Weather::default() }), seed);
        let operator = play.targets[dead].operator.clone();
        play.world.silence(operator);
        play.run(120.0, |_| false);
        prop_assert_eq!(play.told.count(|state| state == State::Down), 0);
    }
}
