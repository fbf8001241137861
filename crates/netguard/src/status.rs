//! What `netguard` says about itself.

use crate::machine::{Finding, Machine, Repair};
use crate::own_files::OwnFiles;
use crate::sysctl::{self, Watch};
use crate::trial::Trial;
use ruleset::{Device, Family, Metered, Policy};
use serde_json::json;
use snapshot::{Condition, Report, Severity};
use std::hash::{DefaultHasher, Hash, Hasher};
use sysio::Monotonic;

/// Whom the packet filter's part of the report is asked of.
pub(crate) struct Firewall<'a> {
    pub(crate) machine: &'a Machine,
    pub(crate) own: &'a OwnFiles,
    pub(crate) trial: &'a Trial,
}

pub(crate) fn report(firewall: &Firewall<'_>, settings: &Watch, policy: &Policy, now: Monotonic) -> Report {
    let Firewall { machine, own, trial } = firewall;
    let last = machine.last();
    let rules = |family| last.firewall.get(&family).map_or(0, |(_, rules)| *rules);
    let tried = trial.words().map(|(id, state, why)| json!({"id": id, "state": state, "why": why}));
    Report::new(if machine.applied() { "applied" } else { "failed" })
        .field("rules", json!({"ipv4": rules(Family::V4), "ipv6": rules(Family::V6)}))
        .field("sysctls", settings.right())
        .field("repairs", machine.repairs() + settings.changes())
        .field("metered", policy.metered.as_ref().map(|metered| json!({"guard": metered.word()})))
        .field("trial", tried)
        .condition(not_applied(machine))
        .condition(firewall_repaired(machine, now))
        .condition(fought(machine))
        .condition(beside(machine))
        .condition(own_refused(own))
        .condition(unconfirmed(trial, now))
        .condition(sysctl::status::not_set(settings))
        .condition(sysctl::status::repaired(settings, now))
        .condition(sysctl::status::fought(settings))
        .condition(hidden_devices(policy))
}

/// A number that is another when the report says something else. What only time changes, such as a repair
/// that is no longer shown, is told with the next heartbeat.
pub(crate) fn revision(
    firewall: &Firewall<'_>,
    settings: &Watch,
    policy: &Policy,
    foreseen: Option<&str>,
) -> u64 {
    let Firewall { machine, own, trial } = firewall;
    let mut hasher = DefaultHasher::new();
    let last = machine.last();
    (machine.applied(), machine.repairs(), machine.fight().is_some()).hash(&mut hasher);
    for (finding, rules) in last.firewall.values() {
        (failure(finding), rules).hash(&mut hasher);
    }
    (&last.beside, own.problems(), trial.words()).hash(&mut hasher);
    (settings.right(), settings.changes(), settings.fights().count()).hash(&mut hasher);
    settings.failures().for_each(|why| why.hash(&mut hasher));
    (policy.metered.as_ref().map(Metered::word), foreseen).hash(&mut hasher);
    hasher.finish()
}

fn own_refused(own: &OwnFiles) -> Option<Condition> {
    let problems = own.problems();
    let detail = format!("{}. The rules that were in force before stay in force", problems.join("; "));
    let summary = "a file of your own rules cannot be used";
    (!problems.is_empty())
        .then(|| Condition::new("firewall-own-rules-refused", Severity::Error, summary, detail))
}

fn unconfirmed(trial: &Trial, now: Monotonic) -> Option<Condition> {
    if trial.deadline().is_some() {
        let summary = "new packet filter rules wait to be confirmed";
        let detail = "netguard confirm keeps them; otherwise those before come back";
        return Some(Condition::new("firewall-unconfirmed", Severity::Info, summary, detail));
    }
    let summary = "new packet filter rules were not confirmed, those before are back";
    let detail =
        "netguard apply --confirm was not followed by netguard confirm in time; was the way in cut off?";
    trial
        .was_rolled_back(now)
        .then(|| Condition::new("firewall-unconfirmed", Severity::Warning, summary, detail))
}

/// In `backup` mode packets come from the house's router, with its hardware address.
fn hidden_devices(policy: &Policy) -> Option<Condition> {
    let Metered { allow, essential, .. } = policy.metered.as_ref().filter(|_| !policy.wired_uplink)?;
    let macs = allow.iter().chain(essential).filter_map(|device| match device {
        Device::Mac(mac) => Some(mac.to_string()),
        Device::Network(_) => None,
    });
    let mut macs: Vec<String> = macs.collect();
    macs.sort_unstable();
    macs.dedup();
    let detail = format!(
        "in [metered], {} can be told only from devices that use this box as their gateway; behind the house's router every packet has the router's. Give these devices fixed addresses in the router and name those, or use network.mode = \"gateway\"",
        macs.join(", ")
    );
    let summary = "hardware addresses in [metered] cannot be seen in backup mode";
    (!macs.is_empty())
        .then(|| Condition::new("metered-mac-behind-router", Severity::Warning, summary, detail))
}

fn failure(finding: &Finding) -> Option<&str> {
    if let Finding::Failed(why) = finding { Some(why) } else { None }
}

fn failures<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<&'a str> {
    findings.filter_map(failure).collect()
}

fn not_applied(machine: &Machine) -> Option<Condition> {
    let why = failures(machine.last().firewall.values().map(|(finding, _)| finding));
    let detail = format!("{}; trying again every few seconds", why.join("; "));
    let summary = "the packet filter is not as it should be";
    (!why.is_empty()).then(|| Condition::new("firewall-not-applied", Severity::Error, summary, detail))
}

fn firewall_repaired(machine: &Machine, now: Monotonic) -> Option<Condition> {
    let repair = machine.recent_repair(now).filter(|_| machine.fight().is_none())?;
    let detail = format!(
        "{}. Put right; {} times since start. Rules of your own belong outside the chains FB-*",
        deed(repair),
        repair.count
    );
    let summary = "another program changed the packet filter";
    Some(Condition::new("firewall-repaired", Severity::Warning, summary, detail))
}

fn fought(machine: &Machine) -> Option<Condition> {
    let repair = machine.fight()?;
    let detail = format!(
        "{}. The same is done again and again, {} repairs since start; it is put right every few seconds only, so in between it is wrong",
        deed(repair),
        repair.count
    );
    let summary = "another program keeps changing the packet filter";
    Some(Condition::new("firewall-fight", Severity::Error, summary, detail))
}

/// What was done, and by whom.
fn deed(repair: &Repair) -> String {
    let by = if repair.by.is_empty() { String::new() } else { format!(", by {}", repair.by.join(" and ")) };
    let suspects = match &repair.suspects[..] {
        [] => String::new(),
        list => format!("; who could have it done: {}", list.join(", ")),
    };
    format!("{}{by}{suspects}", repair.what)
}

fn beside(machine: &Machine) -> Option<Condition> {
    let list = &machine.last().beside;
    let detail = format!(
        "{}. A packet must pass the rules of both; what is only in the legacy tables is not seen by iptables and nft. Move these rules (iptables-legacy-save shows them), then clear them with iptables-legacy -F",
        list.join("; ")
    );
    let summary = "the kernel's legacy tables hold rules beside ours";
    (!list.is_empty()).then(|| Condition::new("firewall-two-back-ends", Severity::Warning, summary, detail))
}
