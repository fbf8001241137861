//! Router advertisements in the LAN while the wired line is left, and taking them back; pure.
//!
//! In gateway mode the LAN's devices get IPv6 from the house's router and send to it, not to us. When
//! its line is dead and ours has IPv6, we tell them: this box is a router, preferred to the other one
//! (RFC 4191); here is a prefix of ours (RFC 4193), which goes out translated; and addresses of the
//! wired line's prefixes are deprecated (RFC 4862, section 5.5.3 e), so that no new connection starts
//! from one. Told once, a device believes it; told again, it gets over the router's own word, which
//! makes those prefixes preferred again each time.
//!
//! This box itself hears nothing of it: it goes on with the house's router by the wired line.

mod message;
mod send;

pub use message::{Advertisement, Preference, Prefix};
pub use send::send;

use std::net::Ipv6Addr;
use std::time::Duration;
use sysio::Monotonic;

/// The first ones follow one another quickly (RFC 4861, section 6.2.4: at most 16 s apart, 3 of them)…
const FIRST: u32 = 3;
const FIRST_EVERY: Duration = Duration::from_secs(3);
/// …then so often: no router may say its own word more often (`MinRtrAdvInterval` is at least 3 s), and
/// most do every few minutes.
const EVERY: Duration = Duration::from_secs(10);
/// A box that loses power is forgotten as a router after so long.
const ROUTER_LIFETIME: Duration = Duration::from_secs(60);
/// And so are addresses of its prefix as a choice for new connections.
const PREFERRED: Duration = Duration::from_secs(120);
/// Valid for as long as the standard lets nobody shorten it (RFC 4862, section 5.5.3 e: two hours), so
/// that what a connection uses stays.
const VALID: Duration = Duration::from_secs(2 * 60 * 60);
/// Given back to the wired line's prefixes until its router says its own word, at least every half hour
/// (RFC 4861, section 6.2.1: `MaxRtrAdvInterval` is at most 1800 s).
const PREFERRED_AGAIN: Duration = Duration::from_secs(30 * 60);
/// `MAX_FINAL_RTR_ADVERTISEMENTS` of RFC 4861, section 10.
const FINAL: u32 = 3;
/// A house has one or two; whoever floods us with prefixes gets no longer messages for it.
const PREFIXES: usize = 8;

/// Whether and what to advertise.
#[derive(Debug, Default)]
pub(crate) struct Advertiser {
    phase: Phase,
    /// The wired line's prefixes, as long as anything is to be said of them.
    prefixes: Vec<Ipv6Addr>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Silent,
    Leading {
        sent: u32,
        next: Monotonic,
    },
    Leaving {
        sent: u32,
        next: Monotonic,
    },
}

impl Advertiser {
    /// Leads the LAN, or no longer. `house` are the wired line's prefixes in it, each a /64.
    pub(crate) fn wish(&mut self, now: Monotonic, lead: bool, house: impl Iterator<Item = Ipv6Addr>) {
        self.phase = match (lead, self.phase) {
            (true, Phase::Silent | Phase::Leaving { .. }) => Phase::Leading { sent: 0, next: now },
            (false, Phase::Leading { sent: 0, .. }) => Phase::Silent,
            (false, Phase::Leading { .. }) => Phase::Leaving { sent: 0, next: now },
            (_, phase) => phase,
        };
        match self.phase {
            Phase::Silent => self.prefixes.clear(),
            _ => {
                for prefix in house {
                    if !self.prefixes.contains(&prefix) && self.prefixes.len() < PREFIXES {
                        self.prefixes.push(prefix);
                    }
                }
            }
        }
    }

    /// Whether devices may have addresses of our prefix that are in use.
    pub(crate) fn active(&self) -> bool {
        self.phase != Phase::Silent
    }

    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        match self.phase {
            Phase::Silent => None,
            Phase::Leading { next, .. } | Phase::Leaving { next, .. } => Some(next),
        }
    }

    /// What is to be sent now.
    pub(crate) fn due(&mut self, now: Monotonic, own: Ipv6Addr) -> Option<Advertisement> {
        let message = match self.phase {
            Phase::Leading { next, .. } if next <= now => Advertisement {
                lifetime: ROUTER_LIFETIME,
                preference: Preference::High,
                prefixes: self.prefixes(own, PREFERRED, Duration::ZERO),
            },
            Phase::Leaving { next, .. } if next <= now => Advertisement {
                lifetime: Duration::ZERO,
                preference: Preference::Medium,
                prefixes: self.prefixes(own, Duration::ZERO, PREFERRED_AGAIN),
            },
            _ => return None,
        };
        self.phase = match self.phase {
            Phase::Leading { sent, .. } => {
                let wait = if sent + 1 < FIRST { FIRST_EVERY } else { EVERY };
                Phase::Leading { sent: sent.saturating_add(1), next: now + wait }
            }
            Phase::Leaving { sent, .. } if sent + 1 < FINAL => {
                Phase::Leaving { sent: sent + 1, next: now + FIRST_EVERY }
            }
            _ => Phase::Silent,
        };
        Some(message)
    }

    fn prefixes(&self, own: Ipv6Addr, ours: Duration, theirs: Duration) -> Vec<Prefix> {
        let own = Prefix { prefix: own, on_link: true, valid: VALID, preferred: ours };
        // Whether theirs are on this link is for their router to say.
        let theirs = self.prefixes.iter().map(|p| Prefix {
            prefix: *p,
            on_link: false,
            valid: VALID,
            preferred: theirs,
        });
        std::iter::once(own).chain(theirs).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Ipv6Addr = Ipv6Addr::new(0xfd12, 0x3456, 0x789a, 0, 0, 0, 0, 0);
    const HOUSE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0);

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_secs(seconds)
    }

    /// Sends whatever is due until `until`; when, and what.
    fn run(advertiser: &mut Advertiser, until: u64) -> Vec<(u64, Advertisement)> {
        let mut sent = Vec::new();
        while let Some(next) = advertiser.deadline().filter(|next| *next <= at(until)) {
            sent.extend(advertiser.due(next, OWN).map(|m| (next.as_millis() / 1000, m)));
        }
        sent
    }

    #[test]
    fn leads_at_once_and_again_and_again_then_takes_it_back_three_times() {
        let mut advertiser = Advertiser::default();
        advertiser.wish(at(0), false, [HOUSE].into_iter());
        assert_eq!((advertiser.deadline(), advertiser.active()), (None, false));
        advertiser.wish(at(10), true, [HOUSE].into_iter());
        let sent = run(&mut advertiser, 40);
        assert_eq!(sent.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [10, 13, 16, 26, 36]);
        for (_, message) in sent {
            assert_eq!((message.lifetime, message.preference), (ROUTER_LIFETIME, Preference::High));
            let lifetimes: Vec<_> = message.prefixes.iter().map(|p| (p.prefix, p.preferred)).collect();
            assert_eq!(lifetimes, [(OWN, PREFERRED), (HOUSE, Duration::ZERO)]);
        }
        // The prefix has run out meanwhile: it is named all the same.
        advertiser.wish(at(41), false, [].into_iter());
        let sent = run(&mut advertiser, 100);
        assert_eq!(sent.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [41, 44, 47]);
        for (_, message) in sent {
            assert_eq!((message.lifetime, message.preference), (Duration::ZERO, Preference::Medium));
            let lifetimes: Vec<_> = message.prefixes.iter().map(|p| (p.prefix, p.preferred)).collect();
            assert_eq!(lifetimes, [(OWN, Duration::ZERO), (HOUSE, PREFERRED_AGAIN)]);
        }
        assert!(!advertiser.active());
    }

    #[test]
    fn what_was_never_said_is_not_taken_back() {
        let mut advertiser = Advertiser::default();
        advertiser.wish(at(0), true, [HOUSE].into_iter());
        advertiser.wish(at(1), false, [HOUSE].into_iter());
        assert!(!advertiser.active());
    }

    #[test]
    fn a_flood_of_prefixes_does_not_make_long_messages() {
        let mut advertiser = Advertiser::default();
        let many = (0..1000_u16).map(|n| Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 0));
        advertiser.wish(at(0), true, many);
        assert_eq!(advertiser.due(at(0), OWN).unwrap().prefixes.len(), PREFIXES + 1);
    }
}
