//! What is asked.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Which kind of address is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The type of its records.
    pub fn record(self) -> &'static str {
        match self {
            Self::V4 => "A",
            Self::V6 => "AAAA",
        }
    }
}

/// A request as a web service gets it. It may hold secrets, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Http {
    /// GET, POST or PATCH.
    pub method: &'static str,
    /// Where to.
    pub url: String,
    /// Header fields.
    pub headers: Vec<(&'static str, String)>,
    /// The body; empty where the method has none.
    pub body: Vec<u8>,
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.method)
    }
}
