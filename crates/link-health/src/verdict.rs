//! What is said of a line.

use serde::{Deserialize, Serialize};
use sysio::Monotonic;

/// What works only in part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Names are not resolved; addresses are reached.
    Dns,
    /// Web pages do not come, though echoes and names do: a quota wall, or a broken proxy.
    Http,
    /// Somebody else answers in place of web servers: a login or payment page.
    Portal,
    /// Connections open, but no TLS server answers in them.
    Tls,
    /// Most operators or a region are not reached, others are: no transit to them.
    Regions,
    /// IPv4 does not work, IPv6 does.
    Ipv4,
    /// IPv6 does not work, IPv4 does.
    Ipv6,
}

/// How a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum State {
    /// Nothing is known yet; nothing good is assumed.
    #[default]
    Unknown,
    /// It works.
    Up,
    /// It works, and loses much.
    Lossy,
    /// It works in part.
    Partial(Part),
    /// Nothing comes back.
    Down,
}

/// What a line is good for; a better one sorts higher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    /// Carries nothing.
    Dead,
    /// Nothing is known.
    Unknown,
    /// Better than none.
    Poor,
    /// Carries what a house needs.
    Good,
}

impl State {
    /// What a line in this state is good for. Without IPv6 a house has the internet it had for thirty
    /// years, so that alone is no reason to leave a line.
    pub fn grade(self) -> Grade {
        match self {
            Self::Unknown => Grade::Unknown,
            Self::Up | Self::Partial(Part::Ipv6) => Grade::Good,
            Self::Lossy | Self::Partial(_) => Grade::Poor,
            Self::Down => Grade::Dead,
        }
    }

    /// The word in snapshots: `unknown`, `up`, `lossy`, `partial`, `down`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Lossy => "lossy",
            Self::Partial(_) => "partial",
            Self::Down => "down",
        }
    }
}

/// What is said of a line, since when and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// How it is.
    pub state: State,
    /// Since when.
    pub since: Monotonic,
    /// Why, in words a person understands; empty while all is well.
    pub reason: String,
}
