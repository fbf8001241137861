//! Switches USB ports off and on, and climbs the upper rungs of the recovery ladder.
//!
//! A crashed stick often answers to nothing but the loss of its power, and a box that nobody visits
//! has to do that by itself. What to do is decided in [`machine`] (pure); which port may be switched
//! in [`plan`] (pure, from [`topology`] and [`boards`]); every touch of USB happens in a child
//! process ([`worker`]), because the kernel may hold a hub's lock for tens of seconds.

pub mod boards;
pub mod cli;
pub mod dialer;
pub mod driver;
pub mod hold;
pub mod incidents;
pub mod ledger;
pub mod machine;
pub mod plan;
pub mod status;
pub mod store;
pub mod switch;
pub mod topology;
pub mod usb;
pub mod worker;

/// Its name in unit, snapshot and requests.
pub const NAME: &str = "hub-reset";
/// Its version in the snapshot.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
