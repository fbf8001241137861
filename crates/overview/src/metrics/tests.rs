use super::*;
use crate::{DAEMONS, Overview};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use sysio::{Monotonic, Root};

/// A house with both lines watched, a quota, a stick, and a name meant to break things.
fn overview(evil: &str) -> Overview {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("run/failberry")).unwrap();
    let target = json!({"name": evil, "operator": "o", "region": "eu", "kind": "icmp", "family": "ipv4",
        "address": "192.0.2.1", "state": "up", "latency_ms": 12.5, "loss_percent": 2.0, "code": null, "at_ms": 1});
    let own = |daemon: &str| match daemon {
        "uplink" => json!({
            "active": "wired",
            "links": [
                {"name": "wired", "interface": "eth0", "kind": "wired", "state": "partial", "part": "dns",
                 "usable": false, "metered": false, "latency_ms": 12.5, "loss_percent": 0.5, "probe_bytes": 4096,
                 "targets": [target]},
                {"name": "cellular", "kind": "cellular", "state": "up", "usable": true, "metered": true,
                 "latency_ms": null, "loss_percent": null, "targets": []},
            ],
            "switches": {"count": 3, "last": null},
            "usage": {"link": "cellular", "used_bytes": 1000, "quota_bytes": null, "today_bytes": 10, "guard": "cut"},
        }),
        "prober" => json!({"targets": [
            {"url": evil, "line": "active", "state": "failing", "status": 503, "sent": 9, "failed": 3,
             "dns_ms": null, "connect_ms": 12.5, "total_ms": 250.0, "certificate_until": 1_800_000_000},
            {"url": "http://b/", "line": "wired", "state": "unknown", "status": null},
        ]}),
        "dyndns" => json!({"records": [
            {"name": "h.example.org", "type": "A", "account": "a", "state": "current", "told_unix": 1_700_000_000},
            {"name": "h.example.org", "type": "AAAA", "account": "a", "state": "retrying", "told_unix": null},
        ]}),
        "pinghttpserver" => json!({"requests": 7, "connections": 1,
            "latency": {"requests": 5, "p50_ms": 0.5, "p99_ms": 2.0, "worst_ms": 4.0}}),
        "statusd" => json!({"requests": 7, "connections": 1, "latency": null}),
        "modem-dialer" => json!({"network": {"signal_dbm": -71}, "link": {"rx_bytes": 5, "tx_bytes": 6}}),
        "notify" => json!({"queued": 2, "channels": [{"name": "ntfy", "delivered": 4, "failures": 1}]}),
        _ => json!({"requests": 7, "connections": 1, "repairs": 0}),
    };
    for daemon in DAEMONS {
        let mut snapshot = json!({
            "schema": 1, "daemon": daemon, "version": "0", "boot_id": "b", "monotonic_ms": 100_000, "wall": null,
            "state": "connected", "since_ms": 1,
            "conditions": [{"id": "x", "severity": "warning", "since": 5, "summary": "s", "detail": "d"}],
        });
        let envelope = snapshot.as_object_mut().unwrap();
        let Value::Object(fields) = own(daemon) else { unreachable!() };
        envelope.extend(fields);
        std::fs::write(dir.path().join(format!("run/failberry/{daemon}.json")), snapshot.to_string())
            .unwrap();
    }
    Overview::at(&Root::at(dir.path()), "b", Monotonic::from_secs(101), None)
}

/// Name, labels, value.
type Read = (String, Vec<(String, String)>, f64);

/// A strict reader of the format's grammar; panics at what a Prometheus server would refuse.
fn parse(page: &str) -> Vec<Read> {
    assert!(page.ends_with('\n'));
    let (mut typed, mut current, mut samples) = (BTreeSet::new(), String::new(), Vec::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(["gauge", "counter"].contains(&kind), "{line}");
            assert!(typed.insert(name.to_owned()), "second TYPE of {name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            name.clone_into(&mut current);
        } else if line.starts_with("# HELP ") {
            assert!(line.split(' ').count() > 4, "{line}");
        } else {
            let (name, labels, value) = sample(line);
            assert_eq!(name, current, "a sample outside its family");
            samples.push((name, labels, value));
        }
    }
    let keys: BTreeSet<String> =
        samples.iter().map(|(name, labels, _)| format!("{name}{labels:?}")).collect();
    assert_eq!(keys.len(), samples.len(), "two samples of one name and the same labels");
    samples
}

fn sample(line: &str) -> Read {
    let end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Vec::new();
    if let Some(after) = rest.strip_prefix('{') {
        rest = after;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap();
            assert!(is_name(label), "{line}");
            let (value, after) = quoted(after);
            labels.push((label.to_owned(), value));
            if let Some(after) = after.strip_prefix(',') {
                rest = after;
            } else {
                rest = after.strip_prefix('}').unwrap_or_else(|| panic!("{line}"));
                break;
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap().parse().unwrap_or_else(|_| panic!("{line}"));
    (name.to_owned(), labels, value)
}

/// Up to the closing quote, with `\\`, `\"` and `\n` undone; anything else after a backslash is an error.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().unwrap().1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                other => panic!("\\{other}"),
            }),
            c => value.push(c),
        }
    }
    panic!("no closing quote: {text}")
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}

fn value(samples: &[Read], name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let has = |all: &[(String, String)]| {
        labels.iter().all(|(n, v)| all.iter().any(|(name, value)| name == n && value == v))
    };
    samples.iter().find(|(n, all, _)| n == name && has(all)).map(|(.., value)| *value)
}

#[test]
fn the_page_keeps_to_the_grammar_and_says_what_is_so() {
    let samples = parse(&prometheus(&families(&overview("a1"), "0.1.0")));
    let is = |name: &str, labels: &[(&str, &str)]| value(&samples, name, labels);
    assert_eq!(is("failberry_build_info", &[("version", "0.1.0")]), Some(1.0));
    assert_eq!(is("failberry_link_up", &[("link", "wired")]), Some(0.0));
    assert_eq!(is("failberry_link_state", &[("link", "wired"), ("state", "partial")]), Some(1.0));
    assert_eq!(is("failberry_link_active", &[("link", "wired")]), Some(1.0));
    assert_eq!(is("failberry_link_latency_seconds", &[("link", "wired")]), Some(0.0125));
    assert_eq!(is("failberry_link_loss_ratio", &[("link", "wired")]), Some(0.005));
    assert_eq!(is("failberry_usage_bytes_total", &[("link", "cellular")]), Some(1000.0));
    assert_eq!(is("failberry_usage_cut", &[]), Some(1.0));
    assert_eq!(is("failberry_condition", &[("id", "x"), ("daemon", "uplink")]), Some(1.0));
    assert_eq!(is("failberry_notify_delivered_total", &[("channel", "ntfy")]), Some(4.0));
    assert_eq!(is("failberry_daemon_up", &[("daemon", "uplink")]), Some(1.0));
    assert_eq!(is("failberry_page_up", &[("url", "a1"), ("line", "active")]), Some(0.0));
    assert_eq!(is("failberry_page_status", &[("url", "a1")]), Some(503.0));
    assert_eq!(is("failberry_page_failures_total", &[("url", "a1")]), Some(3.0));
    assert_eq!(is("failberry_page_seconds", &[("url", "a1"), ("phase", "total")]), Some(0.25));
    assert_eq!(is("failberry_page_seconds", &[("url", "a1"), ("phase", "connect")]), Some(0.0125));
    assert_eq!(is("failberry_page_certificate_expiry_timestamp_seconds", &[]), Some(1_800_000_000.0));
    assert_eq!(is("failberry_dns_record_current", &[("type", "A")]), Some(1.0));
    assert_eq!(is("failberry_dns_record_current", &[("type", "AAAA")]), Some(0.0));
    assert_eq!(is("failberry_dns_record_told_timestamp_seconds", &[("name", "h.example.org")]), Some(1.7e9));
    let worst = [("daemon", "pinghttpserver"), ("quantile", "1")];
    assert_eq!(is("failberry_http_latency_seconds", &worst), Some(0.004));
    assert_eq!(is("failberry_http_latency_requests", &[("daemon", "pinghttpserver")]), Some(5.0));
}

#[test]
fn what_is_not_known_has_no_sample() {
    let samples = parse(&prometheus(&families(&overview("a1"), "0")));
    assert_eq!(value(&samples, "failberry_link_latency_seconds", &[("link", "cellular")]), None);
    assert_eq!(value(&samples, "failberry_usage_quota_bytes", &[]), None);
    for name in ["failberry_page_up", "failberry_page_status"] {
        assert_eq!(value(&samples, name, &[("url", "http://b/")]), None, "{name}");
    }
    assert_eq!(value(&samples, "failberry_page_seconds", &[("url", "a1"), ("phase", "dns")]), None);
    assert_eq!(value(&samples, "failberry_dns_record_told_timestamp_seconds", &[("type", "AAAA")]), None);
    assert_eq!(value(&samples, "failberry_http_latency_seconds", &[("daemon", "statusd")]), None);
}

#[test]
fn a_name_from_outside_breaks_no_line() {
    for evil in ["a\"} 1\nfailberry_up 2", "\\", "x\\\"y", "ü\u{7}", ""] {
        let samples = parse(&prometheus(&families(&overview(evil), "0")));
        let target = samples.iter().find(|(name, ..)| name == "failberry_target_up").unwrap();
        let shown = evil.replace('\u{7}', "\u{fffd}");
        assert!(target.1.contains(&("target".into(), shown)), "{target:?}");
        for line in graphite(&families(&overview(evil), "0"), "house", 1_800_000_000).lines() {
            let parts: Vec<&str> = line.split(' ').collect();
            assert!(parts.len() == 3 && parts[2] == "1800000000", "{line}");
            assert!(parts[0].starts_with("house.") && !parts[0].contains(".."), "{line}");
            parts[1].parse::<f64>().unwrap();
        }
    }
}

#[test]
fn ten_thousand_conditions_make_a_bounded_page() {
    let mut overview = overview("a1");
    let many = (0..10_000).map(|n| snapshot::Condition::new(&format!("c{n}"), Severity::Info, "s", "d"));
    overview.parts[0].known.as_mut().unwrap().conditions = many.collect();
    let samples = parse(&prometheus(&families(&overview, "0")));
    assert!(samples.len() <= MOST_SAMPLES);
}
