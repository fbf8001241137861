//! Router advertisements against the kernel's own client, in network namespaces: a LAN device's
//! addresses and way out follow the line in use, and come back.

use config::Mode;
use link_health::{State, Verdict};
use netguard::{Iptables, ProcSys};
use ruleset::Policy;
use ruleset::marks::Line;
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use sysio::Root;
use sysio::clock::now;
use testnet::Namespace;
use uplink::advertise::{Advertisement, Preference, Prefix, send};
use uplink::{Driver, Event, Kernel, Machine, Settings};

const BOOT: &str = "11111111-2222-3333-4444-555555555555";
/// Duplicate address detection takes a second or two by itself.
const SOON: Duration = Duration::from_secs(20);
/// The wired line's prefix in the LAN, by the house's router.
const HOUSE: &str = "2001:db8:77:";
/// A server on the internet, at the end of either line.
const SERVER: &str = "2001:db8:9::9";

struct House {
    pi: Namespace,
    client: Namespace,
    router: Namespace,
    _others: [Namespace; 2],
    dir: tempfile::TempDir,
    uplink: Arc<Mutex<(Driver<Kernel>, Machine)>>,
}

impl House {
    fn new(mode: Mode) -> Self {
        let [pi, carrier, client, router, lan] = [(); 5].map(|()| Namespace::new());
        lan.sh("ip link add lan type bridge");
        lan.sh("ip link set lan up");
        let policy =
            Policy { wired_uplink: mode == Mode::Gateway, ..Policy::standard("eth0".parse().unwrap()) };
        // Before the interface, as at boot: it is born to accept advertisements.
        pi.run(move || {
            netguard::Driver::new(Iptables::find(), ProcSys::new(&Root::system())).check(&policy);
        });
        router.sh("sysctl -q -w net.ipv6.conf.all.forwarding=1");
        client.sh("sysctl -q -w net.ipv6.conf.default.accept_ra=1 net.ipv6.conf.default.use_tempaddr=0");
        for (namespace, port) in [(&pi, "pi"), (&client, "client"), (&router, "router")] {
            namespace.cable("eth0", &lan, port);
            lan.sh(&format!("ip link set {port} master lan"));
        }
        pi.sh("ip addr add 192.168.178.2/24 dev eth0");
        pi.sh("ip route add default via 192.168.178.1 metric 1024 proto dhcp");
        router.sh(&format!("ip addr add {HOUSE}:1/64 dev eth0 nodad"));
        router.sh(&format!("ip addr add {SERVER}/128 dev lo"));
        pi.cable("ppp0", &carrier, "isp0");
        pi.sh("ip addr add 100.64.0.2 peer 10.64.64.64 dev ppp0");
        pi.sh("ip addr add 2001:db8:5::2/64 dev ppp0 nodad");
        // A point-to-point link needs no neighbours; this Ethernet asks for the server itself.
        carrier.sh(&format!("ip addr add {SERVER}/128 dev isp0 nodad"));
        carrier.sh("ip addr add 2001:db8:5::1/64 dev isp0 nodad");
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("run/failberry")).unwrap();
        let settings =
            if mode == Mode::Gateway { Settings::gateway("eth0") } else { Settings::backup("eth0") };
        let root = Root::at(dir.path());
        let uplink = pi.run(move || {
            (Driver { system: Kernel::open(&root, BOOT.to_owned()).unwrap() }, Machine::new(settings))
        });
        let house =
            Self { pi, client, router, _others: [carrier, lan], dir, uplink: Arc::new(Mutex::new(uplink)) };
        house.session_reported();
        house.router_speaks();
        house.turn(0);
        house
    }

    fn session_reported(&self) {
        let snapshot = json!({
            "schema": 1, "daemon": "modem-dialer", "version": "0.1.0", "boot_id": BOOT,
            "monotonic_ms": now().as_millis(), "wall": null, "state": "connected", "since_ms": 0,
            "conditions": [], "link": {"interface": "ppp0", "local": "100.64.0.2", "dns": []},
        });
        let path = self.dir.path().join("run/failberry/modem-dialer.json");
        sysio::file::write_atomic(&path, snapshot.to_string().as_bytes(), 0o644).unwrap();
    }

    /// What the house's router says now and then: itself, and the prefix its provider gave it. Again
    /// until the client has an address, because its interface may not listen yet.
    fn router_speaks(&self) {
        within(SOON, "an address of the house's prefix", || {
            self.router_says();
            std::thread::sleep(Duration::from_millis(50));
            let ready = |n: &Namespace| {
                let addresses = n.sh("ip -6 -o addr show dev eth0");
                addresses.contains(HOUSE) && !addresses.contains("tentative")
            };
            (ready(&self.client) && ready(&self.pi)).then_some(())
        });
    }

    fn router_says(&self) {
        self.router.run(|| {
            let hour = Duration::from_secs(3600);
            let prefix = Prefix {
                prefix: format!("{HOUSE}:").parse().unwrap(),
                on_link: true,
                valid: 24 * hour,
                preferred: 4 * hour,
            };
            let (lifetime, preference) = (hour / 2, Preference::Medium);
            let links = netlink::Connection::open().unwrap().links().unwrap();
            let index = links.iter().find(|l| l.name == "eth0").unwrap().index;
            // Without its link-local address yet: the caller sees that nothing comes of it.
            let _ = send(index, &Advertisement { lifetime, preference, prefixes: vec![prefix] });
        });
    }

    fn advertisements_heard(&self) -> u64 {
        let counters = self.client.sh("cat /proc/net/snmp6");
        let line = counters.lines().find(|l| l.starts_with("Icmp6InRouterAdvertisements ")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn turn(&self, later: u64) {
        let uplink = Arc::clone(&self.uplink);
        self.pi.run(move || {
            let (driver, machine) = &mut *uplink.lock().unwrap();
            driver.turn(now() + Duration::from_secs(later), machine);
        });
    }

    fn wired_is(&self, state: State) {
        let verdict = Verdict { state, ..Verdict::default() };
        self.uplink.lock().unwrap().1.step(now(), Event::Health { line: Line::Wired, verdict });
        self.turn(0);
    }

    /// The client's address of a prefix, as `ip` shows it.
    fn address(&self, prefix: &str) -> Option<String> {
        let addresses = self.client.sh("ip -6 -o addr show dev eth0");
        addresses.lines().find(|l| l.contains(&format!("inet6 {prefix}"))).map(str::to_owned)
    }

    fn link_local(namespace: &Namespace) -> String {
        let addresses = namespace.sh("ip -6 -o addr show dev eth0 scope link");
        addresses
            .split_whitespace()
            .find(|w| w.starts_with("fe80"))
            .unwrap()
            .split('/')
            .next()
            .unwrap()
            .to_owned()
    }

    fn client_s_way(&self) -> String {
        self.client.sh(&format!("ip -6 route get {SERVER}"))
    }
}

fn within<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_lan_device_s_ipv6_follows_the_line_in_use_and_comes_back() {
    let house = House::new(Mode::Gateway);
    let (router, us) = (House::link_local(&house.router), House::link_local(&house.pi));
    assert!(house.client_s_way().contains(&format!("via {router}")), "{}", house.client_s_way());
    assert!(!house.address(HOUSE).unwrap().contains("deprecated"));
    house.wired_is(State::Down);
    within(SOON, "the wired line's address is deprecated", || {
        house.address(HOUSE)?.contains("deprecated").then_some(())
    });
    let kept = std::fs::read_to_string(house.dir.path().join("data/failberry/uplink/ula-prefix")).unwrap();
    let own = kept.trim().trim_end_matches(':').to_owned();
    within(SOON, "an address of our prefix", || {
        house.address(&own).filter(|a| !a.contains("tentative") && !a.contains("deprecated"))
    });
    let way = house.client_s_way();
    assert!(way.contains(&format!("via {us}")) && way.contains(&format!("src {own}")), "{way}");
    house.client.sh(&format!("ping -6 -c 1 -W 10 {SERVER}"));
    // The router's own word again: believed for a moment, until ours is repeated.
    house.router_speaks();
    house.turn(3);
    within(SOON, "deprecated again", || house.address(HOUSE)?.contains("deprecated").then_some(()));
    assert!(house.client_s_way().contains(&format!("via {us}")));
    house.wired_is(State::Up);
    house.turn(35);
    within(SOON, "the wired line's address is preferred again", || {
        (!house.address(HOUSE)?.contains("deprecated")).then_some(())
    });
    within(SOON, "our address is deprecated", || house.address(&own)?.contains("deprecated").then_some(()));
    let way = house.client_s_way();
    assert!(way.contains(&format!("via {router}")) && way.contains(&format!("src {HOUSE}")), "{way}");
    // The last word at 47, and a look behind it.
    for later in [39, 43, 47, 48] {
        house.turn(later);
    }
    let left = house.pi.sh("ip -6 route");
    assert!(!left.contains(&own), "our prefix is withdrawn in the end: {left}");
}

#[test]
fn nothing_is_advertised_in_backup_mode_nor_without_ipv6_on_the_stick() {
    for (mode, ipv6) in [(Mode::Backup, true), (Mode::Gateway, false)] {
        let house = House::new(mode);
        if !ipv6 {
            house.pi.sh("ip -6 addr flush dev ppp0 scope global");
        }
        let before = house.advertisements_heard();
        house.wired_is(State::Down);
        for later in [0, 4, 8, 20] {
            house.turn(later);
        }
        assert_eq!(house.uplink.lock().unwrap().1.active(), Some(Line::Cellular));
        // What is not sent is never seen; but what was sent before this one would have come before it.
        house.router_says();
        within(SOON, "the router's word", || (house.advertisements_heard() > before).then_some(()));
        assert_eq!(house.advertisements_heard(), before + 1);
        assert!(!house.client_s_way().contains(&format!("via {}", House::link_local(&house.pi))));
    }
}
