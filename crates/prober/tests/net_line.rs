//! The command and the daemon on an appliance with two lines: which of them a page is asked for over,
//! names included.

#[path = "../../web/tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::world;
use sysio::clock;
use testnet::Namespace;

/// A first request is at most ten seconds away; a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
const BOOT: &str = "boot-of-the-test";

/// The appliance's files; the wired line is the one in use.
fn files() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for sub in ["run/failberry/requests/prober", "proc/sys/kernel/random"] {
        fs::create_dir_all(root.path().join(sub)).unwrap();
    }
    fs::write(root.path().join("proc/sys/kernel/random/boot_id"), BOOT).unwrap();
    let link = |name: &str, interface: &str, net: &str| {
        json!({"name": name, "interface": interface, "state": "up", "way": true, "metered": name == "cellular",
            "dns": [format!("{net}.1")]})
    };
    // Ahead of the clock, so that it does not grow stale while a test waits.
    let at = clock::now().as_millis() + 600_000;
    let snapshot = json!({
        "schema": 1, "daemon": "uplink", "version": "0", "boot_id": BOOT, "monotonic_ms": at, "wall": null,
        "state": "online", "since_ms": 1, "conditions": [], "active": "wired",
        "links": [link("wired", "eth0", "192.0.2"), link("cellular", "ppp0", "198.51.100")],
    });
    fs::write(root.path().join("run/failberry/uplink.json"), snapshot.to_string()).unwrap();
    root
}

fn probe(pi: &Namespace, root: &Path, words: &'static [&'static str]) -> Output {
    let root = root.to_owned();
    pi.run(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_prober"));
        command.arg("probe").args(words).arg("--root").arg(root).output().unwrap()
    })
}

#[test]
fn a_person_chooses_the_line_whichever_is_in_use() {
    let (pi, _worlds) = world();
    let root = files();
    for (words, address) in [
        (&["http://page.example/", "--json", "--line", "wired"], "192.0.2.1:80"),
        (&["http://page.example/", "--json", "--line", "cellular"], "198.51.100.1:80"),
    ] {
        let output = probe(&pi, root.path(), words);
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{found}");
        assert_eq!((&found["address"], &found["status"]), (&address.into(), &200.into()), "{found}");
        assert!(found["dns_ms"].is_number(), "{found}");
    }
    let output = probe(&pi, root.path(), &["http://no.example/", "--json", "--line", "cellular"]);
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &found["phase"]), (Some(1), &"dns".into()), "{found}");
}

#[test]
fn the_daemon_asks_over_both_lines_each_by_its_own() {
    let (pi, _worlds) = world();
    let root = files();
    let targets = "targets = [\"http://page.example/ every=10 line=both metered=10 match=wired\"]";
    fs::write(root.path().join("prober.toml"), format!("[prober]\n{targets}\n")).unwrap();
    let at: PathBuf = root.path().to_owned();
    let mut daemon = pi.run(move || {
        Command::new(env!("CARGO_BIN_EXE_prober"))
            .arg("--root")
            .arg(&at)
            .arg("--config")
            .arg(at.join("prober.toml"))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    });
    let begin = Instant::now();
    let targets = loop {
        let text = fs::read_to_string(root.path().join("run/failberry/prober.json")).unwrap_or_default();
        let snapshot: Value = serde_json::from_str(&text).unwrap_or_default();
        let targets = snapshot["targets"].clone();
        let asked = |n: usize| targets[n]["at_ms"].is_number();
        if (asked(0) && asked(1)) || begin.elapsed() > PATIENCE {
            break targets;
        }
        thread::sleep(Duration::from_millis(20));
    };
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let [wired, cellular] = [&targets[0], &targets[1]];
    assert_eq!(
        (&wired["line"], &wired["address"], &wired["why"]),
        (&"wired".into(), &"192.0.2.1:80".into(), &Value::Null)
    );
    // That world's page says another word; its status stays.
    assert_eq!((&cellular["line"], &cellular["address"]), (&"cellular".into(), &"198.51.100.1:80".into()));
    assert_eq!((&cellular["status"], &cellular["phase"]), (&200.into(), &"http".into()), "{cellular}");
}
