//! A web server on loopback that does what a test says, and an appliance's files with the daemon on
//! them.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sysio::clock;

/// Longer than anything that works takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const BOOT: &str = "boot-of-the-test";

/// What a server heard: the head and the body, and who sent it.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) text: String,
    pub(crate) from: SocketAddr,
}

/// A server under way; its threads end with the test's process.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Server {
    /// Serves each request with what `answer` writes.
    pub(crate) fn new(answer: impl Fn(&Heard, &mut TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), heard: Arc::default() };
        let (own, answer) = (server.clone(), Arc::new(answer));
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (own, answer) = (own.clone(), Arc::clone(&answer));
                thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let Some(heard) = read(&mut stream) else { return };
                    own.heard.lock().unwrap().push(heard.clone());
                    answer(&heard, &mut stream);
                });
            }
        });
        server
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

fn read(stream: &mut TcpStream) -> Option<Heard> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(Heard { text, from: stream.peer_addr().ok()? });
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

/// Writes an answer with its length.
pub(crate) fn say(stream: &mut TcpStream, status: u16, body: &str) {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // A client that hangs up is part of some tests.
    let _ = stream.write_all(format!("{head}{body}").as_bytes());
}

/// An appliance's files, and the daemon on them; what it logs is kept.
pub(crate) struct House {
    pub(crate) dir: tempfile::TempDir,
    daemon: Option<Child>,
}

impl House {
    pub(crate) fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["run/failberry/requests/dyndns", "data/failberry/dyndns", "proc/sys/kernel/random", "etc"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        let house = Self { dir, daemon: None };
        fs::write(house.path("proc/sys/kernel/random/boot_id"), BOOT).unwrap();
        // Nobody answers there: what is to be told is not adopted from the DNS.
        fs::write(house.path("etc/resolv.conf"), "").unwrap();
        fs::write(house.path("dyndns.toml"), config).unwrap();
        house
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    /// What `uplink` says: the line in use, and the addresses of both.
    pub(crate) fn line(&self, active: &str, wired: &str, cellular: &str) {
        let link = |name: &str, address: &str| {
            json!({"name": name, "interface": "lo", "usable": true, "addresses": [address]})
        };
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

    pub(crate) fn start(&mut self) {
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
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn snapshot(&self) -> Value {
        let text = fs::read_to_string(self.path("run/failberry/dyndns.json")).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The ids of its conditions.
    pub(crate) fn conditions(&self) -> Vec<String> {
        let snapshot = self.snapshot();
        let all = snapshot["conditions"].as_array().cloned().unwrap_or_default();
        all.iter().filter_map(|c| c["id"].as_str().map(str::to_owned)).collect()
    }

    /// Waits and says how long it took.
    pub(crate) fn wait_until(&self, what: &str, is: impl Fn(&Self) -> bool) -> Duration {
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
