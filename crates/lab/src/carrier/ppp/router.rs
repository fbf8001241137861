//! The network's first hop for IPv6: router advertisements (RFC 4861), as a gateway sends them to
//! a subscriber's bearer (3GPP TS 29.061 section 11.2.1.3.2).

use std::net::Ipv6Addr;

use super::super::link_local;

const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
/// All nodes on the link (RFC 4291 section 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Seconds for which the gateway is a default router (RFC 4861's default).
const ROUTER_LIFETIME: u16 = 1800;

/// Whether the packet asks for an advertisement.
pub(super) fn is_solicitation(packet: &[u8]) -> bool {
    packet.len() >= 48 && packet[6] == ICMPV6 && packet[40] == SOLICITATION
}

/// Whether its source is in the subscriber's /64.
pub(super) fn comes_from(packet: &[u8], prefix: Ipv6Addr) -> bool {
    packet.get(8..16).is_some_and(|source| source == &prefix.octets()[..8])
}

/// Whether its source is link-local or unspecified: neighbour discovery, never to be routed.
pub(super) fn is_link_local(packet: &[u8]) -> bool {
    packet.get(8..24).is_some_and(|source| source.starts_with(&[0xfe, 0x80]) || source == [0; 16])
}

/// An advertisement of the prefix for autoconfiguration. The prefix is not on-link: the
/// subscriber is alone on its bearer.
pub(super) fn advertisement(gateway_id: u64, prefix: Ipv6Addr) -> Vec<u8> {
    const AUTONOMOUS: u8 = 0x40;
    let source = link_local(gateway_id);
    let mut message = vec![ADVERTISEMENT, 0, 0, 0, 64, 0];
    message.extend(ROUTER_LIFETIME.to_be_bytes());
    message.extend([0; 8]); // reachable time, retransmission timer: unspecified
    message.extend([3, 4, 64, AUTONOMOUS]);
    message.extend([0xff; 8]); // lives for ever, as TS 29.061 asks
    message.extend([0; 4]);
    message.extend(prefix.octets());
    let sum = checksum(source, ALL_NODES, &message).to_be_bytes();
    message[2..4].copy_from_slice(&sum);

    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(message.len()).unwrap_or(0).to_be_bytes());
    packet.extend([ICMPV6, 255]);
    packet.extend(source.octets());
    packet.extend(ALL_NODES.octets());
    packet.extend(message);
    packet
}

/// The checksum of `ICMPv6` with its pseudo-header (RFC 8200 section 8.1).
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap_or(0).to_be_bytes();
    let covered =
        [&source.octets()[..], &destination.octets(), &length, &[0, 0, 0, ICMPV6], message].concat();
    let sum: u32 = covered
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    u16::try_from(!folded & 0xffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advertisement_carries_the_prefix_and_a_checksum_that_verifies() {
        let prefix: Ipv6Addr = "2001:db8:20::".parse().unwrap();
        let packet = advertisement(1, prefix);
        assert_eq!(packet.len(), 40 + 48);
        assert_eq!(packet[72..88], prefix.octets());
        // Over a message with its checksum in place the sum is all ones, its complement zero.
        assert_eq!(checksum(link_local(1), ALL_NODES, &packet[40..]), 0);
    }

    #[test]
    fn short_packets_are_nothing() {
        assert!(!is_solicitation(&[0x60; 20]));
        assert!(!comes_from(&[0x60; 10], Ipv6Addr::LOCALHOST));
    }
}
