//! What the machine of stalls hears, orders and remembers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sysio::Monotonic;

/// A rung of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rung {
    /// Energy-Efficient Ethernet off.
    EeeOff,
    /// Interface down and up.
    Bounce,
    /// Driver unbound and bound.
    Rebind,
}

impl Rung {
    /// In words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EeeOff => "energy-efficient Ethernet off",
            Self::Bounce => "interface down and up",
            Self::Rebind => "driver unbound and bound",
        }
    }

    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::EeeOff => Some(Self::Bounce),
            Self::Bounce => Some(Self::Rebind),
            Self::Rebind => None,
        }
    }
}

/// A card's counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its name.
    pub name: String,
    /// It is on and has a partner.
    pub carrier: bool,
    /// Packets in.
    pub received: u64,
    /// Packets out.
    pub sent: u64,
    /// There is somebody on it to ask.
    pub askable: bool,
}

/// What became of a rung.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done; now it must prove itself.
    Applied,
    /// This card has no such thing.
    Unsupported(String),
    /// It went wrong.
    Failed(String),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// All cards there are.
    Samples(Vec<Sample>),
    /// Somebody answered our question: the card receives, whatever its counters say.
    Answered(String),
    /// A rung was tried.
    Done(String, Rung, Outcome),
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask whoever is on this card.
    Ask(String),
    /// Try a rung.
    Apply(String, Rung),
}

/// How a card is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It receives, or has nothing to receive.
    Fine,
    /// Nothing comes in; we ask.
    Asking {
        /// Questions sent.
        asked: u8,
        /// When the next one is due, or the verdict.
        next: Monotonic,
    },
    /// A rung is being done.
    Applying {
        /// Which.
        rung: Rung,
        /// It is given up then.
        until: Monotonic,
    },
    /// A rung was done.
    Verifying {
        /// Which.
        rung: Rung,
        /// It has this long.
        until: Monotonic,
        /// When to ask next.
        next: Monotonic,
    },
    /// All rungs were tried.
    Resting {
        /// The next climb.
        until: Monotonic,
    },
}

/// A recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// When.
    pub at: Monotonic,
    /// The last rung that was tried; none if it came back by itself.
    pub rung: Option<Rung>,
    /// How long it had not received.
    pub lasted: Duration,
}

/// What survives the process: nothing may be tried more often because the daemon restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Past {
    /// Stalls of this boot.
    pub stalls: u64,
    /// Climbs in a row that helped nothing.
    pub climbs: u32,
    /// When bounces were done, in milliseconds since boot.
    pub bounces_ms: Vec<u64>,
    /// When rebinds were.
    pub rebinds_ms: Vec<u64>,
}
