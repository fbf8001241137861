//! Tests of the machine: what it asks, in which order, and what it never does.

use super::*;
use inquiry::Way;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The image of these tests.
const BUILT: Utc = Utc::from_secs(1_780_000_000);
/// The time it really is when the boot begins.
const TRUE: BootedAt = BootedAt(1_790_000_000_000);

fn usable(line: Line) -> Usable {
    let way = Way { line, interface: line.name().to_owned() };
    Usable { way, v4: true, v6: false, metered: line == Line::Cellular }
}

/// A machine with a world around it: two clocks, and answers that a test chooses.
struct World {
    machine: Machine,
    at: Monotonic,
    /// What the wall clock shows, less this boot's.
    wall: BootedAt,
    open: Vec<(u64, Line, Question)>,
    asked: Vec<(Monotonic, Line, Question)>,
    believed: u32,
    set: Vec<Utc>,
    /// Answers of the round under way.
    heard: Vec<(&'static str, i64)>,
}

impl World {
    fn new() -> Self {
        Self {
            machine: Machine::new(BUILT),
            at: Monotonic::from_secs(10),
            wall: BootedAt(BUILT.0),
            open: Vec::new(),
            asked: Vec::new(),
            believed: 0,
            set: Vec::new(),
            heard: Vec::new(),
        }
    }

    fn with(lines: &[Line]) -> Self {
        let mut world = Self::new();
        world.step(Event::Lines(lines.iter().map(|line| usable(*line)).collect()));
        world
    }

    fn step(&mut self, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let now = Now { boot: self.at, wall: self.wall.at(self.at) };
            let actions = self.machine.step(now, event);
            if actions.iter().any(|action| matches!(action, Action::Ask { .. })) {
                self.heard.clear();
            }
            for action in actions {
                match action {
                    Action::Ask { ask, line, question, deadline } => {
                        assert!(deadline > self.at);
                        self.open.push((ask, line, question));
                        self.asked.push((self.at, line, question));
                    }
                    Action::Abandon => self.open.clear(),
                    Action::Set(booted_at) => {
                        assert!(booted_at > self.wall, "the clock is set forward only");
                        assert!(booted_at.at(self.at).0 <= BUILT.0 + BELIEVED_FOR_MS);
                        let near = |ms: i64| ms.abs_diff(booted_at.0) <= DATE_TOLERANCE_MS as u64;
                        let agree: BTreeSet<&str> =
                            self.heard.iter().filter(|(_, ms)| near(*ms)).map(|(o, _)| *o).collect();
                        assert!(agree.len() >= 2, "{:?} gave {booted_at:?}", self.heard);
                        self.set.push(booted_at.at(self.at));
                        self.wall = booted_at;
                        events.push(Event::WasSet(Ok(())));
                    }
                    Action::Believe => self.believed += 1,
                }
            }
        }
    }

    /// Lets the time come that it waits for; nobody answers.
    fn wait(&mut self) {
        self.at = self.at.max(self.machine.deadline().expect("it waits for something"));
        self.step(Event::Deadline);
    }

    fn until(&mut self, end: u64) {
        while self.machine.deadline().is_some_and(|at| at <= Monotonic::from_secs(end)) {
            self.wait();
        }
        self.at = Monotonic::from_secs(end);
    }

    fn hear(&mut self, ask: u64, question: &Question, booted_at: BootedAt) {
        self.heard.push((question.operator(), booted_at.0));
        self.step(Event::Answered { ask, booted_at });
    }

    /// Answers what is open, each by what `tell` says of operator and line.
    fn answer(&mut self, tell: impl Fn(&str, Line) -> Option<BootedAt>) {
        for (ask, line, question) in std::mem::take(&mut self.open) {
            if let Some(booted_at) = tell(question.operator(), line) {
                self.hear(ask, &question, booted_at);
            }
        }
    }

    fn pages(&self) -> usize {
        self.asked.iter().filter(|(_, _, q)| matches!(q, Question::Page { .. })).count()
    }
}

fn ntp_only(question: &Question) -> bool {
    matches!(question, Question::Ntp { .. })
}

#[test]
fn nobody_is_asked_without_a_line_and_timesyncd_has_the_first_seconds() {
    let mut world = World::new();
    assert_eq!(world.machine.deadline(), None);
    world.step(Event::Lines(vec![usable(Line::Wired)]));
    assert_eq!(world.machine.deadline(), Some(world.at + GRACE));
    world.step(Event::Synchronised);
    assert!(world.asked.is_empty() && world.machine.synchronised());
    assert_eq!((world.machine.deadline(), world.believed), (None, 1));
}

#[test]
fn servers_of_three_operators_are_asked_over_each_line_and_the_clock_is_set() {
    let mut world = World::with(&[Line::Wired, Line::Cellular]);
    world.wait();
    assert_eq!(world.asked.len(), 6);
    assert!(world.asked.iter().all(|(_, _, q)| ntp_only(q)));
    world.answer(|_, _| Some(TRUE));
    assert_eq!(world.set, [TRUE.at(world.at)]);
    assert_eq!(world.machine.believed().map(|b| b.by), Some(Source::Ntp));
    assert_eq!(world.believed, 1);
}

#[test]
fn a_clock_that_is_right_is_believed_and_not_touched() {
    let mut world = World::with(&[Line::Wired]);
    world.wall = BootedAt(TRUE.0 + 2_000);
    world.wait();
    world.answer(|_, _| Some(TRUE));
    assert!(world.set.is_empty());
    assert_eq!((world.believed, world.machine.believed().unwrap().moved_ms), (1, 0));
}

#[test]
fn a_clock_that_is_ahead_is_left_to_timesyncd() {
    let mut world = World::with(&[Line::Wired]);
    world.wall = BootedAt(TRUE.0 + 3_600_000);
    world.wait();
    world.answer(|_, _| Some(TRUE));
    assert_eq!(world.machine.trouble(), Some(&Trouble::Ahead(3_600_000)));
    assert_eq!((world.believed, world.set.len()), (0, 0));
    assert!(world.machine.deadline().is_some());
}

#[test]
fn pages_are_asked_after_three_silent_rounds_of_ntp() {
    let mut world = World::with(&[Line::Wired]);
    let begin = world.at + GRACE;
    while world.pages() == 0 {
        world.wait();
    }
    let after = world.at.since(begin);
    assert!(after >= Duration::from_secs(10) && after <= Duration::from_secs(15), "{after:?}");
    assert_eq!(world.asked.iter().filter(|(_, _, q)| ntp_only(q)).count(), 9);
    assert_eq!(world.pages(), 4);
    world.answer(|_, _| Some(BootedAt(TRUE.0 - 700)));
    assert_eq!(world.set.len(), 1);
    assert_eq!(world.machine.believed().map(|b| b.by), Some(Source::Pages));
}

#[test]
fn one_operator_sets_no_clock() {
    let mut world = World::with(&[Line::Wired, Line::Cellular]);
    for _ in 0..40 {
        world.wait();
        world.answer(|operator, _| (operator == "google").then_some(TRUE));
    }
    assert_eq!((world.believed, world.set.len()), (0, 0));
}

#[test]
fn servers_that_disagree_are_told_and_a_majority_is_believed() {
    let mut world = World::with(&[Line::Wired, Line::Cellular]);
    world.wait();
    // A router on the wired line answers for everybody.
    world.answer(|_, line| Some(if line == Line::Wired { BootedAt(TRUE.0 + 90_000) } else { TRUE }));
    assert!(world.machine.rounds().0.disagreed);
    assert!(world.set.is_empty());
    world.wait();
    world.answer(|operator, line| {
        Some(if line == Line::Wired && operator == "netnod" { BootedAt(TRUE.0 + 90_000) } else { TRUE })
    });
    assert!(!world.machine.rounds().0.disagreed);
    assert_eq!(world.set, [TRUE.at(world.at)]);
}

#[test]
fn a_time_before_the_image_or_ten_years_after_it_is_incredible() {
    for secs in [1_700_000_000, 1_780_000_000 + 11 * 366 * 86_400] {
        let mut world = World::with(&[Line::Wired]);
        world.wait();
        world.answer(|_, _| Some(BootedAt(secs * 1000)));
        assert!(matches!(world.machine.trouble(), Some(Trouble::Incredible(_))), "{secs}");
        assert!(world.set.is_empty());
    }
}

#[test]
fn a_kissed_server_is_left_alone() {
    for (for_good, again) in [(true, false), (false, true)] {
        let mut world = World::with(&[Line::Wired]);
        world.wait();
        for (ask, _, _) in std::mem::take(&mut world.open) {
            let why = Failure::Kiss { code: "DENY".into(), for_good };
            world.step(Event::Failed { ask, why });
        }
        let kissed: Vec<Question> = world.asked.iter().map(|(_, _, q)| *q).collect();
        world.until(3_500);
        assert!(!world.asked[3..].iter().any(|(_, _, q)| kissed.contains(q)));
        world.until(9_000);
        assert_eq!(world.asked[3..].iter().any(|(_, _, q)| kissed.contains(q)), again);
    }
}

#[test]
fn asking_never_ends_and_gets_rarer() {
    let mut world = World::with(&[Line::Cellular]);
    world.until(3 * 86_400);
    let day = |n: u64| {
        let within = (Monotonic::from_secs(n * 86_400), Monotonic::from_secs((n + 1) * 86_400));
        world.asked.iter().filter(move |(at, _, _)| *at >= within.0 && *at < within.1)
    };
    let servers = day(2).filter(|(_, _, q)| ntp_only(q)).count();
    let pages = day(2).count() - servers;
    // Two of 152 bytes each five minutes, two of some 1,200 bytes each half an hour: below 8 MB in 30 days.
    assert!((400..=600).contains(&servers), "{servers}");
    assert!((80..=100).contains(&pages), "{pages}");
    assert!((servers * 152 + pages * 1_200) * 30 < 8_000_000);
}

#[test]
fn a_line_that_comes_and_goes_costs_a_round_each_half_minute_at_most() {
    let mut world = World::with(&[Line::Cellular]);
    for n in 0..600 {
        world.until(10 + n);
        world.step(Event::Lines(vec![]));
        assert_eq!(world.machine.deadline(), None);
        world.step(Event::Lines(vec![usable(Line::Cellular)]));
    }
    // What is asked is given up with the line, so each round is the first of its line.
    let rounds = world.asked.iter().map(|(at, _, _)| *at).collect::<BTreeSet<_>>();
    assert!(rounds.len() <= 21, "{}", rounds.len());
}

#[test]
fn a_clock_that_cannot_be_set_is_told_and_tried_again() {
    let mut machine = Machine::new(BUILT);
    let now = |secs| Now { boot: Monotonic::from_secs(secs), wall: BUILT };
    machine.step(now(1), Event::Lines(vec![usable(Line::Wired)]));
    let asks = machine.step(now(6), Event::Deadline);
    let mut last = Vec::new();
    for ask in asks.iter().filter_map(|a| if let Action::Ask { ask, .. } = a { Some(*ask) } else { None }) {
        last = machine.step(now(7), Event::Answered { ask, booted_at: TRUE });
    }
    assert_eq!(last, [Action::Set(TRUE)]);
    assert_eq!(machine.step(now(7), Event::WasSet(Err("no".into()))), []);
    assert_eq!(machine.trouble(), Some(&Trouble::CannotSet("no".into())));
    assert!(machine.believed().is_none() && machine.deadline().is_some());
}

#[test]
fn a_clock_set_here_is_looked_at_every_hour_until_timesyncd_has_it() {
    let mut world = World::with(&[Line::Wired]);
    world.wait();
    world.answer(|_, _| Some(TRUE));
    assert_eq!(world.machine.deadline(), Some(world.at + RECHECK));
    // It lost ten seconds meanwhile.
    world.wall = BootedAt(TRUE.0 - 10_000);
    world.wait();
    world.answer(|_, _| Some(TRUE));
    assert_eq!(world.set.len(), 2);
    // A line that comes and goes is no reason to look sooner.
    world.step(Event::Lines(vec![]));
    world.step(Event::Lines(vec![usable(Line::Wired)]));
    assert!(world.machine.deadline() >= Some(world.at + RECHECK));
    world.step(Event::Synchronised);
    assert_eq!(world.machine.deadline(), None);
}

#[test]
fn a_clock_set_here_is_looked_at_every_hour_in_vain_too() {
    let mut world = World::with(&[Line::Cellular]);
    world.wait();
    world.answer(|_, _| Some(TRUE));
    let before = world.asked.len();
    world.until(world.at.since_boot().as_secs() + 86_400);
    let (all, pages) = (world.asked.len() - before, world.pages());
    assert!((24..=24 * 5).contains(&all) && pages <= 48, "{all} questions, {pages} of them for pages");
    assert!(world.machine.believed().is_some(), "silence takes nothing back");
}

/// What may happen, in any order.
#[derive(Debug, Clone)]
enum Chance {
    Wait,
    Later(u64),
    Answers(Vec<Option<i64>>),
    Fail(bool),
    Lines(bool, bool),
    WallJumps(i64),
}

fn chance() -> impl Strategy<Value = Chance> {
    prop_oneof![
        3 => Just(Chance::Wait),
        1 => (1_u64..4_000).prop_map(Chance::Later),
        3 => proptest::collection::vec(proptest::option::of(prop_oneof![-5_000_i64..5_000, any::<i64>()]), 8)
            .prop_map(Chance::Answers),
        1 => any::<bool>().prop_map(Chance::Fail),
        1 => any::<(bool, bool)>().prop_map(|(wired, cellular)| Chance::Lines(wired, cellular)),
        1 => (-20_000_000_i64..20_000_000).prop_map(Chance::WallJumps),
    ]
}

proptest! {
    /// `World::step` asserts that no clock is set backwards, nor too far, nor without two operators.
    #[test]
    fn whatever_happens_it_waits_for_something_and_sets_only_what_two_operators_say(
        chances in proptest::collection::vec(chance(), 1..60),
    ) {
        let mut world = World::with(&[Line::Wired]);
        for chance in chances {
            match chance {
                Chance::Wait if world.machine.deadline().is_some() => world.wait(),
                Chance::Wait => {}
                Chance::Later(secs) => {
                    world.at = world.at + Duration::from_secs(secs);
                    world.step(Event::Deadline);
                }
                Chance::Answers(times) => {
                    for ((ask, _, question), time) in std::mem::take(&mut world.open).into_iter().zip(times.iter().cycle()) {
                        if let Some(ms) = time {
                            world.hear(ask, &question, BootedAt(TRUE.0.saturating_add(*ms)));
                        }
                    }
                }
                Chance::Fail(for_good) => {
                    if let Some((ask, _, _)) = world.open.pop() {
                        world.step(Event::Failed { ask, why: Failure::Kiss { code: "RATE".into(), for_good } });
                    }
                }
                Chance::Lines(wired, cellular) => {
                    let lines = [(wired, Line::Wired), (cellular, Line::Cellular)];
                    let lines = lines.iter().filter(|(there, _)| *there).map(|(_, line)| usable(*line)).collect();
                    world.step(Event::Lines(lines));
                }
                Chance::WallJumps(ms) => world.wall = BootedAt(world.wall.0.saturating_add(ms)),
            }
            let waits = world.machine.deadline();
            prop_assert_eq!(waits.is_none(), world.machine.usable_since().is_none());
            if let Some(at) = waits {
                prop_assert!(at <= world.at + RECHECK);
            }
        }
    }
}
