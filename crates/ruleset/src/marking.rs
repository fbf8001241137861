//! Which line a connection came in by and left by, noted on the connection (`mangle`).
//!
//! An answer must leave by the line its question came in on, whatever line is the better one now:
//! the mark that was saved on the connection is given back to packets of the other direction, and
//! `uplink`'s policy rules send them. And a line that died leaves connections behind that nobody will
//! answer; by the line they left by `uplink` finds those, and no other.

use crate::desired::{PRIVATE_V4, PRIVATE_V6};
use crate::marks::{ARRIVED_MASK, LEFT_MASK, Line};
use crate::{Family, Policy};

const PREROUTING: &str = "FB-PREROUTING";
const OUTPUT: &str = "FB-OUTPUT";
const POSTROUTING: &str = "FB-POSTROUTING";
/// Whether what leaves by the LAN interface goes to the internet or stays in the house.
const WIRED: &str = "FB-WIRED";

/// Jumps of the table `mangle` to what is here.
pub(crate) const JUMPS: [(&str, &str); 3] =
    [("PREROUTING", PREROUTING), ("OUTPUT", OUTPUT), ("POSTROUTING", POSTROUTING)];

/// Never the internet, beside the private ranges: multicast and broadcast (RFC 5771, RFC 919; RFC 4291).
const NOWHERE_V4: [&str; 2] = ["224.0.0.0/4", "255.255.255.255/32"];
const NOWHERE_V6: [&str; 1] = ["ff00::/8"];

/// The chains behind [`JUMPS`].
pub(crate) fn chains(policy: &Policy, family: Family) -> Vec<(&'static str, Vec<String>)> {
    let mut chains =
        vec![(PREROUTING, arriving(policy)), (OUTPUT, vec![answers()]), (POSTROUTING, leaving(policy))];
    if policy.wired_uplink {
        chains.push((WIRED, wired(family)));
    }
    chains
}

/// What comes in by an uplink is noted on its connection; what comes from elsewhere gets the note back.
fn arriving(policy: &Policy) -> Vec<String> {
    let mark = set(Line::Cellular.arrived(), ARRIVED_MASK);
    let mut rules = Vec::new();
    for uplink in &policy.uplinks {
        rules.push(format!("-i {uplink} -m conntrack --ctstate NEW {mark}"));
        rules.push(format!("-i {uplink} -j RETURN"));
    }
    rules.push(format!("{} {}", noted(), restore()));
    rules
}

/// Answers of this box itself. A packet that carries a line already was bound to it by its sender.
fn answers() -> String {
    format!("-m mark --mark 0x0/{ARRIVED_MASK:#x} {} {}", noted(), restore())
}

/// The first packet decides: a connection that began on a line belongs to that line's addresses.
fn leaving(policy: &Policy) -> Vec<String> {
    let fresh = format!("-m conntrack --ctstate NEW -m connmark --mark 0x0/{LEFT_MASK:#x}");
    let mark = set(Line::Cellular.left(), LEFT_MASK);
    let mut rules: Vec<_> = policy.uplinks.iter().map(|out| format!("-o {out} {fresh} {mark}")).collect();
    if policy.wired_uplink {
        rules.extend(policy.lan.iter().map(|out| format!("-o {out} {fresh} -j {WIRED}")));
    }
    rules
}

fn wired(family: Family) -> Vec<String> {
    let (private, nowhere) = match family {
        Family::V4 => (&PRIVATE_V4[..], &NOWHERE_V4[..]),
        Family::V6 => (&PRIVATE_V6[..], &NOWHERE_V6[..]),
    };
    let house = private.iter().chain(nowhere).map(|network| format!("-d {network} -j RETURN"));
    house.chain([set(Line::Wired.left(), LEFT_MASK)]).collect()
}

fn noted() -> String {
    format!("-m connmark ! --mark 0x0/{ARRIVED_MASK:#x}")
}

fn restore() -> String {
    format!("-j CONNMARK --restore-mark --nfmask {ARRIVED_MASK:#x} --ctmask {ARRIVED_MASK:#x}")
}

fn set(value: u32, mask: u32) -> String {
    format!("-j CONNMARK --set-xmark {value:#x}/{mask:#x}")
}
