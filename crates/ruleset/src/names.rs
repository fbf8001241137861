//! Interface patterns and networks as types: what reaches a rule cannot carry a second option.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// IFNAMSIZ in linux/if.h is 16 with the closing zero.
const INTERFACE_NAME_MAX: usize = 15;

/// Why a name from the configuration was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// Not a name the kernel or iptables accepts.
    #[error(
        "`{0}` is no interface name: 1 to 15 letters, digits, `.`, `_` or `-`, a `+` at the end for any suffix"
    )]
    Interface(String),
    /// Not an address with a prefix length.
    #[error("`{0}` is no network: write it like 192.168.1.0/24 or fd00:1::/64")]
    Network(String),
    /// Not a hardware address.
    #[error("`{0}` is no hardware address: write it like aa:bb:cc:dd:ee:ff")]
    Mac(String),
}

/// An interface name, or a beginning of names when it ends in `+` (iptables(8)).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InterfacePattern(String);

impl InterfacePattern {
    /// The pattern as iptables writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an interface is meant by this pattern.
    pub fn matches(&self, interface: &str) -> bool {
        match self.0.strip_suffix('+') {
            Some(start) => interface.starts_with(start),
            None => self.0 == interface,
        }
    }
}

impl FromStr for InterfacePattern {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let name = text.strip_suffix('+').unwrap_or(text);
        let fits = !name.is_empty() && text.len() <= INTERFACE_NAME_MAX && name != "." && name != "..";
        if fits && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Interface(text.to_owned()))
        }
    }
}

impl fmt::Display for InterfacePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An IP network. Bits beyond the prefix are cleared, as the kernel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network an address lies in; `None` when the prefix is longer than the address.
    pub fn of(address: IpAddr, prefix: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(a) if prefix <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4((a.to_bits() & mask).into())
            }
            IpAddr::V6(a) if prefix <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6((a.to_bits() & mask).into())
            }
            _ => return None,
        };
        Some(Self { address, prefix })
    }

    /// Whether this is an IPv4 network.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }
}

impl FromStr for Network {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::Network(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().map_err(|_| refused())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| refused())?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        Self::of(address, prefix.unwrap_or(whole)).ok_or_else(refused)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_cannot_smuggle_an_option() {
        for bad in ["", "+", "eth0 -j ACCEPT", "eth0\n-F", "a-very-long-interface", "!eth0", "..", "e/0"] {
            assert!(bad.parse::<InterfacePattern>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_plus_stands_for_any_suffix() {
        let ppp: InterfacePattern = "ppp+".parse().unwrap();
        assert!(ppp.matches("ppp0") && ppp.matches("ppp17") && !ppp.matches("eth0"));
        let lan: InterfacePattern = "eth0".parse().unwrap();
        assert!(lan.matches("eth0") && !lan.matches("eth0.100"));
    }

    #[test]
    fn networks_lose_their_host_bits() {
        for (text, want) in [
            ("192.168.1.77/24", "192.168.1.0/24"),
            ("10.0.0.1", "10.0.0.1/32"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("fd00:1::5/64", "fd00:1::/64"),
            ("::/0", "::/0"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), want);
        }
        for bad in ["10.0.0.0/33", "fd00::/129", "10.0.0/8", "10.0.0.0/8/8", "10.0.0.0/", "host"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
