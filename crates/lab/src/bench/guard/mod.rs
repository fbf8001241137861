//! What keeping a router true costs while nothing happens, and how soon drift is put right: our
//! `netguard` and `nic-health` beside a shell script on the minute and monit, on the same rules.

mod keeper;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testnet::Namespace;

use super::{median, round};
use crate::error::{Context, Error, Result};
use crate::stop::Stop;
use keeper::{Keeper, Programs, Who};

/// Routers for each: they wait nearly all the time.
const ROUTERS: usize = 3;
/// Drifts of each kind and router.
const DRIFTS: usize = 2;
/// How long is counted what they cost: whole minutes, since one of them works by the minute.
const COUNTED: Duration = Duration::from_secs(120);
/// Ours have applied everything by then, on a busy machine.
const READY: Duration = Duration::from_secs(60);
/// Nobody takes longer: monit learns what a program said one round later, a minute in all.
const LIMIT: Duration = Duration::from_secs(150);
/// How often is looked whether the drift is gone.
const LOOK: Duration = Duration::from_millis(50);
/// The chain of ours that is emptied.
const CHAIN: &str = "FB-INPUT";

/// What was measured of one router.
#[derive(Debug, Default)]
struct Told {
    cpu: f64,
    pss: u64,
    settings: Vec<Option<f64>>,
    rules: Vec<Option<f64>>,
}

/// Runs it. `ours`: the folder of our programs; `monit`: the program, if there is one.
///
/// # Errors
/// When a router cannot be made, or our daemons do not start.
pub fn run(ours: &Path, monit: Option<&Path>, folder: &Path, stop: &Stop) -> Result<Value> {
    if !ours.join("nic-health").exists() || !ours.join("netguard").exists() {
        let hint = "build them: cargo build --release -p netguard -p nic-health";
        return Err(Error::Unexpected(format!("no programs in {}; {hint}", ours.display())));
    }
    let everybody: &[Who] =
        if monit.is_some() { &[Who::Ours, Who::Cron, Who::Monit] } else { &[Who::Ours, Who::Cron] };
    let started = Instant::now();
    let mut threads = Vec::new();
    for &who in everybody {
        for place in 0..ROUTERS {
            let (ours, monit) = (ours.to_owned(), monit.map(Path::to_owned));
            let root = folder.join(format!("{who:?}-{place}").to_lowercase());
            let work = move || {
                let programs = Programs { ours: &ours, monit: monit.as_deref() };
                router(who, programs, &root, place)
            };
            threads.push((who, thread::spawn(work)));
        }
    }
    let mut told: Vec<(Who, Told)> = Vec::new();
    for (who, thread) in threads {
        stop.check()?;
        let of_one = thread.join().map_err(|_| Error::Unexpected("a router's thread panicked".to_owned()))?;
        told.push((who, of_one?));
    }
    let of = |wanted: Who| {
        let mine: Vec<&Told> = told.iter().filter(|(who, _)| *who == wanted).map(|(_, told)| told).collect();
        figures(&mine)
    };
    let (ours, cron) = (of(Who::Ours), of(Who::Cron));
    let monit = if monit.is_some() { of(Who::Monit) } else { json!("absent") };
    Ok(json!({
        "ratios": {"cron": ratios(&cron, &ours), "monit": ratios(&monit, &ours)},
        "ours": ours,
        "peers": {"cron": cron, "monit": monit},
        "machine": {
            "routers": ROUTERS * everybody.len(),
            "cores": thread::available_parallelism().map_or(0, usize::from),
            "seconds": started.elapsed().as_secs(),
        },
        "notes": {
            "ours": "netguard and nic-health together: settings, both families' rules, neighbours, drivers, stalls",
            "cron": "a shell script each minute; memory is the waiting shell's, cron's own is not counted",
            "monit": "Debian 13's, every 30 s, settings and rules only: it has no words for neighbours",
            "ratios": "peer by ours: above 1, ours is better",
        },
    }))
}

fn ratios(peer: &Value, ours: &Value) -> Value {
    let ratio = |name: &str| {
        let pair = peer[name].as_f64().zip(ours[name].as_f64());
        pair.filter(|(_, own)| *own > 0.0).map(|(peer, own)| round(peer / own))
    };
    let names = ["cpu_percent", "pss_kib", "settings_seconds", "rules_seconds"];
    names
        .into_iter()
        .map(|name| (name.to_owned(), json!(ratio(name))))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn figures(routers: &[&Told]) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "a handful of routers")]
    let count = routers.len().max(1) as f64;
    let all = |of: fn(&Told) -> &Vec<Option<f64>>| -> Vec<Option<f64>> {
        routers.iter().flat_map(|told| of(told).iter().copied()).collect()
    };
    let (settings, rules) = (all(|told| &told.settings), all(|told| &told.rules));
    json!({
        "cpu_percent": (routers.iter().map(|told| told.cpu).sum::<f64>() / count * 1000.0).round() / 1000.0,
        "pss_kib": routers.iter().map(|told| told.pss).max(),
        "settings_seconds": median(&settings).map(round),
        "rules_seconds": median(&rules).map(round),
        "drifts": settings.len() + rules.len(),
        "never": settings.iter().chain(&rules).filter(|time| time.is_none()).count(),
    })
}

/// One router from its making to its end.
fn router(who: Who, programs: Programs<'_>, root: &PathBuf, place: usize) -> Result<Told> {
    let _ = fs::remove_dir_all(root);
    fs::create_dir_all(root.join("run/failberry")).context(format!("make {}", root.display()))?;
    std::os::unix::fs::symlink("/proc", root.join("proc")).context("link proc")?;
    std::os::unix::fs::symlink("/sys", root.join("sys")).context("link sys")?;
    let (pi, house) = (Namespace::new(), Namespace::new());
    pi.cable("eth0", &house, "lan0");
    pi.sh("ip addr add 192.168.178.2/24 dev eth0");
    house.sh("ip addr add 192.168.178.1/24 dev lan0");
    pi.sh("ip route add default via 192.168.178.1");
    learn(programs.ours, &pi, root)?;
    let keeper = Keeper::start(who, programs, &pi, root)?;
    thread::sleep(Duration::from_secs(10));
    let (before, started) = (keeper.cpu()?, Instant::now());
    thread::sleep(COUNTED);
    let cpu = 100.0 * (keeper.cpu()? - before) / started.elapsed().as_secs_f64();
    let mut told = Told { cpu, pss: keeper.pss()?, ..Told::default() };
    for drift in 0..DRIFTS {
        thread::sleep(phase(place, 2 * drift));
        pi.sh("sysctl -qw net.ipv4.ip_forward=0");
        told.settings.push(until(|| forwards(&pi)));
        thread::sleep(phase(place, 2 * drift + 1));
        pi.sh(&format!("iptables -F {CHAIN}"));
        told.rules.push(until(|| rules_of(&pi, "iptables-save").contains(&format!("-A {CHAIN} "))));
    }
    Ok(told)
}

/// Applies our rules once, and writes down what all shall keep.
fn learn(ours: &Path, pi: &Namespace, root: &Path) -> Result<()> {
    let netguard = Keeper::netguard(ours, pi, root)?;
    let begun = Instant::now();
    while !(forwards(pi) && rules_of(pi, "ip6tables-save").contains(&format!("-A {CHAIN} "))) {
        if begun.elapsed() > READY {
            return Err(Error::Unexpected(format!("netguard applied nothing within {READY:?}")));
        }
        thread::sleep(LOOK);
    }
    drop(netguard);
    for (program, family) in [("iptables-save", "v4"), ("ip6tables-save", "v6")] {
        let rules = rules_of(pi, program);
        let listed: String = rules
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| without_counters(line) + "\n")
            .collect();
        for (name, text) in [("rules", &rules), ("listed", &listed)] {
            let path = root.join(format!("{name}.{family}"));
            fs::write(&path, text).context(format!("write {}", path.display()))?;
        }
    }
    Ok(())
}

/// As `sed 's/\[[0-9:]*\]//'` does it.
fn without_counters(line: &str) -> String {
    match line.split_once('[').and_then(|(head, rest)| Some((head, rest.split_once(']')?))) {
        Some((head, (inside, tail))) if inside.bytes().all(|b| b.is_ascii_digit() || b == b':') => {
            format!("{head}{tail}")
        }
        _ => line.to_owned(),
    }
}

fn forwards(pi: &Namespace) -> bool {
    pi.run(|| fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.trim() == "1"))
}

fn rules_of(pi: &Namespace, program: &str) -> String {
    pi.sh(program)
}

/// Seconds until it is so.
fn until(is: impl Fn() -> bool) -> Option<f64> {
    let begun = Instant::now();
    while !is() {
        if begun.elapsed() > LIMIT {
            return None;
        }
        thread::sleep(LOOK);
    }
    Some(begun.elapsed().as_secs_f64())
}

/// Another phase of every rhythm for each drift: multiples of the golden ratio spread evenly.
fn phase(place: usize, drift: usize) -> Duration {
    const LONGEST: f64 = 30.0;
    #[expect(clippy::cast_precision_loss, reason = "small counts")]
    let turns = (place * 2 * DRIFTS + drift) as f64 * 0.618_034;
    Duration::from_secs_f64(1.0 + LONGEST * turns.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_and_nothing_else() {
        assert_eq!(without_counters(":INPUT ACCEPT [12:345]"), ":INPUT ACCEPT ");
        assert_eq!(
            without_counters("-A X -m comment --comment \"[a]\""),
            "-A X -m comment --comment \"[a]\""
        );
    }
}
