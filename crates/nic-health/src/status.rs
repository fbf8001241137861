//! What `nic-health` says about itself.

use serde_json::{Value, json};
use snapshot::{Condition, Report, Severity};
use std::io;
use sysio::{Monotonic, file};

use crate::daemon::NicHealth;
use crate::drivers::Applies;
use crate::entry::{Entry, Key};
use crate::judge::Verdict;
use crate::neighbours::Finding;
use crate::stall::{self, Phase};
use crate::{hands, rights};

/// Entries in the file for `nic-health neigh`: 200 kB at most.
const ENTRIES: usize = 1024;
/// Where they are, below the daemon's folder.
pub(crate) const ENTRIES_FILE: &str = "neighbours.json";
const PUBLIC: u32 = 0o644;
/// Conditions name so many operands; more say the same.
const NAMED: usize = 5;

pub(crate) fn report(daemon: &NicHealth, now: Monotonic) -> Report {
    let busy = daemon.neighbours.mending_any() || daemon.stalls.cards().values().any(stall::Watched::stalled);
    let state = match (daemon.missing.is_empty(), busy) {
        (false, _) => "blind",
        (true, true) => "repairing",
        (true, false) => "watching",
    };
    Report::new(state)
        .field("interfaces", interfaces(daemon, now))
        .field("neighbours", neighbours(daemon))
        .field("kernel", daemon.host.kernel.clone())
        .condition(blind(daemon))
        .condition(off(daemon))
        .condition(wrong(daemon, false))
        .condition(wrong(daemon, true))
        .condition(two_owners(daemon))
        .condition(own_conflict(daemon))
        .condition(stalled(daemon))
        .condition(recovered(daemon, now))
        .condition(affected(daemon))
        .condition(unusable(daemon))
}

fn interfaces(daemon: &NicHealth, now: Monotonic) -> Vec<Value> {
    let one = |card: &netlink::Card| {
        let watched = daemon.stalls.cards().get(&card.name);
        let driven = daemon.drivers.get(&card.name);
        let known = driven.map(|driven| daemon.known.about(driven, &daemon.host)).unwrap_or_default();
        json!({
            "name": card.name,
            "kind": card.kind,
            "carrier": card.carrier,
            "driver": driven.map(|d| d.name.as_str()),
            "version": driven.and_then(|d| d.version.as_deref()),
            "bus": driven.map(|d| d.bus.as_str()),
            "received": card.received,
            "sent": card.sent,
            "phase": watched.map(|w| phase(&w.phase)),
            "silent_ms": watched.filter(|w| w.stalled()).map(|w| millis(now.since(w.received_at))),
            "stalls": watched.map_or(0, |w| w.stalls),
            "tried": watched.map(|w| w.tried.clone()).unwrap_or_default(),
            "advisories": known.iter().map(|(applies, advisory)| json!({
                "id": advisory.id.get_ref(), "applies": applies.as_str(),
            })).collect::<Vec<_>>(),
        })
    };
    daemon.network.cards.values().map(one).collect()
}

fn phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Fine => "fine",
        Phase::Asking { .. } => "asking",
        Phase::Applying { .. } => "repairing",
        Phase::Verifying { .. } => "verifying",
        Phase::Resting { .. } => "resting",
    }
}

fn neighbours(daemon: &NicHealth) -> Value {
    let machine = &daemon.neighbours;
    let counts = machine.counts();
    let watched = machine.watched().iter().filter_map(|key| Some((key, machine.entries().get(key)?)));
    json!({
        "entries": machine.entries().len(),
        "ignored": counts.ignored,
        "checks": counts.checks,
        "repaired": counts.repaired,
        "wrong": machine.findings().values().filter(|finding| finding.cured.is_none()).count(),
        "resyncs": daemon.resyncs,
        "watched": watched.map(|(key, entry)| describe(daemon, key, entry)).collect::<Vec<_>>(),
    })
}

/// One entry for programs.
fn describe(daemon: &NicHealth, key: &Key, entry: &Entry) -> Value {
    let history: Vec<_> = entry
        .history()
        .iter()
        .map(|(state, second)| json!([state.as_str(), u64::from(*second) * 1000]))
        .collect();
    let answer = match entry.verdict {
        Verdict::Wrong(mac) | Verdict::Healed(mac) | Verdict::LeftAlone(mac) => Some(mac.to_string()),
        _ => None,
    };
    json!({
        "interface": daemon.network.name(key.link),
        "address": key.address,
        "mac": entry.now.mac.map(|mac| mac.to_string()),
        "state": entry.now.state.as_str(),
        "since_ms": entry.since.as_millis(),
        "history": history,
        "verdict": entry.verdict.as_str(),
        "answer": answer,
        "checked_ms": entry.checked_at.filter(|_| entry.verdict != Verdict::Unchecked).map(Monotonic::as_millis),
        "watched": daemon.neighbours.watched().contains(key),
        "repairs": entry.repairs,
    })
}

/// The entries for `nic-health neigh`, those that matter first.
pub(crate) fn write_entries(daemon: &NicHealth, now: Monotonic) -> io::Result<()> {
    let machine = &daemon.neighbours;
    let mut keys: Vec<(&Key, &Entry)> = machine.entries().iter().collect();
    let minor = |key: &Key, entry: &Entry| {
        !(machine.watched().contains(key) || machine.findings().contains_key(key) || entry.repairs > 0)
    };
    if keys.len() > ENTRIES {
        keys.sort_by_key(|(key, entry)| (minor(key, entry), entry.verdict == Verdict::Unchecked));
        keys.truncate(ENTRIES);
    }
    let boot_id = snapshot::boot_id(&daemon.root)?;
    let entries: Vec<Value> = keys.into_iter().map(|(key, entry)| describe(daemon, key, entry)).collect();
    let document = json!({ "boot_id": boot_id, "monotonic_ms": now.as_millis(), "entries": entries });
    let path = daemon.root.path(hands::DIRECTORY).join(ENTRIES_FILE);
    file::write_atomic(&path, document.to_string().as_bytes(), PUBLIC)
}

fn listed(mut all: Vec<String>) -> String {
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    all.join("; ") + &rest
}

fn some(id: &str, severity: Severity, summary: &str, all: Vec<String>, next: &str) -> Option<Condition> {
    (!all.is_empty()).then(|| Condition::new(id, severity, summary, listed(all) + next))
}

fn blind(daemon: &NicHealth) -> Option<Condition> {
    let rights = daemon.missing.iter().map(|right| rights::words(right));
    let all: Vec<String> = rights.chain(daemon.troubles.values().cloned()).collect();
    some(
        "nic-health-blind",
        Severity::Error,
        "network cards and neighbours cannot be watched as they should",
        all,
        "",
    )
}

fn off(daemon: &NicHealth) -> Option<Condition> {
    let summary = "a network card was switched off to mend it and is not back";
    some(
        "nic-off",
        Severity::Error,
        summary,
        daemon.off.clone(),
        "; it is switched on as soon as it is there",
    )
}

fn wrong(daemon: &NicHealth, fixed: bool) -> Option<Condition> {
    let words = |key: &Key, finding: &Finding| {
        let end = match finding.cured {
            Some(cure) => format!("mended by {}", cure.as_str()),
            None if fixed => "left alone, because a person or another program set it".to_owned(),
            None if !daemon.settings.repair => "left alone, because [nics] repair is false".to_owned(),
            None => "being mended".to_owned(),
        };
        let name = daemon.network.name(key.link);
        let (address, entry, answer) = (key.address, finding.entry, finding.answer);
        format!("{address} on {name}: the entry says {entry}, who has the address says {answer}; {end}")
    };
    let all = daemon.neighbours.findings().iter().filter(|(_, finding)| finding.fixed == fixed);
    let all = all.map(|(key, finding)| words(key, finding)).collect();
    let (id, summary) = if fixed {
        ("neighbour-wrong-fixed", "a fixed neighbour entry sends packets to the wrong device")
    } else {
        ("neighbour-wrong", "a neighbour entry sent packets to the wrong device")
    };
    some(id, Severity::Warning, summary, all, "")
}

fn two_owners(daemon: &NicHealth) -> Option<Condition> {
    let words = |(key, conflict): (&Key, &crate::neighbours::Conflict)| {
        let owners: Vec<String> = conflict.owners.iter().map(ToString::to_string).collect();
        format!("{} on {}: {}", key.address, daemon.network.name(key.link), owners.join(" and "))
    };
    let all = daemon.neighbours.conflicts().iter().map(words).collect();
    let summary = "several devices say that they have the same address";
    some("neighbour-two-owners", Severity::Warning, summary, all, "; give one of them another address")
}

fn own_conflict(daemon: &NicHealth) -> Option<Condition> {
    let words = |((link, address), conflict): (&(u32, std::net::Ipv4Addr), &crate::neighbours::Conflict)| {
        let owners: Vec<String> = conflict.owners.iter().map(ToString::to_string).collect();
        format!("{address} on {}: {}", daemon.network.name(*link), owners.join(" and "))
    };
    let all = daemon.neighbours.own_conflicts().iter().map(words).collect();
    let summary = "another device has this host's address";
    some("address-conflict", Severity::Error, summary, all, "; give that device another address")
}

fn stalled(daemon: &NicHealth) -> Option<Condition> {
    let words = |(name, card): (&String, &stall::Watched)| {
        let tried =
            if card.tried.is_empty() { String::new() } else { format!("; {}", card.tried.join(", ")) };
        let doing = match &card.phase {
            Phase::Applying { rung, .. } | Phase::Verifying { rung, .. } => {
                format!("; now: {}", rung.as_str())
            }
            Phase::Resting { .. } => "; trying again later".to_owned(),
            _ => String::new(),
        };
        let driven = daemon.drivers.get(name);
        let known = driven.map(|driven| daemon.known.about(driven, &daemon.host)).unwrap_or_default();
        let known: Vec<&str> = known.iter().map(|(_, advisory)| advisory.id.get_ref().as_str()).collect();
        let known = driven.filter(|_| !known.is_empty()).map(|driven| {
            format!("; known of the driver {}: {} (nic-health drivers)", driven.name, known.join(", "))
        });
        format!(
            "{name}: nothing comes in though packets leave and devices were asked{tried}{doing}{}",
            known.unwrap_or_default()
        )
    };
    let all = daemon.stalls.cards().iter().filter(|(_, card)| card.stalled()).map(words).collect();
    let summary = "a network card receives nothing, or everything at its other end is silent";
    some("nic-stalled", Severity::Error, summary, all, "")
}

fn recovered(daemon: &NicHealth, now: Monotonic) -> Option<Condition> {
    let words = |(name, card): (&String, &stall::Watched)| {
        let recovery = card.recovery.as_ref().filter(|r| now.since(r.at) < stall::NEWS && !card.stalled())?;
        let by = recovery.rung.map_or("by itself".to_owned(), |rung| format!("after: {}", rung.as_str()));
        let (seconds, stalls) = (recovery.lasted.as_secs(), card.stalls);
        Some(format!("{name} received nothing for {seconds} s and came back {by}; {stalls} times since boot"))
    };
    let all = daemon.stalls.cards().iter().filter_map(words).collect();
    let summary = "a network card had stopped receiving and is back";
    some("nic-stall-recovered", Severity::Warning, summary, all, "")
}

fn affected(daemon: &NicHealth) -> Option<Condition> {
    let all = daemon.drivers.iter().flat_map(|(name, driven)| {
        let known = daemon.known.about(driven, &daemon.host).into_iter();
        known.filter(|(applies, _)| *applies == Applies::Yes).map(move |(_, advisory)| {
            let (id, symptom, cure) = (advisory.id.get_ref(), &advisory.symptom, &advisory.cure);
            let version = driven.version_words(&daemon.host);
            format!("{name}: {} {version}, {id}: {symptom}. What helps: {cure}", driven.name)
        })
    });
    let all = all.collect();
    some(
        "nic-driver-affected",
        Severity::Warning,
        "a network driver is known to fail in this version",
        all,
        "",
    )
}

fn unusable(daemon: &NicHealth) -> Option<Condition> {
    let all = daemon.known.problems.iter().map(ToString::to_string).collect();
    some("nic-advisories-invalid", Severity::Warning, "a file about network drivers cannot be used", all, "")
}

fn millis(span: std::time::Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn every_condition_has_a_page() {
        let source = include_str!("status.rs");
        let ids: Vec<&str> = source
            .lines()
            .flat_map(|line| line.split('"'))
            .filter(|word| {
                ["nic-", "neighbour-", "address-"].iter().any(|p| word.starts_with(p) && word.len() > p.len())
            })
            .filter(|word| *word != "nic-health")
            .collect();
        assert!(ids.len() >= 10, "{ids:?}");
        for id in ids {
            let page =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conditions").join(format!("{id}.md"));
            assert!(page.exists(), "{id}");
        }
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let all = (0..8).map(|n| n.to_string()).collect();
        assert_eq!(listed(all), "0; 1; 2; 3; 4; and 3 more");
    }
}
