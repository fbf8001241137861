//! A plausible clock for an appliance without a battery-backed one.
//!
//! Certificates and signatures need the date; systemd-timesyncd brings it where NTP gets through, and
//! waits without end where it does not. This program steps in between: it asks NTP servers of several
//! operators at literal addresses ([`ntp`], [`sources`]), then pages over plain HTTP for their `Date`
//! ([`date`]), believes only what a majority says ([`votes`]), sets the clock forward only, and ends when
//! timesyncd has synchronised it. What is decided is pure ([`machine`]); [`ask`] has the sockets.

pub mod ask;
pub mod daemon;
pub mod date;
pub mod lines;
pub mod machine;
pub mod ntp;
pub mod ports;
pub mod sources;
pub mod status;
pub mod utc;
pub mod votes;

/// Its name in unit and snapshot.
pub const NAME: &str = "timekeeper";
/// Its version in the snapshot.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
