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
    let plan = plan(&facts, &Settings::backup("eth0"), Some(&card), &CELLULAR);
    let out: Vec<_> = plan.routes.iter().filter(|r| r.link == Some(9)).collect();
    assert_eq!(out.len(), 2);
    assert!(out.iter().all(|r| r.gateway == Some(gateway) && r.is_default() && r.destination.is_ipv4()));
    let source = Some(("192.168.8.100".parse().unwrap(), 32));
    assert!(plan.rules.iter().any(|r| r.source == source && r.action == Action::Table(TABLE_CELLULAR)));
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

const CELLULAR: Intent =
    Intent { active: Some(Line::Cellular), wired_dead: false, cellular_dead: false, ula: None };
const WIRED: Intent = Intent { active: Some(Line::Wired), ..CELLULAR };

#[test]
fn the_line_in_use_has_the_better_metric_in_both_modes() {
    for settings in [Settings::backup("eth0"), Settings::gateway("eth0")] {
        for (intent, before) in [(CELLULAR, true), (WIRED, false)] {
            let facts = facts();
            let plan = plan(&facts, &settings, Some(&cellular()), &intent);
            let default = plan.routes.iter().find(|r| r.table == TABLE_MAIN).unwrap();
            assert!(default.is_default() && default.link == Some(7));
            assert_eq!(default.metric < 1024, before);
            let mut then = facts.clone();
            apply(&mut then, &difference(&facts, &plan));
            assert_eq!(in_place(&then, "eth0"), intent.active);
        }
    }
}

#[test]
fn what_the_router_sends_back_goes_out_by_the_stick_or_is_refused_at_once() {
    let facts = facts();
    let action = |settings: &Settings, session: Option<&Cellular>, intent: &Intent| {
        let plan = plan(&facts, settings, session, intent);
        let rule = plan.rules.iter().find(|r| r.ipv4 && r.priority == PRIORITY_FORWARD)?;
        assert_eq!(rule.input.as_deref(), Some("eth0"));
        let house = plan.rules.iter().find(|r| r.ipv4 && r.priority == PRIORITY_LAN).unwrap();
        assert_eq!(house.action, Action::TableWithout { table: TABLE_MAIN, prefix: 0 });
        Some(rule.action)
    };
    let (backup, gateway, session) = (Settings::backup("eth0"), Settings::gateway("eth0"), cellular());
    assert_eq!(action(&backup, Some(&session), &WIRED), Some(Action::Table(TABLE_CELLULAR)));
    assert_eq!(action(&backup, None, &WIRED), Some(Action::Unreachable));
    let dead = Intent { cellular_dead: true, ..WIRED };
    assert_eq!(action(&backup, Some(&session), &dead), Some(Action::Unreachable));
    assert_eq!(action(&gateway, Some(&session), &WIRED), None);
}

#[test]
fn a_marked_packet_leaves_by_its_line() {
    let plan = plan(&facts(), &Settings::gateway("eth0"), Some(&cellular()), &WIRED);
    for (line, table) in [(Line::Wired, TABLE_WIRED), (Line::Cellular, TABLE_CELLULAR)] {
        let rule = plan.rules.iter().find(|r| r.mark == Some((line.arrived(), ARRIVED_MASK))).unwrap();
        assert_eq!(rule.action, Action::Table(table));
    }
}

#[test]
fn an_ipv6_that_only_the_stick_has_costs_nothing_while_the_wired_line_is_in_use() {
    let mut facts = facts();
    facts.addresses.push(address(7, "2001:db8:5::2", 64));
    let main = |intent: &Intent| {
        let plan = plan(&facts, &Settings::gateway("eth0"), Some(&cellular()), intent);
        plan.routes.iter().filter(|r| r.table == TABLE_MAIN && r.destination.is_ipv6()).count()
    };
    assert_eq!((main(&WIRED), main(&CELLULAR)), (0, 1));
}

#[test]
fn a_family_that_only_the_dead_line_has_is_refused_at_once() {
    let mut facts = facts();
    let v6 = |facts: &Facts, intent: &Intent| {
        let plan = plan(facts, &Settings::gateway("eth0"), Some(&cellular()), intent);
        plan.rules.iter().any(|r| !r.ipv4 && r.action == Action::Unreachable)
    };
    facts.addresses.push(address(2, "2001:db8:1::2", 64));
    facts.routes.push(route("::", 0, Some("fe80::1"), 2));
    assert!(!v6(&facts, &CELLULAR), "left because it is poor: what it still carries may go by it");
    assert!(v6(&facts, &Intent { wired_dead: true, ..CELLULAR }));
    facts.addresses.push(address(7, "2001:db8:5::2", 64));
    assert!(!v6(&facts, &Intent { wired_dead: true, ..CELLULAR }));
}

#[test]
fn answers_leave_by_the_line_they_were_asked_on() {
    let plan = plan(&facts(), &Settings::backup("eth0"), Some(&cellular()), &CELLULAR);
    for (source, table, link) in [("192.168.178.2", TABLE_WIRED, 2), ("100.64.0.2", TABLE_CELLULAR, 7)] {
        let rule = plan.rules.iter().find(|r| r.source == Some((source.parse().unwrap(), 32))).unwrap();
        assert_eq!(rule.action, Action::Table(table));
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
    let with = plan(&facts, &settings, Some(&cellular()), &CELLULAR);
    let changes = difference(&facts, &with);
    apply(&mut facts, &changes);
    let without = plan(&facts, &settings, None, &CELLULAR);
    let changes = difference(&facts, &without);
    apply(&mut facts, &changes);
    assert!(facts.routes.iter().all(|r| r.protocol != PROTOCOL || r.table == TABLE_WIRED));
    assert!(facts.rules.iter().all(|r| r.action != Action::Table(TABLE_CELLULAR)));
}

#[test]
fn ipv6_goes_by_the_cellular_line_only_with_a_global_address() {
    let mut facts = facts();
    let v6 = |facts: &Facts| {
        let plan = plan(facts, &Settings::backup("eth0"), Some(&cellular()), &CELLULAR);
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
    facts.rules.push(Rule { ipv4: true, action: Action::Table(7), priority: 9, ..Rule::default() });
    let plan = plan(&facts, &Settings::backup("eth0"), None, &CELLULAR);
    let destructive = |c: &Change| matches!(c, Change::DeleteRoute(_) | Change::DeleteRule(_));
    assert!(!difference(&facts, &plan).iter().any(destructive));
}

proptest! {
    /// Killed after any number of steps of any switch, started again with any other mind: the result is
    /// the plan, and then rest.
    #[test]
    fn a_crash_at_any_step_is_healed(
        session in any::<bool>(), then in any::<bool>(), from in any::<bool>(), to in any::<bool>(),
        dead in any::<bool>(), gateway in any::<bool>(), v6 in any::<bool>(), cut in 0_usize..24,
    ) {
        let settings = if gateway { Settings::gateway("eth0") } else { Settings::backup("eth0") };
        let cellular = cellular();
        let line = |cellular| Some(if cellular { Line::Cellular } else { Line::Wired });
        let mut facts = facts();
        if v6 {
            facts.addresses.push(address(2, "2001:db8:1::2", 64));
            facts.routes.push(route("::", 0, Some("fe80::1"), 2));
        }
        let before = Intent { active: line(from), wired_dead: dead, ..Intent::default() };
        let first = plan(&facts, &settings, session.then_some(&cellular), &before);
        let changes = difference(&facts, &first);
        apply(&mut facts, &changes[..cut.min(changes.len())]);
        let after = Intent { active: line(to), ..Intent::default() };
        let second = plan(&facts, &settings, then.then_some(&cellular), &after);
        let changes = difference(&facts, &second);
        for done in 0..changes.len() {
            let mut cut_short = facts.clone();
            apply(&mut cut_short, &changes[..done]);
            prop_assert!(cut_short.routes.iter().any(|r| r.is_default() && r.table == TABLE_MAIN));
        }
        apply(&mut facts, &changes);
        let again = plan(&facts, &settings, then.then_some(&cellular), &after);
        prop_assert_eq!(difference(&facts, &again), vec![]);
        prop_assert_eq!(again, second);
    }
}
