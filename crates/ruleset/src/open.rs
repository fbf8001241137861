//! What a stranger may ask of ports that are open to everyone.
//!
//! One source that opens connections without end takes the place of all others, and on a metered
//! line it costs, too. Others are not touched by the limit.

use crate::{Family, Policy};

const OPEN: &str = "FB-OPEN";
/// New connections a second from one source, and how many at once after a pause: a page opens some
/// dozens at most, and several people behind one address of a carrier open one each at a time.
const RATE: u32 = 30;
const BURST: u32 = 120;
/// Connections at one time from one source: a carrier's address may stand for many people.
const CONNECTIONS: u32 = 128;

/// Where a new connection to an open port goes.
pub(crate) fn target(policy: &Policy) -> &'static str {
    if policy.limits { OPEN } else { "ACCEPT" }
}

/// The chain behind [`target`].
pub(crate) fn chains(policy: &Policy, family: Family) -> Option<(&'static str, Vec<String>)> {
    if !policy.limits || policy.open_ports.is_empty() {
        return None;
    }
    // One customer has one address, or one network of this length (RFC 6177).
    let (mask, per_network) = match family {
        Family::V4 => (32, ""),
        Family::V6 => (64, " --hashlimit-srcmask 64"),
    };
    // Spelled as `iptables-save` prints it.
    let rate = format!(
        "-m hashlimit --hashlimit-above {RATE}/sec --hashlimit-burst {BURST} --hashlimit-mode srcip \
         --hashlimit-name fb-open{per_network} -j DROP"
    );
    let connections = format!(
        "-p tcp -m connlimit --connlimit-above {CONNECTIONS} --connlimit-mask {mask} --connlimit-saddr \
         -j REJECT --reject-with tcp-reset"
    );
    Some((OPEN, vec![rate, connections, "-j ACCEPT".to_owned()]))
}
