//! The connections that wait: until when, from where, and who goes first when there are too many.
//! Pure, and bounded by what is put in.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use sysio::Monotonic;

/// Where a connection comes from: an IPv4 address, or the /64 that one customer has in IPv6 (any of
/// its 2^64 addresses is his to use).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    Four(u32),
    Six(u64),
}

impl From<SocketAddr> for Source {
    fn from(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(four) => Self::Four(four.to_bits()),
            IpAddr::V6(six) => Self::Six(u64::try_from(six.to_bits() >> 64).unwrap_or(u64::MAX)),
        }
    }
}

/// Who is dispensable: the lower goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// Had its answer.
    Idle,
    /// Did not have one yet.
    Busy,
}

/// A connection's place in the crowd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) source: Source,
    pub(crate) rank: Rank,
    pub(crate) until: Monotonic,
}

type Queue = BTreeSet<(Rank, Monotonic, u64)>;

/// Members by number, deadline and source.
#[derive(Debug)]
pub(crate) struct Crowd<T> {
    members: HashMap<u64, (Place, T)>,
    idle: BTreeSet<(Monotonic, u64)>,
    busy: BTreeSet<(Monotonic, u64)>,
    /// Only sources with members: the table is never longer than the crowd.
    sources: HashMap<Source, Queue>,
    /// The same by number of members.
    weights: BTreeSet<(usize, Source)>,
}

impl<T> Crowd<T> {
    pub(crate) fn new() -> Self {
        Self {
            members: HashMap::new(),
            idle: BTreeSet::new(),
            busy: BTreeSet::new(),
            sources: HashMap::new(),
            weights: BTreeSet::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = u64> {
        self.members.keys().copied()
    }

    /// Members from one source.
    pub(crate) fn of(&self, source: Source) -> usize {
        self.sources.get(&source).map_or(0, BTreeSet::len)
    }

    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        [&self.idle, &self.busy].into_iter().filter_map(|set| set.first().map(|(at, _)| *at)).min()
    }

    pub(crate) fn insert(&mut self, id: u64, place: Place, member: T) {
        self.enter(id, place);
        self.members.insert(id, (place, member));
    }

    /// Takes a member out to work with, leaving its place; [`Crowd::settle`] or [`Crowd::forget`] follows.
    pub(crate) fn lift(&mut self, id: u64) -> Option<(Place, T)> {
        self.members.remove(&id)
    }

    /// Puts back who was lifted, from place `old` to place `new`.
    pub(crate) fn settle(&mut self, id: u64, old: Place, new: Place, member: T) {
        if old != new {
            self.leave(id, old);
            self.enter(id, new);
        }
        self.members.insert(id, (new, member));
    }

    /// Gives up the place of who was lifted.
    pub(crate) fn forget(&mut self, id: u64, place: Place) {
        self.leave(id, place);
    }

    pub(crate) fn remove(&mut self, id: u64) -> Option<T> {
        let (place, member) = self.members.remove(&id)?;
        self.leave(id, place);
        Some(member)
    }

    /// Who has waited too long.
    pub(crate) fn overdue(&self, now: Monotonic) -> Option<u64> {
        [&self.idle, &self.busy]
            .into_iter()
            .find_map(|set| set.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id))
    }

    /// Who of one source goes first.
    pub(crate) fn first_of(&self, source: Source) -> Option<u64> {
        self.sources.get(&source)?.first().map(|(_, _, id)| *id)
    }

    /// Who goes first: somebody of the source that has most, so that one source cannot push out
    /// another; where each has one, the longest idle, then who has kept us waiting longest.
    pub(crate) fn victim(&self) -> Option<u64> {
        match self.weights.last() {
            Some((weight, source)) if *weight > 1 => self.first_of(*source),
            _ => self.idle.first().or_else(|| self.busy.first()).map(|(_, id)| *id),
        }
    }

    fn deadlines(&mut self, rank: Rank) -> &mut BTreeSet<(Monotonic, u64)> {
        match rank {
            Rank::Idle => &mut self.idle,
            Rank::Busy => &mut self.busy,
        }
    }

    fn enter(&mut self, id: u64, place: Place) {
        self.deadlines(place.rank).insert((place.until, id));
        let queue = self.sources.entry(place.source).or_default();
        self.weights.remove(&(queue.len(), place.source));
        queue.insert((place.rank, place.until, id));
        self.weights.insert((queue.len(), place.source));
    }

    fn leave(&mut self, id: u64, place: Place) {
        self.deadlines(place.rank).remove(&(place.until, id));
        let Some(queue) = self.sources.get_mut(&place.source) else { return };
        self.weights.remove(&(queue.len(), place.source));
        queue.remove(&(place.rank, place.until, id));
        if queue.is_empty() {
            self.sources.remove(&place.source);
        } else {
            self.weights.insert((queue.len(), place.source));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(source: u32, rank: Rank, secs: u64) -> Place {
        Place { source: Source::Four(source), rank, until: Monotonic::from_secs(secs) }
    }

    #[test]
    fn the_source_with_most_connections_makes_room_its_idle_ones_first() {
        let mut crowd = Crowd::new();
        crowd.insert(1, place(1, Rank::Idle, 1), ());
        crowd.insert(2, place(2, Rank::Busy, 5), ());
        crowd.insert(3, place(2, Rank::Busy, 6), ());
        crowd.insert(4, place(2, Rank::Idle, 9), ());
        assert_eq!(crowd.victim(), Some(4));
        crowd.remove(4);
        assert_eq!(crowd.victim(), Some(2));
        crowd.remove(2);
        assert_eq!(crowd.victim(), Some(1), "each has one: the idle one goes");
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_a_64() {
        let of = |text: &str| Source::from(text.parse::<SocketAddr>().unwrap());
        assert_eq!(of("[::ffff:192.0.2.1]:5"), of("192.0.2.1:6"));
        assert_ne!(of("192.0.2.1:5"), of("192.0.2.2:5"));
        assert_eq!(of("[2001:db8::1]:5"), of("[2001:db8::ffff:2]:5"));
        assert_ne!(of("[2001:db8::1]:5"), of("[2001:db8:0:1::1]:5"));
    }

    proptest! {
        #[test]
        fn whatever_comes_and_goes_the_tables_agree(
            steps in proptest::collection::vec((0_u64..30, 0_u32..4, any::<bool>(), 0_u64..9, 0_u8..4), 0..200)
        ) {
            let mut crowd = Crowd::new();
            for (id, source, idle, secs, step) in steps {
                let place = place(source, if idle { Rank::Idle } else { Rank::Busy }, secs);
                match step {
                    0 if crowd.members.contains_key(&id) => drop(crowd.remove(id)),
                    1 => if let Some((old, ())) = crowd.lift(id) {
                        // A connection's source never changes.
                        crowd.settle(id, old, Place { source: old.source, ..place }, ());
                    },
                    2 => if let Some((old, ())) = crowd.lift(id) { crowd.forget(id, old) },
                    _ if !crowd.members.contains_key(&id) => crowd.insert(id, place, ()),
                    _ => {}
                }
                let count = crowd.members.len();
                prop_assert_eq!(crowd.idle.len() + crowd.busy.len(), count);
                prop_assert_eq!(crowd.weights.iter().map(|(weight, _)| weight).sum::<usize>(), count);
                prop_assert_eq!(crowd.weights.len(), crowd.sources.len());
                prop_assert!(crowd.sources.len() <= count);
                prop_assert_eq!(crowd.victim().is_some(), count > 0);
                prop_assert!(crowd.victim().is_none_or(|id| crowd.members.contains_key(&id)));
            }
        }
    }
}
