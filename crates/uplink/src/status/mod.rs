//! What `uplink` says about itself.

mod conditions;

use crate::history::word;
use crate::line::LineNow;
use crate::machine::Machine;
use crate::switch::Switched;
use crate::watching::LineWatch;
use config::Mode;
use link_health::{Family, Part, State, Target, TargetReport, TargetState};
use ruleset::marks::Line;
use serde_json::{Value, json};
use snapshot::Report;
use sysio::Monotonic;

/// What the watches know at one moment; taken now and then, so that a report does not change with
/// every probe.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    lines: Vec<LineNumbers>,
}

#[derive(Debug)]
struct LineNumbers {
    line: Line,
    latency_ms: Option<f64>,
    loss_percent: Option<f64>,
    bytes: u64,
    targets: Vec<Value>,
    unresolvable: Vec<String>,
}

impl Numbers {
    pub(crate) fn of(now: Monotonic, watches: &[LineWatch]) -> Self {
        Self { lines: watches.iter().map(|watch| LineNumbers::of(now, watch)).collect() }
    }

    fn line(&self, line: Line) -> Option<&LineNumbers> {
        self.lines.iter().find(|l| l.line == line)
    }
}

impl LineNumbers {
    fn of(now: Monotonic, watch: &LineWatch) -> Self {
        let reports: Vec<_> = watch.targets().collect();
        let alive = reports.iter().filter(|(_, r)| matches!(r.state, TargetState::Up | TargetState::Lossy));
        let mut latencies: Vec<f64> =
            alive.clone().filter_map(|(_, r)| r.latency).map(milliseconds).collect();
        latencies.sort_by(f64::total_cmp);
        // Of those who answer at all: a dead target is its operator's loss, not the line's.
        let losses: Vec<f64> = alive.filter_map(|(_, r)| r.loss_percent).collect();
        let count = u32::try_from(losses.len()).unwrap_or(u32::MAX).max(1);
        Self {
            line: watch.line(),
            latency_ms: latencies.get(latencies.len() / 2).copied(),
            loss_percent: (!losses.is_empty())
                .then(|| rounded(losses.iter().sum::<f64>() / f64::from(count))),
            bytes: watch.bytes(),
            targets: reports.into_iter().map(|(target, report)| describe(target, report)).collect(),
            unresolvable: watch.unresolvable(now).into_iter().map(str::to_owned).collect(),
        }
    }
}

pub(crate) fn report(machine: &Machine, numbers: &Numbers, now: Monotonic) -> Report {
    let dns: Vec<String> = machine.dns().iter().map(ToString::to_string).collect();
    let links: Vec<Value> = machine.lines().iter().map(|line| link(line, machine, numbers)).collect();
    let (count, last) = machine.switches();
    let active = machine.active();
    let offline = active.is_none() || machine.offline_for(now).is_some();
    let mut report = Report::new(if offline { "offline" } else { "online" })
        .field("mode", if machine.settings().mode == Mode::Gateway { "gateway" } else { "backup" })
        .field("links", links)
        .field("active", active.map(Line::name))
        .field("active_since_ms", machine.active_since().as_millis())
        .field("switches", json!({"count": count, "last": last.map(switched)}))
        .field("dns", dns);
    report.conditions = conditions::all(machine, numbers, now);
    report
}

fn switched(last: &Switched) -> Value {
    json!({
        "from": last.from.name(),
        "to": last.to.name(),
        "at_ms": last.at.as_millis(),
        "reason": last.reason,
    })
}

fn link(line: &LineNow, machine: &Machine, numbers: &Numbers) -> Value {
    let verdict = &line.verdict;
    let numbers = numbers.line(line.line);
    json!({
        "name": line.line.name(),
        "interface": line.interface,
        "kind": line.line.name(),
        "state": verdict.state.word(),
        "part": part(verdict.state),
        "reason": verdict.reason,
        "since_ms": verdict.since.as_millis(),
        "usable": line.usable(),
        "way": line.way,
        "metered": line.line == Line::Cellular && machine.settings().metered,
        "default_route": line.metric.is_some(),
        "metric": line.metric,
        "gateway": line.gateway.map(|g| g.to_string()),
        "dns": machine.servers(line.line).iter().map(ToString::to_string).collect::<Vec<_>>(),
        "addresses": line.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "loss_percent": numbers.and_then(|n| n.loss_percent),
        "latency_ms": numbers.and_then(|n| n.latency_ms),
        "probe_bytes": numbers.map_or(0, |n| n.bytes),
        "targets": numbers.map(|n| n.targets.clone()).unwrap_or_default(),
    })
}

fn part(state: State) -> Value {
    match state {
        State::Partial(part) => json!(part),
        _ => Value::Null,
    }
}

/// What does not work, for a person.
fn part_words(part: Part) -> &'static str {
    match part {
        Part::Dns => "names are not resolved",
        Part::Http => "web pages do not come",
        Part::Portal => "a login or payment page answers in place of the web",
        Part::Tls => "encrypted connections do not come about",
        Part::Regions => "parts of the internet are not reached",
        Part::Ipv4 => "IPv4 does not work",
        Part::Ipv6 => "IPv6 does not work",
    }
}

fn describe(target: &Target, report: TargetReport) -> Value {
    json!({
        "name": target.name,
        "operator": target.operator,
        "region": target.region,
        "kind": word(&target.kind),
        "family": if target.family == Family::V4 { "ipv4" } else { "ipv6" },
        "address": target.address.map(|a| a.to_string()),
        "state": report.state.word(),
        "latency_ms": report.latency.map(milliseconds),
        "loss_percent": report.loss_percent.map(rounded),
        "code": report.code,
        "at_ms": report.at.map(Monotonic::as_millis),
    })
}

fn milliseconds(latency: std::time::Duration) -> f64 {
    rounded(latency.as_secs_f64() * 1000.0)
}

/// One digit behind the point: more is noise.
fn rounded(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}
