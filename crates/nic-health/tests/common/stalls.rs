//! A card that stops receiving, on a real kernel: what the other end sends is dropped before it
//! reaches our end of the cable, so carrier stays, transmissions grow and the receive counter freezes.

use super::{GATEWAY, House, OURS, until};
use netlink::Connection;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// The limit.
const NAMED: Duration = Duration::from_secs(15);
/// A rung that does not help is left after ten seconds, and EEE is skipped at once.
const LADDER: Duration = Duration::from_secs(30);

fn deafen(house: &House) {
    house.gateway.sh("nft add table netdev deaf");
    house.gateway.sh(
        "nft add chain netdev deaf out { type filter hook egress device gw0 priority 0 ; policy drop ; }",
    );
}

fn heal(house: &House) {
    house.gateway.sh("nft delete table netdev deaf");
}

fn talking(house: &House, lasts: Duration) -> testnet::Pending<()> {
    house.ours.start(move || {
        let socket = UdpSocket::bind((OURS, 0)).unwrap();
        let end = Instant::now() + lasts;
        while Instant::now() < end {
            // While the card is down there is no way: that is what is tried here.
            let _ = socket.send_to(b"x", (GATEWAY, 9));
            std::thread::sleep(Duration::from_millis(200));
        }
    })
}

/// The gateway is used, asked about, and right.
fn answered(house: &House, daemon: &super::Daemon) {
    house.poke();
    daemon.until("the gateway answered", |s| {
        (s["neighbours"]["watched"][0]["verdict"] == "right").then_some(())
    });
}

fn condition(snapshot: &Value, id: &str) -> Option<String> {
    let all = snapshot["conditions"].as_array()?;
    Some(all.iter().find(|condition| condition["id"] == id)?["detail"].as_str()?.to_owned())
}

fn phase(snapshot: &Value) -> Option<&str> {
    snapshot["interfaces"].as_array()?.iter().find(|i| i["name"] == "eth0.7")?["phase"].as_str()
}

#[test]
fn a_card_that_receives_nothing_is_named_within_15_s_bounced_and_keeps_its_addresses_and_routes() {
    let house = House::new();
    house.ours.sh("ip route add 198.51.100.0/24 via 192.0.2.1 dev eth0.7 metric 7 proto static");
    house.ours.sh("ip -6 route add 2001:db8:5::/48 via 2001:db8::1 dev eth0.7");
    let daemon = house.daemon("");
    answered(&house, &daemon);
    let before = (house.ours.sh("ip route show"), house.ours.sh("ip -6 route show 2001:db8:5::/48"));
    let traffic = talking(&house, Duration::from_secs(40));
    std::thread::sleep(Duration::from_secs(3)); // it talks, and nothing is wrong
    assert_eq!(condition(&daemon.snapshot().unwrap(), "nic-stalled"), None);
    deafen(&house);
    let began = Instant::now();
    daemon.within(NAMED, "it is named", |s| condition(s, "nic-stalled").filter(|d| d.contains("eth0.7")));
    println!("named in {:?}", began.elapsed());
    // Its EEE cannot be had, so the interface goes down and up.
    daemon.within(LADDER, "it was bounced", |s| {
        let told = condition(s, "nic-stalled")?;
        (phase(s) == Some("verifying") && told.contains("now: interface down and up")).then_some(())
    });
    heal(&house);
    let told = daemon.within(LADDER, "it is back", |s| condition(s, "nic-stall-recovered"));
    assert!(told.contains("came back after: interface down and up"), "{told}");
    daemon.until("nothing is stalled", |s| condition(s, "nic-stalled").is_none().then_some(()));
    traffic.wait();
    let after = (house.ours.sh("ip route show"), house.ours.sh("ip -6 route show 2001:db8:5::/48"));
    assert_eq!(after, before, "a bounce must not cost a route");
    assert!(house.ours.sh("ip -6 address show dev eth0.7").contains("2001:db8::9/64"));
    let notes = house.root.path().join("run/failberry-nic-health/down");
    assert_eq!(std::fs::read_dir(notes).unwrap().count(), 0);
}

#[test]
fn an_idle_card_and_one_that_only_sends_are_left_alone() {
    let house = House::new();
    let daemon = house.daemon("");
    answered(&house, &daemon);
    for what in ["idle", "sending"] {
        let spent = daemon.processor();
        let traffic = (what == "sending").then(|| talking(&house, NAMED));
        let end = Instant::now() + NAMED;
        while Instant::now() < end {
            let told = daemon.snapshot().unwrap();
            assert_eq!(condition(&told, "nic-stalled"), None, "{what}");
            assert_eq!(told["interfaces"][0]["tried"], json!([]), "{what}");
            std::thread::sleep(Duration::from_millis(200));
        }
        println!(
            "{what}: {:?} of processor in {NAMED:?} (debug build)",
            daemon.processor().saturating_sub(spent)
        );
        traffic.into_iter().for_each(testnet::Pending::wait);
    }
}

#[test]
fn what_a_killed_daemon_left_off_is_switched_on_with_its_routes() {
    let house = House::new();
    house.ours.sh("ip -6 route add 2001:db8:5::/48 via 2001:db8::1 dev eth0.7");
    let before = (house.ours.sh("ip route show"), house.ours.sh("ip -6 route show 2001:db8:5::/48"));
    // As the daemon does it, up to the moment of the kill.
    let note = house.ours.run(|| {
        let mut kernel = Connection::open().unwrap();
        let card = kernel.cards().unwrap().into_iter().find(|card| card.name == "eth0.7").unwrap();
        let kept = kernel.belongings(card.index).unwrap();
        let hex = |list: &[Vec<u8>]| -> Vec<String> {
            let one = |bytes: &Vec<u8>| {
                bytes.iter().fold(String::new(), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                })
            };
            list.iter().map(one).collect()
        };
        let note = json!({
            "name": card.name, "index": card.index, "mac": card.mac.unwrap().to_string(),
            "addresses": hex(&kept.addresses), "routes": hex(&kept.routes),
        });
        kernel.set_link(card.index, false).unwrap();
        note
    });
    let folder = house.root.path().join("run/failberry-nic-health/down");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("eth0.7.json"), note.to_string()).unwrap();
    assert_eq!(house.ours.sh("ip route show"), "");
    assert_eq!(house.command(&["restore"]), "");
    until(Duration::from_secs(5), || {
        let now = (house.ours.sh("ip route show"), house.ours.sh("ip -6 route show 2001:db8:5::/48"));
        (now == before).then_some(())
    });
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
}

#[test]
fn a_card_that_never_answers_ends_in_a_bounded_ladder_and_a_rest() {
    let house = House::new();
    let daemon = house.daemon("");
    answered(&house, &daemon);
    let traffic = talking(&house, Duration::from_secs(45));
    deafen(&house);
    daemon.within(Duration::from_secs(60), "it rests", |s| (phase(s) == Some("resting")).then_some(()));
    let told = condition(&daemon.snapshot().unwrap(), "nic-stalled").unwrap();
    for word in ["interface down and up: no help", "driver unbound and bound: not possible"] {
        assert!(told.contains(word), "{told}");
    }
    assert!(!house.ours.sh("ip link show eth0.7").contains("state DOWN"));
    // Nothing latches: when it receives again, it is well.
    heal(&house);
    daemon.until("it is well", |s| (phase(s) == Some("fine")).then_some(()));
    traffic.wait();
}
