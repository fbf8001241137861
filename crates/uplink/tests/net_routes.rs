//! Real routes, rules and sockets, in network namespaces.

use link_health::{State, Verdict};
use ruleset::marks::Line;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use sysio::Root;
use sysio::clock::now;
use testnet::Namespace;
use uplink::{Driver, Event, Kernel, Machine, Outcome, Settings};

const BOOT: &str = "11111111-2222-3333-4444-555555555555";
/// The daemon reacts to events at once; this is for a busy machine.
const SOON: Duration = Duration::from_secs(10);

/// An appliance: `eth0` to the house's router, `ppp0` (a veth here; to routing it is the same) to the carrier.
struct Bench {
    pi: Namespace,
    router: Namespace,
    carrier: Namespace,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let (pi, router, carrier) = (Namespace::new(), Namespace::new(), Namespace::new());
        pi.cable("eth0", &router, "lan0");
        router.sh("ip addr add 192.168.178.1/24 dev lan0");
        pi.sh("ip addr add 192.168.178.2/24 dev eth0");
        pi.sh("ip route add default via 192.168.178.1 metric 1024 proto dhcp");
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("run/failberry")).unwrap();
        std::fs::create_dir_all(dir.path().join("proc/sys/kernel/random")).unwrap();
        std::fs::write(dir.path().join("proc/sys/kernel/random/boot_id"), format!("{BOOT}\n")).unwrap();
        Self { pi, router, carrier, dir }
    }

    fn session_up(&self) {
        self.pi.cable("ppp0", &self.carrier, "isp0");
        self.pi.sh("ip addr add 100.64.0.2 peer 10.64.64.64 dev ppp0");
        self.carrier.sh("ip addr add 10.64.64.64 peer 100.64.0.2 dev isp0");
    }

    fn modem_says(&self, boot: &str, link: &Value) {
        let snapshot = json!({
            "schema": 1, "daemon": "modem-dialer", "version": "0.1.0", "boot_id": boot,
            "monotonic_ms": now().as_millis(), "wall": null, "state": "connected", "since_ms": 0,
            "conditions": [], "link": link,
        });
        let path = self.dir.path().join("run/failberry/modem-dialer.json");
        sysio::file::write_atomic(&path, snapshot.to_string().as_bytes(), 0o644).unwrap();
    }

    fn session_reported(&self) {
        self.modem_says(
            BOOT,
            &json!({"interface": "ppp0", "local": "100.64.0.2", "remote": "10.64.64.64",
                                      "dns": ["198.51.100.53"], "mtu": 1500}),
        );
    }

    /// A fresh daemon takes one turn, as after a crash; probes say of the wired line what is given.
    fn turn(&self, wired: State) -> Outcome {
        let root = Root::at(self.dir.path());
        self.pi.run(move || {
            let mut driver = Driver { system: Kernel::open(&root, BOOT.to_owned()).unwrap() };
            let mut machine = Machine::new(Settings::backup("eth0"));
            // Where it starts depends on the routes in place alone; probes speak later.
            let mut outcome = driver.turn(now(), &mut machine);
            let verdict = Verdict { state: wired, ..Verdict::default() };
            machine.step(now(), Event::Health { line: Line::Wired, verdict });
            let second = driver.turn(now(), &mut machine);
            outcome.changes += second.changes;
            outcome
        })
    }

    /// Waits until the kernel has given all interfaces their link-local addresses and found nobody
    /// else to have them: until then it adds routes by itself, whatever `uplink` does.
    fn settled(&self) {
        let links = ["eth0", "ppp0"];
        within(SOON, "link-local addresses", || {
            let addresses = self.pi.sh("ip -6 -o addr show scope link");
            let all = links.iter().all(|l| addresses.contains(&format!("{l} ")));
            (all && !addresses.contains("tentative")).then_some(())
        });
    }

    fn way_out(&self) -> String {
        self.pi.sh("ip route get 203.0.113.7")
    }
}

#[test]
fn a_session_takes_the_default_and_gives_it_back() {
    let bench = Bench::new();
    bench.turn(State::Up);
    assert!(bench.way_out().contains("via 192.168.178.1 dev eth0"));
    bench.session_up();
    bench.session_reported();
    assert!(bench.turn(State::Up).changes > 0);
    assert!(bench.way_out().contains("dev eth0"), "a session alone is no reason to use what costs money");
    assert!(bench.turn(State::Down).changes > 0);
    assert!(bench.way_out().contains("dev ppp0"), "{}", bench.way_out());
    let resolv = std::fs::read_to_string(bench.dir.path().join("run/failberry/resolv.conf")).unwrap();
    assert!(resolv.contains("nameserver 198.51.100.53\n"), "{resolv}");
    bench.pi.sh("ip link del ppp0");
    bench.modem_says(BOOT, &Value::Null);
    bench.turn(State::Down);
    assert!(bench.way_out().contains("via 192.168.178.1 dev eth0"));
    assert!(!bench.pi.sh("ip rule").contains("lookup 202"));
}

#[test]
fn a_second_turn_changes_nothing_and_so_does_a_restart() {
    let bench = Bench::new();
    bench.pi.sh("ip addr add 2001:db8:1::2/64 dev eth0 nodad");
    bench.pi.sh("ip -6 route add default via fe80::1 dev eth0 metric 1024 proto ra");
    bench.session_up();
    bench.pi.sh("ip addr add 2001:db8:5::2/64 dev ppp0 nodad");
    bench.session_reported();
    bench.settled();
    assert!(bench.turn(State::Down).changes >= 10);
    let before = [bench.pi.sh("ip route show table all"), bench.pi.sh("ip -6 route show table all")];
    assert_eq!(bench.turn(State::Down).changes, 0);
    assert_eq!(before, [bench.pi.sh("ip route show table all"), bench.pi.sh("ip -6 route show table all")]);
    assert!(bench.pi.sh("ip -6 route get 2001:db8:9::1").contains("dev ppp0"));
    assert!(bench.pi.sh("ip -6 route get 2001:db8:9::1 from 2001:db8:1::2").contains("via fe80::1 dev eth0"));
}

#[test]
fn half_of_the_work_is_completed_by_the_next_start() {
    let bench = Bench::new();
    bench.session_up();
    bench.session_reported();
    bench.turn(State::Down);
    bench.pi.sh("ip rule del priority 20100");
    bench.pi.sh("ip rule del priority 20000");
    bench.pi.sh("ip route del default dev ppp0");
    bench.pi.sh("ip route flush table 201");
    bench.pi.sh("ip rule add from 192.0.2.1 lookup 202 priority 20200 protocol 77");
    assert!(bench.turn(State::Down).changes >= 4);
    assert!(bench.way_out().contains("dev ppp0"));
    assert!(
        bench.pi.sh("ip route get 203.0.113.7 from 192.168.178.2").contains("via 192.168.178.1 dev eth0")
    );
    assert!(!bench.pi.sh("ip rule").contains("192.0.2.1"));
    assert_eq!(bench.turn(State::Down).changes, 0);
}

#[test]
fn what_an_earlier_boot_said_is_not_believed() {
    let bench = Bench::new();
    bench.session_up();
    bench.modem_says(
        "99999999-0000-0000-0000-000000000000",
        &json!({"interface": "ppp0", "local": "100.64.0.2"}),
    );
    bench.turn(State::Down);
    assert!(bench.way_out().contains("dev eth0"), "{}", bench.way_out());
}

#[test]
fn a_stranger_s_question_by_the_wired_line_is_answered_by_it() {
    let bench = Bench::new();
    // The router forwards a port without translating: a health checker's own address arrives.
    bench.router.sh("ip addr add 203.0.113.9/32 dev lo");
    bench.router.sh("ip route add 192.168.178.2/32 dev lan0 src 203.0.113.9");
    bench.session_up();
    bench.session_reported();
    bench.turn(State::Down);
    assert!(
        bench.pi.sh("ip route get 203.0.113.9").contains("dev ppp0"),
        "the way there is the cellular line"
    );
    let listener = bench.pi.run(|| TcpListener::bind("0.0.0.0:9000").unwrap());
    let asking = bench.router.start(|| {
        let mut stream = TcpStream::connect_timeout(&"192.168.178.2:9000".parse().unwrap(), SOON).ok()?;
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut text = [0; 2];
        stream.read_exact(&mut text).ok().map(|()| text)
    });
    listener.set_nonblocking(true).unwrap();
    let peer = within(SOON, "a connection", || listener.accept().ok());
    (&peer.0).write_all(b"ok").unwrap();
    assert!(peer.1.ip().to_string() == "203.0.113.9");
    assert_eq!(asking.wait(), Some(*b"ok"));
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn snapshot(dir: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(dir.join("run/failberry/uplink.json")).ok()?).ok()
}

#[test]
fn the_daemon_follows_the_modem_and_heals_what_others_delete() {
    let bench = Bench::new();
    let root = bench.dir.path().to_owned();
    let _daemon = bench.pi.run(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_uplink"));
        Running(command.arg("--root").arg(root).stderr(Stdio::inherit()).spawn().unwrap())
    });
    let active = |want: &str| {
        let is = |s: &Value| s["active"] == want;
        within(SOON, want, || snapshot(bench.dir.path()).filter(is));
    };
    active("wired");
    bench.session_up();
    bench.session_reported();
    let standby = || bench.pi.sh("ip route").contains("default dev ppp0").then_some(());
    within(SOON, "the session's route stands by", standby);
    // It mends at the kernel's word, long before its own timer would make it look.
    let started = Instant::now();
    bench.pi.sh("ip route del default dev ppp0");
    within(SOON, "the route is back", standby);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    bench.pi.sh("ip route del default dev eth0");
    active("cellular");
    assert!(bench.way_out().contains("dev ppp0"), "{}", bench.way_out());
    bench.pi.sh("ip route add default via 192.168.178.1 metric 1024 proto dhcp");
    bench.pi.sh("ip link del ppp0");
    active("wired");
}
