//! What `netguard` says about itself.

use crate::machine::{Finding, Machine};
use ruleset::Family;
use serde_json::json;
use snapshot::{Condition, Report, Severity};
use sysio::Monotonic;

pub(crate) fn report(machine: &Machine, now: Monotonic) -> Report {
    let last = machine.last();
    let rules = |family| last.firewall.get(&family).map_or(0, |(_, rules)| *rules);
    let settings = last.settings.values().filter(|f| matches!(f, Finding::Same | Finding::Changed)).count();
    Report::new(if machine.applied() { "applied" } else { "failed" })
        .field("rules", json!({"ipv4": rules(Family::V4), "ipv6": rules(Family::V6)}))
        .field("sysctls", settings)
        .field("repairs", machine.repairs())
        .condition(not_applied(machine))
        .condition(firewall_repaired(machine, now))
        .condition(not_set(machine))
        .condition(setting_repaired(machine, now))
}

fn failures<'a>(findings: impl Iterator<Item = &'a Finding>) -> Vec<&'a str> {
    findings.filter_map(|f| if let Finding::Failed(why) = f { Some(why.as_str()) } else { None }).collect()
}

fn not_applied(machine: &Machine) -> Option<Condition> {
    let why = failures(machine.last().firewall.values().map(|(finding, _)| finding));
    let detail = format!("{}; trying again every few seconds", why.join("; "));
    let summary = "the packet filter is not as it should be";
    (!why.is_empty()).then(|| Condition::new("firewall-not-applied", Severity::Error, summary, detail))
}

fn firewall_repaired(machine: &Machine, now: Monotonic) -> Option<Condition> {
    let repair = machine.recent_firewall_repair(now)?;
    let detail = format!(
        "{} were changed by another program and put right; {} times since start. Rules of your own belong outside the chains FB-*",
        repair.what, repair.count
    );
    let summary = "another program changed the packet filter";
    Some(Condition::new("firewall-repaired", Severity::Warning, summary, detail))
}

fn not_set(machine: &Machine) -> Option<Condition> {
    let why = failures(machine.last().settings.values());
    let summary = "network settings of the kernel cannot be set";
    (!why.is_empty()).then(|| Condition::new("sysctl-read-only", Severity::Error, summary, why.join("; ")))
}

fn setting_repaired(machine: &Machine, now: Monotonic) -> Option<Condition> {
    let repair = machine.recent_settings_repair(now)?;
    let detail = format!(
        "{} was changed by another program and put right; {} repairs since start. Look for it in /etc/sysctl.d and for programs that run `sysctl`",
        repair.what, repair.count
    );
    let summary = "another program changed network settings of the kernel";
    Some(Condition::new("sysctl-repaired", Severity::Warning, summary, detail))
}
