//! What `netguard` says about settings.

use super::Watch;
use super::watch::Drift;
use snapshot::{Condition, Severity};
use sysio::Monotonic;

/// So many failures are told in full; the others have the same cause, nearly always.
const TOLD: usize = 3;

pub(crate) fn not_set(watch: &Watch) -> Option<Condition> {
    let mut why: Vec<&str> = watch.failures().collect();
    // Forwarding is what the house misses first.
    why.sort_by_key(|why| !why.contains("forward"));
    let more = match why.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let detail = format!("{}{more}{}", why[..why.len().min(TOLD)].join("; "), cure(&why));
    let summary = "network settings of the kernel cannot be set";
    (!why.is_empty()).then(|| Condition::new("sysctl-read-only", Severity::Error, summary, detail))
}

/// What to do about the system's words.
fn cure(why: &[&str]) -> &'static str {
    let says = |words: &str| why.iter().any(|why| why.contains(words));
    if says("Read-only file system") {
        "; /proc/sys is mounted read-only, as in a container: set them on the host, or make it writable"
    } else if says("Permission denied") || says("Operation not permitted") {
        "; writing them takes root with CAP_NET_ADMIN in this network namespace"
    } else {
        ""
    }
}

/// Changes that were put right and are not part of a fight.
pub(crate) fn repaired(watch: &Watch, now: Monotonic) -> Option<Condition> {
    let fought: Vec<&Drift> = watch.fights().collect();
    let drifts: Vec<&Drift> = watch.drifts(now).into_iter().filter(|drift| !fought.contains(drift)).collect();
    let detail = format!("{}; {} changes since start", told(&drifts), watch.changes());
    let summary = "another program changed network settings of the kernel";
    (!drifts.is_empty()).then(|| Condition::new("sysctl-repaired", Severity::Warning, summary, detail))
}

pub(crate) fn fought(watch: &Watch) -> Option<Condition> {
    let fought: Vec<&Drift> = watch.fights().collect();
    let detail = format!(
        "{}; it is changed again and again, and put right every few seconds only, so in between it is wrong",
        told(&fought)
    );
    let summary = "another program keeps changing network settings of the kernel";
    (!fought.is_empty()).then(|| Condition::new("sysctl-fight", Severity::Error, summary, detail))
}

fn told(drifts: &[&Drift]) -> String {
    let one = |drift: &&Drift| format!("{} was set to {}: {}", drift.path, drift.found, drift.reason);
    drifts.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sysctl::{Event, Seen};
    use ruleset::{Sysctl, Unless};
    use std::path::Path;

    fn looked(watch: &mut Watch, second: u64, seen: &[(&str, Seen)]) {
        let one = |(path, seen): &(&str, Seen)| {
            (Sysctl { path: (*path).to_owned(), value: "1", unless: Unless::Never }, seen.clone())
        };
        watch.step(Monotonic::from_secs(second), Event::Looked(seen.iter().map(one).collect()));
    }

    #[test]
    fn forwarding_is_told_first_the_cure_last_and_the_rest_is_counted() {
        let mut watch = Watch::default();
        let refused = |path: &str| Seen::Blocked(format!("set {path}: Read-only file system (os error 30)"));
        let paths = ["net/a", "net/b", "net/c", "net/ipv4/ip_forward"];
        looked(&mut watch, 1, &paths.map(|path| (path, refused(path))));
        let condition = not_set(&watch).unwrap();
        assert!(condition.detail.starts_with("set net/ipv4/ip_forward: Read-only"), "{}", condition.detail);
        assert!(
            condition.detail.contains("; and 1 more; /proc/sys is mounted read-only"),
            "{}",
            condition.detail
        );
    }

    #[test]
    fn every_condition_has_a_page() {
        for id in ["sysctl-read-only", "sysctl-repaired", "sysctl-fight", "sysctl-would-undo"] {
            let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/conditions/{id}.md"));
            let text = std::fs::read_to_string(&page).expect(id);
            assert!(text.starts_with(&format!("# {id}\n")), "{id}");
        }
    }
}
