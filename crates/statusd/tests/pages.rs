//! What a browser gets, without a browser.

use std::path::Path;

use httpd::{Method, Request, Response, Site};
use statusd::StatusSite;
use sysio::{Root, clock};

const DAEMONS: &[&str] = overview::DAEMONS;

fn put(dir: &Path, daemon: &str, state: &str, conditions: &str) {
    let now = clock::now().as_millis();
    let text = format!(
        r#"{{"schema":1,"daemon":"{daemon}","version":"0","boot_id":"b","monotonic_ms":{now},"wall":null,
        "state":"{state}","since_ms":{now},"conditions":[{conditions}]}}"#
    );
    std::fs::write(dir.join(format!("run/failberry/{daemon}.json")), text).unwrap();
}

fn system(dir: &Path) -> StatusSite {
    for sub in ["run/failberry", "proc/sys/kernel/random"] {
        std::fs::create_dir_all(dir.join(sub)).unwrap();
    }
    std::fs::write(dir.join("proc/sys/kernel/random/boot_id"), "b\n").unwrap();
    std::fs::write(dir.join("proc/sys/kernel/hostname"), "attic\n").unwrap();
    for daemon in DAEMONS {
        put(dir, daemon, "serving", "");
    }
    StatusSite::new(Root::at(dir), true)
}

fn get(site: &mut StatusSite, path: &str) -> Response {
    site.answer(&Request { method: Method::Get, path, keep_alive: false, body: false })
}

fn text(response: &Response) -> &str {
    std::str::from_utf8(&response.body).unwrap()
}

#[test]
fn the_page_says_how_it_is_and_loads_nothing_from_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = system(dir.path());
    let response = get(&mut site, "/");
    let page = text(&response);
    assert!(page.contains("<title>attic: healthy</title>"), "{page}");
    for daemon in DAEMONS {
        assert!(page.contains(daemon), "{daemon}");
    }
    for elsewhere in ["<script", "http://", "https://", "src=", "@import", "url("] {
        assert!(!page.contains(elsewhere), "{elsewhere}");
    }
}

#[test]
fn what_a_stick_says_cannot_become_markup() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = system(dir.path());
    let hostile = "<script>alert('x')</script>&\\\"";
    let condition = format!(
        r#"{{"id":"{hostile}","severity":"error","since":1,"summary":"{hostile}","detail":"{hostile}"}}"#
    );
    put(dir.path(), "modem-dialer", hostile, &condition);
    let response = get(&mut site, "/");
    let page = text(&response);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{page}");
    assert!(page.contains("attic: failed"));
}

#[test]
fn a_daemon_that_was_never_heard_of_is_unknown_on_the_page() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = system(dir.path());
    std::fs::remove_file(dir.path().join("run/failberry/uplink.json")).unwrap();
    let response = get(&mut site, "/");
    assert!(text(&response).contains("uplink <span>unknown</span>"));
    assert!(text(&response).contains("has not started"));
}

#[test]
fn programs_get_the_same_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = system(dir.path());
    let response = get(&mut site, "/api/status");
    assert_eq!(response.content_type, "application/json");
    let json: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(json["state"], "healthy");
    assert_eq!(json["daemons"]["uplink"]["state"], "serving");
    assert_eq!(get(&mut site, "/api").status, 404);
}

#[test]
fn without_the_identity_of_this_boot_nothing_is_claimed() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = system(dir.path());
    std::fs::remove_file(dir.path().join("proc/sys/kernel/random/boot_id")).unwrap();
    assert_eq!(get(&mut site, "/").status, 500);
}

/// A day of minutes before this moment: one target that fails for a while, with a name meant to break things.
fn record(boot: &str, now_ms: u64) -> String {
    let point = |minute: u64| {
        let ms = i64::try_from(now_ms).unwrap() - i64::try_from(minute * 60_000).unwrap();
        let lost = u64::from((100..160).contains(&minute)) * 30;
        format!(
            r#"{{"ms":{ms},"unix":null,"sent":60,"lost":{lost},"median_ms":{},"worst_ms":90,"code":null}}"#,
            20 + minute % 7
        )
    };
    let points = (0..1440).rev().map(point).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"schema":1,"boot_id":"{boot}","step_s":60,"links":[{{"name":"<wired>","targets":[{{"name":"a","operator":"o","kind":"icmp","points":[{points}]}}]}}]}}"#
    )
}

fn put_record(dir: &Path, text: &str) {
    std::fs::create_dir_all(dir.join("run/failberry-uplink")).unwrap();
    std::fs::write(dir.join("run/failberry-uplink/history.json"), text).unwrap();
}

#[test]
fn the_last_day_is_drawn_and_its_numbers_are_there_for_programs() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = system(dir.path());
    assert!(!text(&get(&mut site, "/")).contains("The last day"), "no record, no chart");
    assert_eq!(get(&mut site, "/api/history").status, 404);
    put_record(dir.path(), &record("b", clock::now().as_millis()));
    let response = get(&mut site, "/");
    let page = text(&response);
    assert!(
        page.contains("<h3>&lt;wired&gt;</h3>") && page.contains("<polyline class=\"latency\""),
        "{page}"
    );
    assert!(page.contains("1800 of 8") && page.contains("class=\"lost\""), "{page}");
    let json: serde_json::Value = serde_json::from_slice(&get(&mut site, "/api/history").body).unwrap();
    let points = json["links"][0]["points"].as_array().unwrap();
    assert!((96..=97).contains(&points.len()), "{}", points.len());
    let lost: u64 = points.iter().map(|point| point["lost"].as_u64().unwrap()).sum();
    assert_eq!(lost, 1800);
}

#[test]
fn a_record_of_another_boot_or_a_broken_one_is_said_to_be_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = system(dir.path());
    put_record(dir.path(), &record("another", 1));
    assert!(text(&get(&mut site, "/")).contains("of before the restart"));
    let whole = record("b", clock::now().as_millis());
    for broken in ["", "{", "[]", "{\"schema\":2,\"boot_id\":\"b\",\"links\":[]}", &whole[..whole.len() / 2]]
    {
        let mut site = StatusSite::new(Root::at(dir.path()), true);
        put_record(dir.path(), broken);
        assert!(text(&get(&mut site, "/")).contains("the record cannot be read"), "{broken:.40}");
        assert_eq!(get(&mut site, "/api/history").status, 500);
    }
}

#[test]
fn prometheus_finds_numbers_unless_they_are_switched_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = system(dir.path());
    let response = get(&mut site, "/metrics");
    assert_eq!(response.content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert!(text(&response).contains("failberry_daemon_up{daemon=\"uplink\"} 1\n"));
    let mut off = StatusSite::new(Root::at(dir.path()), false);
    assert_eq!(get(&mut off, "/metrics").status, 404);
}

#[test]
fn a_condition_leads_to_its_page() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = system(dir.path());
    put(
        dir.path(),
        "uplink",
        "offline",
        r#"{"id":"uplink-none","severity":"error","since":1,"summary":"s","detail":"d"}"#,
    );
    assert!(text(&get(&mut site, "/")).contains("<a href=\"/conditions/uplink-none\">"));
    assert!(text(&get(&mut site, "/conditions/uplink-none")).contains("<h1>uplink-none</h1>"));
    assert!(text(&get(&mut site, "/conditions/")).contains("/conditions/notify-undelivered"));
    for path in ["/conditions/nothing", "/conditions/../x", "/conditions/uplink-none/"] {
        assert_eq!(get(&mut site, path).status, 404, "{path}");
    }
}

#[test]
fn pages_that_are_asked_for_have_a_section_with_status_and_times() {
    let dir = tempfile::tempdir().unwrap();
    let mut site = system(dir.path());
    assert!(!text(&get(&mut site, "/")).contains("Pages asked for"), "no pages, no section");
    let now = clock::now().as_millis();
    let document = serde_json::json!({
        "schema": 1, "daemon": "prober", "version": "0", "boot_id": "b", "monotonic_ms": now, "wall": null,
        "state": "failing", "since_ms": now, "conditions": [],
        "targets": [
            {"url": "https://<b>.example/", "line": "active", "state": "failing", "status": 503, "sent": 9,
             "failed": 3, "why": "http: status 503, expected 200 to 399", "connect_ms": 12.4, "total_ms": 250.6,
             "at_ms": now},
            {"url": "https://c.example/", "line": "wired", "state": "unknown", "status": null, "sent": 0},
        ],
    });
    std::fs::write(dir.path().join("run/failberry/prober.json"), document.to_string()).unwrap();
    let response = get(&mut site, "/");
    let page = text(&response);
    for wanted in [
        "<h3>https://&lt;b&gt;.example/ <span>503</span></h3>",
        "<p>http: status 503, expected 200 to 399</p>",
        "<p>251 ms (connection 12)</p>",
        "3 of 9 failed",
        "<span>not yet asked</span>",
    ] {
        assert!(page.contains(wanted), "{wanted} in {page}");
    }
}
