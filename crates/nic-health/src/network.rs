//! What there is to watch: cards, our own addresses, the gateways; read from the kernel, then pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use netlink::{Address, Card, Connection, HardwareAddress, Route};

use crate::entry::Key;
use crate::prober::Sender;
use crate::settings::ours;

/// The network around this host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    /// Ethernet interfaces by number.
    pub(crate) cards: BTreeMap<u32, Card>,
    addresses: Vec<Address>,
    routes: Vec<Route>,
}

impl Network {
    /// Reads counters and flags anew; whether interfaces came or went or changed their names.
    pub(crate) fn look(&mut self, kernel: &mut Connection) -> Result<bool, netlink::Error> {
        let cards = kernel.cards()?.into_iter().filter(|card| card.ethernet && ours(&card.name));
        let cards: BTreeMap<u32, Card> = cards.map(|card| (card.index, card)).collect();
        let names = |cards: &BTreeMap<u32, Card>| -> Vec<(u32, String)> {
            cards.values().map(|card| (card.index, card.name.clone())).collect()
        };
        let other = names(&cards) != names(&self.cards);
        self.cards = cards;
        Ok(other)
    }

    /// Reads addresses and routes anew.
    pub(crate) fn read_routes(&mut self, kernel: &mut Connection) -> Result<(), netlink::Error> {
        self.addresses = kernel.addresses()?;
        self.routes = kernel.routes()?;
        Ok(())
    }

    /// The gateways, and those of `peers` that are on a network of ours.
    pub(crate) fn watched(&self, peers: &[IpAddr]) -> BTreeSet<Key> {
        let gateways = self.routes.iter().filter(|route| route.is_default());
        let gateways = gateways.filter_map(|r| Some(Key { link: r.link?, address: r.gateway? }));
        let near = peers.iter().filter_map(|peer| {
            let on =
                self.addresses.iter().find(|own| self.cards.contains_key(&own.link) && holds(own, *peer))?;
            Some(Key { link: on.link, address: *peer })
        });
        gateways.chain(near).filter(|key| self.cards.contains_key(&key.link)).collect()
    }

    /// Our own IPv4 addresses; the kernel itself looks for other owners of IPv6's (RFC 4862, 5.4).
    pub(crate) fn own(&self) -> BTreeSet<(u32, Ipv4Addr)> {
        let ready = |link: &u32| self.cards.get(link).is_some_and(|card| card.carrier);
        let all = self.addresses.iter().filter(|own| ready(&own.link));
        all.filter_map(|own| match own.address {
            IpAddr::V4(address) => Some((own.link, address)),
            IpAddr::V6(_) => None,
        })
        .collect()
    }

    /// Every hardware address of this host.
    pub(crate) fn macs(&self) -> Vec<HardwareAddress> {
        self.cards.values().filter_map(|card| card.mac).collect()
    }

    /// How to ask about `key`: as somebody of its network, or as nobody.
    pub(crate) fn sender(&self, key: Key, as_nobody: bool) -> Option<Sender> {
        let mac = self.cards.get(&key.link)?.mac?;
        let own = self.addresses.iter().filter(|own| own.link == key.link && !as_nobody);
        let (mut inside, mut any) = (None, None);
        for own in own {
            if let IpAddr::V4(address) = own.address {
                any = any.or(Some(address));
                inside = inside.or(Some(address).filter(|_| holds(own, key.address)));
            }
        }
        Some(Sender { mac, address: inside.or(any).unwrap_or(Ipv4Addr::UNSPECIFIED) })
    }

    pub(crate) fn name(&self, link: u32) -> String {
        self.cards.get(&link).map_or_else(|| format!("link {link}"), |card| card.name.clone())
    }

    pub(crate) fn index(&self, name: &str) -> Option<u32> {
        self.cards.values().find(|card| card.name == name).map(|card| card.index)
    }
}

/// Whether `other` is in the network of one of our addresses.
fn holds(own: &Address, other: IpAddr) -> bool {
    let bits = |ip: IpAddr| match ip {
        IpAddr::V4(a) => (u128::from(u32::from(a)) << 96, 32),
        IpAddr::V6(a) => (u128::from(a), 128),
    };
    let ((ours, width), (theirs, other_width)) = (bits(own.address), bits(other));
    let prefix = u32::from(own.prefix);
    let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
    width == other_width && prefix <= width && ours & mask == theirs & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(index: u32, name: &str) -> Card {
        let mac = Some(HardwareAddress([2, 0, 0, 0, 0, 1]));
        let (name, kind) = (name.to_owned(), None);
        Card { index, name, mac, kind, ethernet: true, up: true, carrier: true, received: 0, sent: 0 }
    }

    fn network() -> Network {
        let address =
            |text: &str, prefix| Address { link: 2, address: text.parse().unwrap(), prefix, global: true };
        let route = |gateway: &str, link| {
            let (destination, gateway) = (Ipv4Addr::UNSPECIFIED.into(), Some(gateway.parse().unwrap()));
            Route { destination, prefix: 0, gateway, link: Some(link), metric: 0, table: 254, protocol: 4 }
        };
        Network {
            cards: BTreeMap::from([(2, card(2, "eth0.100"))]),
            addresses: vec![address("192.0.2.9", 24), address("198.51.100.9", 25)],
            routes: vec![route("192.0.2.1", 2), route("10.64.64.64", 9)],
        }
    }

    fn key(text: &str) -> Key {
        Key { link: 2, address: text.parse().unwrap() }
    }

    #[test]
    fn gateways_and_near_peers_are_watched_on_cards_that_are_ours() {
        let peers = ["198.51.100.100".parse().unwrap(), "198.51.100.200".parse().unwrap()];
        assert_eq!(network().watched(&peers), BTreeSet::from([key("192.0.2.1"), key("198.51.100.100")]));
        assert!(!ours("ppp0") && !ours("wwan64") && ours("eth0.100"));
    }

    #[test]
    fn a_question_comes_from_the_address_of_the_same_network_or_from_nobody() {
        let address = |key, nobody| network().sender(key, nobody).unwrap().address;
        assert_eq!(address(key("198.51.100.1"), false), Ipv4Addr::new(198, 51, 100, 9));
        assert_eq!(address(key("203.0.113.1"), false), Ipv4Addr::new(192, 0, 2, 9));
        assert_eq!(address(key("192.0.2.9"), true), Ipv4Addr::UNSPECIFIED);
        assert!(network().sender(Key { link: 3, ..key("192.0.2.9") }, false).is_none());
    }
}
