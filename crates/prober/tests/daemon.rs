//! The program itself: daemon, child, command and files, against servers on loopback.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sysio::clock;

const BOOT: &str = "boot-of-the-test";
/// Three rounds of ten seconds, and a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A web server whose status can be changed; it says `all is well` and counts.
struct Server {
    address: SocketAddr,
    status: Arc<AtomicU16>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    fn new(status: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            status: Arc::new(AtomicU16::new(status)),
            asked: Arc::default(),
        };
        let (status, asked) = (Arc::clone(&server.status), Arc::clone(&server.asked));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let _ = stream.read(&mut [0; 4096]);
                asked.fetch_add(1, Ordering::SeqCst);
                let status = status.load(Ordering::SeqCst);
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\nContent-Length: 11\r\nLocation: http://x/?geheim\r\n\r\nall is well"
                );
            }
        });
        server
    }
}

/// An appliance's files, and the daemon on them.
struct House {
    dir: tempfile::TempDir,
    daemon: Option<Child>,
}

impl House {
    fn new(targets: &[String]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in [
            "run/failberry/requests/prober",
            "run/failberry-prober",
            "data/failberry/prober",
            "proc/sys/kernel/random",
        ] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        let house = Self { dir, daemon: None };
        fs::write(house.path("proc/sys/kernel/random/boot_id"), BOOT).unwrap();
        let targets: Vec<Value> = targets.iter().map(|target| json!(target)).collect();
        fs::write(house.path("prober.toml"), format!("[prober]\ntargets = {}\n", json!(targets))).unwrap();
        house.lines("up", "open");
        house
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// What `uplink` says of the one line there is.
    fn lines(&self, state: &str, guard: &str) {
        let link = json!({"name": "wired", "interface": "lo", "state": state, "way": true, "metered": false, "dns": []});
        // Ahead of the clock, so that it does not grow stale while a test waits.
        let at = clock::now().as_millis() + 600_000;
        let snapshot = json!({
            "schema": 1, "daemon": "uplink", "version": "0", "boot_id": BOOT, "monotonic_ms": at, "wall": null,
            "state": "online", "since_ms": 1, "conditions": [], "active": "wired", "links": [link],
            "usage": {"link": "wired", "guard": guard},
        });
        let path = self.path("run/failberry/uplink.json");
        sysio::file::write_atomic(&path, snapshot.to_string().as_bytes(), 0o644).unwrap();
    }

    fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_prober"))
            .args(["--root".as_ref(), self.dir.path().as_os_str()])
            .args(["--config".as_ref(), self.path("prober.toml").as_os_str()])
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.daemon = Some(child);
    }

    fn snapshot(&self) -> Value {
        let text = fs::read_to_string(self.path("run/failberry/prober.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn conditions(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let all = snapshot["conditions"].as_array().cloned().unwrap_or_default();
        all.iter().filter_map(|c| c["id"].as_str().map(str::to_owned)).collect()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn wait_until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let begin = Instant::now();
        while !is(self) {
            let text = self.snapshot();
            assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n{text:#}\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// As systemd does it.
    fn terminate(&mut self) {
        let mut child = self.daemon.take().unwrap();
        let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(killed.success());
        assert!(child.wait().unwrap().success());
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

#[test]
fn a_page_that_fails_is_a_condition_until_it_is_well_again() {
    let server = Server::new(200);
    let mut house =
        House::new(&[format!("http://{}/x?token=geheim every=10 match=well expect=200", server.address)]);
    house.start();
    house.wait_until("well", |house| house.snapshot()["targets"][0]["state"] == "ok");
    let target = house.snapshot()["targets"][0].clone();
    assert_eq!(
        (&target["status"], &target["line"], &target["over"]),
        (&200.into(), &"active".into(), &"wired".into())
    );
    assert!(target["connect_ms"].is_number() && target["first_byte_ms"].is_number(), "{target}");
    assert!(target["dns_ms"].is_null() && target["tls_ms"].is_null() && target["why"].is_null(), "{target}");
    server.status.store(503, Ordering::SeqCst);
    house.wait_until("failing", |house| house.conditions() == ["probe-failing"]);
    let snapshot = house.snapshot();
    assert_eq!((&snapshot["state"], &snapshot["targets"][0]["status"]), (&"failing".into(), &503.into()));
    assert!(snapshot["targets"][0]["total_ms"].is_number());
    server.status.store(200, Ordering::SeqCst);
    house.wait_until("well again", |house| house.conditions().is_empty());
    assert!(server.asked.load(Ordering::SeqCst) >= 6);
    house.terminate();
    // The record is shown, and kept for after a restart.
    let shown = fs::read_to_string(house.path("run/failberry-prober/history.json")).unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let points = shown["links"][0]["targets"][0]["points"].as_array().unwrap().clone();
    let sum = |key: &str| points.iter().filter_map(|point| point[key].as_u64()).sum::<u64>();
    assert!(sum("sent") >= 6 && (3..sum("sent")).contains(&sum("lost")), "{points:?}");
    let kept = fs::read_to_string(house.path("data/failberry/prober/history")).unwrap();
    for text in [house.log(), house.snapshot().to_string(), shown.to_string(), kept] {
        assert!(!text.is_empty() && !text.contains("geheim"), "{text}");
    }
}

#[test]
fn nothing_is_asked_over_a_spent_or_dead_line_and_at_once_when_it_is_back() {
    let server = Server::new(200);
    let mut house = House::new(&[format!("http://{}/ every=10", server.address)]);
    house.lines("up", "cut");
    house.start();
    // Its first request is at most ten seconds away; the snapshot is written at least so often.
    let begin = clock::now().as_millis();
    let heartbeat = |house: &House| house.snapshot()["monotonic_ms"].as_u64() > Some(begin + 12_000);
    house.wait_until("twelve seconds", heartbeat);
    house.lines("down", "open");
    let later = clock::now().as_millis();
    house.wait_until("a dead line", |house| house.snapshot()["monotonic_ms"].as_u64() > Some(later));
    assert_eq!(server.asked.load(Ordering::SeqCst), 0);
    house.lines("partial", "open");
    house.wait_until("asked", |house| house.snapshot()["targets"][0]["state"] == "ok");
}

#[test]
fn certificates_wait_for_somebodys_word_on_the_time_and_then_go_within_seconds() {
    /// `crates/sysio/src/clock.rs`: timesyncd runs and has not said a word.
    const TIMESYNCD: &str = "run/systemd/timesync";
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut house = House::new(&[format!("https://{nobody}/ every=10")]);
    fs::create_dir_all(house.path(TIMESYNCD)).unwrap();
    house.start();
    house.wait_until("waiting", |house| house.conditions() == ["probe-waiting-for-clock"]);
    // Its first request is at most ten seconds away.
    let begin = clock::now().as_millis();
    let later = |house: &House| house.snapshot()["monotonic_ms"].as_u64() > Some(begin + 12_000);
    house.wait_until("twelve seconds", later);
    assert_eq!(house.snapshot()["targets"][0]["sent"], 0);
    fs::write(house.path(TIMESYNCD).join("synchronized"), "").unwrap();
    let begin = Instant::now();
    house.wait_until("asked", |house| house.snapshot()["targets"][0]["phase"] == "connect");
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    assert!(house.conditions().is_empty());
}

#[test]
fn without_pages_it_is_idle_and_writes_no_record() {
    let mut house = House::new(&[]);
    house.start();
    house.wait_until("idle", |house| house.snapshot()["state"] == "idle");
    house.terminate();
    assert!(!house.path("run/failberry-prober/history.json").exists());
}

fn probe(words: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_prober"))
        .arg("probe")
        .args(words)
        .args(["--root", "/nonexistent"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    (output, text)
}

#[test]
fn a_person_sees_status_and_times_and_scripts_the_exit_code() {
    let [fine, away, broken] = [200, 302, 500].map(Server::new);
    let url = |server: &Server| format!("http://{}/a?geheim", server.address);
    let (output, text) = probe(&[&url(&fine), &url(&away), "--count", "2"]);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(text.lines().count(), 5, "{text}");
    assert!(text.lines().nth(1).unwrap().starts_with("200 ") && !text.contains("geheim"), "{text}");
    assert!(text.contains("-> http://x/"), "{text}");
    assert_eq!(away.asked.load(Ordering::SeqCst), 2);

    let (output, text) = probe(&[&url(&fine), &url(&broken), "--json"]);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let objects: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&objects[0]["status"], &objects[1]["status"]), (&200.into(), &500.into()));
    assert!(objects.iter().all(|object| object["total_ms"].is_number()));

    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (output, text) = probe(&[&format!("http://{nobody}/")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("connect: the connection is refused"), "{text}");
}

#[test]
fn a_mistake_on_the_command_line_and_a_line_nobody_knows_have_their_codes() {
    assert_eq!(probe(&[]).0.status.code(), Some(64));
    assert_eq!(probe(&["x", "--line", "dsl"]).0.status.code(), Some(64));
    assert_eq!(probe(&["http://127.0.0.1:1/", "--line", "cellular"]).0.status.code(), Some(69));
}
