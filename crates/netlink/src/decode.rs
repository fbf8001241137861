//! The kernel's messages as plain facts.

use crate::{Action, Address, Counters, Link, Route, Rule};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::address::{AddressAttribute, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteType};
use netlink_packet_route::rule::{RuleAction, RuleAttribute};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) fn link(message: Message) -> Option<Link> {
    let Message::NewLink(message) = message else { return None };
    let name = message.attributes.into_iter().find_map(|a| match a {
        LinkAttribute::IfName(name) => Some(name),
        _ => None,
    })?;
    let flags = message.header.flags;
    Some(Link {
        index: message.header.index,
        name,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
    })
}

/// A message without both name and counters is no use.
pub(crate) fn counters(message: LinkMessage) -> Option<Counters> {
    let (mut name, mut stats) = (None, None);
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text),
            LinkAttribute::Stats64(all) => stats = Some(all),
            _ => {}
        }
    }
    let stats = stats?;
    Some(Counters {
        index: message.header.index,
        name: name?,
        received_bytes: stats.rx_bytes,
        sent_bytes: stats.tx_bytes,
        received_packets: stats.rx_packets,
        sent_packets: stats.tx_packets,
    })
}

pub(crate) fn address(message: Message) -> Option<Address> {
    let Message::NewAddress(message) = message else { return None };
    let (mut local, mut other) = (None, None);
    for attribute in message.attributes {
        match attribute {
            // On a point-to-point link `Address` is the peer's.
            AddressAttribute::Local(address) => local = Some(address),
            AddressAttribute::Address(address) => other = Some(address),
            _ => {}
        }
    }
    Some(Address {
        link: message.header.index,
        address: local.or(other)?,
        prefix: message.header.prefix_len,
        global: message.header.scope == AddressScope::Universe,
    })
}

pub(crate) fn route(message: Message) -> Option<Route> {
    let Message::NewRoute(message) = message else { return None };
    let header = message.header;
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Inet6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => return None,
    };
    if header.kind != RouteType::Unicast {
        return None;
    }
    let mut route = Route {
        destination: unspecified,
        prefix: header.destination_prefix_length,
        gateway: None,
        link: None,
        metric: 0,
        table: header.table.into(),
        protocol: header.protocol.into(),
    };
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(to) => route.destination = ip(&to)?,
            RouteAttribute::Gateway(by) => route.gateway = ip(&by),
            RouteAttribute::Oif(link) => route.link = Some(link),
            RouteAttribute::Priority(metric) => route.metric = metric,
            RouteAttribute::Table(table) => route.table = table,
            _ => {}
        }
    }
    Some(route)
}

pub(crate) fn rule(message: Message) -> Option<Rule> {
    let Message::NewRule(message) = message else { return None };
    let header = message.header;
    if !matches!(header.family, AddressFamily::Inet | AddressFamily::Inet6) {
        return None;
    }
    let mut rule = Rule { ipv4: header.family == AddressFamily::Inet, ..Rule::default() };
    let (mut table, mut suppressed) = (u32::from(header.table), None);
    let (mut mark, mut bits) = (None, 0);
    for attribute in message.attributes {
        match attribute {
            RuleAttribute::Source(from) => rule.source = Some((from, header.src_len)),
            RuleAttribute::Table(number) => table = number,
            RuleAttribute::Priority(priority) => rule.priority = priority,
            RuleAttribute::Protocol(protocol) => rule.protocol = protocol.into(),
            RuleAttribute::FwMark(number) => mark = Some(number),
            RuleAttribute::FwMask(number) => bits = number,
            RuleAttribute::Iifname(name) => rule.input = Some(name),
            // The kernel says -1 where there is none (`fib_nl_fill_rule` in net/core/fib_rules.c).
            RuleAttribute::SuppressPrefixLen(prefix) if prefix != u32::MAX => suppressed = Some(prefix),
            _ => {}
        }
    }
    rule.mark = mark.map(|mark| (mark, bits));
    rule.action = match (header.action, suppressed) {
        (RuleAction::ToTable, None) => Action::Table(table),
        (RuleAction::ToTable, Some(prefix)) => Action::TableWithout { table, prefix },
        (RuleAction::Unreachable, _) => Action::Unreachable,
        _ => return None,
    };
    Some(rule)
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}
