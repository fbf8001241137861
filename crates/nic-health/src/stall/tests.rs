use super::*;
use proptest::prelude::*;

const ETH: &str = "eth0.7";

fn at(seconds: u64) -> Monotonic {
    Monotonic::from_secs(1000 + seconds)
}

fn sample(received: u64, sent: u64) -> Sample {
    Sample { name: ETH.into(), carrier: true, received, sent, askable: true }
}

/// A card and whoever is on it, second by second.
struct World {
    machine: Machine,
    received: u64,
    sent: u64,
    /// The card's receive path works.
    receives: bool,
    /// What each rung is answered with; `Applied` by the one that `cures` makes it receive.
    cures: Option<Rung>,
    supports: Vec<Rung>,
    asked: usize,
    applied: Vec<(u64, Rung)>,
}

impl World {
    fn new(receives: bool) -> Self {
        let machine = Machine::new(true, BTreeMap::new());
        let supports = vec![Rung::EeeOff, Rung::Bounce, Rung::Rebind];
        let mut world = Self {
            machine,
            received: 10,
            sent: 10,
            receives: true,
            cures: None,
            supports,
            asked: 0,
            applied: Vec::new(),
        };
        world.second(0, 0);
        world.receives = receives;
        world
    }

    fn second(&mut self, second: u64, traffic: u64) {
        self.sent += traffic;
        self.received += if self.receives { traffic } else { 0 };
        let actions = self.machine.step(at(second), Event::Samples(vec![sample(self.received, self.sent)]));
        let mut work: Vec<Action> = actions;
        while let Some(action) = work.pop() {
            match action {
                Action::Ask(_) => {
                    (self.asked, self.sent) = (self.asked + 1, self.sent + 1);
                    self.received += u64::from(self.receives);
                }
                Action::Apply(name, rung) => {
                    self.applied.push((second, rung));
                    let supported = self.supports.contains(&rung);
                    self.receives |= supported && self.cures == Some(rung);
                    let outcome =
                        if supported { Outcome::Applied } else { Outcome::Unsupported("none".into()) };
                    work.extend(self.machine.step(at(second), Event::Done(name, rung, outcome)));
                }
            }
        }
    }

    fn card(&self) -> &Watched {
        &self.machine.cards()[ETH]
    }
}

#[test]
fn an_hour_of_idleness_raises_nothing_and_asks_nobody() {
    let mut world = World::new(true);
    for second in 1..=3600 {
        world.second(second, 0);
    }
    assert_eq!((world.asked, world.card().phase.clone()), (0, Phase::Fine));
}

#[test]
fn a_deaf_card_is_named_within_fifteen_seconds_and_not_sooner_than_it_was_asked() {
    let mut world = World::new(false);
    let named = (1..60).find(|second| {
        world.second(*second, 1);
        world.card().stalled()
    });
    assert!(named.is_some_and(|second| (6..=15).contains(&second)), "{named:?}");
    assert_eq!(world.asked, usize::from(ASKS));
}

#[test]
fn one_way_traffic_is_asked_about_now_and_then_and_never_called_a_stall() {
    let mut world = World::new(true);
    for second in 1..=600 {
        world.sent += 50;
        world.second(second, 0);
        assert!(!world.card().stalled());
    }
    assert!((40..=75).contains(&world.asked), "{}", world.asked);
}

#[test]
fn each_rung_is_tried_in_order_and_the_one_that_helps_ends_it() {
    for cure in [Rung::EeeOff, Rung::Bounce, Rung::Rebind] {
        let mut world = World::new(false);
        world.cures = Some(cure);
        for second in 1..=60 {
            world.second(second, 1);
        }
        let rungs: Vec<Rung> = world.applied.iter().map(|(_, rung)| *rung).collect();
        let all = [Rung::EeeOff, Rung::Bounce, Rung::Rebind];
        assert_eq!(rungs, all[..rungs.len()], "{cure:?}");
        assert_eq!(rungs.last(), Some(&cure));
        assert_eq!(world.card().phase, Phase::Fine);
        assert_eq!(world.card().recovery.as_ref().unwrap().rung, Some(cure));
    }
}

#[test]
fn what_a_card_does_not_have_is_skipped_at_once() {
    let mut world = World::new(false);
    (world.supports, world.cures) = (vec![Rung::Bounce], Some(Rung::Bounce));
    for second in 1..=30 {
        world.second(second, 1);
    }
    let [(first, Rung::EeeOff), (second, Rung::Bounce)] = world.applied[..] else {
        panic!("{:?}", world.applied)
    };
    assert_eq!(first, second);
}

#[test]
fn nothing_is_done_for_a_card_without_carrier_without_anybody_or_that_never_received() {
    for change in [
        |s: &mut Sample| s.carrier = false,
        |s: &mut Sample| s.askable = false,
        |s: &mut Sample| s.received = 0,
    ] {
        let mut machine = Machine::new(true, BTreeMap::new());
        for second in 0..300 {
            let mut sample = sample(10, 10 + second);
            change(&mut sample);
            assert_eq!(machine.step(at(second), Event::Samples(vec![sample])), []);
        }
    }
}

#[test]
fn without_leave_to_repair_it_is_named_and_nothing_is_touched() {
    let mut world = World::new(false);
    world.machine = Machine::new(false, BTreeMap::new());
    for second in 0..7200 {
        world.second(second, 1);
    }
    assert!(world.card().stalled() && world.applied.is_empty());
}

#[test]
fn a_restart_does_not_make_it_bounce_more_often() {
    let mut world = World::new(false);
    for second in 1..3000 {
        world.second(second, 1);
        if second % 60 == 59 {
            let past: BTreeMap<String, Past> =
                serde_json::from_str(&serde_json::to_string(&world.machine.past()).unwrap()).unwrap();
            world.machine = Machine::new(true, past);
        }
    }
    let bounces = world.applied.iter().filter(|(_, rung)| *rung == Rung::Bounce).count();
    assert_eq!(bounces, BOUNCES_AN_HOUR);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever happens, the ladder is bounded, and a card that receives again is fine at once.
    #[test]
    fn whatever_happens_the_ladder_is_bounded_and_nothing_latches(
        steps in proptest::collection::vec((0u8..8, 0u64..4, 1u64..400), 1..120)
    ) {
        let mut machine = Machine::new(true, BTreeMap::new());
        let (mut now, mut received, mut sent) = (1000, 10, 10);
        let mut applied: Vec<(u64, Rung)> = Vec::new();
        let mut waiting = Vec::new();
        for (what, amount, pass) in steps {
            now += if what == 7 { pass } else { 1 + pass % 3 };
            let time = Monotonic::from_secs(now);
            sent += amount;
            received += if what == 0 { amount } else { 0 };
            let mut this = sample(received, sent);
            (this.carrier, this.askable) = (what != 1, what != 2);
            let mut actions = machine.step(time, Event::Samples(vec![this]));
            if what == 3 { actions.extend(machine.step(time, Event::Answered(ETH.into()))); }
            if let Some((name, rung)) = waiting.pop().filter(|_| what > 3) {
                let outcome = match what {
                    4 => Outcome::Applied,
                    5 => Outcome::Unsupported(String::new()),
                    _ => Outcome::Failed(String::new()),
                };
                actions.extend(machine.step(time, Event::Done(name, rung, outcome)));
            }
            for action in actions {
                if let Action::Apply(name, rung) = action {
                    applied.push((now, rung));
                    waiting.push((name, rung));
                }
            }
            let within = |rung, span| applied.iter().filter(|(t, r)| *r == rung && now - t < span).count();
            prop_assert!(within(Rung::Bounce, 3600) <= BOUNCES_AN_HOUR);
            prop_assert!(within(Rung::Rebind, 3600) <= REBINDS_AN_HOUR);
            // Whatever is under way has an end.
            let phase = &machine.cards()[ETH].phase;
            prop_assert!(*phase == Phase::Fine || machine.next_deadline().is_some());
        }
        machine.step(Monotonic::from_secs(now + 1), Event::Samples(vec![sample(received + 1, sent)]));
        prop_assert_eq!(&machine.cards()[ETH].phase, &Phase::Fine);
    }
}
