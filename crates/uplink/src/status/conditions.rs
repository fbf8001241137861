//! Trouble with lines, in the one currency of trouble.

use super::{Numbers, part_words};
use crate::line::LineNow;
use crate::machine::Machine;
use link_health::State;
use ruleset::marks::Line;
use snapshot::{Condition, Severity};
use std::time::Duration;
use sysio::Monotonic;

/// A boot, a lease and a dial take about this long; being offline until then is no error yet.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn all(machine: &Machine, numbers: &Numbers, now: Monotonic) -> Vec<Condition> {
    let mut list: Vec<Condition> = machine.lines().iter().filter_map(|line| health(line, machine)).collect();
    let others = [
        none(machine, now),
        on_metered(machine),
        flapping(machine, now),
        unresolvable(numbers),
        no_dns(machine),
        silent_modem(machine),
        routes_failed(machine),
        dns_failed(machine),
    ];
    list.extend(others.into_iter().flatten());
    list
}

/// A cellular line that is not there is not in trouble here: the modem says why. Of a wired one that was
/// there and is gone nobody else says anything.
fn health(line: &LineNow, machine: &Machine) -> Option<Condition> {
    let verdict = &line.verdict;
    let name = line.line.name();
    let gone = line.line == Line::Wired && machine.wired_was_there();
    let (word, summary) = match verdict.state {
        _ if !line.way && gone => ("down", format!("the {name} line is gone")),
        _ if !line.way => return None,
        State::Unknown | State::Up => return None,
        State::Down => ("down", format!("the {name} line carries nothing")),
        State::Lossy => ("lossy", format!("the {name} line loses much")),
        State::Partial(part) => ("partial", format!("the {name} line works in part: {}", part_words(part))),
    };
    let other = machine.active().filter(|active| *active != line.line);
    let next = match other {
        Some(other) => format!("the {} line is in use", other.name()),
        None => "there is no better line".to_owned(),
    };
    let reason = if line.way { &verdict.reason } else { "it has no cable, no router or no address" };
    let detail = format!("{reason}; {next}");
    Some(Condition::new(&format!("uplink-{name}-{word}"), Severity::Warning, summary, detail))
}

fn on_metered(machine: &Machine) -> Option<Condition> {
    let metered = machine.active() == Some(Line::Cellular) && machine.settings().metered;
    metered.then(|| {
        let detail = machine.switches().1.map_or_else(
            || "no other line has a way out".to_owned(),
            |last| format!("{}; it goes back when the wired line has been good for a while", last.reason),
        );
        Condition::new("uplink-on-metered", Severity::Info, "the metered line is in use", detail)
    })
}

fn flapping(machine: &Machine, now: Monotonic) -> Option<Condition> {
    let (hold, flaps) = machine.flapping(now)?;
    let detail = format!(
        "it came back {flaps} times and did not stay; the wired line must now be good for {} s before it is used again",
        hold.as_secs()
    );
    Some(Condition::new("uplink-flapping", Severity::Warning, "the wired line comes and goes", detail))
}

fn unresolvable(numbers: &Numbers) -> Option<Condition> {
    let mut names: Vec<&str> =
        numbers.lines.iter().flat_map(|l| l.unresolvable.iter().map(String::as_str)).collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then(|| {
        let summary = format!("no address for {}", names.join(", "));
        let detail = "names that are asked to learn how the lines are do not resolve, though others do; \
                      correct or remove them in `[uplink] targets`";
        Condition::new("uplink-target-unresolvable", Severity::Warning, summary, detail)
    })
}

fn none(machine: &Machine, now: Monotonic) -> Option<Condition> {
    let severity = if machine.offline_for(now)? < PATIENCE { Severity::Warning } else { Severity::Error };
    let detail = if machine.active().is_some() {
        "nothing comes back by any line that is there; what is known of each is said by its own condition"
    } else {
        "neither the wired nor the cellular line has a default route; check cable and router, and the modem's own conditions"
    };
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
    let (summary, failure) = match (machine.route_failure(), machine.switch_failure()) {
        (Some(failure), _) => ("routes cannot be set", failure),
        (None, failure) => ("routes are set, but not all traffic follows them", failure?),
    };
    let detail = format!("{failure}; trying again every 5 s");
    Some(Condition::new("uplink-routes-failed", Severity::Error, summary, detail))
}

fn dns_failed(machine: &Machine) -> Option<Condition> {
    let detail = format!("{}; trying again every 5 s", machine.resolv_failure()?);
    Some(Condition::new("uplink-dns-failed", Severity::Error, "DNS servers cannot be written", detail))
}
