//! What `uplink` says about itself.

use crate::line::LineNow;
use crate::machine::Machine;
use ruleset::marks::Line;
use serde_json::{Value, json};
use snapshot::{Condition, Report, Severity};
use std::time::Duration;
use sysio::Monotonic;

/// A boot, a lease and a dial take about this long; being offline until then is no error yet.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn report(machine: &Machine, now: Monotonic) -> Report {
    let dns: Vec<String> = machine.dns().iter().map(ToString::to_string).collect();
    Report::new(if machine.active().is_some() { "online" } else { "offline" })
        .field("links", machine.lines().iter().map(link).collect::<Vec<Value>>())
        .field("active", machine.active().map(Line::name))
        .field("dns", dns)
        .condition(none(machine, now))
        .condition(no_dns(machine))
        .condition(silent_modem(machine))
        .condition(routes_failed(machine))
        .condition(dns_failed(machine))
}

fn link(line: &LineNow) -> Value {
    json!({
        "name": line.line.name(),
        "interface": line.interface,
        "kind": line.line.name(),
        "state": if line.up { "up" } else { "down" },
        "usable": line.usable(),
        "default_route": line.metric.is_some(),
        "metric": line.metric,
        "gateway": line.gateway.map(|g| g.to_string()),
    })
}

fn none(machine: &Machine, now: Monotonic) -> Option<Condition> {
    let severity = if machine.offline_for(now)? < PATIENCE { Severity::Warning } else { Severity::Error };
    let detail = "neither the wired nor the cellular line has a default route; check cable and router, and the modem's own conditions";
    Some(Condition::new("uplink-none", severity, "no line to the internet", detail))
}

fn no_dns(machine: &Machine) -> Option<Condition> {
    let active = machine.active().filter(|_| machine.dns().is_empty())?;
    let detail = format!(
        "the {} line is up, but nobody named a DNS server; this box cannot resolve names",
        active.name()
    );
    Some(Condition::new("uplink-no-dns", Severity::Warning, "no DNS server is known", detail))
}

fn silent_modem(machine: &Machine) -> Option<Condition> {
    let detail = "modem-dialer has not reported for 30 s; its line is left as it is";
    let summary = "the state of the cellular line is unknown";
    machine
        .modem_is_silent()
        .then(|| Condition::new("uplink-modem-silent", Severity::Warning, summary, detail))
}

fn routes_failed(machine: &Machine) -> Option<Condition> {
    let detail = format!("{}; trying again every 5 s", machine.route_failure()?);
    Some(Condition::new("uplink-routes-failed", Severity::Error, "routes cannot be set", detail))
}

fn dns_failed(machine: &Machine) -> Option<Condition> {
    let detail = format!("{}; trying again every 5 s", machine.resolv_failure()?);
    Some(Condition::new("uplink-dns-failed", Severity::Error, "DNS servers cannot be written", detail))
}
