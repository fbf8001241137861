//! The health endpoint beside nginx and a thread for each connection: requests a second and their
//! latency, and what a crowd of ten thousand idle and dribbling connections does to each.

mod crowd;
mod load;
mod server;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::{Map, Value, json};

use super::round;
use crate::error::{Context, Error, Result};
use crate::stop::Stop;
pub use server::Programs;
use server::{Server, Who};

/// Where all of them listen, each in a network of its own.
const PORT: u16 = 9000;
/// Rounds, by turns, so that a busy moment of the machine hits everybody.
const ROUNDS: usize = 3;
/// How long is measured in a round.
const MEASURED: Duration = Duration::from_secs(4);
/// Before that, uncounted.
const WARM: Duration = Duration::from_millis(500);
/// What the crowd of 10,000, its server and this program need.
const DESCRIPTORS: u64 = 10_500;
/// A health check is to be answered within this, whoever else is there.
const LATE: f64 = 1000.0;

const CASES: [(&str, bool); 2] = [("connection_per_request", false), ("keep_alive", true)];

/// What was measured of one server.
#[derive(Debug, Default)]
struct Told {
    /// By case: requests a second, p50, p99 in ms, microseconds of a core for each request; a round each.
    rounds: [Vec<[f64; 4]>; CASES.len()],
    failed: u64,
    crowd: crowd::Seen,
    idle_pss: u64,
    /// Requests a second after the crowd has gone, a connection each: the middle of as many rounds.
    after: f64,
}

/// Runs it.
///
/// # Errors
/// When our daemon is not there or does not answer.
pub fn run(programs: &Programs, folder: &Path, stop: &Stop) -> Result<Value> {
    if !programs.ours.exists() {
        let hint = "build it: cargo build --release -p pinghttpserver";
        return Err(Error::Unexpected(format!("no program {}; {hint}", programs.ours.display())));
    }
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).map_err(std::io::Error::from).context("getrlimit")?;
    if hard < DESCRIPTORS {
        return Err(Error::Unexpected(format!(
            "the hard limit of open files is {hard}, {DESCRIPTORS} are needed: raise it (ulimit -Hn)"
        )));
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).map_err(std::io::Error::from).context("setrlimit")?;
    let started = Instant::now();
    let mut all: Vec<(Server, Told)> = Vec::new();
    for who in [Who::Ours, Who::Nginx, Who::Threads] {
        let place = folder.join(format!("{who:?}").to_lowercase());
        if let Some(server) = Server::start(who, programs, &place)? {
            let told = Told { idle_pss: server.pss()?, ..Told::default() };
            all.push((server, told));
        }
    }
    for _ in 0..ROUNDS {
        for (case, (_, keep)) in CASES.iter().enumerate() {
            for (server, told) in &mut all {
                stop.check()?;
                measure(server, case, *keep, told)?;
            }
        }
    }
    for (server, told) in &mut all {
        stop.check()?;
        told.crowd = crowd::run(server)?;
        told.after = after(server)?;
    }
    Ok(report(&all, started))
}

/// One load, in the server's network.
fn load_of(server: &Server, keep: bool, time: Duration) -> Result<load::Told> {
    server.net.run(move || load::run(keep, time))
}

fn after(server: &Server) -> Result<f64> {
    load_of(server, false, WARM)?;
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        rates.push(load_of(server, false, MEASURED)?.rate());
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates[ROUNDS / 2])
}

fn measure(server: &Server, case: usize, keep: bool, told: &mut Told) -> Result<()> {
    load_of(server, keep, WARM)?;
    let before = server.cpu()?;
    let load = load_of(server, keep, MEASURED)?;
    #[expect(clippy::cast_precision_loss, reason = "counts of some seconds")]
    let cost = (server.cpu()? - before) * 1e6 / load.requests.max(1) as f64;
    told.failed += load.failed;
    let ms = |share| load.permille(share).unwrap_or(f64::INFINITY);
    told.rounds[case].push([load.rate(), ms(500), ms(990), cost]);
    Ok(())
}

fn report(all: &[(Server, Told)], started: Instant) -> Value {
    let of = |wanted: Who| {
        let found = all.iter().find(|(server, _)| server.who == wanted);
        found.map_or_else(|| json!("absent"), |(_, told)| figures(told))
    };
    let (ours, nginx, threads) = (of(Who::Ours), of(Who::Nginx), of(Who::Threads));
    json!({
        "ratios": {"nginx": ratios(&ours, &nginx), "threads": ratios(&ours, &threads)},
        "ours": ours,
        "peers": {"nginx": nginx, "threads": threads},
        "machine": {
            "cores": thread::available_parallelism().map_or(0, usize::from),
            "clients": load::CLIENTS,
            "rounds": ROUNDS,
            "seconds": started.elapsed().as_secs(),
        },
        "notes": {
            "clients": "one event loop on the same machine, which takes its share of the cores from everybody",
            "cpu_us": "of a core for each request, in the server's processes; what the kernel does for the \
                       connection on the client's behalf is not in it",
            "nginx": "Debian's, workers by cores and 768 connections each as in its nginx.conf, no access log, \
                      an answer out of its configuration",
            "threads": "a minimal C server with a thread for each connection, no deadlines; threads.c",
            "crowd": "10,000 connections from 100 addresses: a quarter dribbles a head, a quarter stays after \
                      its answer, half never says a word; who is closed comes again, 2,000 a second",
            "ratios": "requests_per_second: ours by peer; p99_ms and cpu_us: peer by ours: above 1, ours is better",
        },
    })
}

fn ratios(ours: &Value, peer: &Value) -> Value {
    let ratio = |one: &Value, other: &Value| {
        let pair = one.as_f64().zip(other.as_f64());
        pair.filter(|(_, below)| *below > 0.0).map(|(above, below)| round(above / below))
    };
    let mut cases = Map::new();
    for (case, _) in CASES {
        let (mine, theirs) = (&ours[case], &peer[case]);
        let of = json!({
            "requests_per_second": ratio(&mine["requests_per_second"], &theirs["requests_per_second"]),
            "p99_ms": ratio(&theirs["p99_ms"], &mine["p99_ms"]),
            "cpu_us": ratio(&theirs["cpu_us"], &mine["cpu_us"]),
        });
        cases.insert(case.to_owned(), of);
    }
    cases.into()
}

fn figures(told: &Told) -> Value {
    let mut all = Map::new();
    let mut before = f64::INFINITY;
    for ((case, keep), rounds) in CASES.iter().zip(&told.rounds) {
        // Of each figure the middle round.
        let middle = |figure: usize| {
            let mut sorted: Vec<f64> = rounds.iter().map(|round| round[figure]).collect();
            sorted.sort_by(f64::total_cmp);
            sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
        };
        if !keep {
            before = middle(0);
        }
        let of = json!({
            "requests_per_second": middle(0).round(), "p50_ms": round3(middle(1)), "p99_ms": round3(middle(2)),
            "cpu_us": round(middle(3)),
        });
        all.insert((*case).to_owned(), of);
    }
    let crowd = &told.crowd;
    let late = crowd.checks.iter().filter(|ms| **ms > LATE).count();
    all.insert("failed".to_owned(), json!(told.failed));
    all.insert("idle_pss_kib".to_owned(), json!(told.idle_pss));
    let of = json!({
        "connections": crowd.gathered,
        "opened": crowd.opened,
        "checks": crowd.checks.len() + crowd.failed,
        "unanswered": crowd.failed,
        "later_than_1_s": late,
        "median_ms": crowd.checks.get(crowd.checks.len() / 2).map(|ms| round3(*ms)),
        "worst_ms": crowd.checks.last().map(|ms| round3(*ms)),
        "pss_kib": crowd.pss,
        "descriptors": crowd.descriptors,
        "threads": crowd.threads,
        "recovered_seconds": crowd.recovered.map(round),
        "requests_per_second_after": told.after.round(),
        "after_by_before": round(told.after / before),
    });
    all.insert("crowd".to_owned(), of);
    all.into()
}

/// To the microsecond.
fn round3(ms: f64) -> f64 {
    (ms * 1000.0).round() / 1000.0
}
