//! How soon an outage is told, how often wrongly, and what that costs: our real `uplink` beside mwan3's
//! algorithm with real pings, on the same lines in network namespaces.
//!
//! The line dies beyond the router, so that no interface goes down and only probes can tell. Every
//! watcher starts an outage at another phase of its own.

pub(super) mod watcher;
pub(super) mod world;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{median, round};
use crate::error::{Context, Error, Result};
use crate::stop::Stop;
use watcher::{Watcher, traffic};
use world::World;

/// Lines side by side: they wait nearly all the time.
const WORLDS: usize = 12;
/// Outages a line: together more than a hundred.
const OUTAGES: usize = 9;
/// Those of them that last until mwan3 has noticed; each takes over a minute.
const LONG: usize = 2;
/// A fresh daemon has looked at everything by then, on a busy machine.
const READY: Duration = Duration::from_secs(60);
/// Nobody takes longer; mwan3 needs five rounds of 14 s.
const LIMIT: Duration = Duration::from_secs(90);
/// How long bytes and processor time are counted.
const COUNTED: Duration = Duration::from_secs(60);
/// How long the line loses a twentieth.
const LOSSY: Duration = Duration::from_secs(120);
const LOSS: &str = "numgen random mod 100 < 5 drop";
const MONTH: f64 = 30.0 * 86_400.0;

/// What one line told.
#[derive(Debug, Default)]
struct Told {
    outages: Vec<Option<f64>>,
    alarms: usize,
    bytes: f64,
    cpu: f64,
    pss: u64,
}

/// Runs it; `uplink` is the daemon's program.
///
/// # Errors
/// When a line cannot be made or the daemon does not start.
pub fn run(uplink: &Path, folder: &Path, stop: &Stop) -> Result<Value> {
    if !uplink.exists() {
        let hint = "build it: cargo build --release -p uplink";
        return Err(Error::Unexpected(format!("{} is missing; {hint}", uplink.display())));
    }
    let started = Instant::now();
    let lines: Vec<_> = (0..WORLDS)
        .map(|place| {
            let (uplink, root) = (uplink.to_owned(), folder.join(format!("line-{place}")));
            std::thread::spawn(move || line(&uplink, &root, place))
        })
        .collect();
    let (mut ours, mut mwan3) = (Vec::new(), Vec::new());
    for line in lines {
        stop.check()?;
        let told = line.join().map_err(|_| Error::Unexpected("a line's thread panicked".to_owned()))?;
        let (our, theirs) = told?;
        ours.push(our);
        mwan3.push(theirs);
    }
    let (ours, mwan3) = (figures(&ours), figures(&mwan3));
    let ratio = |name: &str| {
        mwan3[name]
            .as_f64()
            .zip(ours[name].as_f64())
            .filter(|(_, own)| *own > 0.0)
            .map(|(peer, own)| round(peer / own))
    };
    Ok(json!({
        "ratios": {"mwan3": {"median": ratio("median"), "p99": ratio("p99"), "bytes_30_days": ratio("bytes_30_days")}},
        "ours": ours,
        "peers": {"mwan3": mwan3, "dpinger": "absent"},
        "machine": {
            "lines": WORLDS,
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "seconds": started.elapsed().as_secs(),
        },
        "notes": {
            "dpinger": "Debian 13 has no package of it; docs/detection.md simulates its algorithm",
            "mwan3": "its algorithm and defaults in a shell script with real pings, one target",
            "bytes_30_days": "IP packets both ways, with neighbour discovery, counted over a minute without loss",
            "alarms": "with 5 % of packets dropped",
        },
    }))
}

/// All figures of a watcher.
fn figures(lines: &[Told]) -> Value {
    let mut outages: Vec<Option<f64>> = lines.iter().flat_map(|told| told.outages.iter().copied()).collect();
    outages.sort_by(|a, b| a.unwrap_or(f64::INFINITY).total_cmp(&b.unwrap_or(f64::INFINITY)));
    let last = (outages.len() * 99).div_ceil(100).saturating_sub(1);
    #[expect(clippy::cast_precision_loss, reason = "counts of a few lines")]
    let mean = |of: &dyn Fn(&Told) -> f64| lines.iter().map(of).sum::<f64>() / lines.len().max(1) as f64;
    #[expect(clippy::cast_precision_loss, reason = "minutes")]
    let minutes = LOSSY.as_secs_f64() / 60.0 * lines.len() as f64;
    json!({
        "outages": outages.len(),
        "median": median(&outages).map(round),
        "p99": outages.get(last).copied().flatten().map(round),
        "worst": outages.last().copied().flatten().map(round),
        "never": outages.iter().filter(|time| time.is_none()).count(),
        "alarms": lines.iter().map(|told| told.alarms).sum::<usize>(),
        "line_minutes_with_loss": minutes,
        "bytes_30_days": mean(&|told| told.bytes).round(),
        "cpu_percent": round(mean(&|told| told.cpu)),
        "pss_kib": lines.iter().map(|told| told.pss).max(),
    })
}

/// One line from its making to its end: ours and mwan3's share of everything.
fn line(uplink: &Path, root: &PathBuf, place: usize) -> Result<(Told, Told)> {
    let _ = std::fs::remove_dir_all(root);
    std::fs::create_dir_all(root).context(format!("make {}", root.display()))?;
    let world = World::new(root)?;
    let (mut ours, mut theirs) = (Told::default(), Told::default());
    let peer = Watcher::mwan3(&world)?;
    ready(&peer, "mwan3's script")?;
    cost(&world, &peer, &mut theirs)?;
    drop(peer);
    let daemon = Watcher::uplink(&world, uplink)?;
    ready(&daemon, "uplink")?;
    cost(&world, &daemon, &mut ours)?;
    let mut peer = Watcher::mwan3(&world)?;
    ready(&peer, "mwan3's script")?;
    world.fault(Some(LOSS));
    let alarms = Watcher::alarms(&[&daemon, &peer], LOSSY);
    (ours.alarms, theirs.alarms) = (alarms[0], alarms[1]);
    world.fault(None);
    for outage in 0..OUTAGES {
        let long = outage < LONG;
        daemon.until(true, Instant::now(), READY);
        if long {
            peer.until(true, Instant::now(), READY);
        }
        std::thread::sleep(phase(place, outage));
        let (our_start, their_start) = (daemon.is_up(), peer.is_up());
        let began = world.fault(Some("drop"));
        ours.outages.push(detected(our_start, || daemon.until(false, began, LIMIT)));
        if long {
            theirs.outages.push(detected(their_start, || peer.until(false, began, LIMIT)));
            peer = Watcher::mwan3(&world)?;
        }
        world.fault(None);
    }
    Ok((ours, theirs))
}

/// Seconds until an outage was told. Who did not say "up" when it began has not come back from the one
/// before, or was wrong already: then "down" tells nothing of this one, which counts as never told.
fn detected(at_start: Option<bool>, told: impl FnOnce() -> Option<f64>) -> Option<f64> {
    if at_start == Some(true) { told() } else { None }
}

fn ready(watcher: &Watcher, name: &str) -> Result<()> {
    let said = watcher.until(true, Instant::now(), READY);
    said.map(|_| ()).ok_or_else(|| Error::Unexpected(format!("{name} did not say \"up\" within {READY:?}")))
}

/// What watching costs while nothing happens.
fn cost(world: &World, watcher: &Watcher, told: &mut Told) -> Result<()> {
    let (bytes, cpu, started) = (traffic(world), watcher.cpu()?, Instant::now());
    std::thread::sleep(COUNTED);
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "bytes of a minute")]
    let sent = (traffic(world) - bytes) as f64;
    told.bytes = sent / seconds * MONTH;
    told.cpu = 100.0 * (watcher.cpu()? - cpu) / seconds;
    told.pss = watcher.pss()?;
    Ok(())
}

/// Another phase of every rhythm for each outage: multiples of the golden ratio spread evenly.
fn phase(place: usize, outage: usize) -> Duration {
    const LONGEST: f64 = 11.0;
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let turns = (place * OUTAGES + outage) as f64 * 0.618_034;
    Duration::from_secs_f64(1.0 + LONGEST * turns.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_down_before_an_outage_has_not_told_it() {
        let at_once = || Some(0.0);
        assert_eq!(detected(Some(false), at_once), None);
        assert_eq!(detected(None, at_once), None);
        assert_eq!(detected(Some(true), || Some(1.3)), Some(1.3));
    }

    #[test]
    fn an_outage_never_told_makes_the_figures_worse() {
        let told = |outages: &[Option<f64>]| Told { outages: outages.to_vec(), ..Told::default() };
        let figures = figures(&[told(&[Some(1.0), None, Some(2.0)])]);
        assert_eq!(figures["never"], 1);
        assert_eq!(figures["p99"], Value::Null);
        assert_eq!(figures["median"], 2.0);
    }
}
