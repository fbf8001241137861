//! The real daemon, a real kernel, a small network in namespaces:
//!
//! ```text
//!  ours ─ eth0.7 ── gw0 ─ gateway (192.0.2.1, 2001:db8::1, default route)
//! ```

mod common;

use common::{GATEWAY, House, OURS, WRONG, until};
use netlink::{Connection, NeighbourMonitor, Nud};
use serde_json::Value;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The issue's limit.
const REPAIRED: Duration = Duration::from_secs(10);

/// A kernel that does not take the answer to our own question for a better one: `arp_process` ignores
/// an answer that comes within `locktime` of the last change.
fn stubborn(house: &House) {
    house.ours.run(|| {
        let set = |key: &str, value: &str| {
            std::fs::write(format!("/proc/sys/net/ipv4/neigh/eth0.7/{key}"), value).unwrap();
        };
        set("locktime", "3600000");
        // Time runs fast: an entry is reachable for a second, then delayed for three.
        set("base_reachable_time_ms", "1000");
        set("delay_first_probe_time", "3");
    });
}

/// Traffic, and every 1.7 s a sender that says it is answered (`MSG_CONFIRM`, what `dst_confirm`
/// is to TCP): the mechanism that kept the wrong entry of the field story alive.
fn confirming(house: &House, stop: Arc<AtomicBool>) -> testnet::Pending<()> {
    // Longer than an entry is reachable, and no divisor of the time it is delayed: with one it would
    // leave each state at the moment it enters it.
    const CONFIRM: Duration = Duration::from_millis(1700);
    house.ours.start(move || {
        let socket = UdpSocket::bind((OURS, 0)).unwrap();
        socket.connect((GATEWAY, 9)).unwrap();
        let (mut confirmed, end) = (None::<Instant>, Instant::now() + Duration::from_secs(60));
        while Instant::now() < end && !stop.load(Ordering::Relaxed) {
            let due = confirmed.is_none_or(|at| at.elapsed() >= CONFIRM);
            let confirm = if due { nix::libc::MSG_CONFIRM } else { 0 };
            confirmed = if due { Some(Instant::now()) } else { confirmed };
            let flags = nix::sys::socket::MsgFlags::from_bits_retain(confirm);
            // Refused by nobody and answered by nobody: errors do not matter.
            let _ = nix::sys::socket::send(std::os::fd::AsRawFd::as_raw_fd(&socket), b"x", flags);
            std::thread::sleep(Duration::from_millis(50));
        }
    })
}

#[test]
fn a_wrong_entry_kept_alive_by_confirmations_is_proven_and_repaired_within_ten_seconds() {
    let house = House::new();
    stubborn(&house);
    house.ours.sh(&format!("ip neigh replace {GATEWAY} lladdr {WRONG} dev eth0.7 nud reachable"));
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = confirming(&house, Arc::clone(&stop));
    // It lives on, wrong, through its states, and is never asked for.
    let (mut states, end) = (Vec::new(), Instant::now() + Duration::from_secs(15));
    while states.len() < 4 {
        let entry = house.entry(GATEWAY).unwrap();
        assert_eq!(entry.mac.unwrap().to_string(), WRONG);
        assert!(entry.state != Nud::Probe && Instant::now() < end, "{states:?} {entry:?}");
        if states.last() != Some(&entry.state) {
            states.push(entry.state);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let began = Instant::now();
    let daemon = house.daemon("");
    let right = house.gateway_mac.clone();
    let mended = until(REPAIRED, || {
        let entry = house.entry(GATEWAY)?;
        entry.mac.filter(|mac| mac.to_string() == right).map(|_| began.elapsed())
    });
    println!("cycled {states:?}; proven and repaired in {mended:?}");
    daemon.until("it says so", |s| {
        let detail = condition(s, "neighbour-wrong")?["detail"].as_str()?;
        let proof = detail.contains(WRONG) && detail.contains(&right);
        (proof && detail.contains("mended by a new question")).then_some(())
    });
    stop.store(true, Ordering::Relaxed);
    traffic.wait();
}

#[test]
fn an_entry_that_is_confirmed_again_before_anybody_is_asked_is_deleted() {
    let house = House::new();
    stubborn(&house);
    house.ours.sh(&format!("ip neigh replace {GATEWAY} lladdr {WRONG} dev eth0.7 nud reachable"));
    let began = Instant::now();
    let daemon = house.daemon("");
    let right = house.gateway_mac.clone();
    // Somebody insists on it each 100 ms, whatever state it is in.
    until(REPAIRED, || {
        let _ = house.ours.run(|| {
            sysio::Runner::new(
                "ip",
                ["neigh", "change", GATEWAY, "dev", "eth0.7", "nud", "reachable"],
                Duration::from_secs(5),
            )
            .run()
        });
        house.poke();
        house.entry(GATEWAY).filter(|e| e.mac.is_some_and(|mac| mac.to_string() == right))
    });
    println!("repaired in {:?}", began.elapsed());
    daemon.until("it says so", |s| {
        let told = condition(s, "neighbour-wrong")?;
        told["detail"].as_str()?.contains("mended by deletion").then_some(())
    });
}

#[test]
fn over_ipv6_the_wrong_entry_of_a_configured_peer_is_repaired_too() {
    let house = House::new();
    let peer = "2001:db8::1";
    house.ours.sh(&format!("ip -6 neigh replace {peer} lladdr {WRONG} dev eth0.7 nud reachable"));
    let daemon = house.daemon(&format!("[nics]\npeers = [\"{peer}\"]\n"));
    let right = house.gateway_mac.clone();
    until(REPAIRED, || house.entry(peer).filter(|e| e.mac.is_some_and(|mac| mac.to_string() == right)));
    daemon.until("it says so", |s| {
        condition(s, "neighbour-wrong")?["detail"].as_str()?.contains(peer).then_some(())
    });
}

#[test]
fn a_right_stale_entry_and_a_permanent_one_are_left_alone_and_the_wrong_permanent_one_is_told() {
    let house = House::new();
    house.gateway.sh("ip address add 192.0.2.2/24 dev gw0");
    let right = house.gateway_mac.clone();
    house.ours.sh(&format!("ip neigh replace 192.0.2.2 lladdr {right} dev eth0.7 nud stale"));
    house.ours.sh(&format!("ip neigh replace {GATEWAY} lladdr {WRONG} dev eth0.7 nud permanent"));
    let before = house.entry("192.0.2.2").unwrap();
    let daemon = house.daemon("");
    daemon.until("the permanent one is told", |s| {
        condition(s, "neighbour-wrong-fixed")?["detail"].as_str()?.contains("left alone").then_some(())
    });
    let gateway = house.entry(GATEWAY).unwrap();
    assert_eq!((gateway.mac.unwrap().to_string().as_str(), gateway.state), (WRONG, Nud::Permanent));
    let after = house.entry("192.0.2.2").unwrap();
    assert_eq!((after.state, after.mac), (Nud::Stale, before.mac));
    assert!(after.updated_ms >= before.updated_ms, "it was touched: {before:?} {after:?}");
}

#[test]
fn two_owners_of_an_address_and_another_owner_of_our_own_are_told() {
    let house = House::new();
    // A switch with two more devices: one has the gateway's address, one has ours.
    let (switch, other) = (testnet::Namespace::new(), testnet::Namespace::new());
    let thief = testnet::Namespace::new();
    switch.sh("ip link add br0 type bridge");
    switch.sh("ip link set br0 up");
    house.ours.sh("ip link del eth0.7");
    house.ours.cable("eth0.7", &switch, "p1");
    house.gateway.cable("gw0", &switch, "p2");
    other.cable("eth0", &switch, "p3");
    thief.cable("eth0", &switch, "p4");
    for port in ["p1", "p2", "p3", "p4"] {
        switch.sh(&format!("ip link set {port} master br0"));
    }
    house.addresses();
    other.sh(&format!("ip address add {GATEWAY}/24 dev eth0"));
    thief.sh(&format!("ip address add {OURS}/24 dev eth0"));
    let daemon = house.daemon("");
    house.poke();
    daemon.until("two owners", |s| {
        condition(s, "neighbour-two-owners")?["detail"].as_str()?.contains(GATEWAY).then_some(())
    });
    daemon.until("a conflict", |s| {
        condition(s, "address-conflict")?["detail"].as_str()?.contains(OURS).then_some(())
    });
    assert!(condition(&daemon.snapshot().unwrap(), "neighbour-wrong").is_none());
}

#[test]
fn without_rights_it_says_which_are_missing_and_who_may_give_them() {
    let house = House::new();
    for (right, bound) in [("CAP_NET_ADMIN", "-net_admin"), ("CAP_NET_RAW", "-net_raw")] {
        let daemon = house.daemon_by(&["setpriv", "--bounding-set", bound, "--inh-caps", bound], "");
        let told = daemon.until(right, |s| Some(condition(s, "nic-health-blind")?["detail"].clone()));
        let told = told.as_str().unwrap();
        assert!(told.contains(right) && told.contains("run as root"), "{told}");
        assert_eq!(daemon.snapshot().unwrap()["state"], "blind");
    }
}

#[test]
fn ten_thousand_entries_are_followed_in_bounded_memory_and_a_monitor_that_overruns_says_so() {
    const MANY: u32 = 10_000;
    /// A debug build of it with its data; the release build has a third.
    const RESIDENT_KB: u64 = 40_000;
    let house = House::new();
    let lost = house.ours.run(|| {
        let (mut kernel, mut monitor) =
            (Connection::open().unwrap(), NeighbourMonitor::with_queue(4096).unwrap());
        let link = kernel.cards().unwrap().into_iter().find(|card| card.name == "eth0.7").unwrap().index;
        let mac = netlink::HardwareAddress([2, 0, 0, 0, 0, 7]);
        for host in 0..MANY {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + host).into();
            kernel.set_neighbour(link, address, mac, Nud::Permanent).unwrap();
        }
        let (_, lost) = monitor.take().unwrap();
        let (rest, again) = monitor.take().unwrap();
        assert!(rest.is_empty() && !again, "one overrun is told once");
        lost
    });
    assert!(lost, "the overrun was not noticed");
    let daemon = house.daemon("");
    daemon
        .until("all are followed", |s| s["neighbours"]["entries"].as_u64().filter(|n| *n >= u64::from(MANY)));
    let resident = daemon.resident_kb();
    println!("{MANY} entries: {resident} kB resident (debug build), {:?} of processor", daemon.processor());
    assert!(resident < RESIDENT_KB, "{resident} kB");
    // It misses more changes than its queue holds, and reads everything anew.
    daemon.paused(|| house.ours.sh("ip neigh flush all nud permanent"));
    daemon.until("all went", |s| s["neighbours"]["entries"].as_u64().filter(|n| *n < 100));
    assert!(daemon.snapshot().unwrap()["neighbours"]["resyncs"].as_u64().unwrap() >= 1);
}

#[test]
fn the_commands_tell_age_history_verdict_and_driver() {
    let house = House::new();
    house.poke();
    let daemon = house.daemon("");
    daemon.until("the gateway is right", |s| {
        (s["neighbours"]["watched"][0]["verdict"] == "right").then_some(())
    });
    // The daemon writes entries every half minute; the first time before anything was asked.
    let entry = until(Duration::from_secs(45), || {
        let told: Value = serde_json::from_str(&house.command(&["neigh", "--json"])).unwrap();
        let entries = told["entries"].as_array()?.clone();
        entries.into_iter().find(|e| e["address"] == GATEWAY && e["verdict"] == "right")
    });
    assert_eq!(entry["interface"], "eth0.7");
    assert!(!entry["history"].as_array().unwrap().is_empty() && entry["since_ms"].is_u64(), "{entry}");
    let text = house.command(&["neigh"]);
    assert!(text.contains("eth0.7 192.0.2.1 ") && text.contains(", right, watched"), "{text}");
    let told: Value = serde_json::from_str(&house.command(&["drivers", "--json"])).unwrap();
    let card = told["interfaces"].as_array().unwrap().iter().find(|c| c["interface"] == "eth0.7").unwrap();
    assert_eq!(card["driver"], "veth");
    drop(daemon);
    // Without a daemon's word on this boot, the kernel's alone.
    std::fs::remove_file(house.root.path().join("run/failberry-nic-health/neighbours.json")).unwrap();
    let told: Value = serde_json::from_str(&house.command(&["neigh", "--json"])).unwrap();
    assert!(told["entries"].as_array().unwrap().iter().any(|e| e["verdict"] == "unknown"), "{told}");
}

fn condition<'a>(snapshot: &'a Value, id: &str) -> Option<&'a Value> {
    snapshot["conditions"].as_array()?.iter().find(|condition| condition["id"] == id)
}
