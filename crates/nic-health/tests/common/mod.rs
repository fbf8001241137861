//! A small network, and the real daemon in it.

mod stalls;

use std::fs::{self, File};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use netlink::{Connection, Neighbour};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use testnet::Namespace;

pub(crate) const OURS: &str = "192.0.2.9";
pub(crate) const GATEWAY: &str = "192.0.2.1";
/// Nobody's.
pub(crate) const WRONG: &str = "02:00:00:00:00:99";
/// For what has no limit of its own; this is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);
const STEP: Duration = Duration::from_millis(50);

pub(crate) struct House {
    pub(crate) ours: Namespace,
    pub(crate) gateway: Namespace,
    pub(crate) root: TempDir,
    pub(crate) gateway_mac: String,
}

impl House {
    pub(crate) fn new() -> Self {
        let (ours, gateway) = (Namespace::new(), Namespace::new());
        ours.cable("eth0.7", &gateway, "gw0");
        let root = tempfile::tempdir().unwrap();
        let file = |path: &str, content: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        file("proc/sys/kernel/random/boot_id", "this-boot");
        file("proc/sys/kernel/osrelease", &fs::read_to_string("/proc/sys/kernel/osrelease").unwrap());
        for folder in ["run/failberry", "usr/share/failberry/hardware"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        let drivers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hardware/drivers");
        std::os::unix::fs::symlink(drivers, root.path().join("usr/share/failberry/hardware/drivers"))
            .unwrap();
        let mut house = Self { ours, gateway, root, gateway_mac: String::new() };
        house.addresses();
        house.gateway_mac = house.gateway.run(|| {
            let cards = Connection::open().unwrap().cards().unwrap();
            cards.into_iter().find(|card| card.name == "gw0").unwrap().mac.unwrap().to_string()
        });
        house
    }

    pub(crate) fn addresses(&self) {
        self.ours.sh(&format!("ip address add {OURS}/24 dev eth0.7"));
        self.ours.sh("ip address add 2001:db8::9/64 dev eth0.7 nodad");
        self.gateway.sh(&format!("ip address add {GATEWAY}/24 dev gw0"));
        self.gateway.sh("ip address add 2001:db8::1/64 dev gw0 nodad");
        self.ours.sh(&format!("ip route add default via {GATEWAY} dev eth0.7"));
    }

    /// A packet to the gateway, so that its entry is used.
    pub(crate) fn poke(&self) {
        self.ours.run(|| {
            let socket = UdpSocket::bind((OURS, 0)).unwrap();
            let _ = socket.send_to(b"x", (GATEWAY, 9));
        });
    }

    pub(crate) fn entry(&self, address: &str) -> Option<Neighbour> {
        let address: std::net::IpAddr = address.parse().unwrap();
        let all = self.ours_now(|| Connection::open().unwrap().neighbours().unwrap());
        all.into_iter().find(|entry| entry.address == address)
    }

    /// Runs something in our namespace although its thread may be busy.
    fn ours_now<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let path = format!("/proc/self/task/{}/ns/net", self.ours.thread());
        std::thread::spawn(move || {
            nix::sched::setns(File::open(path).unwrap(), nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            work()
        })
        .join()
        .unwrap()
    }

    pub(crate) fn daemon(&self, config: &str) -> Daemon {
        self.daemon_by(&[], config)
    }

    /// The daemon, started by another program.
    pub(crate) fn daemon_by(&self, by: &[&str], config: &str) -> Daemon {
        let snapshot = self.root.path().join("run/failberry/nic-health.json");
        let _ = fs::remove_file(&snapshot);
        let slice = self.root.path().join("run/failberry/config.toml");
        fs::write(&slice, config).unwrap();
        let mut words: Vec<String> = by.iter().map(ToString::to_string).collect();
        words.push(env!("CARGO_BIN_EXE_nic-health").to_owned());
        words.extend(["--root".to_owned(), self.root.path().display().to_string()]);
        words.extend(["--config".to_owned(), slice.display().to_string()]);
        let log =
            File::options().create(true).append(true).open(self.root.path().join("daemon.log")).unwrap();
        let child = self.ours_now(move || {
            Command::new(&words[0])
                .args(&words[1..])
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap()
        });
        Daemon { child, snapshot, log: self.root.path().join("daemon.log") }
    }

    /// What a command of `nic-health` prints.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        let root = self.root.path().display().to_string();
        let words: Vec<String> =
            words.iter().map(ToString::to_string).chain(["--root".into(), root]).collect();
        let output = self
            .ours_now(move || Command::new(env!("CARGO_BIN_EXE_nic-health")).args(words).output().unwrap());
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A running daemon; ends with the value.
pub(crate) struct Daemon {
    child: Child,
    snapshot: std::path::PathBuf,
    log: std::path::PathBuf,
}

impl Daemon {
    pub(crate) fn snapshot(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(&self.snapshot).ok()?).ok()
    }

    pub(crate) fn until<T>(&self, what: &str, found: impl Fn(&Value) -> Option<T>) -> T {
        self.within(PATIENCE, what, found)
    }

    pub(crate) fn within<T>(&self, limit: Duration, what: &str, found: impl Fn(&Value) -> Option<T>) -> T {
        let end = Instant::now() + limit;
        loop {
            let snapshot = self.snapshot();
            if let Some(found) = snapshot.as_ref().and_then(&found) {
                return found;
            }
            if Instant::now() >= end {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                panic!("{what}: not within {limit:?}\n{snapshot:#?}\n{log}");
            }
            std::thread::sleep(STEP);
        }
    }

    /// Does something the daemon hears of only afterwards.
    pub(crate) fn paused<T>(&self, work: impl FnOnce() -> T) -> T {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, Signal::SIGSTOP).unwrap();
        let done = work();
        kill(pid, Signal::SIGCONT).unwrap();
        done
    }

    pub(crate) fn resident_kb(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Processor time so far, from /proc (proc(5), fields 14 and 15, in hundredths of a second).
    pub(crate) fn processor(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `found` gives, within `limit`.
pub(crate) fn until<T>(limit: Duration, found: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "not within {limit:?}");
        std::thread::sleep(STEP);
    }
}
