//! The experiments, and the page they make.

use std::fmt::Write;

use link_health::{Event, Part, Settings, State};

use super::peers::{self, Peer};
use super::rng::Rng;
use super::world::{Fault, Weather, World};
use super::{Play, quantile};

const DAY: f64 = 86_400.0;
const MONTH: f64 = 30.0 * DAY;

/// How much is simulated.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Outages of each kind.
    pub outages: u64,
    /// Days of each weather.
    pub days: f64,
}

impl Effort {
    /// What the kept page is made with: a p99 of 1000 is none of the extremes, and the budget is one
    /// false alarm in 30 days.
    pub const FULL: Self = Self { outages: 1000, days: 30.0 };
}

/// Seconds each outage took, sorted, and how many were never told.
#[derive(Debug, Default)]
pub struct Times {
    pub told: Vec<f64>,
    pub never: usize,
}

impl Times {
    fn of(times: impl Iterator<Item = Option<f64>>) -> Self {
        let mut all = Self::default();
        for time in times {
            match time {
                Some(time) => all.told.push(time),
                None => all.never += 1,
            }
        }
        all.told.sort_by(f64::total_cmp);
        all
    }

    pub fn at(&self, share: f64) -> f64 {
        quantile(&self.told, share)
    }

    fn cells(&self) -> String {
        let most = self.told.last().copied().unwrap_or(f64::NAN);
        format!("{:.2} | {:.2} | {:.2} | {}", self.at(0.5), self.at(0.99), most, self.never)
    }
}

/// What a fault should be called.
pub fn expected(fault: Fault) -> State {
    match fault {
        Fault::Hard | Fault::Asymmetric | Fault::Unreachable => State::Down,
        Fault::Dns => State::Partial(Part::Dns),
        Fault::Http => State::Partial(Part::Http),
        Fault::Portal | Fault::Impostor => State::Partial(Part::Portal),
        Fault::Tls => State::Partial(Part::Tls),
        Fault::Regions => State::Partial(Part::Regions),
        Fault::V4 => State::Partial(Part::Ipv4),
        Fault::V6 => State::Partial(Part::Ipv6),
        Fault::Target | Fault::Operator => State::Up,
    }
}

/// An outage and its end: seconds until it was named, names said on the way, seconds until "up" again.
#[derive(Debug)]
pub struct Outage {
    pub named: Option<f64>,
    pub on_the_way: Vec<State>,
    pub healed: Option<f64>,
}

/// Lets a fault happen at any phase of the watch, and end again.
pub fn outage(settings: Settings, weather: Weather, fault: Fault, seed: u64) -> Outage {
    /// Longer than any budget.
    const LIMIT: f64 = 60.0;
    let from = 30.0 + 30.0 * Rng::new(seed ^ 0x5eed).unit();
    let mut play = Play::new(settings, World::new(seed, weather), seed);
    let want = expected(fault);
    play.world.fail(fault, from, f64::INFINITY);
    play.run(from, |_| false);
    let before = play.told.said.len();
    play.run(from + LIMIT, |watch| watch.verdict().state == want);
    let named = (play.watch.verdict().state == want).then(|| play.now() - from);
    let on_the_way =
        play.told.said[before..].iter().map(|(_, state, _)| *state).filter(|state| *state != want).collect();
    let end = play.now() + 10.0;
    play.run(end, |_| false);
    play.world.fail(fault, from, end);
    play.run(end + 2.0 * LIMIT, |watch| watch.verdict().state == State::Up);
    let healed = (play.watch.verdict().state == State::Up).then(|| play.now() - end);
    Outage { named, on_the_way, healed }
}

/// What a line that never fails was called.
#[derive(Debug, Default)]
pub struct Quiet {
    pub down: f64,
    pub partial: f64,
    pub lossy: f64,
    pub megabytes: f64,
}

/// Days of a weather; counts are for 30 days.
pub fn quiet(settings: Settings, weather: Weather, days: f64, seed: u64) -> Quiet {
    let mut play = Play::new(settings, World::new(seed, weather), seed);
    play.run(days * DAY, |_| false);
    let month = MONTH / (days * DAY);
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    let count = |matches: &dyn Fn(State) -> bool| play.told.count(matches) as f64 * month;
    #[expect(clippy::cast_precision_loss, reason = "bytes of a month")]
    let megabytes = play.told.bytes as f64 / 1e6 * month;
    Quiet {
        down: count(&|s| s == State::Down),
        partial: count(&|s| matches!(s, State::Partial(_))),
        lossy: count(&|s| s == State::Lossy),
        megabytes,
    }
}

/// Days of a metered line on which every `pause` seconds somebody exchanges packets for a minute.
pub fn metered_bytes(days: f64, active: bool, calls: Option<f64>, seed: u64) -> f64 {
    let mut play = Play::new(Settings::cellular(), World::new(seed, Weather::default()), seed);
    play.give(Event::Active(active));
    let mut next = calls.unwrap_or(f64::INFINITY);
    while next < days * DAY {
        play.run(next, |_| false);
        play.give(Event::Link(false));
        play.give(Event::Link(true));
        next += calls.unwrap_or(f64::INFINITY);
    }
    play.run(days * DAY, |_| false);
    #[expect(clippy::cast_precision_loss, reason = "bytes of a month")]
    let bytes = play.told.bytes as f64;
    bytes / 1e6 * 30.0 / days
}

const FAULTS: [(Fault, &str); 11] = [
    (Fault::Hard, "nothing comes back"),
    (Fault::Asymmetric, "what we send is lost"),
    (Fault::Unreachable, "the router says unreachable"),
    (Fault::Dns, "names are not resolved"),
    (Fault::Http, "quota wall: echoes and names only"),
    (Fault::Portal, "captive portal"),
    (Fault::Impostor, "a gateway answers for everybody"),
    (Fault::Tls, "TLS is broken"),
    (Fault::Regions, "one of three operators is reached"),
    (Fault::V4, "no IPv4"),
    (Fault::V6, "no IPv6"),
];

fn weathers() -> Vec<(&'static str, Weather)> {
    let calm = Weather::default();
    vec![
        ("no loss", calm),
        ("1 % loss", Weather { loss: 0.01, ..calm }),
        ("5 % loss", Weather { loss: 0.05, ..calm }),
        ("10 % loss", Weather { loss: 0.10, ..calm }),
        (
            "bursts: 0.3 s with 80 % loss each 30 s (Gilbert–Elliott)",
            Weather { loss: 0.001, bursts: Some((30.0, 0.3, 0.8)), ..calm },
        ),
        (
            "half a second more at once, for 20 s every 5 min",
            Weather { spikes: Some((300.0, 20.0, 0.5)), ..calm },
        ),
        (
            "one second more at once, for 20 s every 5 min",
            Weather { spikes: Some((300.0, 20.0, 1.0)), ..calm },
        ),
        (
            "a queue that fills to 1.5 s within 3 s, every 5 min",
            Weather { bloat: Some((300.0, 3.0, 1.5)), ..calm },
        ),
    ]
}

/// The page.
pub fn page(effort: Effort, mut progress: impl FnMut(&str)) -> String {
    let mut page = String::from(HEAD);
    progress("outages on the wired line");
    outages(&mut page, effort, Settings::wired(), "wired line");
    progress("outages on the metered line");
    outages(&mut page, effort, Settings::cellular(), "metered line with a packet of traffic a second");
    single(&mut page, effort);
    progress("quiet months");
    false_alarms(&mut page, effort, &mut progress);
    progress("bytes");
    bytes(&mut page, effort);
    page
}

const HEAD: &str = "# How fast and how sure outages are told

Made by `cargo run --release -p link-health --example simulate`; no figure is typed. Simulated lines with round trips of 8 to 68 ms, six echo and six DNS targets of three operators in both families, three web pages, three TLS servers. Each outage begins at a random phase. *mwan3* and *dpinger* are their programs' algorithms with their defaults (pfSense's for dpinger), on the same lines.
";

fn outages(page: &mut String, effort: Effort, settings: Settings, title: &str) {
    let wired = settings == Settings::wired();
    let weather = Weather { loss: 0.01, ..Weather::default() };
    let _ = write!(
        page,
        "\n## Outages, {title}\n\nSeconds until each is told by its name, at 1 % loss.\n\n| outage | who | median | p99 | most | never | up again, median | p99 |\n|---|---|---|---|---|---|---|---|\n"
    );
    for (fault, words) in FAULTS {
        if !wired && expected(fault) != State::Down {
            continue;
        }
        let runs: Vec<Outage> = (0..effort.outages)
            .map(|seed| {
                if wired {
                    outage(settings, weather, fault, seed)
                } else {
                    unanswered(settings, weather, fault, seed)
                }
            })
            .collect();
        let named = Times::of(runs.iter().map(|run| run.named));
        let healed = Times::of(runs.iter().map(|run| run.healed));
        let _ = writeln!(
            page,
            "| {words} | Failberry | {} | {:.2} | {:.2} |",
            named.cells(),
            healed.at(0.5),
            healed.at(0.99)
        );
        if wired && matches!(fault, Fault::Hard) {
            for peer in [Peer::Dpinger, Peer::Mwan3 { targets: 1 }, Peer::Mwan3 { targets: 4 }] {
                let times =
                    Times::of((0..effort.outages).map(|seed| peers::detect(peer, weather, fault, seed)));
                let _ = writeln!(page, "| {words} | {} | {} | | |", peer.name(), times.cells());
            }
        }
    }
}

/// On a metered line that is not asked all the time, traffic that is not answered tells first.
pub fn unanswered(settings: Settings, weather: Weather, fault: Fault, seed: u64) -> Outage {
    const LIMIT: f64 = 60.0;
    let from = 200.0 + 200.0 * Rng::new(seed ^ 0x5eed).unit();
    let mut play = Play::new(settings, World::new(seed, weather), seed);
    play.world.fail(fault, from, f64::INFINITY);
    let (mut sent_packets, mut received_packets) = (0, 0);
    let mut run = |play: &mut Play, until: f64, state: Option<State>| {
        while play.now() < until && state.is_none_or(|state| play.watch.verdict().state != state) {
            let second = (play.now() + 1.0).min(until);
            play.run(second, |watch| state.is_some_and(|state| watch.verdict().state == state));
            sent_packets += 1;
            // What the wired faults do to requests, they do to these.
            received_packets += u64::from(play.now() < from);
            play.give(Event::Traffic { sent_packets, received_packets });
        }
    };
    run(&mut play, from + LIMIT, Some(State::Down));
    let named = (play.watch.verdict().state == State::Down).then(|| play.now() - from);
    let end = play.now() + 10.0;
    run(&mut play, end, None);
    play.world.fail(fault, from, end);
    run(&mut play, end + 2.0 * LIMIT, Some(State::Up));
    let healed = (play.watch.verdict().state == State::Up).then(|| play.now() - end);
    Outage { named, on_the_way: Vec::new(), healed }
}

fn single(page: &mut String, effort: Effort) {
    let weather = Weather { loss: 0.01, ..Weather::default() };
    let changes = |fault| {
        (0..effort.outages)
            .map(|seed| outage(Settings::wired(), weather, fault, seed).on_the_way.len())
            .sum::<usize>()
    };
    let _ = write!(
        page,
        "\n## One target, one operator\n\n| what is dead | verdicts that changed, in {} times |\n|---|---|\n| one target | {} |\n| all of one operator | {} |\n",
        effort.outages,
        changes(Fault::Target),
        changes(Fault::Operator)
    );
}

fn false_alarms(page: &mut String, effort: Effort, progress: &mut impl FnMut(&str)) {
    let _ = write!(
        page,
        "\n## False alarms\n\nA wired line that never fails, {} days of each weather, counted for 30 days. Loss is of round trips.\n\n| weather | down | in part | lossy | dpinger: down | mwan3, 1 target: down | probes, MB in 30 days |\n|---|---|---|---|---|---|---|\n",
        effort.days
    );
    for (n, (words, weather)) in (0_u64..).zip(weathers()) {
        progress(words);
        let ours = quiet(Settings::wired(), weather, effort.days, 1000 + n);
        let other = |peer: Peer| {
            let mut world = World::new(2000 + n, weather);
            let said = peer.play(&mut world, n, effort.days * DAY);
            #[expect(clippy::cast_precision_loss, reason = "a count")]
            let downs = said.iter().filter(|(_, down)| *down).count() as f64;
            downs * 30.0 / effort.days
        };
        let _ = writeln!(
            page,
            "| {words} | {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} |",
            ours.down,
            ours.partial,
            ours.lossy,
            other(Peer::Dpinger),
            other(Peer::Mwan3 { targets: 1 }),
            ours.megabytes
        );
    }
}

fn bytes(page: &mut String, effort: Effort) {
    let days = effort.days.min(30.0);
    let _ = write!(
        page,
        "\n## Probes on a metered line\n\nMB in 30 days: IP packets, both ways.\n\n| line | MB |\n|---|---|\n"
    );
    for (words, active, calls) in [
        ("idle", false, None),
        ("idle, a new call every hour", false, Some(3600.0)),
        ("idle, a new call every minute", false, Some(60.0)),
        ("carries the traffic, which is silent", true, None),
    ] {
        let _ = writeln!(page, "| {words} | {:.1} |", metered_bytes(days, active, calls, 7));
    }
    for peer in [Peer::Dpinger, Peer::Mwan3 { targets: 1 }] {
        let _ = writeln!(page, "| {} | {:.0} |", peer.name(), peer.bytes_a_month() / 1e6);
    }
}
