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
    StatusSite::new(Root::at(dir))
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
