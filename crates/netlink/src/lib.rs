//! Synchronous rtnetlink: what `ip link`, `ip address`, `ip route` and `ip rule` show and change,
//! and a socket that becomes readable when any of it changes.
//!
//! Every exchange has a deadline. Facts are plain values, so that planners can be tested without a
//! kernel; the wire format is that of `netlink-packet-route`.

mod cards;
mod connection;
mod conntrack;
mod counters;
mod decode;
mod encode;
mod generation;
mod monitor;
mod neighbours;
mod rules;

pub use cards::{Belongings, Card};
pub use connection::Connection;
pub use conntrack::{count_connections, forget_connections};
pub use counters::{Counters, Farewells};
pub use generation::{Commit, firewall_generation};
pub use monitor::Monitor;
pub use neighbours::{HardwareAddress, Neighbour, NeighbourChange, NeighbourMonitor, Nud};
pub use rules::{Heard, RulesMonitor};

use std::fmt;
use std::net::IpAddr;

/// The main routing table (linux/rtnetlink.h, `RT_TABLE_MAIN`).
pub const TABLE_MAIN: u32 = 254;

/// Why an exchange with the kernel failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket could not be made or used.
    #[error("{operation}: {source}")]
    Socket {
        /// What was being done.
        operation: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The kernel did not answer in time.
    #[error("{operation}: no answer from the kernel in {} ms", .limit.as_millis())]
    Deadline {
        /// What was being done.
        operation: &'static str,
        /// The time it had.
        limit: std::time::Duration,
    },
    /// The kernel refused.
    #[error("{operation} {operand}: {source}")]
    Refused {
        /// What was being done.
        operation: &'static str,
        /// To what.
        operand: String,
        /// The kernel's reason.
        source: std::io::Error,
    },
    /// The list changed while it was read, every time it was tried.
    #[error("{operation}: the list keeps changing while it is read")]
    Interrupted {
        /// What was being done.
        operation: &'static str,
    },
}

impl Error {
    /// The kernel's error number, where it refused.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Refused { source, .. } | Self::Socket { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Somebody switched it on.
    pub up: bool,
    /// It has a partner: cable and link, or a session.
    pub carrier: bool,
}

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The interface.
    pub link: u32,
    /// Our own address.
    pub address: IpAddr,
    /// Length of the network's prefix.
    pub prefix: u8,
    /// Valid beyond the link (scope `global`).
    pub global: bool,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The destination; the unspecified address with prefix 0 is the default route.
    pub destination: IpAddr,
    /// Length of the destination's prefix.
    pub prefix: u8,
    /// The next hop; none on a point-to-point link or a link of the destination's own.
    pub gateway: Option<IpAddr>,
    /// The interface out.
    pub link: Option<u32>,
    /// The lower, the better. IPv6 has no 0: the kernel makes it 1024.
    pub metric: u32,
    /// The table.
    pub table: u32,
    /// Who made it (linux/rtnetlink.h, `RTPROT_*`).
    pub protocol: u8,
}

impl Route {
    /// Whether it is a default route.
    pub fn is_default(&self) -> bool {
        self.prefix == 0
    }

    /// Whether it is a default route of IPv6.
    pub fn is_default_v6(&self) -> bool {
        self.is_default() && self.destination.is_ipv6()
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.destination, self.prefix)?;
        if let Some(gateway) = self.gateway {
            write!(f, " via {gateway}")?;
        }
        if let Some(link) = self.link {
            write!(f, " on link {link}")?;
        }
        write!(f, " metric {} table {}", self.metric, self.table)
    }
}

/// A policy rule: packets that fit look into a table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Packets from this address; none is any, of the family below.
    pub source: Option<(IpAddr, u8)>,
    /// Packets whose mark is the first number under the second as mask.
    pub mark: Option<(u32, u32)>,
    /// Packets that came in by this interface; what starts here came in by `lo`.
    pub input: Option<String>,
    /// Whether it is a rule of IPv4.
    pub ipv4: bool,
    /// What becomes of them.
    pub action: Action,
    /// The lower, the earlier.
    pub priority: u32,
    /// Who made it.
    pub protocol: u8,
}

/// What a policy rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Look into a table.
    Table(u32),
    /// Look into a table, where routes to networks with a prefix this short or shorter do not count;
    /// 0 leaves the default route out.
    TableWithout {
        /// The table.
        table: u32,
        /// The longest prefix that does not count.
        prefix: u32,
    },
    /// Refuse: the sender hears that there is no way.
    Unreachable,
}

impl Default for Action {
    fn default() -> Self {
        Self::Table(TABLE_MAIN)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Some((address, prefix)) => write!(f, "from {address}/{prefix}")?,
            None => f.write_str("from all")?,
        }
        if let Some((mark, mask)) = self.mark {
            write!(f, " fwmark {mark:#x}/{mask:#x}")?;
        }
        if let Some(input) = &self.input {
            write!(f, " iif {input}")?;
        }
        match self.action {
            Action::Table(table) => write!(f, " table {table}")?,
            Action::TableWithout { table, prefix } => write!(f, " table {table} suppress {prefix}")?,
            Action::Unreachable => f.write_str(" unreachable")?,
        }
        let family = if self.ipv4 { "IPv4" } else { "IPv6" };
        write!(f, " priority {} ({family})", self.priority)
    }
}
