//! From what is to what should be: routes and rules of ours, and the steps between.

use crate::modem::Cellular;
use crate::settings::Settings;
use config::Mode;
use netlink::{Action, Address, Link, Route, Rule, TABLE_MAIN};
use ruleset::marks::{ARRIVED_MASK, Line};
use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Marks routes and rules as ours. Free in linux/rtnetlink.h and iproute2's `rt_protos`.
pub const PROTOCOL: u8 = 77;
/// The cellular default while that line is in use: below the wired line's metric, to which
/// systemd-networkd gives 1024 for DHCP and router advertisements (`DHCP_ROUTE_METRIC` in its source).
const METRIC_FIRST: u32 = 100;
/// The cellular default while the wired line is in use: taken by the kernel itself, and at once, when
/// that one's route goes.
const METRIC_SECOND: u32 = 2048;
/// What must leave by the wired line looks here.
const TABLE_WIRED: u32 = 201;
/// What must leave by the cellular line looks here.
const TABLE_CELLULAR: u32 = 202;
/// Answers to what came in by a line, by mark. All of ours lie before the main table's rule (32766)
/// and behind the local table's (0).
const PRIORITY_MARK: u32 = 20_000;
/// What starts from an address of a line.
const PRIORITY_WIRED: u32 = 20_100;
const PRIORITY_CELLULAR: u32 = 20_200;
/// What the LAN sends here, in backup mode: first the house's own networks, then the cellular line.
const PRIORITY_LAN: u32 = 20_300;
const PRIORITY_FORWARD: u32 = 20_310;
/// A family that only the dead line has: first networks with a route of their own, then a refusal.
const PRIORITY_OWN: u32 = 20_400;
const PRIORITY_REFUSE: u32 = 20_410;
/// Inside our own tables the metric decides nothing; IPv6 turns 0 into this (`IP6_RT_PRIO_USER`).
const METRIC_OWN_TABLE: u32 = 1024;
/// Our own prefix in the LAN, as any connected network's.
const METRIC_ULA: u32 = 1024;
const ULA_PREFIX: u8 = 64;

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

    /// The /64s of global IPv6 addresses (`2000::/3`) on an interface. Unique local ones of the house are
    /// of use whatever line is in use.
    pub(crate) fn global_networks(&self, link: u32) -> impl Iterator<Item = Ipv6Addr> {
        self.addresses.iter().filter(move |a| a.link == link && a.prefix == ULA_PREFIX).filter_map(|a| {
            let IpAddr::V6(address) = a.address else { return None };
            let [a, b, c, d, ..] = address.segments();
            (a >> 13 == 1).then(|| Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        })
    }

    /// Whether a line's own table has a way out by an interface; the main table may lack it on purpose.
    pub(crate) fn way_out(&self, line: Line, index: u32, ipv4: bool) -> bool {
        let table = table(line);
        let out = |r: &Route| r.table == table && r.is_default() && r.destination.is_ipv4() == ipv4;
        self.routes.iter().any(|r| out(r) && r.link == Some(index))
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

/// What is wanted of the lines, decided elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Intent {
    /// The line in use; none while there has been no line at all.
    pub active: Option<Line>,
    /// Nothing comes back by the wired line.
    pub wired_dead: bool,
    /// Nothing comes back by the cellular line.
    pub cellular_dead: bool,
    /// Our own prefix in the LAN, where one was given out (a /64 of RFC 4193).
    pub ula: Option<Ipv6Addr>,
}

/// What should be, given what is.
pub fn plan(facts: &Facts, settings: &Settings, cellular: Option<&Cellular>, intent: &Intent) -> Plan {
    let mut plan = Plan::default();
    let lan = facts.link(&settings.lan).filter(|l| l.up);
    if let Some(lan) = lan {
        plan.wired(facts, lan);
        plan.own_prefix(lan, intent.ula);
    }
    if let Some(cellular) = cellular
        && let Some(link) = facts.link(&cellular.interface).filter(|l| l.up)
    {
        plan.cellular(facts, link, cellular.gateway(), intent.active);
    }
    if let Some(lan) = lan {
        for ipv4 in [true, false] {
            if settings.mode == Mode::Backup {
                plan.forward(lan, ipv4, intent);
            }
            plan.refuse(ipv4, intent);
        }
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
        self.answer(facts, lan, Line::Wired);
    }

    fn own_prefix(&mut self, lan: &Link, ula: Option<Ipv6Addr>) {
        self.routes.extend(ula.map(|prefix| Route {
            destination: prefix.into(),
            prefix: ULA_PREFIX,
            ..default_over(lan, false, TABLE_MAIN, METRIC_ULA)
        }));
    }

    fn cellular(&mut self, facts: &Facts, link: &Link, gateway: Option<IpAddr>, active: Option<Line>) {
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
            let out = |table, metric| Route { gateway, ..default_over(link, ipv4, table, metric) };
            self.routes.push(out(TABLE_CELLULAR, METRIC_OWN_TABLE));
            if active == Some(Line::Cellular) {
                self.routes.push(out(TABLE_MAIN, METRIC_FIRST));
            } else if active.is_none() || self.way_out(TABLE_WIRED, ipv4) || !self.any_way_out(TABLE_WIRED) {
                // While the wired line is in use, a family that it lacks must not go over the one that
                // costs money: an IPv6 nobody asked for would.
                self.routes.push(out(TABLE_MAIN, METRIC_SECOND));
            }
        }
        self.answer(facts, link, Line::Cellular);
    }

    fn way_out(&self, table: u32, ipv4: bool) -> bool {
        self.routes.iter().any(|r| r.table == table && r.is_default() && r.destination.is_ipv4() == ipv4)
    }

    fn any_way_out(&self, table: u32) -> bool {
        self.way_out(table, true) || self.way_out(table, false)
    }

    /// What belongs to a line leaves by it: packets that carry its mark, and what starts from one of its
    /// addresses, for each family in which its table has a way out.
    fn answer(&mut self, facts: &Facts, by: &Link, line: Line) {
        let (table, priority) = match line {
            Line::Wired => (table(line), PRIORITY_WIRED),
            Line::Cellular => (table(line), PRIORITY_CELLULAR),
        };
        for ipv4 in [true, false] {
            if self.way_out(table, ipv4) {
                let mark = Some((line.arrived(), ARRIVED_MASK));
                self.rules.push(Rule { mark, ..rule(ipv4, PRIORITY_MARK, Action::Table(table)) });
            }
        }
        for address in facts.global_addresses(by.index) {
            let ipv4 = address.is_ipv4();
            if self.way_out(table, ipv4) {
                let source = Some((address, if ipv4 { 32 } else { 128 }));
                self.rules.push(Rule { source, ..rule(ipv4, priority, Action::Table(table)) });
            }
        }
    }

    /// In backup mode the router sends traffic here only when its own line is dead. Sent back to it,
    /// it would go in circles until its hops are used up; so it takes the cellular line or is refused.
    fn forward(&mut self, lan: &Link, ipv4: bool, intent: &Intent) {
        let house = Action::TableWithout { table: TABLE_MAIN, prefix: 0 };
        let out = if self.way_out(TABLE_CELLULAR, ipv4) && !intent.cellular_dead {
            Action::Table(TABLE_CELLULAR)
        } else {
            Action::Unreachable
        };
        for (priority, action) in [(PRIORITY_LAN, house), (PRIORITY_FORWARD, out)] {
            let input = Some(lan.name.clone());
            self.rules.push(Rule { input, ..rule(ipv4, priority, action) });
        }
    }

    /// The cellular line lacks this family, and the wired one, which has it, is dead: who tries it
    /// should hear so at once and take the other family, instead of waiting for what never comes.
    fn refuse(&mut self, ipv4: bool, intent: &Intent) {
        let left = intent.active == Some(Line::Cellular) && intent.wired_dead;
        let lacks = self.way_out(TABLE_CELLULAR, !ipv4) && !self.way_out(TABLE_CELLULAR, ipv4);
        if left && lacks && self.way_out(TABLE_WIRED, ipv4) {
            let own = Action::TableWithout { table: TABLE_MAIN, prefix: 0 };
            self.rules.push(rule(ipv4, PRIORITY_OWN, own));
            self.rules.push(rule(ipv4, PRIORITY_REFUSE, Action::Unreachable));
        }
    }
}

fn table(line: Line) -> u32 {
    match line {
        Line::Wired => TABLE_WIRED,
        Line::Cellular => TABLE_CELLULAR,
    }
}

fn rule(ipv4: bool, priority: u32, action: Action) -> Rule {
    Rule { ipv4, priority, action, protocol: PROTOCOL, ..Rule::default() }
}

/// The line that the routes in place use, as an earlier process left them. Of a switch cut short both
/// metrics may be there; the kernel takes the first.
pub fn in_place(facts: &Facts, lan: &str) -> Option<Line> {
    let lan = facts.link(lan).map(|l| l.index);
    let ours =
        |r: &&Route| r.protocol == PROTOCOL && r.table == TABLE_MAIN && r.is_default() && r.link != lan;
    let metric = facts.routes.iter().filter(ours).map(|r| r.metric).min()?;
    Some(if metric == METRIC_FIRST { Line::Cellular } else { Line::Wired })
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
mod tests;
