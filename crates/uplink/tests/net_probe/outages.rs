//! The real daemon over a house's line that fails in whole or in part.

use crate::world::World;
use std::time::Duration;

/// The budget for a hard outage.
const HARD: Duration = Duration::from_secs(2);
/// The budget for a partial one.
const PARTIAL: Duration = Duration::from_secs(10);
/// What writing and reading the snapshot, and a busy machine, may add in a test.
const SLACK: Duration = Duration::from_millis(500);

#[test]
fn a_hard_outage_is_noticed_within_two_seconds_and_its_end_too() {
    let world = World::new();
    let _daemon = world.daemon();
    world.until("up", None);
    for _ in 0..3 {
        world.fault("drop");
        let took = world.until("down", None);
        assert!(took <= HARD + SLACK, "{took:?}");
        world.heal();
        world.until("up", None);
    }
}

#[test]
fn a_part_that_fails_is_named() {
    let world = World::new();
    let _daemon = world.daemon();
    world.until("up", None);
    for (part, rule) in [
        ("dns", "udp dport 53 drop"),
        ("http", "tcp dport 80 drop"),
        ("tls", "tcp dport 443 drop"),
        ("ipv6", "meta nfproto ipv6 drop"),
        ("ipv4", "meta nfproto ipv4 drop"),
        ("regions", "meta nfproto ipv4 ip daddr != 192.0.2.3 drop"),
    ] {
        world.fault(rule);
        if part == "regions" {
            world.fault("ip6 daddr { 2001:db8:1::1, 2001:db8:1::2 } drop");
        }
        let took = world.until("partial", Some(part));
        assert!(took <= PARTIAL + SLACK, "{part}: {took:?}");
        let conditions = world.snapshot().unwrap()["conditions"].clone();
        let ids: Vec<_> = conditions.as_array().unwrap().iter().filter_map(|c| c["id"].as_str()).collect();
        assert!(ids.contains(&"uplink-wired-partial"), "{ids:?}");
        assert!(!ids.contains(&"uplink-target-unresolvable"), "a dead DNS is no fault of a name");
        world.heal();
        let back = world.until("up", None);
        println!("{part}: named after {took:?}, over after {back:?}");
    }
}
