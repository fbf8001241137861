//! A router advertisement as bytes (RFC 4861, section 4.2; RFC 4191, section 2.2).

use std::net::Ipv6Addr;
use std::time::Duration;

/// `ICMPv6` type.
const ROUTER_ADVERTISEMENT: u8 = 134;
/// Option type and length in units of 8 bytes (RFC 4861, section 4.6.2).
const PREFIX_INFORMATION: u8 = 3;
const PREFIX_INFORMATION_LENGTH: u8 = 4;
const PREFIX_LENGTH: u8 = 64;
/// Flags of that option.
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

/// How a router stands to others (RFC 4191, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preference {
    /// As most say of themselves; and the only one a router that is none may say.
    Medium,
    /// To be taken before others.
    High,
}

/// What an advertisement says of a /64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// The network.
    pub prefix: Ipv6Addr,
    /// Whether its addresses are reached without a router; not saying so takes nothing back.
    pub on_link: bool,
    /// How long an address of it may be used.
    pub valid: Duration,
    /// How long it is a choice for new connections; 0 deprecates it.
    pub preferred: Duration,
}

/// A router's word to everybody on its link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertisement {
    /// How long it is a router; 0 is no longer.
    pub lifetime: Duration,
    /// How it stands to others.
    pub preference: Preference,
    /// Networks it speaks of.
    pub prefixes: Vec<Prefix>,
}

impl Advertisement {
    /// The `ICMPv6` message; the kernel fills in the checksum.
    pub fn bytes(&self) -> Vec<u8> {
        let preference = match self.preference {
            Preference::Medium => 0,
            Preference::High => 0b01 << 3,
        };
        let lifetime = u16::try_from(self.lifetime.as_secs()).unwrap_or(u16::MAX);
        // Hop limit, reachable time and retransmission timer are left to what hosts have.
        let mut bytes = vec![ROUTER_ADVERTISEMENT, 0, 0, 0, 0, preference];
        bytes.extend(lifetime.to_be_bytes());
        bytes.extend([0; 8]);
        for prefix in &self.prefixes {
            let flags = AUTONOMOUS | if prefix.on_link { ON_LINK } else { 0 };
            bytes.extend([PREFIX_INFORMATION, PREFIX_INFORMATION_LENGTH, PREFIX_LENGTH, flags]);
            bytes.extend(seconds(prefix.valid));
            bytes.extend(seconds(prefix.preferred));
            bytes.extend([0; 4]);
            bytes.extend(prefix.prefix.octets());
        }
        bytes
    }
}

fn seconds(duration: Duration) -> [u8; 4] {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertisement_has_the_standard_s_form() {
        let prefix = Prefix {
            prefix: "2001:db8:77::".parse().unwrap(),
            on_link: false,
            valid: Duration::from_secs(7200),
            preferred: Duration::ZERO,
        };
        let lifetime = Duration::from_secs(60);
        let bytes = Advertisement { lifetime, preference: Preference::High, prefixes: vec![prefix] }.bytes();
        assert_eq!(bytes.len(), 16 + 32);
        assert_eq!(&bytes[..16], [134, 0, 0, 0, 0, 0x08, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[16..32], [3, 4, 64, 0x40, 0, 0, 0x1c, 0x20, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[32..], [0x20, 1, 0x0d, 0xb8, 0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }
}
