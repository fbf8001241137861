//! What a stranger cannot do on an open port, and whose address nobody can borrow, in a real kernel.

use netguard::{Driver, Finding, Iptables, ProcSys};
use ruleset::{OpenPort, Policy, Transport};
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};
use sysio::Root;
use testnet::Namespace;

/// A packet that is dropped is never answered: this is how long we wait to believe it.
const SILENCE: Duration = Duration::from_millis(150);
/// One that is let through arrives at once, even on a busy machine.
const ANSWER: Duration = Duration::from_secs(10);
/// As `open.rs` of crate ruleset has them: at once, one more each so often (30 a second), and at one time.
const BURST: usize = 120;
const MILLIS_EACH: u128 = 1000 / 30;
const CONNECTIONS: usize = 128;

fn policy() -> Policy {
    let mut policy = Policy::standard("eth0".parse().unwrap());
    policy.open_ports.push(OpenPort { transport: Transport::Udp, port: 5000 });
    policy
}

/// An appliance with the house on `eth0` and the carrier on `ppp0`.
fn appliance(policy: Policy) -> (Namespace, Namespace, Namespace) {
    let (pi, house, carrier) = (Namespace::new(), Namespace::new(), Namespace::new());
    pi.cable("eth0", &house, "lan0");
    pi.cable("ppp0", &carrier, "isp0");
    for (namespace, line) in [
        (&pi, "addr add 192.168.178.2/24 dev eth0"),
        (&pi, "addr add fd00:1::2/64 dev eth0 nodad"),
        (&pi, "addr add 100.64.0.2/24 dev ppp0"),
        (&pi, "addr add 2001:db8:5::2/64 dev ppp0 nodad"),
        (&carrier, "addr add 100.64.0.1/24 dev isp0"),
        (&carrier, "addr add 100.64.0.3/24 dev isp0"),
        (&carrier, "addr add 2001:db8:5::1/64 dev isp0 nodad"),
    ] {
        namespace.sh(&format!("ip {line}"));
    }
    load(&pi, policy);
    (pi, house, carrier)
}

fn load(pi: &Namespace, policy: Policy) {
    let findings =
        pi.run(move || Driver::new(Iptables::find(), ProcSys::new(&Root::system())).check(&policy));
    for (finding, _) in findings.firewall.values() {
        assert!(matches!(finding, Finding::Changed | Finding::Same), "{finding:?}");
    }
}

/// A server that holds what it is given.
fn hold(pi: &Namespace) {
    let listener = pi.run(|| TcpListener::bind(("::", 9000)).unwrap());
    std::thread::spawn(move || {
        let _held: Vec<_> = listener.incoming().collect();
    });
}

fn connect() -> std::io::Result<TcpStream> {
    let target: SocketAddr = "100.64.0.2:9000".parse().unwrap();
    TcpStream::connect_timeout(&target, SILENCE)
}

#[test]
fn one_source_has_its_share_of_connections_and_others_are_served() {
    let (pi, _house, carrier) = appliance(policy());
    hold(&pi);
    let (flood, in_time, refused) = carrier.run(|| {
        let begun = Instant::now();
        let mut held = Vec::new();
        let mut lost = false;
        // Faster than anybody who is not after harm.
        while !lost {
            match connect() {
                Ok(stream) => held.push(stream),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    lost = true;
                }
            }
            assert!(held.len() <= CONNECTIONS, "no limit");
        }
        let (flood, in_time) = (held.len(), begun.elapsed());
        // Slower than the rate: now the number at one time counts, and is told at once.
        let end = Instant::now() + ANSWER;
        let refused = loop {
            std::thread::sleep(Duration::from_millis(50));
            match connect() {
                Ok(stream) => held.push(stream),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => break held.len(),
                // The rate again.
                Err(_) => {}
            }
            assert!(Instant::now() < end, "{} connections and no refusal", held.len());
        };
        (flood, in_time, refused)
    });
    assert!(flood >= BURST, "{flood}");
    let refilled = usize::try_from(in_time.as_millis() / MILLIS_EACH).unwrap() + 1;
    assert!(flood <= BURST + refilled, "{flood} in {in_time:?}");
    assert_eq!(refused, CONNECTIONS);
    // Another address of the carrier.
    carrier.sh("ip route replace 100.64.0.0/24 dev isp0 src 100.64.0.3");
    assert!(carrier.run(|| connect().is_ok()));
}

/// Whether a datagram of `source` on the carrier's side reaches the appliance.
fn arrives(server: &UdpSocket, carrier: &Namespace, source: &str, target: &str) -> bool {
    let bracket = |a: &str| if a.contains(':') { format!("[{a}]") } else { a.to_owned() };
    let (from, to) = (format!("{}:0", bracket(source)), format!("{}:5000", bracket(target)));
    carrier.run(move || UdpSocket::bind(from).unwrap().send_to(b"x", to).unwrap());
    server.recv(&mut [0; 8]).is_ok()
}

#[test]
fn an_address_of_the_house_is_not_believed_on_an_uplink() {
    let (pi, _house, carrier) = appliance(policy());
    let server = pi.run(|| UdpSocket::bind("[::]:5000").unwrap());
    server.set_read_timeout(Some(SILENCE * 4)).unwrap();
    carrier.sh("ip addr add 192.168.178.66/32 dev lo");
    carrier.sh("ip addr add fd00:1::66/128 dev lo nodad");
    let pairs = [("192.168.178.66", "100.64.0.2"), ("fd00:1::66", "2001:db8:5::2")];
    let honest = [("100.64.0.1", "100.64.0.2"), ("2001:db8:5::1", "2001:db8:5::2")];
    // They find each other first: a solicitation from a borrowed address is answered elsewhere.
    for (source, target) in honest {
        assert!(arrives(&server, &carrier, source, target), "{source}");
    }
    // Loose reverse-path filtering lets it pass.
    for (source, target) in pairs {
        assert!(arrives(&server, &carrier, source, target), "{source}");
    }
    let lan_networks = ["192.168.178.0/24", "fd00:1::/64"].map(|n| n.parse().unwrap()).to_vec();
    load(&pi, Policy { lan_networks, ..policy() });
    for (source, target) in pairs {
        assert!(!arrives(&server, &carrier, source, target), "{source}");
    }
    for (source, target) in honest {
        assert!(arrives(&server, &carrier, source, target), "{source}");
    }
    let lan = policy().lan;
    let own = pi.run(move || netguard::lan_networks(&lan));
    assert_eq!(own.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.168.178.0/24", "fd00:1::/64"]);
}
