//! What watching an idle metered line costs: the real `uplink` with a wired line that carries
//! everything and a cellular one that answers everything, in network namespaces, for an hour.
//!
//! The rarest questions come less than once an hour. So that a window without one of them says nothing
//! too good, each is added as if it had come once an hour beside what was counted.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::detection::watcher::Watcher;
use super::detection::world::{BOOT, World};
use crate::error::{Context, Error, Result};
use crate::stop::Stop;

/// What a line that is hardly used may cost in 30 days.
const BUDGET: f64 = 10e6;
const MONTH: f64 = 30.0 * 86_400.0;
const HOURS: f64 = MONTH / 3600.0;
/// The lines have been looked at by then, on a busy machine.
const READY: Duration = Duration::from_secs(60);
/// The first look at a line, which is no idleness, is over by then.
const SETTLED: Duration = Duration::from_secs(60);
/// How often `modem-dialer`'s word is repeated, well before it would count as too old.
const WORD: Duration = Duration::from_secs(1);

/// Bytes by kind, from the IP header on, both ways, and connections begun.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Counted {
    all: f64,
    http: f64,
    tls: f64,
    http_connections: f64,
    tls_connections: f64,
}

impl Counted {
    fn since(self, before: Self) -> Self {
        Self {
            all: self.all - before.all,
            http: self.http - before.http,
            tls: self.tls - before.tls,
            http_connections: self.http_connections - before.http_connections,
            tls_connections: self.tls_connections - before.tls_connections,
        }
    }

    /// One connection of each kind: an HTTP page, a greeting, and a mere connect, taken as a greeting.
    fn one_of_each(self) -> f64 {
        let each = |bytes: f64, count: f64| if count > 0.0 { bytes / count } else { 0.0 };
        each(self.http, self.http_connections) + 2.0 * each(self.tls, self.tls_connections)
    }
}

/// Never less than the truth: what was counted, and each rare question once an hour on top.
fn month(window: Counted, first: Counted, seconds: f64) -> f64 {
    window.all / seconds * MONTH + first.one_of_each() * HOURS
}

/// Runs it for `time`; `uplink` is the daemon's program.
///
/// # Errors
/// When a line cannot be made, the daemon does not start, or the line is not watched.
pub fn run(uplink: &Path, folder: &Path, time: Duration, stop: &Stop) -> Result<Value> {
    if !uplink.exists() {
        let hint = "build it: cargo build --release -p uplink";
        return Err(Error::Unexpected(format!("{} is missing; {hint}", uplink.display())));
    }
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).context(format!("make {}", folder.display()))?;
    let world = World::new(folder)?;
    world.cellular();
    count(&world);
    says(folder)?;
    let daemon = Watcher::uplink(&world, uplink)?;
    let up = || ["wired", "cellular"].iter().all(|line| daemon.state(line).as_deref() == Some("up"));
    wait(folder, READY, stop, &up)?;
    if !up() {
        return Err(Error::Unexpected(format!("uplink did not call both lines \"up\" within {READY:?}")));
    }
    wait(folder, SETTLED, stop, &|| false)?;
    let (first, begun) = (counted(&world), Instant::now());
    wait(folder, time, stop, &|| false)?;
    let (window, seconds) = (counted(&world).since(first), begun.elapsed().as_secs_f64());
    if !up() || window.all <= 0.0 {
        return Err(Error::Unexpected("the cellular line was not watched to the end".to_owned()));
    }
    Ok(report(first, window, seconds))
}

fn report(first: Counted, window: Counted, seconds: f64) -> Value {
    let month = month(window, first, seconds);
    json!({
        "ours": {
            "seconds": seconds.round(),
            "bytes": window.all,
            "bytes_http": window.http,
            "bytes_tcp_tls": window.tls,
            "bytes_first_look": first.all,
            "bytes_30_days": month.round(),
            "budget_bytes_30_days": BUDGET,
            "within_budget": month <= BUDGET,
        },
        "peers": {},
        "ratios": {},
        "machine": {"cores": std::thread::available_parallelism().map_or(0, usize::from)},
        "notes": {
            "bytes": "IP packets of both families, both ways, counted at the line's far end, after the first look",
            "bytes_30_days": "what was counted, extrapolated, and one page, one greeting and one connect an hour on top: an upper bound",
            "servers": "short answers: real pages' headers are some hundred bytes longer",
        },
    })
}

/// Repeats the modem's word until `done` or for `time`.
fn wait(root: &Path, time: Duration, stop: &Stop, done: &dyn Fn() -> bool) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < time && !done() {
        stop.check()?;
        says(root)?;
        std::thread::sleep(WORD.min(time.saturating_sub(begun.elapsed())));
    }
    Ok(())
}

/// `modem-dialer` says that the session stands.
fn says(root: &Path) -> Result<()> {
    let up = std::fs::read_to_string("/proc/uptime").context("read /proc/uptime".to_owned())?;
    let seconds: f64 = up.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
    let milliseconds = u64::try_from(Duration::from_secs_f64(seconds).as_millis()).unwrap_or(u64::MAX);
    let document = json!({
        "schema": 1, "daemon": "modem-dialer", "version": "0", "boot_id": BOOT,
        "monotonic_ms": milliseconds, "wall": null, "state": "connected", "since_ms": 0,
        "conditions": [],
        "link": {"interface": "ppp0", "local": "100.64.0.2", "remote": "100.64.0.1", "dns": ["192.0.2.1"]},
    });
    let (path, part) = (root.join("run/failberry/modem-dialer.json"), root.join("modem-dialer.part"));
    std::fs::write(&part, document.to_string()).context(format!("write {}", part.display()))?;
    std::fs::rename(&part, &path).context(format!("write {}", path.display()))
}

/// Counters for the cellular line's far end.
fn count(world: &World) {
    world.far("nft add table inet far");
    for (chain, hook, way) in [("up", "prerouting", "iifname"), ("down", "postrouting", "oifname")] {
        world.far(&format!("nft add chain inet far {chain} {{ type filter hook {hook} priority -300 ; }}"));
        let rule = |what: &str| world.far(&format!("nft add rule inet far {chain} {way} isp1 {what}"));
        rule(
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit, mld2-listener-report } return",
        );
        rule("counter comment every");
        for (name, port) in [("http", 80), ("tls", 443)] {
            let side = if chain == "up" { "dport" } else { "sport" };
            rule(&format!("tcp {side} {port} counter comment {name}"));
            rule(&format!("tcp {side} {port} tcp flags & (syn|ack) == syn counter comment {name}-begun"));
        }
    }
}

fn counted(world: &World) -> Counted {
    sum(&serde_json::from_str(&world.far("nft -j list table inet far")).unwrap_or_default())
}

/// Adds up the counters of `nft -j list`.
fn sum(listed: &Value) -> Counted {
    let mut sum = Counted::default();
    let rules = listed["nftables"].as_array().into_iter().flatten().filter_map(|item| item.get("rule"));
    for rule in rules {
        let counter = rule["expr"].as_array().into_iter().flatten().find_map(|part| part.get("counter"));
        let Some(counter) = counter else { continue };
        let (bytes, packets) = (counter["bytes"].as_f64(), counter["packets"].as_f64());
        let (bytes, packets) = (bytes.unwrap_or_default(), packets.unwrap_or_default());
        match rule["comment"].as_str() {
            Some("every") => sum.all += bytes,
            Some("http") => sum.http += bytes,
            Some("tls") => sum.tls += bytes,
            Some("http-begun") => sum.http_connections += packets,
            Some("tls-begun") => sum.tls_connections += packets,
            _ => {}
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_without_rare_questions_is_not_taken_for_a_month_without() {
        let first =
            Counted { all: 9000.0, http: 1800.0, tls: 1000.0, http_connections: 2.0, tls_connections: 4.0 };
        let window = Counted { all: 3600.0, ..Counted::default() };
        // A byte a second, and 900 + 2 * 250 an hour.
        assert!((month(window, first, 3600.0) - (2_592_000.0 + 720.0 * 1400.0)).abs() < 1.0);
    }

    #[test]
    fn counters_of_both_ways_are_added() {
        let rule = |comment: &str, bytes: u64| {
            json!({"rule": {"comment": comment,
            "expr": [{"match": {}}, {"counter": {"packets": 1, "bytes": bytes}}]}})
        };
        let listed = json!({"nftables": [{"metainfo": {}}, rule("every", 84), rule("every", 84),
            rule("http", 60), rule("http-begun", 60)]});
        let sum = sum(&listed);
        assert_eq!((sum.all, sum.http, sum.http_connections), (168.0, 60.0, 1.0));
    }
}
