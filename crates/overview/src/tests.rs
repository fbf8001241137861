use super::*;
use serde_json::json;
use std::path::Path;

const BOOT: &str = "this-boot";

fn system(dir: &Path) -> Root {
    std::fs::create_dir_all(dir.join("run/failberry")).unwrap();
    std::fs::create_dir_all(dir.join("proc/sys/kernel")).unwrap();
    std::fs::write(dir.join("proc/sys/kernel/hostname"), "attic\n").unwrap();
    for daemon in DAEMONS {
        put(dir, daemon, BOOT, 100_000, &json!([]));
    }
    Root::at(dir)
}

fn put(dir: &Path, daemon: &str, boot: &str, at_ms: u64, conditions: &serde_json::Value) {
    let snapshot = json!({
        "schema": 1, "daemon": daemon, "version": "0", "boot_id": boot, "monotonic_ms": at_ms, "wall": null,
        "state": "serving", "since_ms": 1000, "conditions": conditions, "port": 9000, "requests": 7,
    });
    std::fs::write(dir.join(format!("run/failberry/{daemon}.json")), snapshot.to_string()).unwrap();
}

fn condition(severity: &str) -> serde_json::Value {
    json!([{"id": "x", "severity": severity, "since": 5, "summary": "s", "detail": "d"}])
}

fn see(root: &Root, at_secs: u64) -> Overview {
    Overview::at(root, BOOT, Monotonic::from_secs(at_secs), None)
}

#[test]
fn healthy_when_all_daemons_speak_and_none_complains() {
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    assert_eq!(see(&root, 101).health(), Health::Healthy);
    put(dir.path(), "uplink", BOOT, 100_000, &condition("info"));
    assert_eq!(see(&root, 101).health(), Health::Healthy);
}

#[test]
fn the_worst_condition_decides_and_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    put(dir.path(), "uplink", BOOT, 100_000, &condition("warning"));
    assert_eq!(see(&root, 101).health(), Health::Degraded);
    put(dir.path(), "netguard", BOOT, 100_000, &condition("error"));
    let overview = see(&root, 101);
    assert_eq!(overview.health(), Health::Failed);
    assert_eq!(overview.conditions()[0].0, "netguard");
}

#[test]
fn a_silent_daemon_is_unknown_and_what_it_said_no_longer_counts() {
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    for daemon in DAEMONS {
        put(dir.path(), daemon, BOOT, 200_000, &json!([]));
    }
    put(dir.path(), "uplink", BOOT, 100_000, &condition("error"));
    let overview = see(&root, 201);
    assert_eq!(overview.health(), Health::Degraded);
    let uplink = overview.parts.iter().find(|part| part.daemon == "uplink").unwrap();
    assert_eq!(uplink.state(), "unknown");
    assert!(overview.conditions().is_empty());
    let json = overview.to_json();
    assert_eq!(json["daemons"]["uplink"]["state"], "unknown");
    assert_eq!(json["daemons"]["uplink"]["last"]["requests"], 7);
}

#[test]
fn the_import_of_the_configuration_speaks_once_a_boot() {
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    put(dir.path(), CONFIG_IMPORT, BOOT, 10, &json!([]));
    assert_eq!(see(&root, 101).health(), Health::Healthy);
    put(dir.path(), CONFIG_IMPORT, "another boot", 10, &json!([]));
    assert_eq!(see(&root, 101).health(), Health::Degraded);
}

#[test]
fn the_timekeepers_last_word_holds_and_its_silence_before_that_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    let say = |state: &str| {
        put(dir.path(), "timekeeper", BOOT, 10, &json!([]));
        let path = dir.path().join("run/failberry/timekeeper.json");
        let text = std::fs::read_to_string(&path).unwrap().replace("serving", state);
        std::fs::write(path, text).unwrap();
    };
    say("synchronised");
    assert_eq!(see(&root, 101).health(), Health::Healthy);
    say("asking");
    assert_eq!(see(&root, 101).health(), Health::Degraded);
}

#[test]
fn a_missing_daemon_has_failed_and_a_broken_snapshot_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    std::fs::write(dir.path().join("run/failberry/uplink.json"), "{").unwrap();
    assert_eq!(see(&root, 101).health(), Health::Degraded);
    std::fs::remove_file(dir.path().join("run/failberry/netguard.json")).unwrap();
    assert_eq!(see(&root, 101).health(), Health::Failed);
}

#[test]
fn a_daemon_nobody_expected_is_shown_too() {
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    put(dir.path(), "guest", BOOT, 100_000, &condition("error"));
    let overview = see(&root, 101);
    assert_eq!(overview.parts.last().unwrap().daemon, "guest");
    assert_eq!(overview.health(), Health::Failed);
}

#[test]
fn json_carries_the_snapshots_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    put(dir.path(), "uplink", BOOT, 100_000, &condition("warning"));
    let json = see(&root, 101).to_json();
    assert_eq!(json["state"], "degraded");
    assert_eq!(json["hostname"], "attic");
    assert_eq!(json["daemons"]["pinghttpserver"]["requests"], 7);
    assert_eq!(json["conditions"][0]["daemon"], "uplink");
    assert_eq!(json["conditions"][0]["severity"], "warning");
}

#[test]
fn times_are_told_in_two_units() {
    for (ms, words) in [
        (900, "0 s"),
        (59_999, "59 s"),
        (61_000, "1 min 1 s"),
        (7_500_000, "2 h 5 min"),
        (200_000_000, "2 d 7 h"),
    ] {
        assert_eq!(ago(ms), words);
    }
}

#[test]
fn facts_name_the_line_and_the_network() {
    let document: Document = serde_json::from_value(json!({
        "schema": 1, "daemon": "modem-dialer", "version": "0", "boot_id": "b", "monotonic_ms": 1, "wall": null,
        "state": "connected", "since_ms": 1, "conditions": [],
        "link": {"interface": "ppp0", "local": "100.64.0.2"},
        "modem": {"manufacturer": "ZTE", "model": "MF180"},
        "network": {"operator": null, "registration": "home", "signal_dbm": -71},
    }))
    .unwrap();
    assert_eq!(
        facts(&document),
        [
            ("stick", "ZTE MF180".to_owned()),
            ("network", "home, -71 dBm".to_owned()),
            ("link", "ppp0, 100.64.0.2".to_owned())
        ]
    );
}

#[test]
fn facts_of_the_lines_name_what_is_partly_dead_and_what_was_used() {
    let document: Document = serde_json::from_value(json!({
        "schema": 1, "daemon": "uplink", "version": "0", "boot_id": "b", "monotonic_ms": 1, "wall": null,
        "state": "online", "since_ms": 1, "conditions": [], "active": "cellular",
        "links": [
            {"name": "wired", "interface": "eth0", "kind": "wired", "state": "partial", "part": "dns",
             "reason": "no name server answers"},
            {"name": "cellular", "interface": "ppp0", "kind": "cellular", "state": "up", "part": null, "reason": "x"},
        ],
        "switches": {"count": 2},
        "usage": {"used_bytes": 1_234_567_890, "quota_bytes": 2_000_000_000, "period_end": "2026-12-01", "guard": "open"},
    }))
    .unwrap();
    assert_eq!(
        facts(&document),
        [
            ("active", "cellular".to_owned()),
            ("lines", "wired partial (dns), eth0: no name server answers; cellular up, ppp0".to_owned()),
            ("used", "1.2 GB of 2.0 GB until 2026-12-01".to_owned()),
            ("switches", "2".to_owned()),
        ]
    );
}
