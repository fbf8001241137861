//! What is published is what is read, and only as long as it can be true.

use std::fs;
use std::time::Duration;

use snapshot::{Condition, HEARTBEAT, Publisher, Report, STALE_AFTER, Severity, Verdict, read, read_all};
use sysio::{Monotonic, Root};

const BOOT: &str = "11111111-2222-3333-4444-555555555555";

fn system() -> (tempfile::TempDir, Root) {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("proc/sys/kernel/random")).unwrap();
    fs::create_dir_all(dir.path().join("run/failberry")).unwrap();
    fs::write(dir.path().join("proc/sys/kernel/random/boot_id"), format!("{BOOT}\n")).unwrap();
    let root = Root::at(dir.path());
    (dir, root)
}

fn trouble() -> Condition {
    Condition::new("modem-no-sim", Severity::Error, "no SIM", "put one in")
}

#[test]
fn published_is_read_with_envelope_fields_and_conditions() {
    let (_dir, root) = system();
    let mut publisher = Publisher::new(&root, "modem-dialer", "1.2.3").unwrap();
    let at = Monotonic::from_secs(100);
    publisher.publish(at, Report::new("blocked").condition(trouble()).field("attempt", 7)).unwrap();
    let verdict = read(&root, "modem-dialer", BOOT, at);
    let document = verdict.fresh().expect("fresh");
    assert_eq!((document.state.as_str(), document.since_ms), ("blocked", 100_000));
    assert_eq!(document.fields["attempt"], 7);
    assert_eq!(document.conditions[0].since, 100_000);
}

#[test]
fn since_stays_while_state_and_condition_stay() {
    let (_dir, root) = system();
    let mut publisher = Publisher::new(&root, "d", "1").unwrap();
    publisher.publish(Monotonic::from_secs(1), Report::new("a").condition(trouble())).unwrap();
    publisher.publish(Monotonic::from_secs(2), Report::new("a").condition(trouble()).field("x", 1)).unwrap();
    publisher.publish(Monotonic::from_secs(3), Report::new("b").condition(trouble())).unwrap();
    let verdict = read(&root, "d", BOOT, Monotonic::from_secs(3));
    let document = verdict.fresh().unwrap();
    assert_eq!((document.since_ms, document.conditions[0].since), (3000, 1000));
}

#[test]
fn unchanged_reports_are_written_at_the_heartbeat_only() {
    let (_dir, root) = system();
    let mut publisher = Publisher::new(&root, "d", "1").unwrap();
    let start = Monotonic::from_secs(50);
    publisher.publish(start, Report::new("a")).unwrap();
    publisher.publish(start + Duration::from_secs(1), Report::new("a")).unwrap();
    assert_eq!(read(&root, "d", BOOT, start).fresh().unwrap().monotonic_ms, 50_000);
    let due = publisher.due();
    assert!(due.since(start) <= HEARTBEAT);
    publisher.publish(due, Report::new("a")).unwrap();
    assert_eq!(read(&root, "d", BOOT, due).fresh().unwrap().monotonic_ms, due.as_millis());
}

#[test]
fn old_foreign_missing_and_broken_snapshots_are_not_believed() {
    let (dir, root) = system();
    let mut publisher = Publisher::new(&root, "d", "1").unwrap();
    let at = Monotonic::from_secs(9);
    publisher.publish(at, Report::new("a")).unwrap();
    let later = at + STALE_AFTER + Duration::from_secs(1);
    assert!(matches!(read(&root, "d", BOOT, later), Verdict::Stale(..)));
    assert!(matches!(read(&root, "d", "another boot", at), Verdict::OtherBoot(_)));
    assert!(matches!(read(&root, "nobody", BOOT, at), Verdict::Missing));
    fs::write(dir.path().join("run/failberry/broken.json"), "{\"schema\": 1").unwrap();
    let all = read_all(&root, BOOT, at).unwrap();
    assert!(matches!(all["broken"], Verdict::Broken(_)));
    assert!(matches!(all["d"], Verdict::Fresh(_)));
}
