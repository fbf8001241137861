//! Plain facts as the kernel's messages.

use crate::{Action, Route, Rule};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleHeader, RuleMessage};
use std::net::IpAddr;

pub(crate) fn all_links() -> Message {
    Message::GetLink(LinkMessage::default())
}

pub(crate) fn all_addresses() -> Message {
    Message::GetAddress(AddressMessage::default())
}

pub(crate) fn all_routes() -> Message {
    Message::GetRoute(RouteMessage::default())
}

pub(crate) fn all_rules() -> Message {
    Message::GetRule(RuleMessage::default())
}

pub(crate) fn route(route: &Route) -> RouteMessage {
    let family = family(route.destination.is_ipv4());
    // IPv4 wants to hear that a route without a gateway ends on the link; IPv6 ignores the scope.
    let scope = if route.gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: family,
        destination_prefix_length: route.prefix,
        table: short_table(route.table),
        protocol: RouteProtocol::from(route.protocol),
        scope,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    let attributes = &mut message.attributes;
    if route.prefix > 0 {
        attributes.push(RouteAttribute::Destination(RouteAddress::from(route.destination)));
    }
    attributes.extend(route.gateway.map(|by| RouteAttribute::Gateway(RouteAddress::from(by))));
    attributes.extend(route.link.map(RouteAttribute::Oif));
    attributes.push(RouteAttribute::Priority(route.metric));
    attributes.push(RouteAttribute::Table(route.table));
    message
}

pub(crate) fn rule(rule: &Rule) -> RuleMessage {
    let mut message = RuleMessage::default();
    let (source, length): (Option<IpAddr>, u8) = rule.source.map_or((None, 0), |(ip, len)| (Some(ip), len));
    let (action, table, suppressed) = match rule.action {
        Action::Table(table) => (RuleAction::ToTable, Some(table), None),
        Action::TableWithout { table, prefix } => (RuleAction::ToTable, Some(table), Some(prefix)),
        Action::Unreachable => (RuleAction::Unreachable, None, None),
    };
    message.header = RuleHeader {
        family: family(rule.ipv4),
        src_len: length,
        table: table.map_or(0, short_table),
        action,
        ..RuleHeader::default()
    };
    let attributes = &mut message.attributes;
    attributes.extend(source.map(RuleAttribute::Source));
    attributes.extend(table.map(RuleAttribute::Table));
    attributes.extend(suppressed.map(RuleAttribute::SuppressPrefixLen));
    attributes.extend(rule.input.clone().map(RuleAttribute::Iifname));
    if let Some((mark, mask)) = rule.mark {
        attributes.extend([RuleAttribute::FwMark(mark), RuleAttribute::FwMask(mask)]);
    }
    attributes.push(RuleAttribute::Priority(rule.priority));
    attributes.push(RuleAttribute::Protocol(RouteProtocol::from(rule.protocol)));
    message
}

fn family(ipv4: bool) -> AddressFamily {
    if ipv4 { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// Tables above 255 are named by the attribute alone.
fn short_table(table: u32) -> u8 {
    u8::try_from(table).unwrap_or(0)
}
