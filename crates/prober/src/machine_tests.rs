use super::*;
use crate::lines::Line;
use crate::settings::pages;
use proptest::prelude::*;

fn at(seconds: u64) -> Monotonic {
    Monotonic::from_secs(seconds)
}

fn lines(active: &str, metered: bool, cut: bool, open: bool) -> Lines {
    let line = Line { interface: "x0".into(), open, metered, cut, servers: Vec::new() };
    let wired = Line { metered: false, cut: false, ..line.clone() };
    let links = [("wired".to_owned(), wired), ("cellular".to_owned(), line)];
    Lines { active: Some(active.to_owned()), links: links.into() }
}

fn machine(targets: &str, lines: Lines) -> Machine {
    let text = format!("[prober]\ntargets = [{targets}]\n");
    let mut machine = Machine::new(pages(&config::parse(text.as_bytes()).unwrap()), at(0), || 0);
    machine.dated = true;
    machine.lines = lines;
    machine
}

fn good() -> Finding {
    Finding { status: Some(200), ..Finding::default() }
}

fn bad() -> Finding {
    Finding::failed("connect: refused")
}

/// One request: it begins and ends at this moment.
fn round(machine: &mut Machine, now: Monotonic, finding: Finding) -> Vec<Action> {
    assert_eq!(machine.step(now, Event::Tick), [Action::Ask(0)], "{now:?}");
    machine.step(now, Event::Landed(0, finding, 0))
}

#[test]
fn three_failures_in_a_row_are_one_and_two_successes_end_it() {
    let mut machine = machine("\"http://a.example/ every=10\"", lines("wired", false, false, true));
    let mut now = 0;
    let mut next = |machine: &mut Machine, finding: Finding| {
        now += 20;
        round(machine, at(now), finding)
    };
    assert_eq!(next(&mut machine, good()), [Action::Changed(0)]);
    for finding in [bad(), bad(), good(), bad(), bad()] {
        assert_eq!(next(&mut machine, finding), []);
    }
    assert_eq!(next(&mut machine, bad()), [Action::Changed(0)]);
    // Since its first failure in a row.
    assert_eq!(machine.tracks[0].state, State::Failing(at(100), Doubt::default()));
    for finding in [good(), bad(), good()] {
        assert_eq!(next(&mut machine, finding), []);
    }
    assert_eq!(next(&mut machine, good()), [Action::Changed(0)]);
    assert_eq!((machine.tracks[0].sent, machine.tracks[0].failed), (11, 6));
}

#[test]
fn over_a_metered_line_it_is_rare_and_when_that_is_spent_never() {
    let mut machine = machine("\"http://a.example/\"", lines("cellular", true, false, true));
    round(&mut machine, at(0), good());
    assert_eq!(machine.step(at(899), Event::Tick), []);
    round(&mut machine, at(900), good());
    machine.lines = lines("cellular", true, true, true);
    assert_eq!(machine.step(at(100_000), Event::Tick), []);
    // Back on the wired line it is due at once.
    let back = Event::Lines(lines("wired", true, true, true));
    assert_eq!(machine.step(at(100_000), back), [Action::Ask(0)]);
}

#[test]
fn a_line_that_dies_or_is_left_under_way_blames_no_page() {
    let mut machine = machine("\"http://a.example/ every=10\"", lines("wired", false, false, true));
    for (n, after) in
        [lines("cellular", false, false, true), lines("wired", false, false, false)].into_iter().enumerate()
    {
        let now = at(n as u64 * 100);
        machine.lines = lines("wired", false, false, true);
        assert_eq!(machine.step(now, Event::Tick), [Action::Ask(0)]);
        machine.step(now, Event::Lines(after));
        machine.step(now, Event::Landed(0, bad(), 0));
        assert_eq!((machine.tracks[0].failed, &machine.tracks[0].last), (0, &None));
    }
    assert_eq!(machine.step(at(1000), Event::Tick), [], "the line is dead");
}

#[test]
fn certificates_wait_for_the_date_and_others_do_not() {
    let two = "\"https://a.example/\", \"http://b.example/\"";
    let mut machine = machine(two, lines("wired", false, false, true));
    machine.dated = false;
    assert_eq!(machine.step(at(1), Event::Tick), [Action::Ask(1)]);
    assert_eq!(machine.step(at(2), Event::Clock(true)), [Action::Ask(0)]);
}

#[test]
fn without_pages_there_is_nothing_to_wait_for() {
    let mut machine = machine("", lines("wired", false, false, true));
    assert_eq!(machine.step(at(1), Event::Tick), []);
    assert_eq!(machine.next_deadline(at(1)), None);
}

#[test]
fn what_lands_without_having_left_is_nothing() {
    let mut machine = machine("\"http://a.example/\"", lines("wired", false, false, false));
    assert_eq!(machine.step(at(1), Event::Landed(0, bad(), 0)), []);
    assert_eq!(machine.step(at(1), Event::Landed(7, bad(), 0)), []);
    assert_eq!(machine.tracks[0].failed, 0);
}

/// What may happen between two looks.
#[derive(Debug, Clone)]
enum Happens {
    Wait(u64),
    Land(u8, bool, u8),
    Lines(bool, bool, bool),
    Clock(bool),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0u64..400).prop_map(Happens::Wait),
        4 => (any::<u8>(), any::<bool>(), any::<u8>()).prop_map(|(at, well, j)| Happens::Land(at, well, j)),
        1 => (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(a, c, o)| Happens::Lines(a, c, o)),
        1 => any::<bool>().prop_map(Happens::Clock),
    ]
}

proptest! {
    /// Whatever happens: at most two at once, never two of one page, never closer than its interval
    /// allows, nothing over a spent or dead line, no deadline farther than a look, and once all is in
    /// order every page is asked for again.
    #[test]
    fn bounds_hold_and_nothing_latches(all in prop::collection::vec(happens(), 0..200)) {
        let pages = "\"https://a.example/ every=10 line=both\", \"http://b.example/ every=30\", \
                     \"http://c.example/ every=10 line=cellular metered=10\"";
        let mut machine = machine(pages, lines("wired", true, false, true));
        let (mut now, mut flying, mut began) = (0u64, Vec::<usize>::new(), [None::<u64>; 4]);
        let all = all.into_iter().map(Some).chain([None]);
        for what in all {
            let event = match what {
                Some(Happens::Wait(more)) => { now += more; Event::Tick }
                Some(Happens::Land(which, well, jitter)) if !flying.is_empty() => {
                    let page = flying.remove(usize::from(which) % flying.len());
                    Event::Landed(page, if well { good() } else { bad() }, jitter)
                }
                Some(Happens::Lines(wired, cut, open)) => {
                    Event::Lines(lines(if wired { "wired" } else { "cellular" }, true, cut, open))
                }
                Some(Happens::Clock(dated)) => Event::Clock(dated),
                Some(Happens::Land(..)) => Event::Tick,
                None => break,
            };
            for action in machine.step(at(now), event) {
                let Action::Ask(page) = action else { continue };
                prop_assert!(!flying.contains(&page));
                flying.push(page);
                let track = &machine.tracks[page];
                let (_, line) = machine.lines.meant(track.page.line).unwrap();
                prop_assert!(line.open && !line.cut && (machine.dated || !track.page.needs_clock()));
                let least = if line.metered { track.page.metered } else { track.page.every }.as_secs();
                if let Some(before) = began[page].replace(now) {
                    prop_assert!(now >= before + least, "{page}: {before} and {now}");
                }
            }
            prop_assert!(flying.len() <= MOST_FLIGHTS);
            let deadline = machine.next_deadline(at(now)).unwrap();
            prop_assert!(deadline <= at(now) + LOOK_EVERY);
        }
        machine.step(at(now), Event::Clock(true));
        machine.step(at(now), Event::Lines(lines("wired", true, false, true)));
        let before: Vec<u64> = machine.tracks.iter().map(|track| track.sent).collect();
        for _ in 0..400 {
            now += 10;
            for page in 0..4 {
                machine.step(at(now), Event::Landed(page, good(), 0));
            }
            machine.step(at(now), Event::Tick);
        }
        for (track, before) in machine.tracks.iter().zip(before) {
            prop_assert!(track.sent > before && track.state.word() == "ok", "{track:?}");
        }
    }
}
