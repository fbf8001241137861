//! The lines to the internet and how they fail: the house's wired one and the carrier's.
//!
//! ```text
//!  router ── [wired] ── internet ── [cellular] ── carrier ── the stick
//! ```
//!
//! Each line is a [`Relay`](relay::Relay): two TUN devices and a thread between them that carries
//! every packet by hand, so that it can count, lose, delay or swallow it ([`pipe`], pure, seeded).
//! What needs an answer of its own (a login page, a reset, a box that answers for everybody) is done
//! by rules and servers at the internet's end ([`rules`]). The [`catalogue`] says what each fault
//! does and where it is known from.

pub mod catalogue;
pub mod lines;
pub mod packet;
pub mod pipe;
pub mod relay;
pub mod rules;
mod written;

use std::time::Duration;

pub use catalogue::Row;
pub use lines::Lines;

/// A line to the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line {
    /// Between the house's router and the internet.
    Wired,
    /// Between the carrier and the internet.
    Cellular,
}

impl Line {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Wired, Self::Cellular];

    /// The interface of the internet's end.
    pub fn interface(self) -> &'static str {
        match self {
            Self::Wired => "wan",
            Self::Cellular => "cell",
        }
    }
}

/// A way to fail. The order is the catalogue's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Nothing passes, though every link stays up.
    Down,
    /// Packets are lost at random.
    Loss,
    /// Packets come late.
    Latency,
    /// Packets pass in one direction only.
    Asymmetric,
    /// IPv4 dies.
    Ipv4,
    /// IPv6 dies.
    Ipv6,
    /// Name servers are not reached.
    Dns,
    /// Web servers are not heard.
    Http,
    /// Nothing speaks TLS.
    Tls,
    /// Some operators' networks are not reached.
    Transit,
    /// The plan's volume is spent.
    QuotaWall,
    /// Somebody has to log in first.
    Portal,
    /// A box answers for every address.
    GatewayAnswersAll,
}

/// From the subscriber's point of view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// From the subscriber to the internet.
    Up,
    /// From the internet to the subscriber.
    Down,
}

/// How a service is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Its packets vanish.
    Drop,
    /// Connections open, and nothing comes.
    Open,
    /// Connections are reset.
    Reset,
    /// Every page is another one.
    Redirect,
}

/// A fault of a line.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(try_from = "written::Written")]
pub struct LineFault {
    /// Which line.
    pub line: Line,
    /// Which way to fail.
    pub kind: Kind,
    /// Share of packets lost, each way: 0 to 100.
    pub percent: f64,
    /// Added to every packet's way, in each direction.
    pub delay: Duration,
    /// A random part of this comes on top.
    pub jitter: Duration,
    /// Which direction dies; both when nothing is said.
    pub direction: Option<Direction>,
    /// How the service is dead.
    pub how: How,
    /// Operators whose networks are not reached.
    pub operators: Vec<String>,
}

/// The end of a line's faults.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Mended {
    /// Which line.
    pub line: Line,
    /// Which fault; all of them when nothing is said.
    #[serde(default)]
    pub name: Option<Kind>,
}

impl<'de> serde::Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Self::named(&String::deserialize(input)?).map_err(serde::de::Error::custom)
    }
}
