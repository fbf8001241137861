//! Keeps the declared settings of the kernel, and knows whose file undid one.
//!
//! Read, decide, write: [`Watch`] decides, [`Keeper`] reads and writes. /proc gives no events, so
//! everything declared is read every second: some twenty files that are not on a disk.

pub(crate) mod files;
mod foresight;
mod keeper;
mod proc_sys;
pub(crate) mod status;
mod watch;

pub(crate) use foresight::Foresight;
pub use keeper::Keeper;
pub use proc_sys::ProcSys;
pub use watch::{Action, Event, Seen, Watch};

use ruleset::{Family, Sysctl, Unless};

/// What makes a router of this host, and the packet filter that has to be there first: without it the
/// carrier's side could reach into the LAN.
const FORWARDING: [(&str, Family); 2] =
    [("net/ipv4/ip_forward", Family::V4), ("net/ipv6/conf/all/forwarding", Family::V6)];
/// Why a forwarding switch was left as it is.
pub(crate) const NOT_TOUCHED: &str = "not touched: the packet filter is not in place";

/// The family that a setting switches forwarding of.
pub(crate) fn forwards(path: &str) -> Option<Family> {
    FORWARDING.iter().find(|(forwarding, _)| path == *forwarding).map(|(_, family)| *family)
}

/// Whether somebody chose this value, and it is left to them.
pub(crate) fn respected(sysctl: &Sysctl, value: &str) -> bool {
    matches!(sysctl.unless, Unless::Is(chosen) if chosen == value)
}
