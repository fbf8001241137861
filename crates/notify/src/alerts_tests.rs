use super::*;
use proptest::prelude::*;

fn policy() -> Policy {
    Policy {
        least: Severity::Warning,
        warning_settle: Duration::from_secs(60),
        error_settle: Duration::from_secs(10),
        recovered: Duration::from_secs(60),
    }
}

fn machine() -> Alerts {
    Alerts::new(policy(), Monotonic::default(), None, Vec::new(), Held::default())
}

fn says(daemon: &str, conditions: &[(&str, Severity)]) -> Seen {
    let one = |(id, severity): &(&str, Severity)| Condition::new(id, *severity, format!("{id} is so"), "why");
    Seen { daemon: daemon.into(), says: Says::Heard(conditions.iter().map(one).collect()) }
}

fn silent(daemon: &str) -> Seen {
    Seen { daemon: daemon.into(), says: Says::Nothing("silent for 40 s".into()) }
}

/// Looks every five seconds from `from` to `to` and collects what is told, with its moment.
fn watch(machine: &mut Alerts, from: u64, to: u64, all: &[Seen]) -> Vec<(u64, Notice)> {
    (from..to)
        .step_by(5)
        .flat_map(|at| {
            let notices = machine.look(Monotonic::from_secs(at), None, all);
            notices.into_iter().map(move |notice| (at, notice)).collect::<Vec<_>>()
        })
        .collect()
}

fn kinds(told: &[(u64, Notice)]) -> Vec<(u64, Kind)> {
    told.iter().map(|(at, notice)| (*at, notice.kind)).collect()
}

#[test]
fn an_error_is_told_sooner_than_a_warning_and_information_not_at_all() {
    let mut m = machine();
    let all = [says("a", &[("w", Severity::Warning), ("e", Severity::Error), ("i", Severity::Info)])];
    let told = watch(&mut m, 0, 300, &all);
    let ids: Vec<_> = told.iter().map(|(at, n)| (*at, n.condition.as_str())).collect();
    assert_eq!(ids, [(10, "e"), (60, "w")]);
}

#[test]
fn what_is_over_before_it_has_settled_is_never_told() {
    let mut m = machine();
    assert!(watch(&mut m, 0, 55, &[says("a", &[("w", Severity::Warning)])]).is_empty());
    assert!(watch(&mut m, 55, 500, &[says("a", &[])]).is_empty());
    assert!(m.told().is_empty());
}

#[test]
fn one_alert_and_one_recovery_however_often_it_flaps_between() {
    let mut m = machine();
    let there = [says("a", &[("e", Severity::Error)])];
    let gone = [says("a", &[])];
    let mut told = watch(&mut m, 0, 100, &there);
    for round in 0..10 {
        told.extend(watch(&mut m, 100 + round * 50, 130 + round * 50, &gone));
        told.extend(watch(&mut m, 130 + round * 50, 150 + round * 50, &there));
    }
    assert_eq!(kinds(&told), [(10, Kind::Alert)]);
    let end = watch(&mut m, 600, 800, &gone);
    assert_eq!(kinds(&end), [(660, Kind::Recovery)]);
    assert_eq!(end[0].1.title, "over: e is so");
}

#[test]
fn a_warning_that_becomes_an_error_is_told_once_more() {
    let mut m = machine();
    let told = watch(&mut m, 0, 100, &[says("a", &[("x", Severity::Warning)])]);
    assert_eq!(kinds(&told), [(60, Kind::Alert)]);
    let told = watch(&mut m, 100, 400, &[says("a", &[("x", Severity::Error)])]);
    assert_eq!(kinds(&told), [(110, Kind::Alert)]);
    assert_eq!(told[0].1.severity, Severity::Error);
    assert!(watch(&mut m, 400, 600, &[says("a", &[("x", Severity::Warning)])]).is_empty());
}

#[test]
fn a_lasting_error_is_told_again_once_a_day_and_a_warning_is_not() {
    let mut m = machine();
    let all = [says("a", &[("e", Severity::Error), ("w", Severity::Warning)])];
    let day = 24 * 3600;
    let told = watch(&mut m, 0, 3 * day + 100, &all);
    let reminders: Vec<u64> =
        told.iter().filter(|(_, n)| n.kind == Kind::Reminder).map(|(at, _)| *at).collect();
    assert_eq!(reminders, [10 + day, 10 + 2 * day, 10 + 3 * day]);
    assert_eq!(told.len(), 5);
}

#[test]
fn a_daemon_that_nobody_hears_is_told_and_its_own_trouble_is_not_called_over() {
    let mut m = machine();
    watch(&mut m, 0, 100, &[says("a", &[("e", Severity::Error)])]);
    let told = watch(&mut m, 100, 1000, &[silent("a")]);
    assert_eq!(kinds(&told), [(220, Kind::Alert)]);
    assert_eq!(told[0].1.condition, SILENT);
    let told = watch(&mut m, 1000, 1200, &[says("a", &[("e", Severity::Error)])]);
    assert_eq!(kinds(&told), [(1060, Kind::Recovery)]);
    assert_eq!(told[0].1.condition, SILENT);
}

/// Looks every five seconds while `there` and `gone` take turns.
fn swing(
    machine: &mut Alerts,
    to: u64,
    (there, on): (&[Seen], u64),
    (gone, off): (&[Seen], u64),
) -> Vec<(u64, Notice)> {
    let mut told = Vec::new();
    for round in (0..to).step_by(usize::try_from(on + off).unwrap()) {
        told.extend(watch(machine, round, round + on, there));
        told.extend(watch(machine, round + on, round + on + off, gone));
    }
    told
}

#[test]
fn a_line_that_comes_and_goes_faster_than_anything_settles_is_told_once() {
    let (there, gone) = ([says("a", &[("w", Severity::Warning)])], [says("a", &[])]);
    for (on, off) in [(15, 15), (15, 50), (50, 15)] {
        let mut m = machine();
        let told = swing(&mut m, 3000, (&there, on), (&gone, off));
        assert_eq!(told.len(), 1, "{on} s there, {off} s gone: {told:?}");
        assert!(told[0].0 <= 400, "{on} {off}: {}", told[0].0);
    }
    // Two moments an hour are not a minute of trouble, however many hours go by.
    let mut m = machine();
    assert!(swing(&mut m, 50 * 3600, (&there, 5), (&gone, 1795)).is_empty());
}

#[test]
fn a_line_that_is_bad_in_another_way_every_moment_is_told() {
    let mut m = machine();
    let lossy = [says("uplink", &[("uplink-wired-lossy", Severity::Warning)])];
    let down = [says("uplink", &[("uplink-wired-down", Severity::Warning)])];
    let told = swing(&mut m, 3000, (&down, 30), (&lossy, 30));
    assert_eq!(told.first().map(|(at, _)| *at), Some(60));
    assert!(told.len() <= 2, "the first, and once that it is worse: {told:?}");
}

#[test]
fn what_gets_worse_or_milder_is_told_as_a_change_and_never_as_over() {
    let mut m = machine();
    let stage = |id, severity| [says("uplink", &[(id, severity)])];
    let told = watch(&mut m, 0, 200, &stage("usage-quota-90", Severity::Warning));
    assert_eq!(kinds(&told), [(60, Kind::Alert)]);
    let told = watch(&mut m, 200, 1000, &stage("usage-quota-spent", Severity::Error));
    assert_eq!(kinds(&told), [(210, Kind::Alert)]);
    let notice = &told[0].1;
    assert_eq!(
        (notice.condition.as_str(), notice.title.as_str()),
        ("usage-quota-spent", "now: usage-quota-spent is so")
    );
    assert_eq!(notice.replaces.as_deref(), Some("usage-quota-90"));
    // A bigger quota was bought.
    let told = watch(&mut m, 1000, 1500, &stage("usage-quota-90", Severity::Warning));
    assert_eq!(kinds(&told), [(1060, Kind::Alert)]);
    assert_eq!(told[0].1.replaces.as_deref(), Some("usage-quota-spent"));
    let told = watch(&mut m, 1500, 2000, &[says("uplink", &[])]);
    assert_eq!(kinds(&told), [(1560, Kind::Recovery)]);
    assert_eq!(told[0].1.condition, "usage-quota-90", "what was told last is what is over");
}

#[test]
fn of_one_family_at_once_the_worst_is_told_and_what_is_not_told_at_all_does_not_stand_in_the_way() {
    let mut m = machine();
    let both =
        [says("uplink", &[("usage-quota-spent", Severity::Error), ("usage-quota-90", Severity::Warning)])];
    let told = watch(&mut m, 0, 300, &both);
    assert_eq!(
        told.iter().map(|(at, n)| (*at, n.condition.as_str())).collect::<Vec<_>>(),
        [(10, "usage-quota-spent")]
    );
    let told = watch(&mut m, 300, 600, &[says("uplink", &[("usage-quota-75", Severity::Info)])]);
    assert_eq!(kinds(&told), [(360, Kind::Recovery)]);
}

#[test]
fn an_error_that_is_gone_for_a_moment_every_day_is_told_again_all_the_same() {
    let mut m = machine();
    let (there, gone) = ([says("a", &[("e", Severity::Error)])], [says("a", &[])]);
    let day = 24 * 3600;
    let told = swing(&mut m, 3 * day, (&there, day - 20), (&gone, 20));
    assert_eq!(kinds(&told), [(10, Kind::Alert), (day + 10, Kind::Reminder), (2 * day + 10, Kind::Reminder)]);
}

#[test]
fn a_restart_tells_nothing_twice_and_still_tells_the_recovery() {
    let mut m = machine();
    let all = [says("a", &[("e", Severity::Error)])];
    assert_eq!(watch(&mut m, 0, 100, &all).len(), 1);
    let mut again = Alerts::new(policy(), Monotonic::default(), None, m.told(), m.held().clone());
    assert!(watch(&mut again, 0, 30, &[silent("a")]).is_empty());
    assert!(watch(&mut again, 30, 400, &all).is_empty());
    assert_eq!(kinds(&watch(&mut again, 400, 600, &[says("a", &[])])), [(460, Kind::Recovery)]);
}

#[test]
fn a_part_that_an_update_took_away_is_over_in_the_end() {
    let mut m = machine();
    watch(&mut m, 0, 100, &[says("a", &[("e", Severity::Error)]), says("b", &[])]);
    assert_eq!(kinds(&watch(&mut m, 100, 600, &[says("b", &[])])), [(280, Kind::Recovery)]);
}

#[test]
fn a_clock_that_jumps_by_years_moves_a_reminder_by_a_day_at_most() {
    let told = |last| {
        vec![Told {
            daemon: "a".into(),
            id: "e".into(),
            severity: Severity::Error,
            summary: "s".into(),
            first_unix: Some(last),
            last_unix: Some(last),
        }]
    };
    let all = [says("a", &[("e", Severity::Error)])];
    for (last, now, due) in [(2_000_000_000, 1_800_000_000, 86_400), (1_700_000_000, 1_900_000_000, 0)] {
        let start = Monotonic::default();
        let mut m = Alerts::new(policy(), start, Some(now), told(last), Held::default());
        let first = watch(&mut m, 0, 90_000, &all);
        assert_eq!(kinds(&first)[0], (due, Kind::Reminder));
    }
}

#[test]
fn a_flood_becomes_one_message_that_names_them_all() {
    let mut m = machine();
    let ids: Vec<String> = (0..20).map(|n| format!("c{n:02}")).collect();
    let all: Vec<(&str, Severity)> = ids.iter().map(|id| (id.as_str(), Severity::Error)).collect();
    let told = watch(&mut m, 0, 100, &[says("a", &all)]);
    assert_eq!(told.len(), MOST);
    let (at, summary) = told.last().unwrap();
    assert_eq!((*at, summary.kind, summary.items.len()), (40, Kind::Summary, 20 - MOST + 1));
    let named: u64 = told.iter().map(|(_, notice)| notice.count()).sum();
    assert_eq!(named, 20);
}

/// Some of one family each, some alone.
const IDS: [&str; 12] = [
    "c0",
    "c1",
    "c2",
    "c3",
    "c4",
    "c5",
    "uplink-wired-lossy",
    "uplink-wired-partial",
    "uplink-wired-down",
    "usage-quota-75",
    "usage-quota-90",
    "usage-quota-spent",
];

/// What happens to one of a few conditions of two daemons.
fn history() -> impl Strategy<Value = Vec<Vec<Seen>>> {
    let daemon = |name: &'static str| {
        let severity = prop_oneof![Just(Severity::Info), Just(Severity::Warning), Just(Severity::Error)];
        let some = proptest::collection::btree_map(0..12usize, severity, 0..12);
        let heard = some.prop_map(move |some| {
            let all = some.iter().map(|(id, s)| Condition::new(IDS[*id], *s, "s", "d")).collect();
            Seen { daemon: name.into(), says: Says::Heard(all) }
        });
        prop_oneof![5 => heard, 1 => Just(silent(name))]
    };
    // A state of affairs lasts from one look to some minutes.
    let period = ((daemon("a"), daemon("b")), 1..60usize);
    let periods = proptest::collection::vec(period, 1..20);
    periods.prop_map(|all| all.into_iter().flat_map(|((a, b), n)| vec![vec![a, b]; n]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn never_floods_never_loses_and_a_recovery_only_follows_an_alert(
        history in history(), restart in proptest::option::of(0..500usize),
    ) {
        let mut m = machine();
        let mut moments: Vec<u64> = Vec::new();
        let mut known: BTreeMap<Key, bool> = BTreeMap::new();
        let mut blind = false;
        let quiet = vec![says("a", &[]), says("b", &[])];
        let after = std::iter::repeat_n(quiet, 1000);
        for (n, all) in history.into_iter().chain(after).enumerate() {
            let at = n as u64 * 5;
            let now = Monotonic::from_secs(at);
            if restart == Some(n) {
                m = Alerts::new(policy(), now, None, m.told(), m.held().clone());
                moments.clear(); // a restart may use the window anew
            }
            for notice in m.look(now, None, &all) {
                moments.push(at);
                let within = moments.iter().filter(|m| at - **m < WINDOW.as_secs()).count();
                prop_assert!(within <= MOST, "{within} messages within the window at {at}");
                // One that waited for a summary may be old news by then.
                let stands = |own: &Key| all.iter().flat_map(current).any(|(daemon, c)| {
                    c.severity >= Severity::Warning && key(&daemon, &c.id) == *own
                });
                let own = key(&notice.daemon, &notice.condition);
                prop_assert!(notice.kind != Kind::Recovery || !stands(&own), "{own:?} is not over");
                // A summary that only counts some hides their names: then only the rate can be checked.
                blind |= notice.more > 0;
                if blind {
                    continue;
                }
                for item in notice.into_items().0 {
                    let own = key(&item.daemon, &item.condition);
                    match item.kind {
                        Kind::Alert => { known.insert(own, true); }
                        Kind::Recovery => prop_assert_eq!(known.insert(own, false), Some(true)),
                        Kind::Reminder => prop_assert_eq!(known.get(&own), Some(&true)),
                        Kind::Summary | Kind::Test => prop_assert!(false),
                    }
                }
            }
        }
        // All quiet for more than an hour: every alert that went out has its recovery.
        prop_assert!(blind || known.values().all(|open| !open), "{known:?}");
        prop_assert!(m.told().is_empty() && m.held().items.is_empty());
    }
}
