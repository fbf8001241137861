//! The budgets of outages told and of false alarms, on simulated lines; and `docs/detection.md`, which
//! has to be what the simulation prints.

mod sim;

use link_health::{Part, Settings, State};
use sim::table::{Effort, Outage, Quiet, expected, metered_bytes, outage, page, quiet, unanswered};
use sim::world::{Fault, Weather};
use sim::{peers, quantile};

const RUNS: u64 = 200;

fn calm() -> Weather {
    Weather { loss: 0.01, ..Weather::default() }
}

fn sorted(runs: &[Outage], of: impl Fn(&Outage) -> Option<f64>) -> Vec<f64> {
    let mut times: Vec<f64> = runs.iter().map(|run| of(run).expect("it is told within a minute")).collect();
    times.sort_by(f64::total_cmp);
    times
}

#[test]
fn a_hard_outage_is_told_within_two_seconds_at_any_phase() {
    for loss in [0.0, 0.01, 0.05] {
        let weather = Weather { loss, ..Weather::default() };
        let runs: Vec<_> =
            (0..RUNS).map(|seed| outage(Settings::wired(), weather, Fault::Hard, seed)).collect();
        let told = sorted(&runs, |run| run.named);
        assert!(quantile(&told, 0.99) <= 2.0, "p99 {} at {loss}", quantile(&told, 0.99));
        let healed = sorted(&runs, |run| run.healed);
        assert!(quantile(&healed, 0.99) <= 6.0, "up again after {}", quantile(&healed, 0.99));
    }
}

#[test]
fn a_partial_outage_is_told_by_its_name_within_ten_seconds() {
    for fault in [
        Fault::Dns,
        Fault::Http,
        Fault::Portal,
        Fault::Impostor,
        Fault::Tls,
        Fault::Regions,
        Fault::V4,
        Fault::V6,
    ] {
        let runs: Vec<_> = (0..RUNS).map(|seed| outage(Settings::wired(), calm(), fault, seed)).collect();
        let told = sorted(&runs, |run| run.named);
        assert!(quantile(&told, 0.99) <= 10.0, "{fault:?}: p99 {}", quantile(&told, 0.99));
        let misnamed = runs.iter().filter(|run| !run.on_the_way.is_empty()).count();
        assert!(misnamed * 50 <= runs.len(), "{fault:?}: {misnamed} times called something else first");
    }
}

#[test]
fn a_dead_target_or_operator_changes_no_verdict() {
    for fault in [Fault::Target, Fault::Operator] {
        for seed in 0..RUNS {
            let run = outage(Settings::wired(), calm(), fault, seed);
            assert_eq!((run.named.map(|_| ()), run.on_the_way), (Some(()), vec![]), "{fault:?}, seed {seed}");
            assert_eq!(expected(fault), State::Up);
        }
    }
}

#[test]
fn five_percent_loss_raises_no_alarm_for_days() {
    let Quiet { down, partial, lossy, .. } =
        quiet(Settings::wired(), Weather { loss: 0.05, ..Weather::default() }, 3.0, 11);
    assert!(down + partial + lossy < 1.0, "{down} {partial} {lossy}");
}

#[test]
fn a_full_queue_is_no_outage() {
    let bloat = Weather { bloat: Some((300.0, 3.0, 1.5)), ..calm() };
    assert!(quiet(Settings::wired(), bloat, 0.5, 12).down < 1.0);
}

#[test]
fn a_young_line_that_loses_a_family_is_never_called_lossy() {
    for seed in 0..200_u32 {
        let mut play =
            sim::Play::new(Settings::wired(), sim::world::World::new(seed.into(), calm()), seed.into());
        play.world.fail(Fault::V6, 11.0 + f64::from(seed % 17) * 0.37, f64::INFINITY);
        play.run(60.0, |_| false);
        assert_eq!(play.watch.verdict().state, State::Partial(Part::Ipv6));
        assert_eq!(play.told.count(|state| state == State::Lossy), 0, "seed {seed}");
    }
}

#[test]
fn a_line_that_loses_a_third_is_lossy_until_it_does_not() {
    let mut play = sim::Play::new(
        Settings::wired(),
        sim::world::World::new(3, Weather { loss: 0.35, ..Weather::default() }),
        3,
    );
    play.run(60.0, |watch| watch.verdict().state == State::Lossy);
    assert!(
        play.watch.verdict().state == State::Lossy && play.now() > 10.0,
        "{:?} at {}",
        play.watch.verdict(),
        play.now()
    );
    play.world = sim::world::World::new(4, Weather::default());
    play.run(play.now() + 60.0, |watch| watch.verdict().state == State::Up);
    assert_eq!(play.watch.verdict().state, State::Up);
}

#[test]
fn a_metered_line_stays_far_below_ten_megabytes_in_thirty_days() {
    let idle = metered_bytes(30.0, false, None, 1);
    assert!((1.0..6.0).contains(&idle), "{idle} MB idle");
    for (active, calls) in [(true, None), (false, Some(3600.0)), (true, Some(3600.0))] {
        let megabytes = metered_bytes(30.0, active, calls, 1);
        assert!(megabytes < 9.0, "{megabytes} MB with active {active}, a call each {calls:?} s");
    }
}

#[test]
fn a_metered_line_whose_traffic_is_not_answered_is_told_dead_within_five_seconds() {
    let settings = Settings::cellular();
    let runs: Vec<_> = (0..RUNS).map(|seed| unanswered(settings, calm(), Fault::Hard, seed)).collect();
    let told = sorted(&runs, |run| run.named);
    assert!(quantile(&told, 0.99) <= 5.0, "p99 {}", quantile(&told, 0.99));
}

#[test]
fn the_others_take_as_long_as_was_measured_of_their_programs() {
    let median = |peer| {
        let mut times: Vec<f64> =
            (0..RUNS).filter_map(|seed| peers::detect(peer, Weather::default(), Fault::Hard, seed)).collect();
        times.sort_by(f64::total_cmp);
        quantile(&times, 0.5)
    };
    assert!((14.0..16.0).contains(&median(peers::Peer::Dpinger)));
    assert!((60.0..70.0).contains(&median(peers::Peer::Mwan3 { targets: 1 })));
    assert!((119.0..131.0).contains(&median(peers::Peer::Mwan3 { targets: 4 })));
}

#[test]
fn the_page_in_docs_is_what_the_simulation_prints_today() {
    let shape = |page: &str| -> Vec<String> {
        let words = |line: &str| {
            line.replace("NaN", "0").chars().filter(|c| !c.is_ascii_digit() && *c != '.').collect::<String>()
        };
        page.lines().map(words).collect()
    };
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/detection.md");
    let kept = std::fs::read_to_string(path).expect("docs/detection.md");
    let fresh = page(Effort { outages: 2, days: 0.01 }, |_| {});
    assert_eq!(shape(&kept), shape(&fresh), "run the example `simulate` and commit docs/detection.md");
    let days = format!("{} days of each weather", Effort::FULL.days);
    assert!(kept.contains(&days), "docs/detection.md was made with --quick");
    assert!(matches!(expected(Fault::V6), State::Partial(Part::Ipv6)));
}
