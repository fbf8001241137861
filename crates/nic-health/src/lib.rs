//! Network cards and the devices next to them, watched for troubles that nothing reports: a neighbour
//! entry that keeps a wrong hardware address for weeks, a card whose driver stopped receiving without
//! an error, a driver that is known to.
//!
//! `neighbours` and `stall` decide and are pure; `prober` asks, `hands` mends, `daemon` joins them.

pub mod cli;
mod daemon;
pub mod drivers;
mod entry;
pub mod hands;
mod judge;
mod limit;
pub mod neighbours;
mod network;
mod prober;
mod rights;
mod settings;
pub mod stall;
mod status;
pub mod wire;

pub use daemon::NicHealth;
pub use entry::{Entry, HISTORY, Key};
pub use judge::{Verdict, judge};
pub use settings::Settings;

/// The daemon's name.
pub const NAME: &str = "nic-health";
/// Its version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
