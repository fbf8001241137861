//! What the machine of neighbour entries hears, orders and found out.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use netlink::{HardwareAddress, Neighbour, NeighbourChange};
use sysio::Monotonic;

use crate::entry::Key;

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// All entries there are.
    Synced(Vec<Neighbour>),
    /// One changed.
    Changed(NeighbourChange),
    /// The gateways and configured peers.
    Watch(BTreeSet<Key>),
    /// Our own addresses by interface.
    Own(BTreeSet<(u32, Ipv4Addr)>),
    /// A check came to its end.
    Checked {
        /// Of this entry.
        key: Key,
        /// As it was before.
        before: Option<Neighbour>,
        /// Who answered.
        answers: Vec<HardwareAddress>,
        /// As it was afterwards.
        after: Option<Neighbour>,
    },
    /// Our own address was asked for; these others say it is theirs.
    OwnChecked {
        /// The interface.
        link: u32,
        /// The address.
        address: Ipv4Addr,
        /// Who.
        others: Vec<HardwareAddress>,
    },
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask who has it, and read the entry before and after.
    Check(Key),
    /// Ask whether somebody else has our own address.
    CheckOwn(u32, Ipv4Addr),
    /// Have the kernel ask.
    Probe(Key),
    /// Delete it.
    Delete(Key),
}

/// How a wrong entry was mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cure {
    /// The kernel took the answer to our question.
    Answer,
    /// The kernel asked anew.
    Probe,
    /// The entry was deleted.
    Deletion,
}

impl Cure {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "the answer itself",
            Self::Probe => "a new question of the kernel's",
            Self::Deletion => "deletion",
        }
    }
}

/// A wrong entry that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// When.
    pub at: Monotonic,
    /// What the entry said.
    pub entry: HardwareAddress,
    /// What the answer says.
    pub answer: HardwareAddress,
    /// What mended it; none while it is wrong.
    pub cured: Option<Cure>,
    /// It is not ours to mend.
    pub fixed: bool,
}

/// An address with two owners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// When it was last seen.
    pub at: Monotonic,
    /// Who they are.
    pub owners: Vec<HardwareAddress>,
}

/// Figures for the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Checks made.
    pub checks: u64,
    /// Entries mended.
    pub repaired: u64,
    /// Entries beyond [`super::MOST`] when last all were read.
    pub ignored: usize,
}
