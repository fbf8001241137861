//! The real packet filter and real sysctls, in network namespaces.

use netguard::{Driver, Finding, Findings, Firewall, Iptables, ProcSys, on_link_networks};
use ruleset::{Family, Policy};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use sysio::Root;
use testnet::Namespace;

/// A packet that is dropped is never answered: this is how long we wait to believe it.
const SILENCE: Duration = Duration::from_millis(700);
/// One that is accepted is answered at once, even on a busy machine.
const ANSWER: Duration = Duration::from_secs(10);

/// The daemon looks every 10 s; on a busy machine a look takes some, too.
const REPAIRED: Duration = Duration::from_secs(40);

fn policy() -> Policy {
    Policy::standard("eth0".parse().unwrap())
}

fn check(pi: &Namespace, policy: Policy) -> Findings {
    pi.run(move || {
        let mut driver = Driver::new(Iptables::find(), ProcSys::new(&Root::system()));
        driver.check(&policy)
    })
}

fn assert_nothing_to_do(findings: &Findings) {
    for (family, (finding, rules)) in &findings.firewall {
        assert_eq!((finding, *rules > 20), (&Finding::Same, true), "{family:?}");
    }
    for (path, finding) in &findings.settings {
        assert!(matches!(finding, Finding::Same | Finding::Absent), "{path}: {finding:?}");
    }
}

/// An appliance with `eth0` towards a house and `ppp0` towards a carrier.
fn appliance() -> (Namespace, Namespace, Namespace) {
    let (pi, house, carrier) = (Namespace::new(), Namespace::new(), Namespace::new());
    pi.cable("eth0", &house, "lan0");
    pi.cable("ppp0", &carrier, "isp0");
    pi.sh("ip addr add 192.168.178.2/24 dev eth0");
    house.sh("ip addr add 192.168.178.20/24 dev lan0");
    pi.sh("ip addr add 100.64.0.2/24 dev ppp0");
    carrier.sh("ip addr add 100.64.0.1/24 dev isp0");
    (pi, house, carrier)
}

#[test]
fn applying_twice_changes_nothing_the_second_time() {
    let (pi, _house, _carrier) = appliance();
    let first = check(&pi, policy());
    assert_eq!(first.firewall[&Family::V4].0, Finding::Changed);
    assert_eq!(first.settings["net/ipv4/ip_forward"], Finding::Changed);
    assert_nothing_to_do(&check(&pi, policy()));
}

#[test]
fn what_others_break_is_put_right_and_what_others_add_stays() {
    let pi = Namespace::new();
    pi.sh("iptables -A INPUT -i docker0 -j ACCEPT");
    check(&pi, policy());
    pi.sh("iptables -t nat -A PREROUTING -p tcp --dport 8080 -j REDIRECT --to-ports 80");
    for damage in [
        "iptables -F FB-INPUT",
        "iptables -D INPUT -j FB-INPUT",
        "iptables -A FORWARD -j FB-FORWARD",
        "iptables -I FB-INPUT 1 -p tcp --dport 22 -j ACCEPT",
        "iptables -t nat -F",
        "iptables -t mangle -F",
    ] {
        pi.sh(damage);
        let findings = check(&pi, policy());
        assert_eq!(findings.firewall[&Family::V4].0, Finding::Changed, "{damage}");
        assert_eq!(findings.firewall[&Family::V6].0, Finding::Same, "{damage}");
        assert_nothing_to_do(&check(&pi, policy()));
    }
    assert!(pi.sh("iptables-save").contains("-A INPUT -i docker0 -j ACCEPT"));
}

/// The real thing, counting how often everything is listed.
struct Counting(Iptables, u32);

impl Firewall for Counting {
    type Error = sysio::CommandError;

    fn generation(&self) -> Option<u32> {
        self.0.generation()
    }

    fn save(&mut self, family: Family) -> Result<String, Self::Error> {
        self.1 += 1;
        self.0.save(family)
    }

    fn restore(&mut self, family: Family, input: &str, only_test: bool) -> Result<(), Self::Error> {
        self.0.restore(family, input, only_test)
    }
}

#[test]
fn an_unchanged_rule_set_is_recognised_without_listing_it() {
    let pi = Namespace::new();
    pi.run(|| {
        let mut driver = Driver::new(Counting(Iptables::find(), 0), ProcSys::new(&Root::system()));
        driver.check(&policy());
        driver.check(&policy());
        let listed = driver.firewall.1;
        for _ in 0..5 {
            assert_nothing_to_do(&driver.check(&policy()));
        }
        assert_eq!(driver.firewall.1, listed);
        // A rule of somebody else is a change like any other: it is looked at, and left alone.
        driver
            .firewall
            .0
            .restore(Family::V4, "*filter\n-A INPUT -i docker0 -j ACCEPT\nCOMMIT\n", false)
            .unwrap();
        assert_nothing_to_do(&driver.check(&policy()));
        assert_eq!(driver.firewall.1, listed + 2);
    });
}

#[test]
fn forwarding_switched_off_comes_back_without_opening_redirects() {
    let pi = Namespace::new();
    check(&pi, policy());
    pi.sh("sysctl -q -w net.ipv4.ip_forward=0 net.ipv4.conf.all.accept_redirects=1");
    let findings = check(&pi, policy());
    assert_eq!(findings.settings["net/ipv4/ip_forward"], Finding::Changed);
    assert_eq!(pi.sh("sysctl -n net.ipv4.ip_forward net.ipv4.conf.all.accept_redirects"), "1\n0\n");
    assert_nothing_to_do(&check(&pi, policy()));
}

#[test]
fn router_advertisements_are_left_to_networkd_when_it_took_them() {
    let (pi, _house, _carrier) = appliance();
    pi.sh("sysctl -q -w net.ipv6.conf.eth0.accept_ra=1");
    assert_eq!(check(&pi, policy()).settings["net/ipv6/conf/eth0/accept_ra"], Finding::Changed);
    pi.sh("sysctl -q -w net.ipv6.conf.eth0.accept_ra=0");
    assert_eq!(check(&pi, policy()).settings["net/ipv6/conf/eth0/accept_ra"], Finding::Same);
    assert_eq!(pi.sh("sysctl -n net.ipv6.conf.eth0.accept_ra"), "0\n");
}

/// Whether `client` gets the greeting of a server on `port` of the appliance.
fn reaches(pi: &Namespace, client: &Namespace, address: &str, port: u16) -> bool {
    let listener = pi.run(move || TcpListener::bind(("::", port)).unwrap());
    let target =
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
    let connecting = client.start(move || {
        let mut stream = TcpStream::connect_timeout(&target.parse().unwrap(), SILENCE).ok()?;
        stream.set_read_timeout(Some(ANSWER)).unwrap();
        let mut greeting = [0; 2];
        stream.read_exact(&mut greeting).ok()?;
        Some(greeting == *b"hi")
    });
    listener.set_nonblocking(true).unwrap();
    let give_up = Instant::now() + ANSWER;
    loop {
        if let Ok((mut stream, _)) = listener.accept() {
            stream.write_all(b"hi").unwrap();
            return connecting.wait() == Some(true);
        }
        if let Ok(result) = connecting.try_wait() {
            return result == Some(true);
        }
        assert!(Instant::now() < give_up, "neither reached nor refused");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_health_port_is_open_to_all_and_management_to_the_house_only() {
    let (pi, house, carrier) = appliance();
    // The house's router forwards a port: the stranger's own address arrives on the LAN interface.
    house.sh("ip addr add 203.0.113.9/32 dev lo");
    pi.sh("ip route add 203.0.113.9 via 192.168.178.20");
    check(&pi, policy());
    assert!(reaches(&pi, &house, "192.168.178.2", 9000));
    assert!(reaches(&pi, &carrier, "100.64.0.2", 9000));
    assert!(reaches(&pi, &house, "192.168.178.2", 22));
    assert!(reaches(&pi, &house, "192.168.178.2", 80));
    assert!(!reaches(&pi, &house, "192.168.178.2", 23));
    for port in [22, 80] {
        assert!(!reaches(&pi, &carrier, "100.64.0.2", port), "port {port} from the carrier");
    }
    house.sh("ip route add 192.168.178.2/32 dev lan0 src 203.0.113.9");
    assert!(reaches(&pi, &house, "192.168.178.2", 9000));
    assert!(!reaches(&pi, &house, "192.168.178.2", 22));
    let trusted = Policy { management_networks: vec!["203.0.113.0/24".parse().unwrap()], ..policy() };
    check(&pi, trusted);
    assert!(reaches(&pi, &house, "192.168.178.2", 22));
}

#[test]
fn the_lan_s_own_ipv6_network_may_manage() {
    let (pi, house, _carrier) = appliance();
    pi.sh("ip addr add 2001:db8:1::2/64 dev eth0 nodad");
    house.sh("ip addr add 2001:db8:1::20/64 dev lan0 nodad");
    check(&pi, policy());
    assert!(!reaches(&pi, &house, "2001:db8:1::2", 22));
    let lan = policy().lan;
    let own = pi.run(move || on_link_networks(&lan));
    assert_eq!(own.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2001:db8:1::/64"]);
    check(&pi, Policy { management_networks: own, ..policy() });
    assert!(reaches(&pi, &house, "2001:db8:1::2", 22));
}

#[test]
fn the_house_goes_out_by_the_cellular_line_translated_and_nobody_comes_in() {
    let (pi, house, carrier) = appliance();
    check(&pi, policy());
    house.sh("ip route add default via 192.168.178.2");
    // The carrier has no route to the house: only a translated packet can be answered.
    assert!(reaches(&carrier, &house, "100.64.0.1", 80));
    carrier.sh("ip route add 192.168.178.0/24 via 100.64.0.2");
    assert!(!reaches(&house, &carrier, "192.168.178.20", 80));
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until the daemon's snapshot is as wanted.
fn snapshot(dir: &Path, what: &str, wanted: impl Fn(&Value) -> bool) {
    let end = Instant::now() + REPAIRED;
    loop {
        let read = std::fs::read(dir.join("run/failberry/netguard.json")).ok();
        let snapshot: Option<Value> = read.and_then(|text| serde_json::from_slice(&text).ok());
        if snapshot.as_ref().is_some_and(&wanted) {
            return;
        }
        assert!(Instant::now() < end, "{what}: not within {REPAIRED:?}: {snapshot:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_daemon_notices_by_itself_and_says_so() {
    let pi = Namespace::new();
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(dir.path().join("run/failberry")).unwrap();
    std::os::unix::fs::symlink("/proc", dir.path().join("proc")).unwrap();
    let root = dir.path().to_owned();
    let _daemon = pi.run(move || {
        Running(Command::new(env!("CARGO_BIN_EXE_netguard")).arg("--root").arg(root).spawn().unwrap())
    });
    snapshot(dir.path(), "applied", |s| s["state"] == "applied" && s["repairs"] == 0);
    pi.sh("ip6tables -F FB-FORWARD");
    pi.sh("sysctl -q -w net.ipv4.ip_forward=0");
    let both = ["firewall-repaired", "sysctl-repaired"];
    let said =
        |s: &Value| both.iter().all(|id| s["conditions"].as_array().unwrap().iter().any(|c| c["id"] == *id));
    // Writing ip_forward resets others, so more than two repairs may be counted.
    snapshot(dir.path(), "repaired", |s| s["repairs"].as_u64() >= Some(2) && said(s));
    assert_eq!(pi.sh("sysctl -n net.ipv4.ip_forward"), "1\n");
    assert!(pi.sh("ip6tables-save").contains("-A FB-FORWARD -j DROP"));
}
