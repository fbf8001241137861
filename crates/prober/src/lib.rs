//! Asks for pages: status, and times by phase, as somebody in the house would see them.
//!
//! [`machine`] decides when which page is asked for, and is pure. What blocks happens in a child
//! process ([`ask`]); the daemon's loop waits for none. [`command`] does the same once, for a person.

pub mod ask;
pub mod command;
pub mod daemon;
pub mod lines;
pub mod machine;
pub mod program;
pub mod settings;
pub mod status;

/// Its name in unit, snapshot and configuration.
pub const NAME: &str = "prober";
/// Its version in the snapshot.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
