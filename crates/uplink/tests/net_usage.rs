//! The real daemon counts a real interface, and the power fails, the line redials, names move.

use netlink::Connection;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use sysio::clock;
use testnet::Namespace;

/// Everything here is done in a few turns; this is for a busy machine.
const SOON: Duration = Duration::from_secs(30);
/// What a power cut may cost at most.
const LOST: Duration = Duration::from_secs(30);
/// The house's wish on one side, rules on the other: from the last byte to the snapshot.
const CUT: Duration = Duration::from_secs(4);
/// A datagram that needs no fragments.
const DATAGRAM: usize = 1400;

struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An appliance whose metered line is a cable to the carrier, and a system in a folder.
struct World {
    pi: Namespace,
    carrier: Namespace,
    dir: tempfile::TempDir,
    boot: u32,
}

impl World {
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let folders = [
            "run/failberry/config",
            "run/failberry/requests/uplink",
            "run/failberry-uplink",
            "data/failberry/uplink",
        ];
        for folder in folders {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        fs::create_dir_all(dir.path().join("proc/sys/kernel/random")).unwrap();
        fs::write(dir.path().join("run/failberry/config/uplink.toml"), config).unwrap();
        let mut world = Self { pi: Namespace::new(), carrier: Namespace::new(), dir, boot: 0 };
        world.boots();
        world.dials("ppp0");
        world
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Another boot: what the kernel counted is gone.
    fn boots(&mut self) {
        self.boot += 1;
        fs::write(self.path().join("proc/sys/kernel/random/boot_id"), format!("boot-{}\n", self.boot))
            .unwrap();
        let _ = fs::remove_file(self.path().join("run/failberry/uplink.json"));
    }

    /// A session: a new interface, whatever its name.
    fn dials(&self, name: &str) {
        self.pi.cable(name, &self.carrier, "isp0");
        self.pi.sh(&format!("ip addr add 100.64.0.2/24 dev {name}"));
        self.carrier.sh("ip addr add 100.64.0.1/24 dev isp0");
        self.says(name);
    }

    /// The same with an interface that keeps its counters to the end, as a ppp interface does (the
    /// received bytes of a veth are its peer's, which is let go first: `veth_dellink` in
    /// drivers/net/veth.c). It only sends.
    fn dials_out(&self) {
        bridge(&self.pi);
        self.says("ppp0");
    }

    /// `modem-dialer`'s word.
    fn says(&self, interface: &str) {
        let document = json!({
            "schema": 1, "daemon": "modem-dialer", "version": "0", "boot_id": format!("boot-{}", self.boot),
            "monotonic_ms": clock::now().as_millis(), "wall": null, "state": "connected", "since_ms": 1,
            "conditions": [], "link": {"interface": interface, "local": "100.64.0.2", "remote": "100.64.0.1"},
        });
        let path = self.path().join("run/failberry/modem-dialer.json");
        sysio::file::write_atomic(&path, document.to_string().as_bytes(), 0o644).unwrap();
    }

    fn daemon(&self) -> Running {
        let root = self.path().to_owned();
        let program = env!("CARGO_BIN_EXE_uplink");
        self.pi.run(move || Running(Command::new(program).arg("--root").arg(root).spawn().unwrap()))
    }

    /// So many bytes of payload from the carrier.
    fn sends(&self, bytes: usize) {
        self.carrier.run(move || send("100.64.0.1:0", "100.64.0.2:9", bytes));
    }

    /// What the kernel says an interface has carried.
    fn carried(&self, name: &str) -> u64 {
        let name = name.to_owned();
        self.pi.run(move || {
            let list = Connection::open().unwrap().all_counters().unwrap();
            let found = list.into_iter().find(|counters| counters.name == name).unwrap();
            found.received_bytes + found.sent_bytes
        })
    }

    fn usage(&self) -> Option<Value> {
        let text = fs::read(self.path().join("run/failberry/uplink.json")).ok()?;
        let snapshot: Value = serde_json::from_slice(&text).ok()?;
        (snapshot["boot_id"] == format!("boot-{}", self.boot)).then(|| snapshot["usage"].clone())
    }

    fn used(&self) -> u64 {
        self.usage().map_or(0, |usage| usage["used_bytes"].as_u64().unwrap())
    }

    /// Waits until the snapshot's usage is as wanted; how long that took.
    fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Duration {
        let begun = Instant::now();
        loop {
            let usage = self.usage();
            if usage.as_ref().is_some_and(&wanted) {
                return begun.elapsed();
            }
            assert!(begun.elapsed() < SOON, "{what}: not within {SOON:?}: {usage:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until all that was carried is said to be used.
    fn until_counted(&self, before: u64, name: &str) -> u64 {
        let begun = Instant::now();
        loop {
            // Probes go on meanwhile, so both are read until they meet.
            let (used, carried) = (self.used(), before + self.carried(name));
            assert!(used <= carried, "{used} of {carried} bytes: something was counted twice");
            if used == carried {
                return used;
            }
            assert!(begun.elapsed() < SOON, "{used} of {carried} bytes after {SOON:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A bridge without ports takes whatever is sent and keeps count of it.
fn bridge(pi: &Namespace) {
    pi.sh("ip link add ppp0 type bridge");
    pi.sh("ip addr add 100.64.0.2/24 dev ppp0");
    pi.sh("ip link set ppp0 up");
    pi.sh("ip neigh add 100.64.0.1 lladdr 02:00:00:00:00:01 dev ppp0");
}

fn send(from: &str, to: &str, bytes: usize) {
    let socket = UdpSocket::bind(from).unwrap();
    for _ in 0..bytes.div_ceil(DATAGRAM) {
        // Nobody listens: the answer, an ICMP error, may show up here.
        let _ = socket.send_to(&[0; DATAGRAM], to);
    }
}

#[test]
fn a_redial_a_rename_and_a_restart_lose_and_double_nothing() {
    let world = World::new("");
    let daemon = world.daemon();
    world.sends(500_000);
    world.until_counted(0, "ppp0");
    // Renamed under load: counted on, by its number.
    world.pi.sh("ip link set ppp0 down");
    world.pi.sh("ip link set ppp0 name lte0");
    world.pi.sh("ip link set lte0 up");
    world.sends(300_000);
    let mut before = world.until_counted(0, "lte0");
    world.pi.sh("ip link del lte0");
    // Sessions that end in the middle of things: their last bytes are in the kernel's farewell.
    for session in 0..3 {
        world.dials_out();
        if session == 1 {
            world.until("the session before", |usage| usage["used_bytes"].as_u64() >= Some(before));
        }
        world.pi.run(|| send("100.64.0.2:0", "100.64.0.1:9", 200_000));
        // So that nobody sends between the reading and the end.
        daemon.signal(Signal::SIGSTOP);
        world.pi.sh("ip link set ppp0 down");
        before += world.carried("ppp0");
        world.pi.sh("ip link del ppp0");
        daemon.signal(Signal::SIGCONT);
    }
    world.dials("ppp0");
    world.until_counted(before, "ppp0");
    // The beginning of a session is saved at once; killed before that, the ended ones' last bytes go.
    let counted = clock::now().as_millis();
    world.sends(1000);
    world.until("saved", |usage| usage["saved_ms"].as_u64() >= Some(counted));
    // Killed without a word, and what flowed meanwhile is found by the next one.
    drop(daemon);
    world.sends(100_000);
    let _daemon = world.daemon();
    let used = world.until_counted(before, "ppp0");
    assert!(used > 1_500_000, "{used}");
}

#[test]
fn a_power_cut_costs_little_and_counts_nothing_twice() {
    let mut world = World::new("");
    let (mut carried, mut worst) = (0, 0);
    for cut in 0..4_u64 {
        let daemon = world.daemon();
        world.until("the daemon", |_| true);
        let remembered = world.used();
        let (end, begun) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let stop = Arc::clone(&end);
        let flow = world.carrier.start(move || {
            let socket = UdpSocket::bind("100.64.0.1:0").unwrap();
            while !stop.load(Ordering::SeqCst) {
                for _ in 0..25 {
                    let _ = socket.send_to(&[0; DATAGRAM], "100.64.0.2:9");
                }
                // About 1.5 MB/s.
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // At another moment of the daemon's turn each time.
        std::thread::sleep(Duration::from_millis(4000 + 777 * cut));
        drop(daemon);
        end.store(true, Ordering::SeqCst);
        let flowed = begun.elapsed();
        flow.wait();
        let session = world.carried("ppp0");
        carried += session;
        world.pi.sh("ip link del ppp0");
        world.boots();
        world.dials("ppp0");
        let daemon = world.daemon();
        world.until("the daemon after the cut", |usage| usage["used_bytes"].as_u64() >= Some(remembered));
        let known = world.used();
        assert!(known <= carried + world.carried("ppp0"), "{known} of {carried}: counted twice");
        let lost = (carried + world.carried("ppp0")).saturating_sub(known);
        let a_second = session.saturating_sub(remembered.min(session)) / flowed.as_secs().max(1);
        worst = worst.max(lost);
        println!("cut {cut}: {carried} bytes carried, {known} remembered, {lost} missing");
        assert!(lost <= a_second.max(1_000_000) * LOST.as_secs(), "{lost}");
        // What was lost stays lost: from here on the sum is what is remembered.
        drop(daemon);
        carried = known;
        let daemon = world.daemon();
        drop(daemon);
        world.boots();
        world.pi.sh("ip link del ppp0");
        world.dials("ppp0");
    }
    println!("worst: {worst} bytes");
    assert!(worst < 10_000_000, "{worst}");
}

#[test]
fn told_to_end_it_saves_everything() {
    let mut world = World::new("");
    let mut daemon = world.daemon();
    world.sends(100_000);
    world.until_counted(0, "ppp0");
    world.sends(123_456);
    // Without an address nothing more is sent.
    world.pi.sh("ip link set ppp0 down");
    let carried = world.carried("ppp0");
    let pid = Pid::from_raw(daemon.0.id().try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    assert!(daemon.0.wait().unwrap().success());
    world.pi.sh("ip link del ppp0");
    world.boots();
    let _daemon = world.daemon();
    world.until("what was saved", |usage| usage["used_bytes"].as_u64() == Some(carried));
}

#[test]
fn a_spent_quota_is_said_at_once_and_a_correction_opens_again() {
    let world = World::new("[metered]\nquota = \"1 MB\"\n");
    let _daemon = world.daemon();
    world.until("open", |usage| usage["guard"] == "open");
    world.sends(800_000);
    world.until("most of it", |usage| usage["percent"].as_u64() >= Some(75));
    assert_eq!(world.usage().unwrap()["guard"], "open");
    world.sends(300_000);
    let took = world.until("cut", |usage| usage["guard"] == "cut");
    println!("cut after {took:?}");
    assert!(took < CUT, "{took:?}");
    let snapshot = fs::read_to_string(world.path().join("run/failberry/uplink.json")).unwrap();
    assert!(snapshot.contains("usage-quota-spent"), "{snapshot}");
    let request = world.path().join("run/failberry/requests/uplink/usage-set");
    for nonsense in ["a lot", "-5 MB"] {
        sysio::file::write_atomic(&request, nonsense.as_bytes(), 0o644).unwrap();
    }
    sysio::file::write_atomic(&request, b"0.2 MB", 0o644).unwrap();
    world.until("open again", |usage| usage["guard"] == "open");
    assert!((200_000..400_000).contains(&world.used()));
}

#[test]
fn a_line_that_costs_nothing_is_not_counted() {
    let world = World::new("[metered]\nmetered = false\n");
    let _daemon = world.daemon();
    world.until("nothing", Value::is_null);
    assert_eq!(
        fs::read_dir(world.path().join("data/failberry/uplink"))
            .unwrap()
            .filter(|e| { e.as_ref().unwrap().file_name().to_string_lossy().starts_with("usage") })
            .count(),
        0
    );
}

#[test]
fn the_farewell_of_an_interface_tells_what_it_carried() {
    let pi = Namespace::new();
    let mut farewells = pi.run(|| netlink::Farewells::open().unwrap());
    bridge(&pi);
    pi.run(|| UdpSocket::bind("100.64.0.2:0").unwrap().send_to(&[0; 1000], "100.64.0.1:9").unwrap());
    let carried = pi.run(|| {
        let list = Connection::open().unwrap().all_counters().unwrap();
        list.into_iter().find(|counters| counters.name == "ppp0").unwrap()
    });
    assert!(farewells.take().unwrap().is_empty());
    pi.sh("ip link del ppp0");
    let gone = farewells.take().unwrap();
    assert_eq!(
        gone.iter().map(|c| (c.index, c.name.as_str())).collect::<Vec<_>>(),
        [(carried.index, "ppp0")]
    );
    assert!(carried.sent_bytes > 1000 && gone[0].sent_bytes >= carried.sent_bytes, "{gone:?} {carried:?}");
}
