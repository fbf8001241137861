//! Echo requests and what comes back for them: bytes only.
//!
//! An answer counts only if type, identifier, sequence number *and* a random cookie in the payload are
//! ours. An error message that quotes our request is somebody's refusal, never an answer: mwan3 took
//! one for the other and called a dead line alive (openwrt/packages#25487).

use link_health::Family;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// RFC 792; RFC 4443 section 4.
const ECHO_REPLY: u8 = 0;
const ECHO_REQUEST: u8 = 8;
const ECHO_REQUEST_V6: u8 = 128;
const ECHO_REPLY_V6: u8 = 129;
/// What [`read`] makes something of: replies, unreachable, time exceeded.
pub(super) const HEARD_V4: [u8; 3] = [ECHO_REPLY, 3, 11];
pub(super) const HEARD_V6: [u8; 3] = [ECHO_REPLY_V6, 1, 3];
/// Type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;
const COOKIE: usize = 8;
/// Behind the cookie, so that the payload is never empty and never zeros: routers are known to drop
/// such echoes (opnsense/core#4047).
const FILLING: [u8; 8] = *b"failover";
/// A request, and so its answer, without IP header.
pub(super) const LENGTH: usize = HEADER + COOKIE + FILLING.len();
/// IPv6's header without extensions (RFC 8200 section 3).
const IPV6_HEADER: usize = 40;

/// What makes one request ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Echo {
    pub(super) id: u16,
    pub(super) sequence: u16,
    pub(super) cookie: u64,
}

/// What came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// An echo reply from somebody.
    Reply { from: IpAddr, echo: Echo },
    /// An error message from `by` about a request of ours to `to`.
    Error { by: IpAddr, to: IpAddr, id: u16, sequence: u16, why: &'static str },
}

impl Echo {
    /// The request; for IPv6 the kernel fills in the checksum (RFC 3542 section 3.1).
    pub(super) fn request(self, family: Family) -> Vec<u8> {
        let kind = if family == Family::V4 { ECHO_REQUEST } else { ECHO_REQUEST_V6 };
        let mut bytes = vec![kind, 0, 0, 0];
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.cookie.to_be_bytes());
        bytes.extend(FILLING);
        if family == Family::V4 {
            let sum = checksum(&bytes);
            bytes[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        bytes
    }
}

/// Reads what a raw socket of a family gave: with its IP header for IPv4, without for IPv6 (raw(7), ipv6(7)).
pub(super) fn read(family: Family, bytes: &[u8], from: Option<IpAddr>) -> Option<Heard> {
    match family {
        Family::V4 => {
            let (header, message) = split_v4(bytes)?;
            message_v4(message, ip4(header.get(12..16)?)?)
        }
        Family::V6 => message_v6(bytes, from?),
    }
}

fn message_v4(message: &[u8], from: IpAddr) -> Option<Heard> {
    let (kind, code) = (*message.first()?, *message.get(1)?);
    let why = match (kind, code) {
        (ECHO_REPLY, 0) => return reply(message, from),
        // RFC 792, RFC 1812 section 5.2.7.1.
        (3, 0 | 6 | 11) => "network unreachable",
        (3, 1 | 7 | 12) => "host unreachable",
        (3, 9 | 10 | 13) => "refused by a packet filter",
        (3, 4) => return None, // fragmentation needed: says nothing about a request this short
        (3, _) => "unreachable",
        (11, _) => "goes round in circles (time exceeded)",
        _ => return None,
    };
    let (header, quoted) = split_v4(message.get(HEADER..)?)?;
    let ours = *quoted.first()? == ECHO_REQUEST && *header.get(9)? == 1;
    let to = ip4(header.get(16..20)?)?;
    ours.then_some(())?;
    Some(Heard::Error { by: from, to, id: be16(quoted, 4)?, sequence: be16(quoted, 6)?, why })
}

fn message_v6(message: &[u8], from: IpAddr) -> Option<Heard> {
    let (kind, code) = (*message.first()?, *message.get(1)?);
    let why = match (kind, code) {
        (ECHO_REPLY_V6, 0) => return reply(message, from),
        // RFC 4443 section 3.
        (1, 0) => "no route",
        (1, 1 | 5 | 6) => "refused by a packet filter",
        (1, _) => "unreachable",
        (3, _) => "goes round in circles (time exceeded)",
        _ => return None,
    };
    let quoted = message.get(HEADER..)?;
    let to: [u8; 16] = quoted.get(24..40)?.try_into().ok()?;
    let request = quoted.get(IPV6_HEADER..)?;
    (*quoted.get(6)? == 58 && *request.first()? == ECHO_REQUEST_V6).then_some(())?;
    let to = Ipv6Addr::from(to).into();
    Some(Heard::Error { by: from, to, id: be16(request, 4)?, sequence: be16(request, 6)?, why })
}

fn reply(message: &[u8], from: IpAddr) -> Option<Heard> {
    let cookie = message.get(HEADER..HEADER + COOKIE)?.try_into().ok()?;
    let echo =
        Echo { id: be16(message, 4)?, sequence: be16(message, 6)?, cookie: u64::from_be_bytes(cookie) };
    (message.get(HEADER + COOKIE..)? == FILLING).then_some(Heard::Reply { from, echo })
}

/// Header and content of an IPv4 packet.
fn split_v4(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *bytes.first()?;
    let length = usize::from(first & 0x0f) * 4;
    (first >> 4 == 4 && length >= 20 && bytes.len() >= length).then(|| bytes.split_at(length))
}

fn ip4(bytes: &[u8]) -> Option<IpAddr> {
    let octets: [u8; 4] = bytes.try_into().ok()?;
    Some(Ipv4Addr::from(octets).into())
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |b| u32::from(*b)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ECHO: Echo = Echo { id: 0x1234, sequence: 7, cookie: 0x0102_0304_0506_0708 };
    const TO: [u8; 4] = [192, 0, 2, 1];
    const BY: [u8; 4] = [203, 0, 113, 1];

    fn packet(from: [u8; 4], to: [u8; 4], content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0];
        bytes.extend(from);
        bytes.extend(to);
        bytes.extend(content);
        bytes
    }

    fn answered() -> Vec<u8> {
        let mut bytes = ECHO.request(Family::V4);
        bytes[0] = ECHO_REPLY;
        bytes
    }

    #[test]
    fn a_request_has_a_right_checksum_and_a_payload_that_is_not_zeros() {
        let bytes = ECHO.request(Family::V4);
        assert_eq!(checksum(&bytes), 0, "the sum over a message with its checksum");
        assert_eq!(bytes.len(), 24);
        assert!(bytes[16..].iter().all(|b| *b != 0));
        assert_eq!(ECHO.request(Family::V6)[0], 128);
    }

    #[test]
    fn only_an_echo_reply_is_an_answer() {
        let from = IpAddr::from(TO);
        let whole = packet(TO, [10, 0, 0, 2], &answered());
        assert_eq!(read(Family::V4, &whole, None), Some(Heard::Reply { from, echo: ECHO }));
        // Our own request, looped back to us, is none.
        let request = packet(TO, [10, 0, 0, 2], &ECHO.request(Family::V4));
        assert_eq!(read(Family::V4, &request, None), None);
        let mut v6 = ECHO.request(Family::V6);
        assert_eq!(read(Family::V6, &v6, Some(from)), None);
        v6[0] = ECHO_REPLY_V6;
        assert_eq!(read(Family::V6, &v6, Some(from)), Some(Heard::Reply { from, echo: ECHO }));
    }

    #[test]
    fn an_unreachable_that_quotes_our_request_is_an_error_of_who_sent_it() {
        let quoted = packet([10, 0, 0, 2], TO, &ECHO.request(Family::V4)[..8]);
        let mut message = vec![3, 13, 0, 0, 0, 0, 0, 0];
        message.extend(quoted);
        let heard = read(Family::V4, &packet(BY, [10, 0, 0, 2], &message), None).unwrap();
        let why = "refused by a packet filter";
        let (by, to) = (IpAddr::from(BY), IpAddr::from(TO));
        assert_eq!(heard, Heard::Error { by, to, id: 0x1234, sequence: 7, why });
        // The same about somebody's UDP packet is not about us.
        message[HEADER + 9] = 17;
        assert_eq!(read(Family::V4, &packet(BY, [10, 0, 0, 2], &message), None), None);
    }

    #[test]
    fn an_error_of_ipv6_is_read_too() {
        let mut message = vec![1, 0, 0, 0, 0, 0, 0, 0];
        message.extend([0x60, 0, 0, 0, 0, 24, 58, 64]);
        let to: Ipv6Addr = "2001:db8::1".parse().unwrap();
        message.extend([0; 16]);
        message.extend(to.octets());
        message.extend(ECHO.request(Family::V6));
        let by: IpAddr = "fe80::1".parse().unwrap();
        let heard = read(Family::V6, &message, Some(by));
        let to = to.into();
        assert_eq!(heard, Some(Heard::Error { by, to, id: 0x1234, sequence: 7, why: "no route" }));
    }

    proptest! {
        #[test]
        fn no_bytes_from_outside_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(Family::V4, &bytes, None);
            let _ = read(Family::V6, &bytes, Some(IpAddr::from(BY)));
        }
    }
}
