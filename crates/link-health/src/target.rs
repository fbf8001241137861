//! Whom a probe asks.

use std::net::IpAddr;

/// How a target is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An echo request (RFC 792, RFC 4443).
    Icmp,
    /// A question to a name server at a literal address (RFC 1035).
    Dns {
        /// The name asked for.
        name: String,
    },
    /// A page whose status and content are known.
    Http {
        /// `Host` and the name to resolve.
        host: String,
        /// The path.
        path: String,
        /// The status it must have.
        status: u16,
        /// What its body must begin with; empty for any.
        body: String,
    },
    /// A TCP connection that opens.
    Tcp,
    /// A TCP connection in which a TLS server answers a greeting.
    Tls,
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Whom a probe asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As the owner wrote it or the default list has it; unique, and the key of its history.
    pub name: String,
    /// Whose it is: targets of one operator fail together and count as one.
    pub operator: String,
    /// Where it is, if that matters; targets of one region count together.
    pub region: Option<String>,
    /// How it is asked.
    pub kind: Kind,
    /// The family it is asked by.
    pub family: Family,
    /// Its address; none if it has to be resolved first (HTTP, or a host name).
    pub address: Option<IpAddr>,
    /// Its port, where the kind has one.
    pub port: u16,
}
