//! Names resolved over one line, and by whom.
//!
//! Never by libc: that asks whom the box uses just now, which may be by the other line. An address
//! that proved right outlives its time while nobody resolves it anew (the idea of RFC 8767), so that
//! a dead DNS is not taken for dead web servers.

use link_health::Family;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;
use sysio::Monotonic;

/// Names of some load balancers hold for seconds; asking each time would double what a probe costs.
const SHORTEST: Duration = Duration::from_secs(5 * 60);
/// Nobody should hold an address for longer than a day.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// There are fewer targets than this; a list that changes often must not fill memory.
const NAMES: usize = 128;

#[derive(Debug)]
struct Known {
    address: IpAddr,
    until: Monotonic,
    proven: bool,
}

#[derive(Debug, Default)]
pub(super) struct Names {
    known: HashMap<(String, Family), Known>,
    resolvers: Vec<IpAddr>,
    /// Counts on when one does not answer.
    preferred: usize,
}

impl Names {
    pub(super) fn use_resolvers(&mut self, resolvers: Vec<IpAddr>) {
        if self.resolvers != resolvers {
            self.resolvers = resolvers;
            self.preferred = 0;
        }
    }

    /// Whom to ask, in the `attempt`-th try for one name.
    pub(super) fn resolver(&self, attempt: usize) -> Option<IpAddr> {
        let count = self.resolvers.len();
        (attempt < count).then(|| self.resolvers[(self.preferred + attempt) % count])
    }

    /// The one asked in that try did not answer.
    pub(super) fn silent(&mut self, resolver: IpAddr) {
        if self.resolver(0) == Some(resolver) {
            self.preferred = (self.preferred + 1) % self.resolvers.len().max(1);
        }
    }

    /// An address that still holds.
    pub(super) fn fresh(&self, now: Monotonic, host: &str, family: Family) -> Option<IpAddr> {
        self.get(host, family).filter(|k| now < k.until).map(|k| k.address)
    }

    /// One that was right once; better than none.
    pub(super) fn proven(&self, host: &str, family: Family) -> Option<IpAddr> {
        self.get(host, family).filter(|k| k.proven).map(|k| k.address)
    }

    pub(super) fn learn(
        &mut self,
        now: Monotonic,
        (host, family): (&str, Family),
        address: IpAddr,
        lifetime: Duration,
    ) {
        if self.known.len() >= NAMES {
            self.known.clear();
        }
        let until = now + lifetime.clamp(SHORTEST, LONGEST);
        let proven = self.get(host, family).is_some_and(|k| k.proven && k.address == address);
        self.known.insert((host.to_owned(), family), Known { address, until, proven });
    }

    /// What was asked there answered rightly, or did not: a wrong address (of a login page's DNS) must
    /// not be believed until its time is over.
    pub(super) fn judge(&mut self, host: &str, family: Family, right: bool) {
        if let Some(known) = self.known.get_mut(&(host.to_owned(), family)) {
            if right {
                known.proven = true;
            } else {
                known.until = Monotonic::default();
            }
        }
    }

    fn get(&self, host: &str, family: Family) -> Option<&Known> {
        // A key of borrowed parts would need a type of its own; a probe every some seconds does not.
        self.known.get(&(host.to_owned(), family))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn an_address_that_was_wrong_is_asked_for_again_and_a_proven_one_helps_out() {
        let mut names = Names::default();
        let (at, host) = (Monotonic::from_secs, "web.test");
        names.learn(at(0), (host, Family::V4), ip(1), Duration::from_secs(60));
        assert_eq!(names.fresh(at(299), host, Family::V4), Some(ip(1)));
        assert_eq!(names.fresh(at(1), host, Family::V6), None);
        assert_eq!(names.proven(host, Family::V4), None);
        names.judge(host, Family::V4, true);
        names.judge(host, Family::V4, false);
        assert_eq!(names.fresh(at(1), host, Family::V4), None);
        assert_eq!(names.proven(host, Family::V4), Some(ip(1)));
        // A lie that follows is not proven by what was true before.
        names.learn(at(2), (host, Family::V4), ip(9), Duration::from_secs(60));
        assert_eq!(names.proven(host, Family::V4), None);
    }

    #[test]
    fn every_resolver_gets_its_turn_and_one_that_answers_stays() {
        let mut names = Names::default();
        assert_eq!(names.resolver(0), None);
        names.use_resolvers(vec![ip(1), ip(2)]);
        assert_eq!(
            [names.resolver(0), names.resolver(1), names.resolver(2)],
            [Some(ip(1)), Some(ip(2)), None]
        );
        names.silent(ip(1));
        assert_eq!(names.resolver(0), Some(ip(2)));
        names.silent(ip(1));
        assert_eq!(names.resolver(0), Some(ip(2)));
    }
}
