//! What is there and what is wanted, to the difference. Pure.
//!
//! Ours are the two record sets with our identifiers and the health checks whose reference is of our
//! making for this name. Everything else is left as it is; what makes failover impossible is named.

use std::net::IpAddr;

use ring::digest;

use super::wanted::{Line, Wanted, check};
use super::{CELLULAR_SET, WIRED_SET};
use crate::provider::route53::REFERENCE;
use crate::provider::route53::health::{HealthCheck, HealthConfig};
use crate::provider::route53::xml::{RecordSet, normal};
use crate::talk::hex;

/// What the service has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// All record sets of the name, of every type.
    pub sets: Vec<RecordSet>,
    /// All health checks of the account.
    pub checks: Vec<HealthCheck>,
}

/// One part that is otherwise than it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub what: &'static str,
    /// What it is.
    pub from: String,
    /// What it should be.
    pub to: String,
}

/// What happens to the health check of the wired line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckStep {
    /// It is as it should be.
    Keep(String),
    /// There is none that could be used.
    Create {
        /// Its settings.
        config: HealthConfig,
        /// The number of the first reference to try: those before it were used.
        first: u32,
    },
    /// Some of its settings are otherwise.
    Update {
        /// Its id.
        id: String,
        /// Which version of it was looked at.
        version: u64,
        /// Its settings to be.
        config: HealthConfig,
        /// What is otherwise.
        differences: Vec<Difference>,
    },
}

/// A record set that is made or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordStep {
    /// As it is to be; the health check of one that does not exist yet is filled in when it does.
    pub after: RecordSet,
    /// What is otherwise; nothing if it is not there at all.
    pub differences: Option<Vec<Difference>>,
}

/// The difference for one name and family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The name.
    pub name: String,
    /// A or AAAA.
    pub kind: &'static str,
    /// What its health check's references begin with, up to a number.
    pub reference: String,
    /// What happens to the health check; nothing if the first set cannot be made.
    pub check: Option<CheckStep>,
    /// Record sets that are made or changed.
    pub records: Vec<RecordStep>,
    /// Records without a role that must give way, in the same step.
    pub removals: Vec<RecordSet>,
    /// What cannot be set up, why, and the cure.
    pub blocked: Vec<String>,
    /// What else a person may want to know.
    pub notes: Vec<String>,
}

impl Plan {
    /// How many things are to be changed.
    pub fn changes(&self) -> usize {
        let check = !matches!(self.check, None | Some(CheckStep::Keep(_)));
        usize::from(check) + self.records.len() + self.removals.len()
    }
}

/// What references for this zone, name and type begin with. The number after it counts: a reference that
/// belonged to a deleted check is refused for days (API reference, `CreateHealthCheck`).
pub fn reference(zone: &str, name: &str, kind: &str) -> String {
    let text = format!("{zone} {} {kind}", normal(name));
    // Of at most 64 characters.
    format!("{REFERENCE}{}-", hex(&digest::digest(&digest::SHA256, text.as_bytes()).as_ref()[..8]))
}

/// Compares.
pub fn plan(wanted: &Wanted, found: &Found) -> Plan {
    let kind = wanted.family.record();
    let mut plan = Plan {
        name: wanted.name.clone(),
        kind,
        reference: reference(&wanted.account.zone, &wanted.name, kind),
        check: None,
        records: Vec::new(),
        removals: Vec::new(),
        blocked: obstacles(&wanted.name, kind, &found.sets),
        notes: Vec::new(),
    };
    if !plan.blocked.is_empty() {
        return plan;
    }
    let ours = |id: &str| sets(found, &wanted.name, kind).find(|set| set.identifier.as_deref() == Some(id));
    let (primary, secondary) = (ours(WIRED_SET), ours(CELLULAR_SET));
    let wired = plan.address(WIRED_SET, &wanted.wired, primary);
    let cellular = plan.address(CELLULAR_SET, &wanted.cellular, secondary);
    let Some(wired) = wired else { return plan };
    let step = plan.check_step(wired, primary, &found.checks);
    let id = match &step {
        CheckStep::Keep(id) | CheckStep::Update { id, .. } => Some(id.clone()),
        CheckStep::Create { .. } => None,
    };
    plan.surplus(id.as_deref(), &found.checks);
    plan.check = Some(step);
    let set = |identifier: &str, role: &str, address: IpAddr, health_check| RecordSet {
        identifier: Some(identifier.to_owned()),
        failover: Some(role.to_owned()),
        values: vec![address.to_string()],
        health_check,
        ..RecordSet::simple(&wanted.name, kind, wanted.ttl)
    };
    plan.record(primary, set(WIRED_SET, "PRIMARY", wired, id));
    if let Some(cellular) = cellular {
        let check = secondary.and_then(|set| plan.of_others(set.health_check.as_deref()?, &found.checks));
        plan.record(secondary, set(CELLULAR_SET, "SECONDARY", cellular, check));
    }
    plan.removals = sets(found, &wanted.name, kind).filter(|set| set.identifier.is_none()).cloned().collect();
    plan
}

fn sets<'a>(found: &'a Found, name: &str, kind: &'a str) -> impl Iterator<Item = &'a RecordSet> {
    let name = normal(name);
    found.sets.iter().filter(move |set| set.name == name && set.kind == kind)
}

/// What of others is in the way. It is never removed: only who made it knows what it is for.
fn obstacles(name: &str, kind: &str, sets: &[RecordSet]) -> Vec<String> {
    let name = normal(name);
    let of_name = sets.iter().filter(|set| set.name == name);
    of_name
        .filter_map(|set| {
            let label = set.identifier.as_deref().unwrap_or("without a role");
            let ours = [WIRED_SET, CELLULAR_SET].contains(&label);
            if set.kind == "CNAME" {
                let to = set.values.first().map_or("another name", String::as_str);
                return Some(format!(
                    "the name is an alias (CNAME) of {to}, which allows no other records; delete that, or take \
                     another name"
                ));
            }
            if set.kind != kind {
                return None;
            }
            if let Some(part) = &set.foreign {
                return Some(format!(
                    "the record set {label} has a {part}, which failover records cannot have; delete it, or \
                     take another name"
                ));
            }
            let role = set.failover.as_deref().unwrap_or("of another routing policy");
            (set.identifier.is_some() && !ours).then(|| {
                format!(
                    "another record set, {label}, is {role} already; delete it, or keep it and have its address \
                     updated with set={label} instead of failover=yes"
                )
            })
        })
        .collect()
}

impl Plan {
    /// The address a set is to have: the line's, or else the one it has already.
    fn address(&mut self, set: &str, line: &Line, there: Option<&RecordSet>) -> Option<IpAddr> {
        let has = there.and_then(|set| set.values.first()?.parse::<IpAddr>().ok());
        match (line, has) {
            (Line::At(address), _) => return Some(*address),
            (Line::Unknown(why), Some(has)) => self.notes.push(format!("{set} stays {has}: {why}")),
            (Line::Unknown(why), None) => self.blocked.push(format!("{set} cannot be set up: {why}")),
            (Line::Unreachable(address, why), None) => {
                self.blocked.push(format!("{set} cannot be set up: {address} {why}"));
            }
            (Line::Unreachable(address, why), Some(has)) => {
                self.blocked.push(format!("{set} stays {has}: {address} {why}"));
            }
        }
        has
    }

    /// A check somebody gave the second set: it stays, unless it is gone or the wired line's own, with
    /// which both sets would be unhealthy at once.
    fn of_others(&self, id: &str, checks: &[HealthCheck]) -> Option<String> {
        let check = checks.iter().find(|check| check.id == id)?;
        self.number(check).is_none().then(|| id.to_owned())
    }

    fn number(&self, check: &HealthCheck) -> Option<u32> {
        check.reference.strip_prefix(&self.reference)?.parse().ok()
    }

    /// The check the record has, if it is ours and can be made right; else another of ours, which a run
    /// that was cut off may have left; else a new one.
    fn check_step(&self, address: IpAddr, primary: Option<&RecordSet>, checks: &[HealthCheck]) -> CheckStep {
        let config = check(address);
        let mut ours: Vec<_> = checks.iter().filter_map(|check| Some((self.number(check)?, check))).collect();
        let first = ours.iter().map(|(number, _)| *number).max().unwrap_or(0).saturating_add(1);
        // Type and interval cannot be changed (API reference, `UpdateHealthCheck`).
        ours.retain(|(_, check)| {
            check.config.kind == config.kind && check.config.interval == config.interval
        });
        let used = primary.and_then(|set| set.health_check.as_deref());
        ours.sort_by_key(|(number, check)| (Some(check.id.as_str()) != used, *number));
        let Some((_, found)) = ours.first() else { return CheckStep::Create { config, first } };
        let differences = differences(&found.config, &config);
        if differences.is_empty() {
            return CheckStep::Keep(found.id.clone());
        }
        CheckStep::Update { id: found.id.clone(), version: found.version, config, differences }
    }

    /// Not deleted: somebody may have built on them.
    fn surplus(&mut self, used: Option<&str>, checks: &[HealthCheck]) {
        let ours = checks.iter().filter(|check| self.number(check).is_some());
        let surplus = ours.filter(|check| Some(check.id.as_str()) != used).map(|check| {
            format!(
                "the health check {} is of this program and no longer used for this name; it costs until it \
                 is deleted at AWS",
                check.id
            )
        });
        let surplus: Vec<String> = surplus.collect();
        self.notes.extend(surplus);
    }

    fn record(&mut self, before: Option<&RecordSet>, after: RecordSet) {
        let Some(before) = before else {
            self.records.push(RecordStep { after, differences: None });
            return;
        };
        let is_new = after.identifier.as_deref() == Some(WIRED_SET) && after.health_check.is_none();
        let check = if is_new { "the new one".to_owned() } else { text(after.health_check.as_ref()) };
        let parts = [
            ("address", before.values.join(", "), after.values.join(", ")),
            ("role", text(before.failover.as_ref()), text(after.failover.as_ref())),
            ("ttl", text(before.ttl.as_ref()), text(after.ttl.as_ref())),
            ("health check", text(before.health_check.as_ref()), check),
        ];
        let differences = differing(parts);
        if !differences.is_empty() {
            self.records.push(RecordStep { after, differences: Some(differences) });
        }
    }
}

fn text<T: ToString>(part: Option<&T>) -> String {
    part.map_or_else(|| "none".to_owned(), T::to_string)
}

fn differing<const N: usize>(parts: [(&'static str, String, String); N]) -> Vec<Difference> {
    let parts = parts.into_iter().filter(|(_, from, to)| !is_same(from, to));
    parts.map(|(what, from, to)| Difference { what, from, to }).collect()
}

/// Whether two texts mean the same: an IPv6 address has several spellings.
fn is_same(from: &str, to: &str) -> bool {
    from == to || from.parse::<IpAddr>().ok().zip(to.parse::<IpAddr>().ok()).is_some_and(|(a, b)| a == b)
}

fn differences(have: &HealthConfig, want: &HealthConfig) -> Vec<Difference> {
    let yes = |flag: bool| if flag { "yes" } else { "no" }.to_owned();
    differing([
        ("address", text(have.address.as_ref()), text(want.address.as_ref())),
        ("port", text(have.port.as_ref()), text(want.port.as_ref())),
        ("page", text(have.path.as_ref()), text(want.path.as_ref())),
        ("failures", text(have.threshold.as_ref()), text(want.threshold.as_ref())),
        ("inverted", yes(have.inverted), yes(want.inverted)),
        ("disabled", yes(have.disabled), yes(want.disabled)),
    ])
}
