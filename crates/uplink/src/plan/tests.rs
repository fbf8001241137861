//! What is planned, and that any half of it is completed.

use super::*;
use crate::modem::Kind;
use proptest::prelude::*;

fn link(index: u32, name: &str) -> Link {
    Link { index, name: name.to_owned(), up: true, carrier: true }
}

fn address(link: u32, address: &str, prefix: u8) -> Address {
    Address { link, address: address.parse().unwrap(), prefix, global: true }
}

fn route(destination: &str, prefix: u8, gateway: Option<&str>, link: u32) -> Route {
    let (destination, gateway) = (destination.parse().unwrap(), gateway.map(|g| g.parse().unwrap()));
    // RTPROT_DHCP
    Route { destination, prefix, gateway, link: Some(link), metric: 1024, table: TABLE_MAIN, protocol: 16 }
}

/// A Pi behind a router, with a session up.
fn facts() -> Facts {
    Facts {
        links: vec![link(2, "eth0"), link(7, "ppp0")],
        addresses: vec![address(2, "192.168.178.2", 24), address(7, "100.64.0.2", 32)],
        routes: vec![
            route("0.0.0.0", 0, Some("192.168.178.1"), 2),
            route("192.168.178.0", 24, None, 2),
            route("10.64.64.64", 32, None, 7),
        ],
        rules: Vec::new(),
    }
}

fn cellular() -> Cellular {
    Cellular { interface: "ppp0".to_owned(), kind: Kind::Ppp, remote: None, local: None, dns: Vec::new() }
}

#[test]
fn a_network_card_is_left_through_its_gateway_in_its_family_alone() {
    let mut facts = facts();
    facts.links.push(link(9, "wwan0"));
    facts.addresses.push(address(9, "192.168.8.100", 24));
    facts.addresses.push(address(9, "2001:db8:8::2", 64));
    let gateway: IpAddr = "192.168.8.1".parse().unwrap();
    let card = Cellular {
        interface: "wwan0".to_owned(),
        kind: Kind::NetworkCard,
        remote: Some(gateway),
        ..cellular()
    };
    let plan = plan(&facts, &Settings::backup("eth0"), Some(&card));
    let out: Vec<_> = plan.routes.iter().filter(|r| r.link == Some(9)).collect();
    assert_eq!(out.len(), 2);
    assert!(out.iter().all(|r| r.gateway == Some(gateway) && r.is_default() && r.destination.is_ipv4()));
    let source = Some(("192.168.8.100".parse().unwrap(), 32));
    assert!(plan.rules.iter().any(|r| r.source == source && r.table == TABLE_CELLULAR));
    let mut after = facts.clone();
    apply(&mut after, &difference(&facts, &plan));
    assert!(difference(&after, &plan).is_empty(), "applied twice, nothing is left to do");
}

fn apply(facts: &mut Facts, changes: &[Change]) {
    for change in changes {
        match change {
            Change::SetRoute(new) => {
                let key = |r: &Route| (r.destination, r.prefix, r.metric, r.table);
                facts.routes.retain(|r| key(r) != key(new));
                facts.routes.push(new.clone());
            }
            Change::DeleteRoute(old) => facts.routes.retain(|r| r != old),
            Change::AddRule(rule) => facts.rules.push(rule.clone()),
            Change::DeleteRule(rule) => facts.rules.retain(|r| r != rule),
        }
    }
}

#[test]
fn the_cellular_default_comes_before_the_wired_one_in_backup_mode() {
    let facts = facts();
    let plan = plan(&facts, &Settings::backup("eth0"), Some(&cellular()));
    let default = plan.routes.iter().find(|r| r.table == TABLE_MAIN).unwrap();
    assert!(default.is_default() && default.metric < 1024 && default.link == Some(7));
    let gateway = super::plan(&facts, &Settings::gateway("eth0"), Some(&cellular()));
    assert!(gateway.routes.iter().find(|r| r.table == TABLE_MAIN).unwrap().metric > 1024);
}

#[test]
fn answers_leave_by_the_line_they_were_asked_on() {
    let plan = plan(&facts(), &Settings::backup("eth0"), Some(&cellular()));
    for (source, table, link) in [("192.168.178.2", TABLE_WIRED, 2), ("100.64.0.2", TABLE_CELLULAR, 7)] {
        let rule = plan.rules.iter().find(|r| r.source == Some((source.parse().unwrap(), 32))).unwrap();
        assert_eq!(rule.table, table);
        let out = plan.routes.iter().find(|r| r.table == table && r.is_default()).unwrap();
        assert_eq!(out.link, Some(link));
    }
    let on_link = |r: &&Route| r.table == TABLE_WIRED && r.prefix == 24 && r.gateway.is_none();
    assert!(plan.routes.iter().any(|r| on_link(&r)), "the house's own devices are not sent by the router");
}

#[test]
fn without_a_session_nothing_of_the_cellular_line_stays() {
    let mut facts = facts();
    let settings = Settings::backup("eth0");
    let with = plan(&facts, &settings, Some(&cellular()));
    let changes = difference(&facts, &with);
    apply(&mut facts, &changes);
    let without = plan(&facts, &settings, None);
    let changes = difference(&facts, &without);
    apply(&mut facts, &changes);
    assert!(facts.routes.iter().all(|r| r.protocol != PROTOCOL || r.table == TABLE_WIRED));
    assert!(facts.rules.iter().all(|r| r.table == TABLE_WIRED));
}

#[test]
fn ipv6_goes_by_the_cellular_line_only_with_a_global_address() {
    let mut facts = facts();
    let v6 = |facts: &Facts| {
        let plan = plan(facts, &Settings::backup("eth0"), Some(&cellular()));
        plan.routes.iter().filter(|r| r.destination.is_ipv6()).count()
    };
    facts.addresses.push(Address { global: false, ..address(7, "fe80::2", 10) });
    assert_eq!(v6(&facts), 0);
    facts.addresses.push(address(7, "2001:db8:5::2", 64));
    assert_eq!(v6(&facts), 2);
}

#[test]
fn routes_of_others_are_never_deleted() {
    let mut facts = facts();
    facts.routes.push(route("203.0.113.0", 24, Some("192.168.178.9"), 2));
    facts.rules.push(Rule { source: None, ipv4: true, table: 7, priority: 9, protocol: 0 });
    let plan = plan(&facts, &Settings::backup("eth0"), None);
    let destructive = |c: &Change| matches!(c, Change::DeleteRoute(_) | Change::DeleteRule(_));
    assert!(!difference(&facts, &plan).iter().any(destructive));
}

proptest! {
    /// Killed after any number of steps, started again: the result is the plan, and then rest.
    #[test]
    fn a_crash_at_any_step_is_healed(session in any::<bool>(), then in any::<bool>(), cut in 0_usize..12) {
        let settings = Settings::backup("eth0");
        let cellular = cellular();
        let mut facts = facts();
        let first = plan(&facts, &settings, session.then_some(&cellular));
        let changes = difference(&facts, &first);
        apply(&mut facts, &changes[..cut.min(changes.len())]);
        let second = plan(&facts, &settings, then.then_some(&cellular));
        let changes = difference(&facts, &second);
        apply(&mut facts, &changes);
        let again = plan(&facts, &settings, then.then_some(&cellular));
        prop_assert_eq!(difference(&facts, &again), vec![]);
        prop_assert_eq!(again, second);
    }
}
