//! Whom the time is asked from.
//!
//! The pages are those that `uplink` asks, too ([`inquiry::public`]). None of the NTP servers needs a
//! name: while the clock is wrong, names may not be had (validating resolvers need the date). Cloudflare
//! and Google document their servers' names, and these are the addresses behind them; one that is moved
//! some day costs one voice of three until the image's next version.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use inquiry::public::Page;
use link_health::Family;

/// The NTP servers of one operator.
#[derive(Debug, PartialEq, Eq)]
pub struct Operator {
    /// Whose they are.
    pub name: &'static str,
    /// IPv4 addresses.
    pub ipv4: &'static [Ipv4Addr],
    /// IPv6 addresses.
    pub ipv6: &'static [Ipv6Addr],
}

/// Three, so that one can be wrong. Not among them: the pool (its addresses are volunteers' and
/// change), PTB (publishes names only), NIST (asks that addresses never be fixed in devices:
/// tf.nist.gov/tf-cgi/servers.cgi), Quad9 (has no time service). Google's clocks smear leap seconds and
/// are half a second off at worst (developers.google.com/time/smear): no harm here, but the reason why
/// they are not in timesyncd's list.
pub const OPERATORS: [Operator; 3] = [
    // time.cloudflare.com; free for everybody: developers.cloudflare.com/time-services/ntp.
    Operator {
        name: "cloudflare",
        ipv4: &[Ipv4Addr::new(162, 159, 200, 1), Ipv4Addr::new(162, 159, 200, 123)],
        ipv6: &[
            Ipv6Addr::new(0x2606, 0x4700, 0xf1, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2606, 0x4700, 0xf1, 0, 0, 0, 0, 0x123),
        ],
    },
    // time1 and time2.google.com; for any device on the internet: developers.google.com/time/faq.
    Operator {
        name: "google",
        ipv4: &[Ipv4Addr::new(216, 239, 35, 0), Ipv4Addr::new(216, 239, 35, 4)],
        ipv6: &[
            Ipv6Addr::new(0x2001, 0x4860, 0x4806, 0, 0, 0, 0, 0),
            Ipv6Addr::new(0x2001, 0x4860, 0x4806, 4, 0, 0, 0, 0),
        ],
    },
    // Anycast ntp.se; "free to use for anyone anywhere", in Netnod's networks 194.58.200.0/24 and
    // 2a01:3f7:0::/48: ntp.se.
    Operator {
        name: "netnod",
        ipv4: &[Ipv4Addr::new(194, 58, 200, 20)],
        ipv6: &[Ipv6Addr::new(0x2a01, 0x3f7, 0, 0, 0, 0, 0, 1)],
    },
];

impl Operator {
    /// The address for the `turn`-th time it is asked by a line with those families.
    pub fn address(&self, turn: u32, v4: bool, v6: bool) -> Option<IpAddr> {
        let four = self.ipv4.iter().map(|a| IpAddr::from(*a)).filter(|_| v4);
        let six = self.ipv6.iter().map(|a| IpAddr::from(*a)).filter(|_| v6);
        // IPv4 first: over a tunnel of the carrier IPv6 is the one that fails more often, not less.
        let all: Vec<IpAddr> = four.chain(six).collect();
        let at = usize::try_from(turn).unwrap_or(0) % all.len().max(1);
        all.get(at).copied()
    }
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// To an NTP server.
    Ntp {
        /// Whose it is.
        operator: &'static str,
        /// Where.
        server: IpAddr,
    },
    /// For a page, by its name of a family.
    Page {
        /// Which.
        page: &'static Page,
        /// By IPv4 or by IPv6.
        family: Family,
    },
}

impl Question {
    /// Whose answer it will be.
    pub fn operator(&self) -> &'static str {
        match self {
            Self::Ntp { operator, .. } => operator,
            Self::Page { page, .. } => page.operator,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_has_its_turn_and_none_of_a_family_the_line_lacks() {
        let [one, ..] = &OPERATORS;
        let turns = |v4, v6| (0..4).map(|turn| one.address(turn, v4, v6).unwrap()).collect::<Vec<_>>();
        let both = turns(true, true);
        assert!(both.iter().enumerate().all(|(n, a)| both.iter().skip(n + 1).all(|b| a != b)), "{both:?}");
        assert!(turns(true, false).iter().all(IpAddr::is_ipv4));
        assert!(turns(false, true).iter().all(IpAddr::is_ipv6));
        assert_eq!(one.address(3, false, false), None);
    }
}
