//! Names that follow the addresses of the lines: dynamic DNS by five protocols.
//!
//! Everything up to the wire is pure. [`provider`] holds what each protocol sends and how its answers
//! are judged, as conversations that are given answers and give the next request; [`address`] says
//! which addresses the world can reach; [`machine`] decides when anybody is told anything at all;
//! [`store`] keeps what was told, so that a reboot is no reason to tell it again. [`failover`] is the
//! command that sets up Route 53's failover records.
//!
//! What blocks happens in a child process ([`deliver`]); the daemon's loop waits for none.

pub mod address;
pub mod daemon;
pub mod deliver;
pub mod failover;
pub mod lines;
pub mod machine;
pub mod program;
pub mod provider;
pub mod settings;
pub mod sigv4;
pub mod socket;
pub mod status;
pub mod store;
pub mod talk;
pub mod tsig;
pub mod web;

pub use ::web::dns;

/// Its name in unit, snapshot and configuration.
pub const NAME: &str = "dyndns";
/// Its version in the snapshot.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
