//! As much of an IP packet as a fault asks about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Protocol numbers (IANA).
pub const TCP: u8 = 6;
/// See [`TCP`].
pub const UDP: u8 = 17;

/// Header lengths and field offsets: RFC 791 section 3.1, RFC 8200 section 3.
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// The low bits of the word that holds a fragment's offset.
const OFFSET_BITS: u32 = 13;

/// What a packet is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Where from.
    pub source: IpAddr,
    /// Where to.
    pub destination: IpAddr,
    /// Protocol above IP; extension headers of IPv6 count as one.
    pub protocol: u8,
    /// Source and destination port, where there are such.
    pub ports: Option<(u16, u16)>,
}

impl Packet {
    /// Reads one; `None` for what is no IP packet.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (source, destination, protocol, payload) = match bytes.first()? >> 4 {
            4 => {
                let header: &[u8; IPV4_HEADER] = bytes.first_chunk()?;
                let length = usize::from(header[0] & 0x0f) * 4;
                // Only the first fragment has ports.
                let first = u16::from_be_bytes([header[6], header[7]]).trailing_zeros() >= OFFSET_BITS;
                let address =
                    |at: usize| Some(IpAddr::V4(Ipv4Addr::from(*bytes.get(at..)?.first_chunk::<4>()?)));
                (address(12)?, address(16)?, header[9], bytes.get(length..).filter(|_| first))
            }
            6 => {
                let address =
                    |at: usize| Some(IpAddr::V6(Ipv6Addr::from(*bytes.get(at..)?.first_chunk::<16>()?)));
                (address(8)?, address(24)?, *bytes.get(6)?, bytes.get(IPV6_HEADER..))
            }
            _ => return None,
        };
        let ports = payload.filter(|_| protocol == TCP || protocol == UDP).and_then(<[u8]>::first_chunk::<4>);
        let ports = ports.map(|p| (u16::from_be_bytes([p[0], p[1]]), u16::from_be_bytes([p[2], p[3]])));
        Some(Self { source, destination, protocol, ports })
    }

    /// Whether it stays on its link: what neighbours say to each other is no traffic of a line.
    pub fn is_of_the_link(&self) -> bool {
        [self.source, self.destination].iter().any(|address| match address {
            IpAddr::V4(address) => address.is_multicast() || address.is_link_local(),
            IpAddr::V6(address) => address.is_multicast() || address.is_unicast_link_local(),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A UDP packet between documentation addresses.
    pub(crate) fn udp(source: u16, destination: u16) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, UDP, 0, 0];
        packet.extend([203, 0, 113, 2, 192, 0, 2, 80]);
        packet.extend(source.to_be_bytes());
        packet.extend(destination.to_be_bytes());
        packet.extend([0, 8, 0, 0]);
        packet
    }

    /// An IPv6 packet without payload.
    pub(crate) fn ipv6() -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, 58, 64];
        packet.extend("2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        packet.extend("2001:db8::80".parse::<Ipv6Addr>().unwrap().octets());
        packet
    }

    #[test]
    fn reads_addresses_and_ports() {
        let packet = Packet::read(&udp(1000, 53)).unwrap();
        assert_eq!(packet.destination, IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80)));
        assert_eq!((packet.protocol, packet.ports), (UDP, Some((1000, 53))));
        assert!(Packet::read(&ipv6()).unwrap().destination.is_ipv6());
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let mut packet = udp(1000, 53);
        packet[7] = 1;
        assert_eq!(Packet::read(&packet).unwrap().ports, None);
    }

    #[test]
    fn survives_a_packet_cut_anywhere() {
        for whole in [udp(1, 2), ipv6()] {
            for length in 0..whole.len() {
                let _ = Packet::read(&whole[..length]);
            }
        }
        assert_eq!(Packet::read(&[0x45; 12]), None);
        assert_eq!(Packet::read(&[]), None);
    }
}
