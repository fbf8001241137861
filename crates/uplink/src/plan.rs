//! From what is to what should be: routes and rules of ours, and the steps between.

use crate::modem::Cellular;
use crate::settings::Settings;
use netlink::{Address, Link, Route, Rule, TABLE_MAIN};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Marks routes and rules as ours. Free in linux/rtnetlink.h and iproute2's `rt_protos`.
pub const PROTOCOL: u8 = 77;
/// What starts from an address of the wired line looks here.
const TABLE_WIRED: u32 = 201;
/// What starts from an address of the cellular line looks here.
const TABLE_CELLULAR: u32 = 202;
/// Before the main table's rule (32766), behind the local table's (0).
const PRIORITY_WIRED: u32 = 20_100;
const PRIORITY_CELLULAR: u32 = 20_200;
/// Inside our own tables the metric decides nothing; IPv6 turns 0 into this (`IP6_RT_PRIO_USER`).
const METRIC_OWN_TABLE: u32 = 1024;

/// What the kernel has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Interfaces.
    pub links: Vec<Link>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Routes.
    pub routes: Vec<Route>,
    /// Rules.
    pub rules: Vec<Rule>,
}

impl Facts {
    pub(crate) fn link(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|l| l.name == name)
    }

    pub(crate) fn global_addresses(&self, link: u32) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().filter(move |a| a.link == link && a.global).map(|a| a.address)
    }

    /// The best default route of the main table over an interface, IPv4 before IPv6.
    pub(crate) fn default_route(&self, link: u32) -> Option<&Route> {
        let over = |r: &&Route| r.table == TABLE_MAIN && r.is_default() && r.link == Some(link);
        self.routes.iter().filter(over).min_by_key(|r| (r.destination.is_ipv6(), r.metric))
    }
}

/// The routes and rules that should be ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Routes, all with our protocol number.
    pub routes: Vec<Route>,
    /// Rules, all with our protocol number.
    pub rules: Vec<Rule>,
}

/// One step towards a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Add or replace a route.
    SetRoute(Route),
    /// Add a rule.
    AddRule(Rule),
    /// Take a rule away.
    DeleteRule(Rule),
    /// Take a route away.
    DeleteRoute(Route),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetRoute(route) => write!(f, "set route {route}"),
            Self::AddRule(rule) => write!(f, "add rule {rule}"),
            Self::DeleteRule(rule) => write!(f, "delete rule {rule}"),
            Self::DeleteRoute(route) => write!(f, "delete route {route}"),
        }
    }
}

/// What should be, given what is.
pub fn plan(facts: &Facts, settings: &Settings, cellular: Option<&Cellular>) -> Plan {
    let mut plan = Plan::default();
    if let Some(lan) = facts.link(&settings.lan).filter(|l| l.up) {
        plan.wired(facts, lan);
    }
    if let Some(cellular) = cellular
        && let Some(link) = facts.link(&cellular.interface).filter(|l| l.up)
    {
        plan.cellular(facts, link, cellular.gateway(), settings.cellular_metric);
    }
    plan
}

impl Plan {
    /// A copy of the wired line's routes, for answers to what came in by it.
    fn wired(&mut self, facts: &Facts, lan: &Link) {
        let mut seen = BTreeSet::new();
        for route in &facts.routes {
            let over =
                route.table == TABLE_MAIN && route.link == Some(lan.index) && route.protocol != PROTOCOL;
            if over && seen.insert((route.destination, route.prefix)) {
                let (table, metric, protocol) = (TABLE_WIRED, METRIC_OWN_TABLE, PROTOCOL);
                self.routes.push(Route { table, metric, protocol, ..route.clone() });
            }
        }
        self.answer_from(facts, lan, TABLE_WIRED, PRIORITY_WIRED);
    }

    fn cellular(&mut self, facts: &Facts, link: &Link, gateway: Option<IpAddr>, metric: u32) {
        for ipv4 in [true, false] {
            // An Ethernet is left through a gateway of the same family only.
            if gateway.is_some_and(|gateway| gateway.is_ipv4() != ipv4) {
                continue;
            }
            // Without an address of the family there is nothing to send from: pppd gives IPv6 a
            // link-local address only, the carrier's router advertisement makes the global one.
            if !facts.global_addresses(link.index).any(|a| a.is_ipv4() == ipv4) {
                continue;
            }
            for (table, metric) in [(TABLE_MAIN, metric), (TABLE_CELLULAR, METRIC_OWN_TABLE)] {
                self.routes.push(Route { gateway, ..default_over(link, ipv4, table, metric) });
            }
        }
        self.answer_from(facts, link, TABLE_CELLULAR, PRIORITY_CELLULAR);
    }

    /// A rule for each address of a link whose table has a way out for its family.
    fn answer_from(&mut self, facts: &Facts, link: &Link, table: u32, priority: u32) {
        for address in facts.global_addresses(link.index) {
            let ipv4 = address.is_ipv4();
            let way_out = |r: &Route| r.table == table && r.is_default() && r.destination.is_ipv4() == ipv4;
            if self.routes.iter().any(way_out) {
                let source = Some((address, if ipv4 { 32 } else { 128 }));
                self.rules.push(Rule { source, ipv4, table, priority, protocol: PROTOCOL });
            }
        }
    }
}

fn default_over(link: &Link, ipv4: bool, table: u32, metric: u32) -> Route {
    let destination = if ipv4 { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    Route { destination, prefix: 0, gateway: None, link: Some(link.index), metric, table, protocol: PROTOCOL }
}

/// The steps from what is to the plan: new ways first, then the rules that lead to them, and only
/// then the old ones away, so that no moment is without a way.
pub fn difference(facts: &Facts, plan: &Plan) -> Vec<Change> {
    let have_routes: Vec<_> = facts.routes.iter().filter(|r| r.protocol == PROTOCOL).collect();
    let have_rules: Vec<_> = facts.rules.iter().filter(|r| r.protocol == PROTOCOL).collect();
    let mut changes = Vec::new();
    let new_routes = plan.routes.iter().filter(|r| !have_routes.contains(r));
    changes.extend(new_routes.cloned().map(Change::SetRoute));
    let new_rules = plan.rules.iter().filter(|r| !have_rules.contains(r));
    changes.extend(new_rules.cloned().map(Change::AddRule));
    let old_rules = have_rules.iter().filter(|r| !plan.rules.contains(r));
    changes.extend(old_rules.map(|r| Change::DeleteRule((*r).clone())));
    let old_routes = have_routes.iter().filter(|r| !plan.routes.contains(r) && !replaced(r, plan));
    changes.extend(old_routes.map(|r| Change::DeleteRoute((*r).clone())));
    changes
}

/// Setting an IPv4 route replaces the one with the same destination, metric and table; deleting that
/// one afterwards would take the new one. IPv6 keeps both when the next hop differs in kind, so there
/// the old one is named with its next hop and deleted.
fn replaced(old: &Route, plan: &Plan) -> bool {
    let key = |r: &Route| (r.destination, r.prefix, r.metric, r.table);
    old.destination.is_ipv4() && plan.routes.iter().any(|new| key(new) == key(old))
}

#[cfg(test)]
mod tests {
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
        Route {
            destination,
            prefix,
            gateway,
            link: Some(link),
            metric: 1024,
            table: TABLE_MAIN,
            protocol: 16,
        }
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
        assert!(
            plan.routes.iter().any(|r| on_link(&r)),
            "the house's own devices are not sent by the router"
        );
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
}
