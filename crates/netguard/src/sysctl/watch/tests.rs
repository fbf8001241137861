//! The watch over settings that change behind its back.

use super::*;
use proptest::prelude::*;
use ruleset::Unless;

const FORWARD: &str = "net/ipv4/ip_forward";
const REDIRECTS: &str = "net/ipv4/conf/all/accept_redirects";

fn at(seconds: u64) -> Monotonic {
    Monotonic::from_secs(seconds)
}

fn sysctl(path: &str, value: &'static str) -> Sysctl {
    Sysctl { path: path.to_owned(), value, unless: Unless::Never }
}

fn look(watch: &mut Watch, now: Monotonic, seen: Seen) -> Vec<Action> {
    watch.step(now, Event::Looked(vec![(sysctl(FORWARD, "1"), seen)]))
}

/// One look by which everything that is asked for is written.
fn repair(watch: &mut Watch, now: Monotonic, found: &str) -> bool {
    let actions = look(watch, now, Seen::Differs(found.to_owned()));
    let written = actions.iter().any(|action| matches!(action, Action::Write { .. }));
    if written {
        watch.step(now, Event::Wrote { path: FORWARD.to_owned(), refused: None });
    }
    written
}

#[test]
fn the_first_value_is_no_change() {
    let mut watch = Watch::default();
    let write = Action::Write { path: FORWARD.to_owned(), found: "0".to_owned(), value: "1".to_owned() };
    assert_eq!(look(&mut watch, at(1), Seen::Differs("0".to_owned())), [write]);
    assert_eq!((watch.changes(), watch.next_look()), (0, at(2)));
}

#[test]
fn a_change_is_put_right_and_explained_at_once() {
    let mut watch = Watch::default();
    look(&mut watch, at(1), Seen::Right);
    let actions = look(&mut watch, at(2), Seen::Differs("0".to_owned()));
    let explain = Action::Explain { path: FORWARD.to_owned(), found: "0".to_owned(), wanted: "1".to_owned() };
    assert_eq!(actions[0], explain);
    assert!(matches!(&actions[1], Action::Write { value, .. } if value == "1"));
    watch.step(at(2), Event::Explained { path: FORWARD.to_owned(), reason: "a file".to_owned() });
    watch.step(at(2), Event::Wrote { path: FORWARD.to_owned(), refused: None });
    assert_eq!((watch.changes(), watch.drifts(at(3))[0].reason.as_str()), (1, "a file"));
    assert!(watch.drifts(at(2) + SHOWN).is_empty());
}

#[test]
fn what_the_kernel_resets_along_is_written_and_not_blamed() {
    let mut watch = Watch::default();
    let both = |a: Seen, b: Seen| Event::Looked(vec![(sysctl(FORWARD, "1"), a), (sysctl(REDIRECTS, "0"), b)]);
    watch.step(at(1), both(Seen::Right, Seen::Right));
    let differs = |value: &str| Seen::Differs(value.to_owned());
    let actions = watch.step(at(2), both(differs("0"), differs("1")));
    let explained = actions.iter().filter(|a| matches!(a, Action::Explain { .. })).count();
    let written: Vec<&str> = actions
        .iter()
        .filter_map(|a| if let Action::Write { path, .. } = a { Some(path.as_str()) } else { None })
        .collect();
    assert_eq!((explained, written), (1, vec![FORWARD, REDIRECTS]));
    assert_eq!(watch.changes(), 1);
}

#[test]
fn a_fight_is_fought_slowly_told_and_over_when_it_is_calm() {
    let mut watch = Watch::default();
    look(&mut watch, at(0), Seen::Right);
    let writes: Vec<u64> = (1..=60).filter(|second| repair(&mut watch, at(*second), "0")).collect();
    assert_eq!(writes, [1, 2, 3, 4, 5, 15, 25, 35, 45, 55]);
    assert_eq!(watch.fights().count(), 1);
    for second in 61..=240 {
        look(&mut watch, at(second), Seen::Right);
    }
    assert_eq!(watch.fights().count(), 0);
    assert!(repair(&mut watch, at(241), "0"), "calm again: at once");
}

#[test]
fn a_refused_write_is_tried_again_and_forgotten_when_it_works() {
    let mut watch = Watch::default();
    let refused = |watch: &mut Watch, now| {
        let refused = Some("set it: read-only file system".to_owned());
        watch.step(now, Event::Wrote { path: FORWARD.to_owned(), refused })
    };
    look(&mut watch, at(1), Seen::Differs("0".to_owned()));
    refused(&mut watch, at(1));
    assert_eq!(watch.failures().count(), 1);
    assert_eq!(look(&mut watch, at(2), Seen::Differs("0".to_owned())), []);
    assert!(repair(&mut watch, at(1) + RETRY, "0"));
    assert_eq!((watch.failures().count(), watch.right(), watch.changes()), (0, 1, 0));
}

#[test]
fn an_interface_that_goes_and_comes_is_no_change() {
    let mut watch = Watch::default();
    look(&mut watch, at(1), Seen::Right);
    look(&mut watch, at(2), Seen::Absent);
    assert!(repair(&mut watch, at(3), "0"));
    assert_eq!((watch.changes(), watch.drifts(at(3)).len()), (0, 0));
}

proptest! {
    /// Whatever others do: it never gives up, and never writes one setting more than six times a minute
    /// once it fights.
    #[test]
    fn it_never_latches_and_never_storms(steps in prop::collection::vec((1u64..20, any::<bool>()), 1..200)) {
        let mut watch = Watch::default();
        look(&mut watch, at(0), Seen::Right);
        let (mut now, mut fought): (u64, Vec<u64>) = (0, Vec::new());
        for (gap, changed) in steps {
            now += gap;
            let was_on = watch.fights().count() > 0;
            if !changed {
                look(&mut watch, at(now), Seen::Right);
            } else if repair(&mut watch, at(now), "0") && was_on {
                fought.push(now);
            }
        }
        prop_assert!(fought.windows(2).all(|pair| pair[1] - pair[0] >= 10));
        for second in 1..=200 {
            look(&mut watch, at(now + second), Seen::Right);
        }
        prop_assert_eq!(watch.fights().count(), 0);
        prop_assert!(repair(&mut watch, at(now + 201), "0"));
    }
}
