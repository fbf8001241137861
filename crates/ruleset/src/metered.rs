//! Who may use a line that costs by the byte.
//!
//! A refusal is an answer: a device that is told "no" at once goes on, one whose packets vanish makes
//! its user wait for every timeout. The rules stand before the one that lets established connections
//! pass, so that a device that may no longer is cut off in mid-flow, too.

use crate::marks::REFUSED;
use crate::{Family, NameError, Network, Policy};
use std::fmt;
use std::str::FromStr;

const METERED: &str = "FB-METERED";
/// A device that may: forget an earlier refusal of its connection.
const PASS: &str = "FB-PASS";
/// What still comes in for a refused connection.
const REFUSE: &str = "FB-REFUSED";

/// A hardware address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac([u8; 6]);

impl FromStr for Mac {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::Mac(text.to_owned());
        let octet = |part: &str| {
            let digits = part.len() == 2 && part.bytes().all(|b| b.is_ascii_hexdigit());
            digits.then(|| u8::from_str_radix(part, 16).ok()).flatten()
        };
        let octets: Option<Vec<u8>> = text.split([':', '-']).map(octet).collect();
        octets.and_then(|o| o.try_into().ok()).map(Self).ok_or_else(refused)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let octets: Vec<String> = self.0.iter().map(|octet| format!("{octet:02x}")).collect();
        f.write_str(&octets.join(":"))
    }
}

/// A device, as packets show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Device {
    /// By its hardware address: both families, privacy addresses included; on the same segment only.
    Mac(Mac),
    /// By address or network: that family alone.
    Network(Network),
}

impl Device {
    /// How a packet of it is recognised in one family, if there it can.
    fn matches(self, family: Family) -> Option<String> {
        match self {
            Self::Mac(mac) => Some(format!("-m mac --mac-source {mac}")),
            Self::Network(network) => {
                (network.is_ipv4() == (family == Family::V4)).then(|| format!("-s {network}"))
            }
        }
    }
}

/// How far the guard is closed by what was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Guard {
    /// Quota is left, or there is none, or nobody counts.
    #[default]
    Open,
    /// The quota is spent: essential devices alone.
    Cut,
}

/// Who may use the metered uplinks. Essential devices always may.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metered {
    /// Who may while quota is left; empty: everybody.
    pub allow: Vec<Device>,
    /// Who may even when it is spent.
    pub essential: Vec<Device>,
    /// Whether it is.
    pub guard: Guard,
}

impl Metered {
    /// Whether anybody is refused just now.
    fn closed(&self) -> bool {
        self.guard == Guard::Cut || !self.allow.is_empty()
    }

    /// `open`, `allowlist` or `cut`, as snapshots have it.
    pub fn word(&self) -> &'static str {
        match self.guard {
            Guard::Cut => "cut",
            Guard::Open if self.allow.is_empty() => "open",
            Guard::Open => "allowlist",
        }
    }
}

fn closed(policy: &Policy) -> Option<&Metered> {
    policy.metered.as_ref().filter(|metered| metered.closed())
}

/// What FORWARD asks before it lets anything pass.
pub(crate) fn jumps(policy: &Policy) -> Vec<String> {
    if closed(policy).is_none() {
        return Vec::new();
    }
    let out = policy.uplinks.iter().map(|uplink| format!("-o {uplink} -j {METERED}"));
    let refused = format!("-m connmark --mark {REFUSED:#x}/{REFUSED:#x}");
    let back = policy.uplinks.iter().map(|uplink| format!("-i {uplink} {refused} -j {REFUSE}"));
    out.chain(back).collect()
}

/// The chains behind [`jumps`].
pub(crate) fn chains(policy: &Policy, family: Family) -> Vec<(&'static str, Vec<String>)> {
    let Some(metered) = closed(policy) else { return Vec::new() };
    let allowed = metered.allow.iter().filter(|_| metered.guard == Guard::Open);
    let mut devices: Vec<Device> = metered.essential.iter().chain(allowed).copied().collect();
    devices.sort_unstable();
    devices.dedup();
    let pass = devices.iter().filter_map(|device| device.matches(family));
    let mut ask: Vec<String> = pass.map(|matches| format!("{matches} -g {PASS}")).collect();
    let prohibited = match family {
        Family::V4 => "icmp-admin-prohibited",
        Family::V6 => "icmp6-adm-prohibited",
    };
    ask.push(format!("-j CONNMARK --set-xmark {REFUSED:#x}/{REFUSED:#x}"));
    ask.push("-p tcp -j REJECT --reject-with tcp-reset".to_owned());
    ask.push(format!("-j REJECT --reject-with {prohibited}"));
    let forgive =
        format!("-m connmark --mark {REFUSED:#x}/{REFUSED:#x} -j CONNMARK --set-xmark 0x0/{REFUSED:#x}");
    // The far end of a connection is told, too, or it would send again what is paid for; what is not a
    // connection is dropped, because an answer would cost as much as it saves.
    let refuse = vec!["-p tcp -j REJECT --reject-with tcp-reset".to_owned(), "-j DROP".to_owned()];
    vec![(METERED, ask), (PASS, vec![forgive]), (REFUSE, refuse)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_has_one_spelling() {
        for text in ["AA:bb:0c:dd:EE:ff", "aa-bb-0c-dd-ee-ff"] {
            assert_eq!(text.parse::<Mac>().unwrap().to_string(), "aa:bb:0c:dd:ee:ff");
        }
        for bad in ["", "aa:bb:cc:dd:ee", "aa:bb:cc:dd:ee:ff:00", "aa:bb:cc:dd:ee:f", "+a:bb:cc:dd:ee:ff"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad:?}");
        }
    }
}
