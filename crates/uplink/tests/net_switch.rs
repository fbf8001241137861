//! Failover and failback with real traffic, under the packet filter `netguard` loads.

use link_health::{State, Verdict};
use netguard::{Iptables, ProcSys};
use ruleset::Policy;
use ruleset::marks::{ARRIVED_MASK, LEFT_MASK, Line};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use sysio::Root;
use sysio::clock::now;
use testnet::Namespace;
use uplink::{Driver, Event, Kernel, Machine, Outcome, Settings};

const BOOT: &str = "11111111-2222-3333-4444-555555555555";
/// For a busy machine; what is promised is asserted beside it.
const SOON: Duration = Duration::from_secs(10);
/// A flow moves within this after the switch.
const MOVED: Duration = Duration::from_secs(1);
/// How often the LAN client's flow sends, and how long it waits for an answer.
const BEAT: Duration = Duration::from_millis(50);
/// A server on the internet, reached by either line; each line's end answers with its own name.
const SERVER: &str = "203.0.113.7";
/// Somebody on the internet who asks.
const STRANGER: &str = "203.0.113.9";
const CLIENT: &str = "192.168.178.10";
const FLOW: u16 = 4500;
const SSH: u16 = 22;

struct House {
    pi: Namespace,
    carrier: Namespace,
    client: Namespace,
    router: Namespace,
    _lan: Namespace,
    dir: tempfile::TempDir,
    uplink: Arc<Mutex<(Driver<Kernel>, Machine)>>,
    settings: Settings,
}

impl House {
    fn new(settings: &Settings) -> Self {
        let [pi, carrier, client, router, lan] = [(); 5].map(|()| Namespace::new());
        lan.sh("ip link add lan type bridge");
        lan.sh("ip link set lan up");
        for (namespace, port) in [(&pi, "pi"), (&client, "client"), (&router, "router")] {
            namespace.cable("eth0", &lan, port);
            lan.sh(&format!("ip link set {port} master lan"));
        }
        router.sh("ip addr add 192.168.178.1/24 dev eth0");
        pi.sh("ip addr add 192.168.178.2/24 dev eth0");
        pi.sh("ip route add default via 192.168.178.1 metric 1024 proto dhcp");
        client.sh(&format!("ip addr add {CLIENT}/24 dev eth0"));
        client.sh("ip route add default via 192.168.178.2");
        pi.cable("ppp0", &carrier, "isp0");
        pi.sh("ip addr add 100.64.0.2 peer 10.64.64.64 dev ppp0");
        carrier.sh("ip addr add 10.64.64.64 peer 100.64.0.2 dev isp0");
        for (end, name) in [(&router, "wired"), (&carrier, "cellular")] {
            end.sh(&format!("ip addr add {SERVER}/32 dev lo"));
            end.sh(&format!("ip addr add {STRANGER}/32 dev lo"));
            end.run(move || answer_with(name));
        }
        let policy = Policy {
            wired_uplink: settings.mode == config::Mode::Gateway,
            ..Policy::standard("eth0".parse().unwrap())
        };
        pi.run(move || {
            let root = Root::system();
            netguard::Driver::new(Iptables::find(), ProcSys::new(&root)).check(&policy);
        });
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("run/failberry")).unwrap();
        session_reported(dir.path());
        let uplink = Arc::new(Mutex::new(fresh(&pi, dir.path(), settings)));
        let settings = settings.clone();
        let house = Self { pi, carrier, client, router, _lan: lan, dir, uplink, settings };
        house.turn(0);
        house
    }

    /// A turn, so many seconds from now by the machine's clock.
    fn turn(&self, later: u64) -> Outcome {
        let uplink = Arc::clone(&self.uplink);
        self.pi.run(move || {
            let (driver, machine) = &mut *uplink.lock().unwrap();
            driver.turn(now() + Duration::from_secs(later), machine)
        })
    }

    /// What probes say from now on.
    fn probes_say(&self, line: Line, state: State) {
        let verdict = Verdict { state, ..Verdict::default() };
        self.uplink.lock().unwrap().1.step(now(), Event::Health { line, verdict });
    }

    fn active(&self) -> Option<Line> {
        self.uplink.lock().unwrap().1.active()
    }

    /// The daemon dies and is started again.
    fn restart(&self) {
        *self.uplink.lock().unwrap() = fresh(&self.pi, self.dir.path(), &self.settings);
    }

    fn wired_dies(&self) -> Outcome {
        self.probes_say(Line::Cellular, State::Up);
        self.probes_say(Line::Wired, State::Down);
        let outcome = self.turn(0);
        assert_eq!(self.active(), Some(Line::Cellular));
        outcome
    }

    /// From its first good word to the end of the hold time.
    fn wired_is_back(&self) {
        self.probes_say(Line::Wired, State::Up);
        self.turn(0);
        assert_eq!(self.active(), Some(Line::Cellular), "not before the hold time is over");
        self.turn(31);
        assert_eq!(self.active(), Some(Line::Wired));
    }

    fn connections(&self, mark: u32, bits: u32) -> u32 {
        self.pi.run(move || netlink::count_connections(mark, bits).unwrap())
    }

    fn left_by(&self, line: Line) -> u32 {
        self.connections(line.left(), LEFT_MASK | ARRIVED_MASK)
    }

    /// A port of the cellular address that a person has given to a LAN device.
    fn forward_ssh_to_client(&self) {
        self.pi.sh(&format!(
            "iptables -t nat -A PREROUTING -i ppp0 -p tcp --dport 2222 -j DNAT --to {CLIENT}:{SSH}"
        ));
        self.pi.sh(&format!("iptables -I FORWARD -i ppp0 -p tcp -d {CLIENT} --dport {SSH} -j ACCEPT"));
    }
}

fn fresh(pi: &Namespace, dir: &std::path::Path, settings: &Settings) -> (Driver<Kernel>, Machine) {
    let (root, settings) = (Root::at(dir), settings.clone());
    pi.run(move || (Driver { system: Kernel::open(&root, BOOT.to_owned()).unwrap() }, Machine::new(settings)))
}

fn session_reported(dir: &std::path::Path) {
    let snapshot = json!({
        "schema": 1, "daemon": "modem-dialer", "version": "0.1.0", "boot_id": BOOT,
        "monotonic_ms": now().as_millis(), "wall": null, "state": "connected", "since_ms": 0, "conditions": [],
        "link": {"interface": "ppp0", "local": "100.64.0.2", "remote": "10.64.64.64", "dns": ["198.51.100.53"]},
    });
    let path = dir.join("run/failberry/modem-dialer.json");
    sysio::file::write_atomic(&path, snapshot.to_string().as_bytes(), 0o644).unwrap();
}

/// Answers datagrams with `name`, from a thread that ends with the namespace's last packet.
fn answer_with(name: &'static str) {
    let socket = UdpSocket::bind((SERVER, FLOW)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(name.as_bytes(), from);
        }
    });
}

/// One flow of a LAN device: a socket that keeps its port, as a tunnel does.
struct Flow(UdpSocket);

impl Flow {
    fn start(client: &Namespace) -> Self {
        Self(client.run(|| {
            let socket = UdpSocket::bind((CLIENT, 4500)).unwrap();
            socket.set_read_timeout(Some(BEAT)).unwrap();
            socket
        }))
    }

    fn ask(&self) -> Option<String> {
        let mut buffer = [0; 64];
        // Answers to earlier questions come first; the newest one tells how it is now.
        self.0.set_nonblocking(true).unwrap();
        while self.0.recv(&mut buffer).is_ok() {}
        self.0.set_nonblocking(false).unwrap();
        let _ = self.0.send_to(b"?", (SERVER, FLOW));
        let length = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// How long until it is answered by `line`.
    fn moves_to(&self, line: Line) -> Duration {
        let started = Instant::now();
        within(SOON, line.name(), || (self.ask()? == line.name()).then_some(()));
        started.elapsed()
    }
}

fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An open connection, both ends of it.
struct Session(TcpStream, TcpStream);

impl Session {
    fn open(server: &Namespace, port: u16, asker: &Namespace, from: Option<&str>, to: &str) -> Self {
        let listener = server.run(move || TcpListener::bind(("0.0.0.0", port)).unwrap());
        let to: SocketAddr = to.parse().unwrap();
        assert!(from.is_none_or(|from| asker.sh(&format!("ip route get {to}", to = to.ip())).contains(from)));
        let asking = asker.start(move || TcpStream::connect_timeout(&to, SOON).unwrap());
        listener.set_nonblocking(true).unwrap();
        let accepted = within(SOON, "a connection", || listener.accept().ok()).0;
        accepted.set_nonblocking(false).unwrap();
        Self(asking.wait(), accepted)
    }

    /// Whether a line typed at one end comes out at the other and is answered.
    fn works(&self) -> bool {
        let Self(asker, answerer) = self;
        says(asker, answerer).and_then(|()| says(answerer, asker)).is_ok()
    }
}

fn says(mut from: &TcpStream, mut to: &TcpStream) -> std::io::Result<()> {
    to.set_read_timeout(Some(Duration::from_secs(5)))?;
    from.write_all(b"line")?;
    to.read_exact(&mut [0; 4])
}

#[test]
fn a_flow_of_a_lan_device_moves_with_the_line_and_back_off_the_metered_one() {
    let house = House::new(&Settings::gateway("eth0"));
    let flow = Flow::start(&house.client);
    flow.moves_to(Line::Wired);
    assert_eq!((house.left_by(Line::Wired), house.left_by(Line::Cellular)), (1, 0));
    assert!(house.wired_dies().forgotten > 0);
    let moved = flow.moves_to(Line::Cellular);
    assert!(moved < MOVED, "{moved:?}");
    assert_eq!((house.left_by(Line::Wired), house.left_by(Line::Cellular)), (0, 1));
    house.wired_is_back();
    let moved = flow.moves_to(Line::Wired);
    assert!(moved < MOVED, "{moved:?}");
    assert_eq!((house.left_by(Line::Wired), house.left_by(Line::Cellular)), (1, 0));
}

#[test]
fn a_straggler_is_let_go_at_the_second_look() {
    let house = House::new(&Settings::gateway("eth0"));
    house.wired_dies();
    // An entry that was made while routes changed: of the line that was left, after the deletion.
    let mark = Line::Wired.left();
    house.client.sh("ip route add 198.51.100.0/24 via 192.168.178.2");
    house.pi.sh(&format!(
        "iptables -t mangle -I PREROUTING -d 198.51.100.1 -j CONNMARK --set-xmark {mark:#x}/{LEFT_MASK:#x}"
    ));
    house.client.run(|| {
        let socket = UdpSocket::bind((CLIENT, 0)).unwrap();
        socket.send_to(b"late", "198.51.100.1:9").unwrap();
    });
    within(SOON, "an entry", || (house.left_by(Line::Wired) == 1).then_some(()));
    assert_eq!(house.turn(2).forgotten, 0, "looks are few");
    assert_eq!(house.turn(6).forgotten, 1);
    assert_eq!(house.left_by(Line::Wired), 0);
}

#[test]
fn what_came_in_by_the_stick_is_answered_by_it_whatever_line_is_in_use() {
    let house = House::new(&Settings::gateway("eth0"));
    house.forward_ssh_to_client();
    assert!(house.pi.sh(&format!("ip route get {STRANGER}")).contains("dev eth0"));
    house.carrier.sh(&format!("ip route replace 100.64.0.2 dev isp0 src {STRANGER}"));
    let to_box = Session::open(&house.pi, 9000, &house.carrier, Some(STRANGER), "100.64.0.2:9000");
    let to = "100.64.0.2:2222";
    let to_device = Session::open(&house.client, SSH, &house.carrier, Some(STRANGER), to);
    let from_lan = Session::open(&house.pi, SSH, &house.client, None, "192.168.178.2:22");
    let all_work = |when: &str| {
        assert!(to_box.works(), "the box, from the internet, {when}");
        assert!(to_device.works(), "a LAN device, from the internet, {when}");
        assert!(from_lan.works(), "the box, from the LAN, {when}");
    };
    all_work("with the wired line");
    house.wired_dies();
    all_work("after failover");
    house.turn(6);
    house.turn(11);
    all_work("after the second looks");
    house.wired_is_back();
    all_work("after failback");
}

#[test]
fn of_ten_thousand_connections_only_those_of_the_line_that_was_left_go_and_quickly() {
    const EACH: u16 = 5000;
    let house = House::new(&Settings::gateway("eth0"));
    house.pi.sh("iptables -I INPUT -p udp -j ACCEPT");
    house.client.run(|| {
        let socket = UdpSocket::bind((CLIENT, 0)).unwrap();
        for port in 10_000..10_000 + EACH {
            // Through the box to the internet, and to the box itself. A full buffer is tried again.
            for to in [SERVER, "192.168.178.2"] {
                while socket.send_to(b"x", (to, port)).is_err() {
                    std::thread::yield_now();
                }
            }
        }
    });
    let all = || house.connections(0, 0);
    within(SOON, "entries", || (all() >= 2 * u32::from(EACH)).then_some(()));
    let (before, wired) = (all(), house.left_by(Line::Wired));
    assert!(wired >= u32::from(EACH), "{wired}");
    let started = Instant::now();
    let outcome = house.wired_dies();
    let took = started.elapsed();
    println!("{before} entries, {} let go, in {took:?} with all of the switch", outcome.forgotten);
    assert_eq!(outcome.forgotten, wired);
    assert_eq!(house.left_by(Line::Wired), 0);
    assert!(all() >= before - wired, "{} of {before}", all());
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_second_turn_changes_nothing_in_either_direction() {
    let house = House::new(&Settings::gateway("eth0"));
    assert_eq!(house.turn(0), Outcome::default());
    house.wired_dies();
    assert_eq!(house.turn(0), Outcome::default());
    house.wired_is_back();
    assert_eq!(house.turn(31), Outcome::default());
}

#[test]
fn a_restart_knows_nothing_and_changes_nothing() {
    let house = House::new(&Settings::gateway("eth0"));
    let flow = Flow::start(&house.client);
    flow.moves_to(Line::Wired);
    house.wired_dies();
    flow.moves_to(Line::Cellular);
    house.restart();
    let outcome = house.turn(0);
    assert_eq!((outcome.changes, outcome.forgotten, house.active()), (0, 0, Some(Line::Cellular)));
    assert_eq!(flow.ask().as_deref(), Some("cellular"));
}

#[test]
fn killed_in_the_middle_of_a_switch_the_next_start_completes_it() {
    let house = House::new(&Settings::gateway("eth0"));
    let flow = Flow::start(&house.client);
    flow.moves_to(Line::Wired);
    // The first step of a failover, and no other: the old connection is still there.
    house.pi.sh("ip route add default dev ppp0 metric 100 proto 77");
    house.restart();
    let outcome = house.turn(0);
    assert_eq!(house.active(), Some(Line::Cellular));
    assert!(outcome.changes > 0 && outcome.forgotten + house.left_by(Line::Cellular) > 0, "{outcome:?}");
    assert_eq!(house.left_by(Line::Wired), 0);
    assert!(flow.moves_to(Line::Cellular) < MOVED);
}

#[test]
fn an_interface_renamed_under_load_is_found_again() {
    let house = House::new(&Settings::gateway("eth0"));
    let flow = Flow::start(&house.client);
    // Every hold time is over at the next look but one.
    let mut now = 0;
    let mut turn = || {
        now += 901;
        house.turn(now);
    };
    for _ in 0..5 {
        flow.moves_to(Line::Wired);
        house.pi.sh("ip link set eth0 down");
        house.pi.sh("ip link set eth0 name lan9");
        house.pi.sh("ip link set lan9 up");
        turn();
        assert_eq!(house.active(), Some(Line::Cellular), "no wired line by that name");
        house.pi.sh("ip link set lan9 down");
        house.pi.sh("ip link set lan9 name eth0");
        house.pi.sh("ip link set eth0 up");
        // As networkd would.
        house.pi.sh("ip route replace default via 192.168.178.1 metric 1024 proto dhcp");
        house.probes_say(Line::Wired, State::Up);
        within(SOON, "the carrier", || {
            turn();
            (house.active() == Some(Line::Wired)).then_some(())
        });
    }
    flow.moves_to(Line::Wired);
}

#[test]
fn in_backup_mode_the_lan_s_traffic_takes_the_stick_and_the_box_s_own_the_wired_line() {
    let house = House::new(&Settings::backup("eth0"));
    let flow = Flow::start(&house.client);
    flow.moves_to(Line::Cellular);
    assert!(house.pi.sh(&format!("ip route get {SERVER}")).contains("dev eth0"));
    assert!(house.client.sh("ping -c 1 -W 5 192.168.178.1").contains("1 received"));
    house.probes_say(Line::Cellular, State::Down);
    house.turn(0);
    assert_eq!(house.active(), Some(Line::Wired));
    // Not back to the router, which would send it here again: refused, and at once.
    let started = Instant::now();
    let refused = house.client.run(|| {
        let to = SocketAddr::new(SERVER.parse().unwrap(), 80);
        TcpStream::connect_timeout(&to, SOON).unwrap_err()
    });
    assert!(started.elapsed() < Duration::from_secs(2), "{refused}: {:?}", started.elapsed());
    assert!(refused.to_string().contains("unreachable"), "{refused}");
    house.probes_say(Line::Cellular, State::Up);
    house.turn(0);
    assert!(flow.moves_to(Line::Cellular) < MOVED);
    assert!(house.router.sh("ip -s link show dev eth0").contains("eth0"));
}
