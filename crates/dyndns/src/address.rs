//! Which addresses the world can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::talk::Family;

/// Who can reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everybody.
    Public,
    /// Nobody outside: the provider shares one public address among its customers (RFC 6598).
    CarrierNat,
    /// Nobody outside: a private network (RFC 1918, RFC 4193).
    Private,
    /// Nobody at all: loopback, link-local, multicast, unspecified.
    Nobody,
}

/// Who can reach `address`. By the IANA registries of special-purpose addresses (RFC 6890); addresses
/// for documentation count as public, because laboratories are built on them.
pub fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    match address.octets() {
        [100, 64..=127, ..] => Reach::CarrierNat,
        _ if address.is_private() => Reach::Private,
        // RFC 7335 (464XLAT and DS-Lite): a provider's translator is the only one who sees it.
        [192, 0, 0, _] => Reach::CarrierNat,
        // "This network" (RFC 791) and reserved (RFC 1112): never an interface's.
        [0 | 240..=255, ..] => Reach::Nobody,
        _ if address.is_loopback() || address.is_link_local() || address.is_multicast() => Reach::Nobody,
        _ => Reach::Public,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if let Some(inner) = address.to_ipv4_mapped() {
        return reach_v4(inner);
    }
    match address.segments()[0] {
        0xfc00..=0xfdff => Reach::Private,
        // Only 2000::/3 is handed out (RFC 4291, 2.4, and IANA's registry).
        0x2000..=0x3fff => Reach::Public,
        _ => Reach::Nobody,
    }
}

/// The address of an interface that a record should hold: a public one if there is any, or else the
/// first that anybody reaches, so that it can be said what is wrong with it.
pub fn choose(addresses: &[IpAddr], family: Family) -> Option<IpAddr> {
    let ours = || addresses.iter().copied().filter(|a| Family::of(*a) == family);
    ours().find(|a| reach(*a) == Reach::Public).or_else(|| ours().find(|a| reach(*a) != Reach::Nobody))
}

/// So many bytes of a page are looked at.
const LONGEST_PAGE: usize = 4096;

/// The address in what an address service says: plain text, JSON and pages alike, as long as it says
/// one address of this family and no other.
pub fn told(page: &[u8], family: Family) -> Option<IpAddr> {
    let text = String::from_utf8_lossy(&page[..page.len().min(LONGEST_PAGE)]).into_owned();
    let words = text.split(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':'));
    let mut found = words
        .filter_map(|word| word.trim_matches('.').parse::<IpAddr>().ok())
        // "::" and the like are found in code.
        .filter(|address| Family::of(*address) == family && reach(*address) != Reach::Nobody);
    let first = found.next()?;
    found.all(|other| other == first).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn carrier_grade_nat_and_private_networks_are_told_from_public_addresses() {
        for (text, expected) in [
            ("100.64.0.1", Reach::CarrierNat),
            ("100.127.255.255", Reach::CarrierNat),
            ("192.0.0.4", Reach::CarrierNat),
            ("100.63.255.255", Reach::Public),
            ("100.128.0.0", Reach::Public),
            ("10.1.2.3", Reach::Private),
            ("172.16.0.1", Reach::Private),
            ("172.32.0.1", Reach::Public),
            ("192.168.1.1", Reach::Private),
            ("169.254.1.1", Reach::Nobody),
            ("127.0.0.1", Reach::Nobody),
            ("0.0.0.0", Reach::Nobody),
            ("255.255.255.255", Reach::Nobody),
            ("203.0.113.7", Reach::Public),
            ("2001:db8::1", Reach::Public),
            ("fd00::1", Reach::Private),
            ("fe80::1", Reach::Nobody),
            ("::1", Reach::Nobody),
            ("::ffff:10.0.0.1", Reach::Private),
        ] {
            assert_eq!(reach(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn a_public_address_is_preferred_and_a_bad_one_is_still_named() {
        let all: Vec<IpAddr> =
            ["fe80::1", "fd00::1", "2001:db8::5", "10.0.0.1"].iter().map(|a| a.parse().unwrap()).collect();
        assert_eq!(choose(&all, Family::V6), Some("2001:db8::5".parse().unwrap()));
        assert_eq!(choose(&all, Family::V4), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(choose(&all[..1], Family::V6), None);
    }

    #[test]
    fn an_address_service_may_answer_in_any_form_but_with_one_address() {
        let v4 = |page: &str| told(page.as_bytes(), Family::V4).map(|a| a.to_string());
        assert_eq!(v4("198.51.100.7\n").as_deref(), Some("198.51.100.7"));
        assert_eq!(v4("{\"ip\":\"198.51.100.7\"}").as_deref(), Some("198.51.100.7"));
        let page = "<body>Current IP Address: 198.51.100.7.</body>";
        assert_eq!(v4(page).as_deref(), Some("198.51.100.7"));
        assert_eq!(v4("198.51.100.7 198.51.100.8"), None);
        assert_eq!(v4("2001:db8::1"), None);
        assert_eq!(v4("no such page"), None);
        assert_eq!(told(b"2001:db8::1\n", Family::V6), Some("2001:db8::1".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn no_page_breaks_it(page in prop::collection::vec(any::<u8>(), 0..6000)) {
            for family in Family::BOTH {
                if let Some(address) = told(&page, family) {
                    prop_assert_eq!(Family::of(address), family);
                }
            }
        }
    }
}
