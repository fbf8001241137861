//! The metered guard in a real kernel: who passes, how the others are told, and how soon.

use netguard::{Driver, Finding, Iptables, ProcSys};
use ruleset::{Device, Guard, Metered, Policy};
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use sysio::{Root, clock};
use testnet::Namespace;

/// A packet that is dropped is never answered: this is how long we wait to believe it.
const SILENCE: Duration = Duration::from_secs(3);
/// What is answered is answered at once; a person calls half a second that.
const AT_ONCE: Duration = Duration::from_millis(500);
/// From `uplink`'s word to rules in the kernel.
const REACTION: Duration = Duration::from_secs(2);
/// Everything else, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A rule that is there only while somebody is refused.
const CLOSED: &str = "-A FB-METERED -j REJECT";

const SERVERS: [&str; 2] = ["100.64.0.1", "2001:db8:5::1"];
const OWN: [&str; 2] = ["192.168.178.2", "fd00:1::2"];
const PORT: u16 = 80;

/// An appliance with `ppp0` towards a carrier, and a LAN with two devices on one switch.
struct World {
    pi: Namespace,
    carrier: Namespace,
    _switch: Namespace,
    /// Its hardware address ends in its number; so do its addresses.
    laptop: Namespace,
    television: Namespace,
}

const LAPTOP: u8 = 0x20;
const TELEVISION: u8 = 0x30;

fn mac(number: u8) -> Device {
    Device::Mac(format!("02:00:00:00:00:{number:02x}").parse().unwrap())
}

fn network(text: &str) -> Device {
    Device::Network(text.parse().unwrap())
}

impl World {
    fn new() -> Self {
        let (pi, carrier, switch) = (Namespace::new(), Namespace::new(), Namespace::new());
        let (laptop, television) = (Namespace::new(), Namespace::new());
        switch.sh("ip link add br0 type bridge");
        switch.sh("ip link set br0 up");
        for (member, port, name) in
            [(&pi, "p1", "eth0"), (&laptop, "p2", "lan0"), (&television, "p3", "lan0")]
        {
            member.cable(name, &switch, port);
            switch.sh(&format!("ip link set {port} master br0"));
        }
        pi.cable("ppp0", &carrier, "isp0");
        for (namespace, interface, v4, v6) in [
            (&pi, "ppp0", "100.64.0.2", "2001:db8:5::2"),
            (&carrier, "isp0", SERVERS[0], SERVERS[1]),
            (&pi, "eth0", OWN[0], OWN[1]),
        ] {
            namespace.sh(&format!("ip addr add {v4}/24 dev {interface}"));
            namespace.sh(&format!("ip addr add {v6}/64 dev {interface} nodad"));
        }
        for (device, number) in [(&laptop, LAPTOP), (&television, TELEVISION)] {
            device.sh(&format!("ip link set lan0 address 02:00:00:00:00:{number:02x}"));
            device.sh(&format!("ip addr add 192.168.178.{number}/24 dev lan0"));
            device.sh(&format!("ip addr add fd00:1::{number:x}/64 dev lan0 nodad"));
            device.sh(&format!("ip route add default via {}", OWN[0]));
            device.sh(&format!("ip -6 route add default via {}", OWN[1]));
        }
        Self { pi, carrier, _switch: switch, laptop, television }
    }

    /// Applies the lists, twice: the second time nothing is left to do.
    fn apply(&self, metered: &Metered) {
        let policy = Policy { metered: Some(metered.clone()), ..Policy::standard("eth0".parse().unwrap()) };
        self.pi.run(move || {
            let mut driver = Driver::new(Iptables::find(), ProcSys::new(&Root::system()));
            driver.check(&policy);
            for (family, (finding, _)) in driver.check(&policy).firewall {
                assert_eq!(finding, Finding::Same, "{family:?}");
            }
        });
    }

    /// Servers on the carrier's side that accept and keep what comes; they end with the value.
    fn listeners(&self) -> Vec<TcpListener> {
        self.carrier.run(|| SERVERS.iter().map(|ip| TcpListener::bind((*ip, PORT)).unwrap()).collect())
    }
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse::<IpAddr>().unwrap(), port)
}

/// Connects from a device, and how long it took.
fn connect(device: &Namespace, to: SocketAddr) -> (io::Result<TcpStream>, Duration) {
    device.run(move || {
        let begun = Instant::now();
        let result = TcpStream::connect_timeout(&to, SILENCE);
        (result, begun.elapsed())
    })
}

/// What a device's own UDP packet brings back: the kernel's error for the refusal, within its time.
fn ask(device: &Namespace, to: SocketAddr) -> (Option<ErrorKind>, Duration) {
    device.run(move || {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).unwrap();
        socket.connect(to).unwrap();
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        let begun = Instant::now();
        socket.send(b"?").unwrap();
        let error = socket.recv(&mut [0; 16]).err().map(|e| e.kind());
        (error, begun.elapsed())
    })
}

fn assert_reached(device: &Namespace, to: SocketAddr) {
    let (result, _) = connect(device, to);
    assert!(result.is_ok(), "{to}: {result:?}");
}

fn assert_refused_at_once(device: &Namespace, to: SocketAddr) {
    let (result, took) = connect(device, to);
    let kind = result.map(drop).map_err(|e| e.kind());
    assert_eq!(kind, Err(ErrorKind::ConnectionRefused), "{to}");
    assert!(took < AT_ONCE, "{to}: {took:?}");
}

#[test]
fn a_device_on_the_list_passes_and_any_other_is_refused_at_once_in_both_families() {
    let world = World::new();
    let _servers = world.listeners();
    world.apply(&Metered { allow: vec![mac(LAPTOP)], ..Metered::default() });
    for server in SERVERS {
        assert_reached(&world.laptop, at(server, PORT));
        assert_refused_at_once(&world.television, at(server, PORT));
        let (error, took) = ask(&world.television, at(server, 9));
        // Administratively prohibited (RFC 1812 section 5.2.7.1; RFC 4443 section 3.1), as Linux tells programs.
        let wanted =
            if server.contains(':') { ErrorKind::PermissionDenied } else { ErrorKind::HostUnreachable };
        assert_eq!(error, Some(wanted), "{server}");
        assert!(took < AT_ONCE, "{server}: {took:?}");
    }
    // A privacy address is the same device.
    world.laptop.sh("ip addr add fd00:1::beef/64 dev lan0 nodad preferred_lft forever");
    world.laptop.sh("ip -6 route replace default via fd00:1::2 src fd00:1::beef");
    assert_reached(&world.laptop, at(SERVERS[1], PORT));
}

#[test]
fn an_address_covers_its_own_family_and_the_way_to_the_appliance_is_never_refused() {
    let world = World::new();
    let _servers = world.listeners();
    let _management = world.pi.run(|| TcpListener::bind(("::", 22)).unwrap());
    world.apply(&Metered { allow: vec![network("192.168.178.32/27")], ..Metered::default() });
    assert_refused_at_once(&world.laptop, at(SERVERS[1], PORT));
    assert_reached(&world.laptop, at(SERVERS[0], PORT));
    assert_refused_at_once(&world.television, at(SERVERS[1], PORT));
    world.apply(&Metered { guard: Guard::Cut, ..Metered::default() });
    for (device, own) in [(&world.laptop, OWN[0]), (&world.television, OWN[1])] {
        assert_refused_at_once(device, at(SERVERS[0], PORT));
        assert_reached(device, at(own, 22));
    }
    // What the appliance itself sends is never cut.
    for server in SERVERS {
        assert_reached(&world.pi, at(server, PORT));
    }
}

/// A connection from `device`, both ends.
fn connection(device: &Namespace, servers: &[TcpListener], which: usize) -> (TcpStream, TcpStream) {
    let (near, _) = connect(device, at(SERVERS[which], PORT));
    let near = near.unwrap();
    let (far, _) = servers[which].accept().unwrap();
    for end in [&near, &far] {
        end.set_read_timeout(Some(SILENCE)).unwrap();
    }
    (near, far)
}

fn passes(from: &mut TcpStream, to: &mut TcpStream) -> io::Result<()> {
    from.write_all(b"x")?;
    to.read_exact(&mut [0])
}

/// Whether this end learns that the connection is over. What was sent before the refusal counts as sent.
fn is_told(end: &mut TcpStream) -> bool {
    let _ = end.write_all(b"x");
    match end.read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
    }
}

#[test]
fn a_cut_ends_connections_on_both_sides_and_spares_those_of_essential_devices() {
    let world = World::new();
    let servers = world.listeners();
    let mut lists = Metered {
        allow: vec![mac(LAPTOP)],
        essential: vec![network("192.168.178.48"), network("fd00:1::30")],
        guard: Guard::Open,
    };
    world.apply(&lists);
    for which in [0, 1] {
        lists.guard = Guard::Open;
        world.apply(&lists);
        let (mut near, mut far) = connection(&world.laptop, &servers, which);
        let (mut vital, mut vital_far) = connection(&world.television, &servers, which);
        passes(&mut near, &mut far).unwrap();
        passes(&mut vital, &mut vital_far).unwrap();
        lists.guard = Guard::Cut;
        world.apply(&lists);
        // The server's word comes first: an essential device's download must go on.
        passes(&mut vital_far, &mut vital).unwrap();
        passes(&mut vital, &mut vital_far).unwrap();
        assert!(is_told(&mut near), "the device is told: {which}");
        assert!(is_told(&mut far), "the server is told: {which}");
        assert_refused_at_once(&world.laptop, at(SERVERS[which], PORT));
    }
    // Open again: at once.
    lists.guard = Guard::Open;
    world.apply(&lists);
    assert_reached(&world.laptop, at(SERVERS[0], PORT));
}

#[test]
fn a_stream_that_goes_both_ways_ends_for_a_refused_device_and_comes_back_when_it_may() {
    let world = World::new();
    let any = Metered::default();
    world.apply(&any);
    let server = world.carrier.run(|| UdpSocket::bind((SERVERS[0], 7)).unwrap());
    let device = world.laptop.run(|| UdpSocket::bind(("192.168.178.32", 4000)).unwrap());
    for socket in [&server, &device] {
        socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    }
    let mut buffer = [0; 16];
    device.send_to(b"1", at(SERVERS[0], 7)).unwrap();
    let (_, back) = server.recv_from(&mut buffer).unwrap();
    server.send_to(b"2", back).unwrap();
    device.recv_from(&mut buffer).unwrap();
    world.apply(&Metered { guard: Guard::Cut, ..any.clone() });
    // An unconnected socket hears no refusal; the packet is gone all the same.
    device.send_to(b"3", at(SERVERS[0], 7)).unwrap();
    assert!(server.recv_from(&mut buffer).is_err());
    server.send_to(b"4", back).unwrap();
    assert!(device.recv_from(&mut buffer).is_err(), "what still comes in is kept out, too");
    world.apply(&any);
    device.send_to(b"5", at(SERVERS[0], 7)).unwrap();
    server.recv_from(&mut buffer).unwrap();
    server.send_to(b"6", back).unwrap();
    device.recv_from(&mut buffer).unwrap();
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `uplink`'s snapshot, as it would be written just now.
fn say(root: &Path, usage: &str) {
    let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let (boot_id, now) = (boot_id.trim(), clock::now().as_millis());
    let text = format!(
        r#"{{"schema":1,"daemon":"uplink","version":"0","boot_id":"{boot_id}","monotonic_ms":{now},"wall":null,
        "state":"online","since_ms":{now},"conditions":[],"usage":{usage}}}"#
    );
    let path = root.join("run/failberry/uplink.json");
    sysio::file::write_atomic(&path, text.as_bytes(), 0o644).unwrap();
}

/// How long it takes until the rules of both families say what they should.
fn until(pi: &Namespace, closed: bool) -> Duration {
    let begun = Instant::now();
    loop {
        let both = ["iptables-save -t filter", "ip6tables-save -t filter"];
        if both.iter().all(|save| pi.sh(save).contains(CLOSED) == closed) {
            return begun.elapsed();
        }
        assert!(begun.elapsed() < PATIENCE, "not {closed} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_daemon_follows_uplink_s_word_within_two_seconds_and_keeps_it_when_there_is_none() {
    let pi = Namespace::new();
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("run/failberry")).unwrap();
    std::os::unix::fs::symlink("/proc", dir.path().join("proc")).unwrap();
    let root = dir.path().to_owned();
    let start = move || {
        Running(Command::new(env!("CARGO_BIN_EXE_netguard")).arg("--root").arg(&root).spawn().unwrap())
    };
    let again = start.clone();
    let daemon = pi.run(start);
    let end = Instant::now() + PATIENCE;
    while !dir.path().join("run/failberry/netguard.json").exists() {
        assert!(Instant::now() < end, "the daemon starts");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(until(&pi, false) < PATIENCE);
    let mut worst = Duration::ZERO;
    for _ in 0..5 {
        say(dir.path(), r#"{"guard": "cut"}"#);
        worst = worst.max(until(&pi, true));
        say(dir.path(), r#"{"guard": "open"}"#);
        worst = worst.max(until(&pi, false));
    }
    println!("worst of 10 reactions: {worst:?}");
    assert!(worst <= REACTION, "{worst:?}");
    say(dir.path(), r#"{"guard": "cut"}"#);
    until(&pi, true);
    // Neither silence nor a crash of ours opens what was cut.
    say(dir.path(), "null");
    fs::write(dir.path().join("run/failberry/uplink.json"), "{").unwrap();
    std::thread::sleep(REACTION);
    assert!(pi.sh("iptables-save -t filter").contains(CLOSED));
    say(dir.path(), r#"{"guard": "cut"}"#);
    drop(daemon);
    for iptables in ["iptables", "ip6tables"] {
        pi.sh(&format!("{iptables} -F FB-METERED"));
    }
    let _again = pi.run(again);
    until(&pi, true);
}
