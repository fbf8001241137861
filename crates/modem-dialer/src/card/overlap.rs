//! Whether the stick's own network uses addresses that another interface has already.
//!
//! `HiLink` sticks give out 192.168.8.0/24 or 192.168.1.0/24, and so do routers at home. Then what is
//! meant for one of them goes to the other, and it looks like a fault of neither.

use std::net::Ipv4Addr;

use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Net {
    interface: String,
    address: Ipv4Addr,
    mask: Ipv4Addr,
}

/// The interface and its network in words, if one overlaps the card's.
pub(super) fn look(card: &str) -> Option<String> {
    let nets: Vec<Net> = getifaddrs()
        .ok()?
        .filter(|entry| !entry.flags.contains(InterfaceFlags::IFF_LOOPBACK))
        .filter_map(|entry| {
            Some(Net {
                address: entry.address?.as_sockaddr_in()?.ip(),
                mask: entry.netmask?.as_sockaddr_in()?.ip(),
                interface: entry.interface_name,
            })
        })
        .collect();
    overlapping(card, &nets)
}

fn overlapping(card: &str, nets: &[Net]) -> Option<String> {
    let (own, others): (Vec<&Net>, Vec<&Net>) = nets.iter().partition(|net| net.interface == card);
    let pairs = own.iter().flat_map(|own| others.iter().map(move |other| (own, other)));
    pairs.into_iter().find(|(own, other)| own.meets(other)).map(|(own, other)| {
        format!("{} has {}, and {} has {}", card, own.words(), other.interface, other.words())
    })
}

impl Net {
    /// Whether they have addresses in common: the wider one has the other's within.
    fn meets(&self, other: &Self) -> bool {
        let mask = u32::from(self.mask) & u32::from(other.mask);
        u32::from(self.address) & mask == u32::from(other.address) & mask
    }

    fn words(&self) -> String {
        format!("{}/{}", self.address, u32::from(self.mask).count_ones())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(interface: &str, address: [u8; 4], mask: [u8; 4]) -> Net {
        Net { interface: interface.to_owned(), address: address.into(), mask: mask.into() }
    }

    const C24: [u8; 4] = [255, 255, 255, 0];

    #[test]
    fn the_same_network_twice_is_named_with_both_interfaces() {
        let nets = [net("end0", [192, 168, 8, 20], C24), net("wwan64", [192, 168, 8, 100], C24)];
        let words = overlapping("wwan64", &nets).unwrap();
        assert_eq!(words, "wwan64 has 192.168.8.100/24, and end0 has 192.168.8.20/24");
    }

    #[test]
    fn a_wider_network_that_has_it_within_overlaps_too() {
        let nets = [net("end0", [192, 168, 1, 20], [255, 255, 0, 0]), net("wwan64", [192, 168, 8, 100], C24)];
        assert!(overlapping("wwan64", &nets).is_some());
    }

    #[test]
    fn other_networks_and_the_cards_own_do_not() {
        let nets = [net("end0", [192, 168, 1, 20], C24), net("wwan64", [192, 168, 8, 100], C24)];
        assert_eq!(overlapping("wwan64", &nets), None);
        assert_eq!(overlapping("wwan64", &nets[1..]), None);
        assert_eq!(overlapping("wwan64", &nets[..1]), None);
    }
}
