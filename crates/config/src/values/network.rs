//! Values of the network.

use super::dialling::seconds;
use super::{Fault, Faults, TextValue, Value};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// Name of the appliance: one label (RFC 1123, 2.1; RFC 1035, 2.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hostname(String);

impl Hostname {
    /// Longest, in bytes.
    pub const LONGEST: usize = 63;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Hostname {
    fn default() -> Self {
        Self("failberry".to_owned())
    }
}

impl TextValue for Hostname {
    const FORM: &'static str = "failberry";

    fn parse(text: &str) -> Result<Self, Fault> {
        let label = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if (1..=Self::LONGEST).contains(&text.len())
            && label
            && !text.starts_with('-')
            && !text.ends_with('-')
        {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new(
            "not a host name",
            format!("write 1 to {} letters, digits and inner hyphens, without dots", Self::LONGEST),
        ))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The address of a device on the same network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

impl TextValue for Peer {
    const FORM: &'static str = "192.168.178.2";

    fn parse(text: &str) -> Result<Self, Fault> {
        let address: Option<IpAddr> = text.parse().ok();
        let host = address.filter(|a| !a.is_unspecified() && !a.is_multicast() && !a.is_loopback());
        host.map(Self).ok_or_else(|| {
            Fault::new(
                "not the address of a device",
                format!("write it as \"{}\", without a prefix", Self::FORM),
            )
        })
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}

/// Who decides which line is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The house's router; it sends traffic here when its own line is dead.
    Backup,
    /// The appliance; it is the gateway of the LAN.
    Gateway,
}

impl TextValue for Mode {
    const FORM: &'static str = "backup";

    fn parse(text: &str) -> Result<Self, Fault> {
        match text {
            "backup" => Ok(Self::Backup),
            "gateway" => Ok(Self::Gateway),
            _ => Err(Fault::new("not a mode", "write \"backup\" or \"gateway\"")),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Backup => "backup".to_owned(),
            Self::Gateway => "gateway".to_owned(),
        }
    }
}

/// Name of a network interface. The kernel allows more (`dev_valid_name`, net/core/dev.c); this is
/// what is also safe in rules, where a `+` at the end means "any that starts so".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceName(String);

impl InterfaceName {
    /// Longest, in bytes: IFNAMSIZ (16) counts the final NUL.
    pub const LONGEST: usize = 15;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for InterfaceName {
    fn default() -> Self {
        Self("eth0".to_owned())
    }
}

impl TextValue for InterfaceName {
    const FORM: &'static str = "eth0";

    fn parse(text: &str) -> Result<Self, Fault> {
        let fits = (1..=Self::LONGEST).contains(&text.len());
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
        if fits && plain && !text.starts_with(['.', '-']) {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new(
            format!("not an interface name of 1 to {} characters", Self::LONGEST),
            "the wired one is \"eth0\"; `ip link` lists them",
        ))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// A network: address and prefix length, host bits zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// The network's address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The network of one address.
    pub(crate) fn host(address: IpAddr) -> Self {
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// The prefix length in bits.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// True for an IPv4 network.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl TextValue for Cidr {
    const FORM: &'static str = "192.168.178.0/24";

    fn parse(text: &str) -> Result<Self, Fault> {
        let form = || Fault::new("not a network", "write address/length, such as \"192.168.178.0/24\"");
        let (address, prefix) = text.split_once('/').ok_or_else(form)?;
        let address: IpAddr = address.parse().map_err(|_| form())?;
        let prefix: u8 = prefix.parse().map_err(|_| form())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        if prefix > bits {
            return Err(Fault::new(
                format!("length {prefix} is more than {bits}"),
                format!("a home network has {}", if bits == 32 { "/24" } else { "/64" }),
            ));
        }
        if prefix == 0 {
            return Err(Fault::new("length 0 is the whole internet", "name the networks you trust"));
        }
        let network = masked(address, prefix);
        if network != address {
            return Err(Fault::new("the address has bits behind its length", format!("{network}/{prefix}")));
        }
        Ok(Self { address, prefix })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4((a.to_bits() & mask).into())
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6((a.to_bits() & mask).into())
        }
    }
}

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl Protocol {
    /// The name rules use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port open to everyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenPort {
    /// The port, never 0.
    pub port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

impl fmt::Display for OpenPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol.as_str())
    }
}

impl TextValue for OpenPort {
    const FORM: &'static str = "8443/tcp";

    fn parse(text: &str) -> Result<Self, Fault> {
        let fault = || Fault::new("not a port", "write 1 to 65535, then /tcp or /udp: \"8443/tcp\"");
        let (port, protocol) = text.split_once('/').ok_or_else(fault)?;
        let port = port.parse().ok().filter(|p| *p != 0).ok_or_else(fault)?;
        let protocol = match protocol {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(fault()),
        };
        Ok(Self { port, protocol })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// How long the wired line must have been good before it is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailbackHold(u32);

impl FailbackHold {
    /// Shortest: a router that restarts answers for a moment and is gone again.
    pub const SHORTEST: u32 = 5;
    /// Longest: an hour on the line that costs money is enough for every wired line to prove itself.
    pub const LONGEST: u32 = 3600;

    /// As a duration.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.0.into())
    }
}

impl Default for FailbackHold {
    fn default() -> Self {
        Self(30)
    }
}

impl Value for FailbackHold {
    const SECRET: bool = false;

    fn read(value: &Spanned<DeValue<'_>>) -> Result<Self, Faults> {
        seconds(value, Self::SHORTEST, Self::LONGEST).map(Self)
    }

    fn write(&self) -> Option<String> {
        Some(self.0.to_string())
    }
}
