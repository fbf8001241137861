//! What `dyndns` says about itself: the records, and what is wrong with them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use snapshot::{Condition, Report, Severity};
use sysio::Monotonic;

use crate::address::Reach;
use crate::daemon::{CLOCK_PATIENCE, Dyndns, Record};
use crate::machine::Trouble;

/// That the memory was lost is shown for so long: nothing can be done about it.
const LOST_SHOWN: Duration = Duration::from_secs(24 * 3600);
/// An address that cannot be found out is somebody's business after some tries.
const UNASKED: &str = "dyndns-address-unknown";

/// The snapshot.
pub fn report(dyndns: &Dyndns, now: Monotonic) -> Report {
    let states: Vec<&str> = dyndns.records.iter().map(|record| record.machine.state()).collect();
    let state = match () {
        () if states.is_empty() => "idle",
        () if states.contains(&"stopped") => "stopped",
        () if states.contains(&"retrying") => "retrying",
        () if states.iter().any(|s| ["telling", "pending"].contains(s)) => "updating",
        () => "current",
    };
    let mut report =
        Report::new(state).field("records", dyndns.records.iter().map(record).collect::<Vec<_>>());
    let outside = dyndns.asked.iter().filter_map(|(line, asked)| Some((line.clone(), asked.address?)));
    report = report.field("outside", json!(outside.collect::<BTreeMap<_, _>>()));
    for kind in &KINDS {
        report = report.condition(troubles(dyndns, now, kind));
    }
    report
        .condition(unasked(dyndns))
        .condition(waiting_for_clock(dyndns, now))
        .condition(not_saved(dyndns))
        .condition(lost(dyndns, now))
}

fn record(record: &Record) -> Value {
    let told = record.machine.memory().told.as_ref();
    json!({
        "name": record.wanted.name,
        "type": record.wanted.family.record(),
        "account": record.wanted.account_name,
        "set": record.wanted.set(),
        "protocol": record.wanted.account.protocol(),
        "state": record.machine.state(),
        "address": told.map(|told| told.address),
        "told_unix": told.and_then(|told| told.unix),
        "last_error": record.machine.last_error(),
    })
}

/// An id, its severity, its summary, and what its records' troubles say.
struct Kind {
    id: &'static str,
    severity: Severity,
    summary: &'static str,
    words: fn(&Trouble) -> Option<String>,
}

const KINDS: [Kind; 5] = [
    Kind {
        id: "dyndns-stopped",
        severity: Severity::Error,
        summary: "a provider of dynamic DNS wants no more updates",
        words: |trouble| match trouble {
            Trouble::Stopped(stopped) => Some(format!("{}: {}", stopped.code, stopped.why)),
            _ => None,
        },
    },
    Kind {
        id: "dyndns-not-reachable",
        severity: Severity::Error,
        summary: "the line's address cannot be reached from the internet",
        words: |trouble| match trouble {
            Trouble::Unreachable { address, reach: Reach::CarrierNat } => Some(format!(
                "{address} is shared by the provider among its customers (carrier-grade NAT); ask for an \
                 access point (apn) with a public address"
            )),
            Trouble::Unreachable { address, .. } => Some(format!(
                "{address} is an address of a private network; ask the provider for an access point (apn) \
                 with a public address"
            )),
            _ => None,
        },
    },
    Kind {
        id: "dyndns-translated",
        severity: Severity::Error,
        summary: "somebody on the way translates the line's address",
        words: |trouble| match trouble {
            Trouble::Translated { ours, seen } => Some(format!(
                "the line has {ours}, the provider of the name sees {seen}; ask the phone provider for an \
                 access point (apn) with a public address"
            )),
            _ => None,
        },
    },
    Kind {
        id: "dyndns-failing",
        severity: Severity::Warning,
        summary: "a name could not be updated",
        words: |trouble| match trouble {
            Trouble::Failing { why } => Some(why.clone()),
            _ => None,
        },
    },
    Kind {
        id: "dyndns-not-served",
        severity: Severity::Warning,
        summary: "the DNS answers something else than the provider was told",
        words: |trouble| match trouble {
            Trouble::NotServed { found } if found.is_empty() => Some("it has no address".to_owned()),
            Trouble::NotServed { found } => {
                let found: Vec<_> = found.iter().take(4).map(ToString::to_string).collect();
                Some(format!("it is {}", found.join(", ")))
            }
            _ => None,
        },
    },
];

fn troubles(dyndns: &Dyndns, now: Monotonic, kind: &Kind) -> Option<Condition> {
    let details: Vec<String> = dyndns
        .records
        .iter()
        .filter_map(|record| {
            let words = (kind.words)(&record.machine.trouble(now)?)?;
            let wanted = &record.wanted;
            let which = wanted.set().unwrap_or(&wanted.account_name);
            Some(format!("{} ({}, {which}): {words}", wanted.name, wanted.family.record()))
        })
        .collect();
    (!details.is_empty())
        .then(|| Condition::new(kind.id, kind.severity, kind.summary, details.join("; ") + "."))
}

fn unasked(dyndns: &Dyndns) -> Option<Condition> {
    let details: Vec<String> = dyndns
        .asked
        .iter()
        .filter_map(|(line, asked)| {
            let why = asked.last_error.as_ref().filter(|_| asked.address.is_none())?;
            Some(format!("{line}: {why}"))
        })
        .collect();
    let detail = format!("{}. Asked again, at most five minutes apart.", details.join("; "));
    let summary = "the public address of a line could not be found out";
    (!details.is_empty()).then(|| Condition::new(UNASKED, Severity::Warning, summary, detail))
}

fn waiting_for_clock(dyndns: &Dyndns, now: Monotonic) -> Option<Condition> {
    let waits = dyndns.waits_for_clock(now) && dyndns.records.iter().any(|r| r.wanted.account.needs_clock());
    let minutes = CLOCK_PATIENCE.as_secs() / 60;
    let detail = format!(
        "The clock is not set, and neither certificates nor signatures work without the date. Updates are \
         tried all the same {minutes} minutes after the start."
    );
    let summary = "names wait for the right time";
    waits.then(|| Condition::new("dyndns-waiting-for-clock", Severity::Info, summary, detail))
}

fn not_saved(dyndns: &Dyndns) -> Option<Condition> {
    let why = dyndns.unsaved.as_ref()?;
    let detail = format!(
        "Writing failed: {why}. After a reboot the DNS is asked instead, and names may be told once more."
    );
    let summary = "what providers were told cannot be kept on data";
    Some(Condition::new("dyndns-not-saved", Severity::Warning, summary, detail))
}

fn lost(dyndns: &Dyndns, now: Monotonic) -> Option<Condition> {
    let why = dyndns.lost.as_ref().filter(|_| now.since(dyndns.started) < LOST_SHOWN)?;
    let detail =
        format!("{why}. The DNS is asked instead; a provider that had said to stop is asked once more.");
    let summary = "what providers were told could not be read";
    Some(Condition::new("dyndns-state-lost", Severity::Warning, summary, detail))
}
