//! Questions "who has this address?" and their answers as bytes: ARP (RFC 826, RFC 5227) and IPv6
//! neighbour discovery (RFC 4861).

use std::net::{Ipv4Addr, Ipv6Addr};

use netlink::HardwareAddress;

/// Everybody on the link.
const BROADCAST: [u8; 6] = [0xff; 6];
/// `EtherType` of ARP, hardware type Ethernet, protocol type IPv4, their lengths: the same in every
/// packet we send or believe.
const ETHERTYPE: [u8; 2] = [0x08, 0x06];
const KIND: [u8; 6] = [0, 1, 8, 0, 6, 4];
const REQUEST: u16 = 1;
/// Ethernet header and ARP packet.
pub const ARP_FRAME: usize = 14 + 28;

/// `ICMPv6` types (RFC 4861, 4.3 and 4.4) and options (4.6.1).
const SOLICITATION: u8 = 135;
pub(crate) const ADVERTISEMENT: u8 = 136;
const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;

/// Somebody says that an IPv4 address is theirs, by answer or by question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Their hardware address.
    pub mac: HardwareAddress,
    /// The address; unspecified in a question of somebody who has none yet.
    pub address: Ipv4Addr,
}

/// The frame that asks everybody who has `target`. With an unspecified `sender` nobody learns
/// anything from it (an ARP probe, RFC 5227, 2.1.1).
pub fn arp_request(mac: HardwareAddress, sender: Ipv4Addr, target: Ipv4Addr) -> [u8; ARP_FRAME] {
    let mut frame = [0; ARP_FRAME];
    frame[..6].copy_from_slice(&BROADCAST);
    frame[6..12].copy_from_slice(&mac.0);
    frame[12..14].copy_from_slice(&ETHERTYPE);
    frame[14..20].copy_from_slice(&KIND);
    frame[20..22].copy_from_slice(&REQUEST.to_be_bytes());
    frame[22..28].copy_from_slice(&mac.0);
    frame[28..32].copy_from_slice(&sender.octets());
    // 32..38: the hardware address that is asked for.
    frame[38..42].copy_from_slice(&target.octets());
    frame
}

/// What a frame claims. Both requests and replies tell who sent them (RFC 826, "Packet Reception").
pub fn arp_claim(frame: &[u8]) -> Option<Claim> {
    let arp = frame.get(..ARP_FRAME)?;
    if arp[12..14] != ETHERTYPE || arp[14..20] != KIND {
        return None;
    }
    let mac = HardwareAddress(arp[22..28].try_into().ok()?);
    let address = Ipv4Addr::from(<[u8; 4]>::try_from(&arp[28..32]).ok()?);
    // A group's address or none is nobody's (RFC 5227 names no such answer).
    let nobody = mac.0[0] & 1 == 1 || mac.0 == [0; 6];
    (!nobody).then_some(Claim { mac, address })
}

/// The `ICMPv6` message that asks who has `target`; the kernel fills in the checksum.
pub fn solicitation(mac: HardwareAddress, target: Ipv6Addr) -> [u8; 32] {
    let mut message = [0; 32];
    message[0] = SOLICITATION;
    message[8..24].copy_from_slice(&target.octets());
    message[24] = SOURCE_LINK_LAYER;
    message[25] = 1; // in units of eight octets
    message[26..32].copy_from_slice(&mac.0);
    message
}

/// Where such a question goes: the solicited-node group (RFC 4291, 2.7.1).
pub fn solicited_node(target: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = target.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// Who an `ICMPv6` advertisement says has which address.
pub fn advertisement(message: &[u8]) -> Option<(Ipv6Addr, HardwareAddress)> {
    let (head, mut options) = message.split_at_checked(24)?;
    if head[0] != ADVERTISEMENT || head[1] != 0 {
        return None;
    }
    let address = Ipv6Addr::from(<[u8; 16]>::try_from(&head[8..24]).ok()?);
    while let [kind, length, ..] = *options {
        // An option of no length makes the whole message invalid (RFC 4861, 4.6).
        let size = usize::from(length) * 8;
        let option = (size > 0).then(|| options.get(..size)).flatten()?;
        if kind == TARGET_LINK_LAYER && length == 1 {
            return Some((address, HardwareAddress(option[2..8].try_into().ok()?)));
        }
        options = &options[size..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: HardwareAddress = HardwareAddress([2, 0, 0, 0, 0, 1]);

    #[test]
    fn a_question_is_what_rfc_826_draws() {
        let frame = arp_request(OURS, Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 9));
        assert_eq!(frame[12..22], [8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        assert_eq!(arp_claim(&frame), Some(Claim { mac: OURS, address: Ipv4Addr::new(192, 0, 2, 1) }));
        assert_eq!(frame[38..42], [192, 0, 2, 9]);
    }

    #[test]
    fn a_solicitation_goes_to_the_group_of_its_target() {
        let target: Ipv6Addr = "2001:db8::1234:5678".parse().unwrap();
        assert_eq!(solicited_node(target).to_string(), "ff02::1:ff34:5678");
        let message = solicitation(OURS, target);
        assert_eq!((message[0], message[24], message[25]), (135, 1, 1));
    }

    #[test]
    fn an_advertisement_tells_its_target_and_its_link_layer_address() {
        let mut message = solicitation(OURS, "fe80::1".parse().unwrap());
        assert_eq!(advertisement(&message), None);
        (message[0], message[24]) = (136, 2);
        assert_eq!(advertisement(&message), Some(("fe80::1".parse().unwrap(), OURS)));
        message[25] = 0;
        assert_eq!(advertisement(&message), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (arp_claim(&bytes), advertisement(&bytes));
        }

        #[test]
        fn no_options_make_it_panic_or_hang(mut options in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut message = vec![136, 0];
            message.resize(24, 0);
            message.append(&mut options);
            let _ = advertisement(&message);
        }
    }
}
