//! The program itself: daemon, child and files, against servers on loopback.

mod support;

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dyndns::provider::lambda::proof;
use serde_json::{Value, json};
use support::{PATIENCE, Server, say};
use sysio::clock;

const BOOT: &str = "boot-of-the-test";

/// Any port of this machine.
const LOCAL: &str = "127.0.0.1:0";
const WIRED: &str = "203.0.113.5";
const CELLULAR: &str = "198.51.100.7";
const PASSWORD: &str = "geheim-42";
/// The figure for failover and failback.
const FOLLOWS: Duration = Duration::from_secs(15);

/// An appliance's files, and the daemon on them; what it logs is kept.
struct House {
    dir: tempfile::TempDir,
    daemon: Option<Child>,
}

impl House {
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["run/failberry/requests/dyndns", "data/failberry/dyndns", "proc/sys/kernel/random", "etc"]
        {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        let house = Self { dir, daemon: None };
        fs::write(house.path("proc/sys/kernel/random/boot_id"), BOOT).unwrap();
        // Nobody answers there: what is to be told is not adopted from the DNS.
        fs::write(house.path("etc/resolv.conf"), "").unwrap();
        fs::write(house.path("dyndns.toml"), config).unwrap();
        house
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// What `uplink` says: the line in use, and the addresses of both.
    fn line(&self, active: &str, wired: &str, cellular: &str) {
        let link = |name: &str, address: &str| json!({"name": name, "interface": "lo", "usable": true, "addresses": [address]});
        // Ahead of the clock, so that it does not grow stale while a test waits.
        let at = clock::now().as_millis() + 600_000;
        let snapshot = json!({
            "schema": 1, "daemon": "uplink", "version": "0", "boot_id": BOOT, "monotonic_ms": at, "wall": null,
            "state": "online", "since_ms": 1, "conditions": [], "active": active,
            "links": [link("wired", wired), link("cellular", cellular)],
        });
        let path = self.path("run/failberry/uplink.json");
        sysio::file::write_atomic(&path, snapshot.to_string().as_bytes(), 0o644).unwrap();
    }

    fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_dyndns"))
            .args(["--root".as_ref(), self.dir.path().as_os_str()])
            .args(["--config".as_ref(), self.path("dyndns.toml").as_os_str()])
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
        let text = fs::read_to_string(self.path("run/failberry/dyndns.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The ids of its conditions.
    fn conditions(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let all = snapshot["conditions"].as_array().cloned().unwrap_or_default();
        all.iter().filter_map(|c| c["id"].as_str().map(str::to_owned)).collect()
    }

    /// Waits and says how long it took.
    fn wait_until(&self, what: &str, is: impl Fn(&Self) -> bool) -> Duration {
        let begin = Instant::now();
        while !is(self) {
            let text = self.snapshot();
            assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n{text:#}\n{}", self.log());
            thread::sleep(Duration::from_millis(20));
        }
        begin.elapsed()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.kill();
    }
}

fn dyndns2(server: &Server, more: &str) -> String {
    format!(
        "[dyndns]\nnames = [\"home.example.org account=a {more}\"]\n\
         accounts = [\"a: dyndns2 url=http://{}/nic/update user=me password={PASSWORD}\"]\n",
        server.address
    )
}

/// A dyndns2 service as documented: it has one address, and says so.
fn honest() -> Server {
    let has = Arc::new(Mutex::new(String::new()));
    Server::new(LOCAL, None, move |heard, stream| {
        let line = heard.text.lines().next().unwrap_or_default();
        let address = line.split("myip=").nth(1).and_then(|rest| rest.split([' ', '&']).next());
        let mut has = has.lock().unwrap();
        let code = if Some(has.as_str()) == address { "nochg" } else { "good" };
        address.unwrap_or_default().clone_into(&mut has);
        say(stream, 200, &format!("{code} {has}\r\n"));
    })
}

fn told(server: &Server, address: &str) -> usize {
    server.heard().iter().filter(|h| h.text.contains(&format!("myip={address}"))).count()
}

fn current(house: &House, address: &str) -> bool {
    let snapshot = house.snapshot();
    snapshot["records"][0]["address"] == address && snapshot["records"][0]["state"] == "current"
}

#[test]
fn a_name_follows_failover_and_failback_within_15_seconds() {
    let server = honest();
    let mut house = House::new(&dyndns2(&server, ""));
    house.line("wired", WIRED, CELLULAR);
    house.start();
    house.wait_until("told first", |house| current(house, WIRED));
    house.line("cellular", WIRED, CELLULAR);
    let over = house.wait_until("failover", |house| current(house, CELLULAR));
    house.line("wired", WIRED, CELLULAR);
    let back = house.wait_until("failback", |house| current(house, WIRED));
    println!("failover {over:?}, failback {back:?}");
    assert!(over < FOLLOWS && back < FOLLOWS, "{over:?} {back:?}");
    assert_eq!((told(&server, WIRED), told(&server, CELLULAR)), (2, 1));
    assert!(house.conditions().is_empty(), "{:?}", house.conditions());
}

#[test]
fn a_power_cut_and_a_reboot_bring_no_needless_update() {
    let server = honest();
    let mut house = House::new(&dyndns2(&server, ""));
    house.line("wired", WIRED, CELLULAR);
    house.start();
    house.wait_until("told first", |house| current(house, WIRED));
    for _ in 0..3 {
        house.kill();
        fs::remove_file(house.path("run/failberry/dyndns.json")).unwrap();
        house.start();
        house.wait_until("current again", |house| current(house, WIRED));
    }
    // Longer than it takes to be told: another address shows that it is alive, and once only.
    house.line("cellular", WIRED, CELLULAR);
    house.wait_until("failover", |house| current(house, CELLULAR));
    assert_eq!((told(&server, WIRED), told(&server, CELLULAR)), (1, 1));
}

#[test]
fn abuse_stops_for_good_even_after_a_reboot_until_the_account_is_another() {
    let server = Server::new(LOCAL, None, |_, stream| say(stream, 200, "abuse"));
    let mut house = House::new(&dyndns2(&server, ""));
    house.line("wired", WIRED, CELLULAR);
    house.start();
    let stopped = |house: &House| house.conditions().contains(&"dyndns-stopped".to_owned());
    house.wait_until("stopped", stopped);
    house.line("cellular", WIRED, CELLULAR);
    house.kill();
    fs::remove_file(house.path("run/failberry/dyndns.json")).unwrap();
    house.start();
    house.wait_until("stopped after a reboot", stopped);
    assert_eq!(server.heard().len(), 1);
    house.kill();
    let other = honest();
    fs::write(house.path("dyndns.toml"), dyndns2(&other, "")).unwrap();
    house.start();
    house.wait_until("told elsewhere", |house| current(house, CELLULAR));
}

#[test]
fn a_stop_is_over_when_a_person_asks_to_try_again() {
    let mended = Arc::new(AtomicUsize::new(0));
    let state = Arc::clone(&mended);
    let server = Server::new(LOCAL, None, move |_, stream| {
        say(stream, 200, if state.load(Ordering::SeqCst) == 0 { "badauth" } else { "good" });
    });
    let mut house = House::new(&dyndns2(&server, ""));
    house.line("wired", WIRED, CELLULAR);
    house.start();
    house.wait_until("stopped", |house| house.conditions() == ["dyndns-stopped"]);
    mended.store(1, Ordering::SeqCst);
    let request = house.path("run/failberry/requests/dyndns/retry");
    fs::write(&request, "").unwrap();
    house.wait_until("told", |house| current(house, WIRED));
    assert!(house.conditions().is_empty() && !request.exists());
    assert_eq!(server.heard().len(), 2);
}

#[test]
fn no_secret_is_in_log_snapshot_or_memory() {
    let server = Server::new(LOCAL, None, |_, stream| say(stream, 200, &format!("what is {PASSWORD}?")));
    let mut house = House::new(&dyndns2(&server, ""));
    house.line("wired", WIRED, CELLULAR);
    house.start();
    house.wait_until("a failure", |house| house.snapshot()["records"][0]["last_error"].is_string());
    house.kill();
    let kept = fs::read_to_string(house.path("data/failberry/dyndns/state.json")).unwrap_or_default();
    for text in [house.log(), house.snapshot().to_string(), kept] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
    assert!(house.log().contains("***"), "{}", house.log());
}

#[test]
fn carrier_grade_nat_is_an_error_with_the_cure_and_nobody_is_told() {
    let server = honest();
    let mut house = House::new(&dyndns2(&server, "link=cellular"));
    house.line("wired", WIRED, "100.72.3.4");
    house.start();
    house.wait_until("named", |house| house.conditions() == ["dyndns-not-reachable"]);
    let detail = house.snapshot()["conditions"][0]["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("100.72.3.4") && detail.contains("apn"), "{detail}");
    assert!(server.heard().is_empty());
    house.line("wired", WIRED, CELLULAR);
    house.wait_until("told once it is public", |house| current(house, CELLULAR));
}

#[test]
fn the_address_behind_a_router_is_asked_for_over_the_line() {
    let server = honest();
    let outside = Server::new(LOCAL, None, |_, stream| say(stream, 200, "203.0.113.99\n"));
    let config = dyndns2(&server, "link=wired");
    let mut house = House::new(&format!("{config}ask = \"http://{}/\"\n", outside.address));
    house.line("wired", "192.168.1.5", CELLULAR);
    house.start();
    house.wait_until("told", |house| current(house, "203.0.113.99"));
    assert_eq!(outside.heard().len(), 1);
}

/// The service as its source describes it, today's generation: the caller's address counts.
fn awslabs(name: &'static str, secret: &'static str) -> Server {
    let updates = AtomicUsize::new(0);
    Server::new(LOCAL, None, move |heard, stream| {
        let body = heard.text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let document: Value = serde_json::from_str(body).unwrap_or_default();
        let source: IpAddr = heard.from.ip();
        let (status, result, message) = match document["execution_mode"].as_str() {
            Some("get") => (200, "success", source.to_string()),
            Some("set") if document["ddns_hostname"] != name => (403, "fail", "no such name".to_owned()),
            Some("set") if document["validation_hash"] != proof(source, name, secret).as_str() => {
                (401, "fail", "Validation hashes do not match.".to_owned())
            }
            Some("set") if updates.fetch_add(1, Ordering::SeqCst) == 0 => {
                (201, "success", format!("{name} has been updated to {source}"))
            }
            Some("set") => {
                (200, "success", "Your IP address matches the current Route53 DNS record.".to_owned())
            }
            _ => (400, "fail", "You must pass mode=get or mode=set arguments.".to_owned()),
        };
        let answer = serde_json::json!({"return_status": result, "return_message": message});
        say(stream, status, &answer.to_string());
    })
}

#[test]
fn the_awslabs_service_is_told_and_an_address_it_sees_otherwise_is_named() {
    let server = awslabs("home.example.org", "SuP3R_5eCR3T");
    let config = format!(
        "[dyndns]\nnames = [\"home.example.org account=a\"]\naccounts = [\"a: lambda url=http://{}/ secret=SuP3R_5eCR3T\"]\n",
        server.address
    );
    let mut house = House::new(&config);
    house.line("cellular", WIRED, CELLULAR);
    house.start();
    // It sees loopback where the line says otherwise: so somebody translates.
    house.wait_until("named", |house| house.conditions() == ["dyndns-translated"]);
    assert_eq!(house.snapshot()["records"][0]["address"], "127.0.0.1");
    assert_eq!(server.heard().len(), 2);
}

#[test]
fn a_wrong_secret_stops_after_one_second_look() {
    let server = awslabs("home.example.org", "SuP3R_5eCR3T");
    let config = format!(
        "[dyndns]\nnames = [\"home.example.org account=a\"]\naccounts = [\"a: lambda url=http://{}/ secret=wrong-one\"]\n",
        server.address
    );
    let mut house = House::new(&config);
    house.line("cellular", WIRED, CELLULAR);
    house.start();
    house.wait_until("stopped", |house| house.conditions() == ["dyndns-stopped"]);
    // get, set, and get again to see whether the address had changed.
    assert_eq!(server.heard().len(), 3);
}

#[test]
fn an_update_that_waits_for_the_clock_goes_out_within_seconds_of_its_being_set() {
    let server = honest();
    let mut house = House::new(&dyndns2(&server, "").replace("http:", "https:"));
    house.line("wired", WIRED, CELLULAR);
    // timesyncd runs, and nobody has answered it so far.
    fs::create_dir_all(house.path("run/systemd/timesync")).unwrap();
    house.start();
    house.wait_until("waiting", |house| house.conditions() == ["dyndns-waiting-for-clock"]);
    let state = |house: &House| house.snapshot()["records"][0]["state"].clone();
    assert_eq!(state(&house), "pending");
    clock::mark_set(&sysio::Root::at(house.dir.path())).unwrap();
    let after = house.wait_until("telling", |house| state(house) == "telling");
    assert!(after < Duration::from_secs(6), "{after:?}");
    assert!(house.conditions().is_empty(), "{:?}", house.conditions());
}
