//! The program itself: daemon, child and files, against servers on loopback.

mod support;

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Authority, CURRENT, MailServer, PATIENCE, Sink, http, mail, status};
use sysio::clock;

const BOOT: &str = "boot-of-the-test";
const TOKEN: &str = "sesame-open";

/// An appliance's files, and the daemon on them; what it logs is kept.
struct House {
    dir: tempfile::TempDir,
    daemon: Option<Child>,
    starts: u32,
}

impl House {
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in [
            "run/failberry/requests/notify",
            "run/failberry/answers/notify",
            "run/failberry-notify/hooks",
            "data/failberry/notify",
            "proc/sys/kernel/random",
        ] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        let house = Self { dir, daemon: None, starts: 0 };
        fs::write(house.path("proc/sys/kernel/random/boot_id"), BOOT).unwrap();
        fs::write(house.path("proc/sys/kernel/hostname"), "attic\n").unwrap();
        fs::write(house.path("notify.toml"), config).unwrap();
        house.all_is_well();
        house
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn all_is_well(&self) {
        for daemon in overview::DAEMONS.iter().filter(|daemon| **daemon != "notify") {
            self.says(daemon, &json!([]), &json!({}));
        }
    }

    fn says(&self, daemon: &str, conditions: &Value, fields: &Value) {
        // Ahead of the clock, so that it does not grow stale while a test waits.
        let at = clock::now().as_millis() + 600_000;
        let mut snapshot = json!({
            "schema": 1, "daemon": daemon, "version": "0", "boot_id": BOOT, "monotonic_ms": at, "wall": null,
            "state": "serving", "since_ms": 1, "conditions": conditions,
        });
        snapshot.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let path = self.path(&format!("run/failberry/{daemon}.json"));
        sysio::file::write_atomic(&path, snapshot.to_string().as_bytes(), 0o644).unwrap();
    }

    fn line(&self, active: &str, conditions: &Value) {
        let link = |name: &str, metered: bool| json!({"name": name, "state": "up", "usable": name == active, "metered": metered});
        let fields = json!({"active": active, "links": [link("wired", false), link("cellular", true)]});
        self.says("uplink", conditions, &fields);
    }

    fn start(&mut self) {
        // The kernel gives another one to everybody who reads it.
        self.starts += 1;
        let uuid = format!("0123-4567-89{:02}-cdef", self.starts);
        fs::write(self.path("proc/sys/kernel/random/uuid"), uuid).unwrap();
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_notify"))
            .args(["--root".as_ref(), self.dir.path().as_os_str()])
            .args(["--config".as_ref(), self.path("notify.toml").as_os_str()])
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(child);
    }

    /// As a power cut does it: no chance to say goodbye.
    fn kill(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn snapshot(&self) -> Value {
        let text = fs::read_to_string(self.path("run/failberry/notify.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn wait_until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is(self) {
            assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}\n{:#}", self.snapshot());
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn log(&self) -> String {
        let mut text = String::new();
        fs::File::open(self.path("log")).unwrap().read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.kill();
    }
}

fn config(sink: &Sink, more: &str) -> String {
    format!(
        "[notify]\nsettle-seconds = 0\nrecovered-seconds = 0\nwebhook = \"http://{}/hook\"\n{more}",
        sink.address
    )
}

fn trouble(id: &str) -> Value {
    json!([{"id": id, "severity": "error", "since": 1, "summary": format!("{id} is so"), "detail": "because"}])
}

fn kinds(sink: &Sink, count: usize) -> Vec<(String, String, String)> {
    let text = |document: &Value, key: &str| document[key].as_str().unwrap_or_default().to_owned();
    let all = sink.wait_for(count);
    all.iter()
        .map(|heard| serde_json::from_str::<Value>(&heard.body).unwrap())
        .map(|d| (text(&d, "kind"), text(&d, "condition"), text(&d, "id")))
        .collect()
}

#[test]
fn an_alert_then_its_recovery_and_hooks_get_their_notes() {
    let sink = http(None, |stream, _| status(stream, "200 OK"));
    let mut house = House::new(&config(&sink, ""));
    fs::create_dir_all(house.path("data/failberry/hooks/failover")).unwrap();
    fs::write(house.path("data/failberry/hooks/failover/10-mine"), "").unwrap();
    house.line("wired", &json!([]));
    house.start();
    house.wait_until("it watches", |house| house.snapshot()["state"] == "watching");
    house.line("cellular", &trouble("uplink-wired-down"));
    let told = kinds(&sink, 1);
    assert_eq!((told[0].0.as_str(), told[0].1.as_str()), ("alert", "uplink-wired-down"));
    // A message in the air when the line changes is told again; that is not asked here.
    house.wait_until("the alert is told", |house| house.snapshot()["queued"] == 0);
    house.line("wired", &json!([]));
    let told = kinds(&sink, 2);
    assert_eq!((told[1].0.as_str(), told[1].1.as_str()), ("recovery", "uplink-wired-down"));
    house.wait_until("the queue is empty", |house| house.snapshot()["queued"] == 0);
    let notes: Vec<_> = fs::read_dir(house.path("run/failberry-notify/hooks")).unwrap().flatten().collect();
    assert_eq!(notes.len(), 1, "failover alone has a hook");
    let note = fs::read_to_string(notes[0].path()).unwrap();
    assert_eq!(sink.heard().len(), 2, "and nothing else was told");
    assert!(note.contains("FAILBERRY_TO") && note.contains("cellular"), "{note}");
}

#[test]
fn a_power_cut_while_a_message_is_under_way_sends_it_again_under_the_same_id_and_never_the_alert_anew() {
    // The first server takes the message and never answers.
    let sink = http(None, |stream, number| {
        if number == 1 {
            thread::sleep(PATIENCE);
        }
        status(stream, "200 OK")
    });
    let mut house = House::new(&config(&sink, ""));
    house.says("netguard", &trouble("firewall-not-applied"), &json!({}));
    house.start();
    let first = kinds(&sink, 1);
    house.kill();
    house.start();
    let second = kinds(&sink, 2);
    assert_eq!(first[0], second[1], "at least once, and recognisable");
    house.wait_until("the queue is empty", |house| {
        house.snapshot()["queued"] == 0 && house.snapshot()["channels"][0]["delivered"] == 1
    });
    house.kill();
    house.start();
    house.says("netguard", &json!([]), &json!({}));
    let third = kinds(&sink, 3);
    assert_eq!(third[2].0, "recovery", "the alert was not told again, its end is");
}

#[test]
fn what_a_dead_line_held_up_goes_out_at_once_when_the_line_changes() {
    let sink = http(None, |stream, number| status(stream, if number <= 2 { "503 Later" } else { "200 OK" }));
    let mut house = House::new(&config(&sink, ""));
    house.line("wired", &trouble("uplink-wired-down"));
    house.start();
    sink.wait_for(2);
    house.wait_until("two failures are known", |house| house.snapshot()["channels"][0]["failures"] == 2);
    assert_eq!(house.snapshot()["state"], "retrying");
    let started = Instant::now();
    house.line("cellular", &trouble("uplink-wired-down"));
    let told = kinds(&sink, 3);
    assert!(
        started.elapsed() < Duration::from_secs(8),
        "the pause would have been 10 s: {:?}",
        started.elapsed()
    );
    assert!(told.iter().all(|one| one == &told[0]));
    house.wait_until("the queue is empty", |house| house.snapshot()["queued"] == 0);
}

#[test]
fn a_try_that_hangs_on_the_old_line_is_ended_when_the_line_changes() {
    let sink = http(None, |stream, number| {
        if number == 1 {
            thread::sleep(PATIENCE);
        }
        status(stream, "200 OK")
    });
    let mut house = House::new(&config(&sink, ""));
    house.line("wired", &trouble("uplink-wired-down"));
    house.start();
    sink.wait_for(1);
    let started = Instant::now();
    house.line("cellular", &trouble("uplink-wired-down"));
    let told = kinds(&sink, 2);
    assert!(started.elapsed() < Duration::from_secs(20), "its own limit is 30 s: {:?}", started.elapsed());
    assert_eq!(told[0], told[1]);
    house.wait_until("the queue is empty", |house| house.snapshot()["queued"] == 0);
}

#[test]
fn who_is_named_later_is_told_of_what_stands() {
    let sink = http(None, |stream, _| status(stream, "200 OK"));
    let mut house = House::new("[notify]\nsettle-seconds = 0\nrecovered-seconds = 0\n");
    house.says("netguard", &trouble("firewall-not-applied"), &json!({}));
    house.start();
    house.wait_until("it is told to nobody", |house| house.snapshot()["told"] == 1);
    house.wait_until("and kept", |house| house.path("data/failberry/notify/state.json").exists());
    house.kill();
    fs::write(house.path("notify.toml"), config(&sink, "")).unwrap();
    house.start();
    assert_eq!(kinds(&sink, 1)[0].1, "firewall-not-applied");
    house.wait_until("the queue is empty", |house| house.snapshot()["queued"] == 0);
    house.kill();
    house.start();
    house.says("netguard", &json!([]), &json!({}));
    assert_eq!(kinds(&sink, 2)[1].0, "recovery", "and once only");
}

#[test]
fn an_id_is_never_used_twice_although_nothing_can_be_kept() {
    let sink = http(None, |stream, _| status(stream, "200 OK"));
    let mut house = House::new(&config(&sink, ""));
    fs::remove_dir(house.path("data/failberry/notify")).unwrap();
    house.says("netguard", &trouble("firewall-not-applied"), &json!({}));
    house.start();
    kinds(&sink, 1);
    house.kill();
    house.says("netguard", &trouble("sysctl-read-only"), &json!({}));
    house.start();
    let told = kinds(&sink, 2);
    assert_eq!(told[1].1, "sysctl-read-only");
    assert_ne!(told[0].2, told[1].2, "or a receiver would take it for one it has");
}

#[test]
fn a_test_tries_every_way_answers_for_each_and_no_secret_is_ever_logged_or_shown() {
    let sink = http(None, |stream, _| status(stream, "401 No"));
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let starttls = Some(authority.server("localhost", CURRENT));
    let login = Some(("me".to_owned(), TOKEN.to_owned()));
    let post = mail(MailServer { starttls, login, ..MailServer::default() });
    let more = format!(
        "webhook-token = \"{TOKEN}\"\nslack = \"http://{}/services/{TOKEN}\"\nsmtp = \"smtp://me@localhost:{}\"\n\
         smtp-password = \"{TOKEN}\"\nmail-to = [\"me@example.org\"]\n",
        sink.address,
        post.address.port()
    );
    let mut house = House::new(&config(&sink, &more));
    fs::copy(&authority.pem, house.path("data/failberry/notify/ca.pem")).unwrap();
    house.says("netguard", &trouble("firewall-not-applied"), &json!({}));
    house.start();
    house.wait_until("it runs", |house| house.snapshot()["state"].is_string());
    fs::write(house.path("run/failberry/requests/notify/test-a1b2"), "").unwrap();
    let answer = house.path("run/failberry/answers/notify/a1b2");
    house.wait_until("there is an answer", |_| answer.exists());
    let answer = fs::read_to_string(answer).unwrap();
    let channels: Value = serde_json::from_str(&answer).unwrap();
    let ok = |name: &str| {
        let all = channels["channels"].as_array().unwrap();
        all.iter().find(|channel| channel["channel"] == name).unwrap()["ok"].as_bool().unwrap()
    };
    assert!(ok("mail") && !ok("webhook") && !ok("slack"), "{answer}");
    house.wait_until("the alert was tried too", |house| house.snapshot()["state"] == "retrying");
    let state = fs::read_to_string(house.path("data/failberry/notify/state.json")).unwrap();
    for (what, text) in [
        ("log", house.log()),
        ("answer", answer),
        ("snapshot", house.snapshot().to_string()),
        ("state", state),
    ] {
        assert!(!text.contains(TOKEN), "a secret in the {what}: {text}");
    }
    assert!(house.log().contains("refuses the login"), "{}", house.log());
}

#[test]
fn without_a_data_partition_it_goes_on_from_memory_and_says_so() {
    let sink = http(None, |stream, _| status(stream, "200 OK"));
    let mut house = House::new(&config(&sink, ""));
    fs::remove_dir(house.path("data/failberry/notify")).unwrap();
    house.says("netguard", &trouble("firewall-not-applied"), &json!({}));
    house.start();
    kinds(&sink, 1);
    house.wait_until("it says so", |house| house.snapshot().to_string().contains("notify-not-saved"));
    fs::create_dir(house.path("data/failberry/notify")).unwrap();
    house.wait_until("it is over", |house| !house.snapshot().to_string().contains("notify-not-saved"));
    assert!(Path::new(&house.path("data/failberry/notify/state.json")).exists());
}

#[test]
fn a_broken_state_is_put_aside_and_what_lasts_is_told_anew() {
    let sink = http(None, |stream, _| status(stream, "200 OK"));
    let mut house = House::new(&config(&sink, ""));
    fs::write(house.path("data/failberry/notify/state.json"), "{\"schema\":1,\"insta").unwrap();
    house.says("netguard", &trouble("firewall-not-applied"), &json!({}));
    house.start();
    assert_eq!(kinds(&sink, 1)[0].1, "firewall-not-applied");
    house.wait_until("it says so", |house| house.snapshot().to_string().contains("notify-state-lost"));
    assert!(house.path("data/failberry/notify/state.bad").exists());
}
