//! Marks on packets and connections in a real kernel: answers leave by the line of their question,
//! connections remember the line they left by, and a probe that comes back to us goes nowhere.

use netguard::{Driver, Finding, Iptables, ProcSys};
use ruleset::marks::{ARRIVED_MASK, LEFT_MASK, Line, PROBE_DSCP};
use ruleset::{Family, Policy};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use sysio::Root;
use testnet::Namespace;

/// A packet that is dropped is never answered: this is how long we wait to believe it.
const SILENCE: Duration = Duration::from_millis(700);
/// One that is let through arrives at once, even on a busy machine.
const ANSWER: Duration = Duration::from_secs(10);

/// An appliance between a house on `eth0` and a carrier on `ppp0`; the main default route is the wired
/// line's, table 202 is the carrier's, as `uplink` sets them up.
struct World {
    pi: Namespace,
    house: Namespace,
    carrier: Namespace,
}

/// Addresses of one family: (appliance, peer) on the wired side, then on the cellular side, and a
/// server beyond either.
struct Plan {
    family: Family,
    ip: &'static str,
    wired: (&'static str, &'static str),
    cellular: (&'static str, &'static str),
    far: &'static str,
    length: u8,
}

const PLANS: [Plan; 2] = [
    Plan {
        family: Family::V4,
        ip: "ip",
        wired: ("192.168.178.2", "192.168.178.20"),
        cellular: ("100.64.0.2", "100.64.0.1"),
        far: "203.0.113.9",
        length: 24,
    },
    Plan {
        family: Family::V6,
        ip: "ip -6",
        wired: ("fd00:1::2", "fd00:1::20"),
        cellular: ("2001:db8:5::2", "2001:db8:5::1"),
        far: "2001:db8:9::9",
        length: 64,
    },
];

impl World {
    fn new(gateway: bool) -> Self {
        let (pi, house, carrier) = (Namespace::new(), Namespace::new(), Namespace::new());
        pi.cable("eth0", &house, "lan0");
        pi.cable("ppp0", &carrier, "isp0");
        for Plan { ip, wired, cellular, far, length, family } in &PLANS {
            let nodad = if *family == Family::V6 { " nodad" } else { "" };
            pi.sh(&format!("{ip} addr add {}/{length} dev eth0{nodad}", wired.0));
            house.sh(&format!("{ip} addr add {}/{length} dev lan0{nodad}", wired.1));
            pi.sh(&format!("{ip} addr add {}/{length} dev ppp0{nodad}", cellular.0));
            carrier.sh(&format!("{ip} addr add {}/{length} dev isp0{nodad}", cellular.1));
            // The same stranger may come by either line.
            let whole = if *family == Family::V6 { 128 } else { 32 };
            for side in [&house, &carrier] {
                side.sh(&format!("{ip} addr add {far}/{whole} dev lo{nodad}"));
            }
            pi.sh(&format!("{ip} route add default via {} dev eth0", wired.1));
            pi.sh(&format!("{ip} route add default via {} dev ppp0 table 202", cellular.1));
            let arrived = Line::Cellular.arrived();
            pi.sh(&format!("{ip} rule add fwmark {arrived:#x}/{ARRIVED_MASK:#x} table 202"));
        }
        let policy = Policy { wired_uplink: gateway, ..Policy::standard("eth0".parse().unwrap()) };
        pi.run(move || {
            let mut driver = Driver::new(Iptables::find(), ProcSys::new(&Root::system()));
            for (family, (finding, _)) in driver.check(&policy).firewall {
                assert_eq!(finding, Finding::Changed, "{family:?}");
            }
            for (family, (finding, _)) in driver.check(&policy).firewall {
                assert_eq!(finding, Finding::Same, "{family:?}");
            }
        });
        Self { pi, house, carrier }
    }
}

fn command(plan: &Plan) -> &'static str {
    if plan.family == Family::V4 { "iptables" } else { "ip6tables" }
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

fn bound(namespace: &Namespace, address: SocketAddr, patience: Duration) -> UdpSocket {
    namespace.run(move || {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(patience)).unwrap();
        socket
    })
}

/// Who sent what arrives at `socket`, if something does.
fn heard(socket: &UdpSocket) -> Option<SocketAddr> {
    let mut buffer = [0; 16];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((_, from)) => return Some(from),
            // A wait with a limit is not begun anew by the kernel (signal(7)), which a machine that was
            // put to sleep for a moment shows.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// Packets that matched the last rule of a chain of the table `mangle`.
fn counted(namespace: &Namespace, iptables: &str, comment: &str) -> u64 {
    let saved = namespace.sh(&format!("{iptables}-save -c -t mangle"));
    let line = saved.lines().find(|l| l.contains(comment)).unwrap_or_else(|| panic!("{comment} in {saved}"));
    line.trim_start_matches('[').split(':').next().unwrap().parse().unwrap()
}

fn count(namespace: &Namespace, iptables: &str, comment: &str, condition: &str) {
    namespace.sh(&format!("{iptables} -t mangle -A POSTROUTING {condition} -m comment --comment {comment}"));
}

#[test]
fn an_answer_of_the_appliance_leaves_by_the_line_of_the_question() {
    let world = World::new(false);
    for plan in &PLANS {
        // Open to everyone in this test, so that a plain UDP echo can be asked from the carrier's side.
        world.pi.sh(&format!("{} -I INPUT -p udp --dport 7 -j ACCEPT", command(plan)));
        let echo = bound(&world.pi, at(plan.cellular.0, 7), ANSWER);
        let asker = bound(&world.carrier, at(plan.far, 4000), ANSWER);
        asker.send_to(b"hi", at(plan.cellular.0, 7)).unwrap();
        let from = heard(&echo).expect("the question arrives");
        assert_eq!(from, at(plan.far, 4000));
        echo.send_to(b"ho", from).unwrap();
        assert_eq!(heard(&asker), Some(at(plan.cellular.0, 7)), "{:?}", plan.family);
        // The way without the mark is the wired one: without the rule the answer would have been lost.
        assert!(world.pi.sh(&format!("{} route get {}", plan.ip, plan.far)).contains("dev eth0"));
    }
}

#[test]
fn a_device_behind_us_answers_by_the_line_of_the_question_too() {
    let world = World::new(false);
    for plan in &PLANS {
        let iptables = command(plan);
        // A port a person forwards, with rules of their own before ours.
        let target = if plan.family == Family::V6 {
            format!("[{}]:7", plan.wired.1)
        } else {
            format!("{}:7", plan.wired.1)
        };
        world.pi.sh(&format!(
            "{iptables} -t nat -I PREROUTING -i ppp0 -p udp --dport 7 -j DNAT --to-destination {target}"
        ));
        world.pi.sh(&format!("{iptables} -I FORWARD -i ppp0 -o eth0 -p udp --dport 7 -j ACCEPT"));
        world.house.sh(&format!("{} route add default via {}", plan.ip, plan.wired.0));
        // The stranger is beyond the carrier only.
        let whole = if plan.family == Family::V6 { 128 } else { 32 };
        world.house.sh(&format!("{} addr del {}/{whole} dev lo", plan.ip, plan.far));
        let echo = bound(&world.house, at(plan.wired.1, 7), ANSWER);
        let asker = bound(&world.carrier, at(plan.far, 4000), ANSWER);
        asker.send_to(b"hi", at(plan.cellular.0, 7)).unwrap();
        let from = heard(&echo).expect("the question arrives");
        echo.send_to(b"ho", from).unwrap();
        assert_eq!(heard(&asker), Some(at(plan.cellular.0, 7)), "{:?}", plan.family);
    }
}

#[test]
fn a_connection_remembers_the_line_it_left_by() {
    let world = World::new(true);
    for plan in &PLANS {
        let iptables = command(plan);
        world.pi.sh(&format!("{iptables} -t nat -F"));
        for (line, name) in [(Line::Wired, "by-wire"), (Line::Cellular, "by-stick")] {
            count(
                &world.pi,
                iptables,
                name,
                &format!("-p udp -m connmark --mark {:#x}/{LEFT_MASK:#x}", line.left()),
            );
        }
        let socket = bound(&world.pi, at(if plan.ip == "ip" { "0.0.0.0" } else { "::" }, 0), SILENCE);
        let counts = || (counted(&world.pi, iptables, "by-wire"), counted(&world.pi, iptables, "by-stick"));
        // Inside the house: by no line.
        socket.send_to(b"1", at(plan.wired.1, 9)).unwrap();
        assert_eq!(counts(), (0, 0), "{:?}", plan.family);
        let of_the_wire = bound(&world.pi, at(plan.wired.0, 0), SILENCE);
        of_the_wire.send_to(b"2", at(plan.far, 9)).unwrap();
        assert_eq!(counts(), (1, 0));
        socket.send_to(b"3", at(plan.cellular.1, 9)).unwrap();
        assert_eq!(counts(), (1, 1));
        // The line is another one now; the connection still belongs to the one it began on. (Without
        // translation: the kernel itself drops a masqueraded one whose interface changed,
        // `nf_nat_oif_changed` in net/netfilter/nf_nat_core.c.)
        world.pi.sh(&format!("{} route replace default via {} dev ppp0", plan.ip, plan.cellular.1));
        of_the_wire.send_to(b"4", at(plan.far, 9)).unwrap();
        assert_eq!(counts(), (2, 1));
    }
}

#[test]
fn in_backup_mode_only_the_cellular_line_is_noted() {
    let world = World::new(false);
    let plan = &PLANS[0];
    count(&world.pi, "iptables", "noted", &format!("-p udp -m connmark ! --mark 0x0/{LEFT_MASK:#x}"));
    let socket = bound(&world.pi, at("0.0.0.0", 0), SILENCE);
    socket.send_to(b"1", at(plan.far, 9)).unwrap();
    assert_eq!(counted(&world.pi, "iptables", "noted"), 0);
    socket.send_to(b"2", at(plan.cellular.1, 9)).unwrap();
    assert_eq!(counted(&world.pi, "iptables", "noted"), 1);
}

#[test]
fn a_probe_the_house_s_router_hands_back_does_not_leave_by_the_stick() {
    let world = World::new(false);
    for plan in &PLANS {
        world.house.sh(&format!("{} route add default via {}", plan.ip, plan.wired.0));
        let server = bound(&world.carrier, at(plan.cellular.1, 9), SILENCE);
        let device = bound(&world.house, at(plan.wired.1, 4000), SILENCE);
        device.send_to(b"1", at(plan.cellular.1, 9)).unwrap();
        assert!(heard(&server).is_some(), "other traffic passes: {:?}", plan.family);
        world
            .house
            .sh(&format!("{} -t mangle -A OUTPUT -p udp -j DSCP --set-dscp {PROBE_DSCP:#x}", command(plan)));
        let begun = Instant::now();
        device.send_to(b"2", at(plan.cellular.1, 9)).unwrap();
        assert_eq!(heard(&server), None, "{:?}", plan.family);
        assert!(begun.elapsed() >= SILENCE / 2);
    }
}
