//! Network cards: what a watch over a card's health asks of the kernel, and how a card is switched
//! off and on without losing the addresses and routes that hang on it.

use crate::connection::fine_if;
use crate::neighbours::HardwareAddress;
use crate::{Connection, Error, encode};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};
use netlink_packet_route::route::{RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteType};
use nix::errno::Errno;

/// A network interface as its counters and flags tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What kind of interface without hardware of its own it is (`bridge`, `vlan`, …); none for a card.
    pub kind: Option<String>,
    /// Its hardware address, on Ethernet.
    pub mac: Option<HardwareAddress>,
    /// Frames of Ethernet, with neighbour entries: no loopback, no point-to-point line, no tunnel.
    pub ethernet: bool,
    /// Somebody switched it on.
    pub up: bool,
    /// It has a partner.
    pub carrier: bool,
    /// Packets that came in.
    pub received: u64,
    /// Packets that went out.
    pub sent: u64,
}

/// Addresses and routes that go with an interface when it goes down, as the kernel told them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Belongings {
    /// Messages `RTM_NEWADDR`.
    pub addresses: Vec<Vec<u8>>,
    /// Messages `RTM_NEWROUTE`.
    pub routes: Vec<Vec<u8>>,
}

impl Connection {
    /// All interfaces with their counters.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn cards(&mut self) -> Result<Vec<Card>, Error> {
        Ok(self.dump("list interfaces", &encode::all_links())?.into_iter().filter_map(card).collect())
    }

    /// Switches an interface on or off.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn set_link(&mut self, link: u32, up: bool) -> Result<(), Error> {
        let mut message = LinkMessage::default();
        message.header.index = link;
        message.header.change_mask = LinkFlags::Up;
        message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
        let operation = if up { "switch on" } else { "switch off" };
        self.order(operation, 0, Message::SetLink(message), || format!("link {link}"))
    }

    /// What [`Connection::give_back`] needs after `link` was down.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn belongings(&mut self, link: u32) -> Result<Belongings, Error> {
        let addresses = self.dump("list addresses", &encode::all_addresses())?;
        let routes = self.dump("list routes", &encode::all_routes())?;
        let keep = |message: Message| match &message {
            Message::NewAddress(address) => {
                (address.header.index == link && lasting(address)).then(|| bytes(message))
            }
            Message::NewRoute(route) => {
                (goes_out(route, link) && made_by_others(route)).then(|| bytes(message))
            }
            _ => None,
        };
        Ok(Belongings {
            addresses: addresses.into_iter().filter_map(keep).collect(),
            routes: routes.into_iter().filter_map(keep).collect(),
        })
    }

    /// Gives an interface, which may have a new number, its addresses and routes again; what is there
    /// already is fine. What cannot be given is told, the rest is given all the same.
    pub fn give_back(&mut self, link: u32, belongings: &Belongings) -> Vec<Error> {
        let mut problems = Vec::new();
        for bytes in &belongings.addresses {
            let Some(Message::NewAddress(mut address)) = message(bytes) else { continue };
            address.header.index = link;
            let order = Message::NewAddress(address);
            let result = self.order("give back address", NLM_F_CREATE | NLM_F_REPLACE, order, || {
                format!("on link {link}")
            });
            problems.extend(fine_if(result, &[Errno::EEXIST]).err());
        }
        let mut routes: Vec<RouteMessage> = belongings.routes.iter().filter_map(|b| route(b, link)).collect();
        // A gateway is reached by a route that must be there first.
        routes.sort_by_key(|route| route.attributes.iter().any(|a| matches!(a, RouteAttribute::Gateway(_))));
        for route in routes {
            let order = Message::NewRoute(route);
            let result = self
                .order("give back route", NLM_F_CREATE | NLM_F_REPLACE, order, || format!("on link {link}"));
            problems.extend(fine_if(result, &[Errno::EEXIST]).err());
        }
        problems
    }
}

fn card(message: Message) -> Option<Card> {
    let Message::NewLink(message) = message else { return None };
    let (mut name, mut mac, mut stats, mut kind) = (None, None, None, None);
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text),
            LinkAttribute::Address(bytes) => mac = <[u8; 6]>::try_from(bytes.as_slice()).ok(),
            LinkAttribute::Stats64(all) => stats = Some(all),
            LinkAttribute::LinkInfo(infos) => {
                kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let flags = message.header.flags;
    let plain = !flags.intersects(LinkFlags::Loopback | LinkFlags::Pointopoint | LinkFlags::Noarp);
    let stats = stats?;
    Some(Card {
        index: message.header.index,
        name: name?,
        kind,
        mac: mac.map(HardwareAddress),
        ethernet: plain && message.header.link_layer_type == LinkLayerType::Ether,
        up: flags.contains(LinkFlags::Up),
        carrier: flags.contains(LinkFlags::LowerUp),
        received: stats.rx_packets,
        sent: stats.tx_packets,
    })
}

/// IPv6 addresses go when the interface is switched off, and IPv4's when it goes altogether; those of
/// a lease or an advertisement are renewed by who got them.
fn lasting(address: &AddressMessage) -> bool {
    let permanent = address
        .attributes
        .iter()
        .any(|a| matches!(a, AddressAttribute::Flags(flags) if flags.contains(AddressFlags::Permanent)));
    let link_local =
        address.header.family == AddressFamily::Inet6 && address.header.scope == AddressScope::Link;
    permanent && !link_local
}

fn goes_out(route: &RouteMessage, link: u32) -> bool {
    route.attributes.iter().any(|a| matches!(a, RouteAttribute::Oif(out) if *out == link))
}

/// The kernel makes its own again when the interface comes up, and routers advertise theirs.
fn made_by_others(route: &RouteMessage) -> bool {
    let header = &route.header;
    header.kind == RouteType::Unicast && !matches!(header.protocol, RouteProtocol::Kernel | RouteProtocol::Ra)
}

fn bytes(message: Message) -> Vec<u8> {
    let mut packet = NetlinkMessage::from(message);
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    bytes
}

fn message(bytes: &[u8]) -> Option<Message> {
    match NetlinkMessage::<Message>::deserialize(bytes).ok()?.payload {
        NetlinkPayload::InnerMessage(message) => Some(message),
        _ => None,
    }
}

fn route(bytes: &[u8], link: u32) -> Option<RouteMessage> {
    let Some(Message::NewRoute(mut route)) = message(bytes) else { return None };
    route.header.flags = RouteFlags::default();
    // Ages and metrics of use are the kernel's to tell, not ours to set.
    route.attributes.retain(|a| !matches!(a, RouteAttribute::CacheInfo(_) | RouteAttribute::Preference(_)));
    for attribute in &mut route.attributes {
        if let RouteAttribute::Oif(out) = attribute {
            *out = link;
        }
    }
    Some(route)
}
