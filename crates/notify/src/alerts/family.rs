//! Which conditions are one trouble in several degrees, and which degree is the worst.

use std::collections::BTreeMap;

use snapshot::{Condition, Severity};

/// Conditions that take each other's place as one thing gets worse (each list ends with the worst): a
/// change among them is told as a change, never as the end of one and the beginning of another.
const FAMILIES: [&[&str]; 5] = [
    &["uplink-wired-lossy", "uplink-wired-partial", "uplink-wired-down"],
    &["uplink-cellular-lossy", "uplink-cellular-partial", "uplink-cellular-down"],
    &["firewall-repaired", "firewall-fight"],
    &["sysctl-repaired", "sysctl-fight"],
    &["usage-quota-75", "usage-quota-90", "usage-quota-spent"],
];

/// The daemon, and the condition's id or the last one of its family.
pub(super) type Key = (String, String);

/// The track of a condition: those of one family share one.
pub(super) fn key(daemon: &str, id: &str) -> Key {
    let family = FAMILIES.iter().find(|family| family.contains(&id)).and_then(|family| family.last());
    (daemon.to_owned(), (*family.unwrap_or(&id)).to_owned())
}

/// What is worse is greater: by severity, then by its place in the family.
pub(super) fn rank(id: &str, severity: Severity) -> (Severity, Option<usize>) {
    (severity, FAMILIES.iter().find_map(|family| family.iter().position(|one| *one == id)))
}

/// The worst of each family that is bad enough to be told.
pub(super) fn worst(
    all: impl Iterator<Item = (String, Condition)>,
    least: Severity,
) -> BTreeMap<Key, Condition> {
    let mut worst: BTreeMap<Key, Condition> = BTreeMap::new();
    for (daemon, condition) in all.filter(|(_, condition)| condition.severity >= least) {
        let place = worst.entry(key(&daemon, &condition.id)).or_insert_with(|| condition.clone());
        if rank(&condition.id, condition.severity) > rank(&place.id, place.severity) {
            *place = condition;
        }
    }
    worst
}

pub(super) fn first(daemon: &str) -> Key {
    (daemon.to_owned(), String::new())
}
