use super::*;
use proptest::prelude::*;

const RIGHT: HardwareAddress = HardwareAddress([2, 0, 0, 0, 0, 1]);
const WRONG: HardwareAddress = HardwareAddress([2, 0, 0, 0, 0, 9]);

fn at(seconds: u64) -> Monotonic {
    Monotonic::from_secs(1000 + seconds)
}

fn key(host: u32) -> Key {
    Key { link: 2, address: Ipv4Addr::from(0x0a00_0000 + host).into() }
}

fn entry(host: u32, mac: HardwareAddress, state: Nud) -> Neighbour {
    let Key { link, address } = key(host);
    Neighbour {
        link,
        address,
        mac: Some(mac),
        state,
        learned_elsewhere: false,
        confirmed_ms: 0,
        updated_ms: 0,
    }
}

fn set(machine: &mut Machine, second: u64, new: Neighbour) -> Vec<Action> {
    machine.step(at(second), Event::Changed(NeighbourChange::Set(new)))
}

fn watching(entry: Neighbour) -> (Machine, Vec<Action>) {
    let mut machine = Machine::new(true);
    machine.step(at(0), Event::Watch(BTreeSet::from([key(1)])));
    let actions = machine.step(at(0), Event::Synced(vec![entry]));
    (machine, actions)
}

fn checked(machine: &mut Machine, second: u64, entry: Neighbour, answers: &[HardwareAddress]) -> Vec<Action> {
    let key = key_of(&entry);
    let event = Event::Checked { key, before: Some(entry), answers: answers.to_vec(), after: Some(entry) };
    machine.step(at(second), event)
}

#[test]
fn the_gateway_is_checked_at_once_then_every_half_minute_and_when_it_moves() {
    let (mut machine, actions) = watching(entry(1, RIGHT, Nud::Stale));
    assert_eq!(actions, [Action::Check(key(1))]);
    assert_eq!(checked(&mut machine, 1, entry(1, RIGHT, Nud::Stale), &[RIGHT]), []);
    assert_eq!(machine.next_deadline(), Some(at(31)));
    assert_eq!(set(&mut machine, 10, entry(1, WRONG, Nud::Reachable)), [Action::Check(key(1))]);
}

#[test]
fn a_proven_wrong_entry_is_asked_for_by_the_kernel_and_deleted_only_if_that_fails() {
    let wrong = entry(1, WRONG, Nud::Reachable);
    let (mut machine, _) = watching(wrong);
    assert_eq!(checked(&mut machine, 1, wrong, &[RIGHT]), [Action::Probe(key(1))]);
    assert_eq!(set(&mut machine, 1, entry(1, WRONG, Nud::Probe)), []);
    // Confirmed again although nobody answered: the kernel will not find out by asking.
    assert_eq!(set(&mut machine, 2, entry(1, WRONG, Nud::Reachable)), [Action::Delete(key(1))]);
    let Key { link, address } = key(1);
    machine.step(at(2), Event::Changed(NeighbourChange::Gone { link, address }));
    assert_eq!(machine.findings()[&key(1)].cured, Some(Cure::Deletion));
    assert!(!machine.mending_any());
}

#[test]
fn a_kernel_that_asks_and_finds_out_is_not_helped_any_further() {
    let wrong = entry(1, WRONG, Nud::Reachable);
    let (mut machine, _) = watching(wrong);
    checked(&mut machine, 1, wrong, &[RIGHT]);
    set(&mut machine, 1, entry(1, WRONG, Nud::Probe));
    assert_eq!(set(&mut machine, 5, entry(1, WRONG, Nud::Failed)), []);
    assert_eq!(machine.findings()[&key(1)].cured, Some(Cure::Probe));
    // News for a while, then history.
    machine.step(at(6) + NEWS, Event::Tick);
    assert!(machine.findings().is_empty());
}

#[test]
fn a_kernel_that_says_nothing_is_given_its_time_and_then_the_entry_goes() {
    let wrong = entry(1, WRONG, Nud::Reachable);
    let (mut machine, _) = watching(wrong);
    checked(&mut machine, 1, wrong, &[RIGHT]);
    assert_eq!(machine.next_deadline(), Some(at(1) + PROBED));
    assert_eq!(machine.step(at(1) + PROBED, Event::Tick), [Action::Delete(key(1))]);
    machine.step(at(1) + PROBED + DELETED, Event::Tick);
    assert!(!machine.mending_any() && machine.findings()[&key(1)].cured.is_none());
}

#[test]
fn a_permanent_entry_is_reported_and_never_touched() {
    let fixed = entry(1, WRONG, Nud::Permanent);
    let (mut machine, _) = watching(fixed);
    for second in 1..200 {
        let actions = checked(&mut machine, second, fixed, &[RIGHT]);
        assert!(actions.iter().all(|a| matches!(a, Action::Check(_))), "{actions:?}");
    }
    assert!(machine.findings()[&key(1)].fixed);
}

#[test]
fn confirmations_without_a_question_are_looked_into_after_a_minute_and_the_acquitted_is_left_alone() {
    let mut machine = Machine::new(true);
    machine.step(at(0), Event::Synced(vec![entry(5, RIGHT, Nud::Reachable)]));
    let mut checks = Vec::new();
    for second in (0..600).step_by(30) {
        set(&mut machine, second, entry(5, RIGHT, Nud::Stale));
        let actions = set(&mut machine, second + 5, entry(5, RIGHT, Nud::Reachable));
        if actions == [Action::Check(key(5))] {
            checks.push(second);
            assert_eq!(checked(&mut machine, second + 6, entry(5, RIGHT, Nud::Reachable), &[RIGHT]), []);
        }
    }
    assert_eq!(checks, [60], "one look in ten minutes");
}

#[test]
fn an_entry_that_is_confirmed_too_often_to_ever_change_its_state_is_told_by_its_ages() {
    let held = |second: u64| Neighbour {
        updated_ms: second * 1000,
        confirmed_ms: 200,
        ..entry(5, RIGHT, Nud::Reachable)
    };
    let mut machine = Machine::new(true);
    let mut checks = Vec::new();
    for second in (0..1500).step_by(60) {
        let mut actions = machine.step(at(second), Event::Synced(vec![held(second)]));
        actions.extend(machine.step(at(second), Event::Tick));
        if !actions.is_empty() {
            assert_eq!(actions, [Action::Check(key(5))]);
            checks.push(second);
            checked(&mut machine, second, held(second), &[RIGHT]);
        }
    }
    assert_eq!(checks, [60, 660, 1260]);
}

#[test]
fn the_kernels_own_question_ends_a_suspicion() {
    let mut machine = Machine::new(true);
    machine.step(at(0), Event::Synced(vec![entry(5, RIGHT, Nud::Reachable)]));
    for second in (0..600).step_by(30) {
        for (offset, state) in [(1, Nud::Stale), (6, Nud::Probe), (7, Nud::Reachable)] {
            assert_eq!(set(&mut machine, second + offset, entry(5, RIGHT, state)), []);
        }
    }
}

#[test]
fn two_answers_or_an_address_that_goes_back_and_forth_are_a_conflict_and_no_repair() {
    let right = entry(1, RIGHT, Nud::Reachable);
    let (mut machine, _) = watching(right);
    assert_eq!(checked(&mut machine, 1, right, &[RIGHT, WRONG]), []);
    assert_eq!(machine.conflicts()[&key(1)].owners, [RIGHT, WRONG]);
    let mut machine = Machine::new(true);
    machine.step(at(0), Event::Synced(vec![entry(7, RIGHT, Nud::Reachable)]));
    for second in 1..6 {
        let mac = if second % 2 == 0 { RIGHT } else { WRONG };
        set(&mut machine, second, entry(7, mac, Nud::Reachable));
    }
    assert!(machine.conflicts().contains_key(&key(7)));
    machine.step(at(10) + FLAPPING, Event::Tick);
    assert!(machine.conflicts().is_empty());
}

#[test]
fn our_own_address_is_asked_for_every_minute_and_another_owner_is_named_until_it_is_gone() {
    let own = (2, Ipv4Addr::new(10, 0, 0, 2));
    let mut machine = Machine::new(true);
    let actions = machine.step(at(0), Event::Own(BTreeSet::from([own])));
    assert_eq!(actions, [Action::CheckOwn(2, own.1)]);
    machine.step(at(1), Event::OwnChecked { link: 2, address: own.1, others: vec![WRONG] });
    assert_eq!(machine.own_conflicts()[&own].owners, [WRONG]);
    assert_eq!(machine.step(at(60), Event::Tick), [Action::CheckOwn(2, own.1)]);
    machine.step(at(200), Event::Tick);
    assert!(machine.own_conflicts().is_empty());
}

#[test]
fn ten_thousand_entries_cost_little_and_a_flood_stays_within_the_bound() {
    let mut machine = Machine::new(true);
    let all: Vec<Neighbour> = (0..10_000).map(|host| entry(host, RIGHT, Nud::Stale)).collect();
    machine.step(at(0), Event::Synced(all.clone()));
    // A resync finds nothing new, and nothing is asked.
    assert_eq!(machine.step(at(1), Event::Synced(all)), []);
    assert!(size_of::<Entry>() + size_of::<Key>() <= 320, "{}", size_of::<Entry>() + size_of::<Key>());
    let flood: Vec<Neighbour> = (0..30_000).map(|host| entry(host, RIGHT, Nud::Stale)).collect();
    machine.step(at(2), Event::Synced(flood));
    assert_eq!((machine.entries().len(), machine.counts().ignored), (MOST, 30_000 - MOST));
    machine.step(at(3), Event::Synced(Vec::new()));
    assert!(machine.entries().is_empty());
}

#[test]
fn every_entry_suspicious_at_once_is_still_thirty_questions_a_minute() {
    let mut machine = Machine::new(true);
    let mut asked: Vec<u64> = Vec::new();
    for second in 0..400 {
        for host in 0..500 {
            let state = if second % 2 == 0 { Nud::Stale } else { Nud::Reachable };
            let actions = set(&mut machine, second, entry(host, RIGHT, state));
            asked.extend(actions.iter().filter(|a| matches!(a, Action::Check(_))).map(|_| second));
        }
        assert!(asked.iter().filter(|t| second - **t < 60).count() <= CHECKS_A_MINUTE - RESERVED + 1);
    }
    assert!(asked.len() > 50, "{}", asked.len());
}

/// A kernel's entry whose hardware address is right, doing whatever kernels do.
fn history() -> impl Strategy<Value = Vec<(Nud, u64)>> {
    let state = prop_oneof![
        4 => Just(Nud::Stale), 4 => Just(Nud::Reachable), 2 => Just(Nud::Delay),
        1 => Just(Nud::Probe), 1 => Just(Nud::Failed), 1 => Just(Nud::Incomplete),
    ];
    proptest::collection::vec((state, 0u64..90), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_right_entry_is_never_touched_whatever_its_states(
        states in history(), watched in any::<bool>(), silent in 0u64..4, lost in 0u64..9
    ) {
        let mut machine = Machine::new(true);
        if watched { machine.step(at(0), Event::Watch(BTreeSet::from([key(3)]))); }
        let (mut now, mut asked) = (0, 0);
        for (state, wait) in states {
            now += wait;
            let this = entry(3, RIGHT, state);
            let mut actions = set(&mut machine, now, this);
            if now % 9 == lost { actions.extend(machine.step(at(now), Event::Synced(vec![this]))); }
            actions.extend(machine.step(at(now), Event::Tick));
            for action in actions {
                prop_assert_eq!(action, Action::Check(key(3)));
                asked += 1;
                let answers: &[HardwareAddress] = if asked % 4 == silent { &[] } else { &[RIGHT] };
                let more = checked(&mut machine, now, this, answers);
                prop_assert!(more.iter().all(|a| matches!(a, Action::Check(_))));
            }
            prop_assert!(machine.findings().is_empty());
        }
    }

    /// An entry somebody keeps wrong for ever: always tried again, never more often than allowed.
    #[test]
    fn a_fight_is_bounded_and_nothing_latches(seed in proptest::collection::vec(0u64..5, 40..200)) {
        let wrong = entry(1, WRONG, Nud::Reachable);
        let (mut machine, _) = watching(wrong);
        let (mut now, mut mended) = (0, Vec::new());
        for step in seed {
            now += step;
            let mut actions = set(&mut machine, now, wrong);
            actions.extend(machine.step(at(now), Event::Tick));
            for action in actions {
                match action {
                    Action::Check(_) => {
                        let more = checked(&mut machine, now, wrong, &[RIGHT]);
                        mended.extend(more.iter().filter(|a| matches!(a, Action::Probe(_))).map(|_| now));
                    }
                    Action::Delete(Key { link, address }) => {
                        machine.step(at(now), Event::Changed(NeighbourChange::Gone { link, address }));
                    }
                    _ => {}
                }
            }
            prop_assert!(mended.iter().filter(|t| now - **t < 60).count() <= REPAIRS_A_MINUTE);
        }
        set(&mut machine, now, wrong);
        let last = machine.next_deadline();
        prop_assert!(last.is_some_and(|due| due <= at(now) + AGAIN_AT_MOST + EVERY));
    }
}
