//! The edges every daemon shares: a root under which /proc, /sys, /etc and /run are found,
//! files that survive a power cut, commands that cannot hang, and clocks.
//!
//! Nothing here decides anything; machines take [`Monotonic`] times as arguments and stay pure.

pub mod clock;
pub mod command;
pub mod file;
mod root;

pub use clock::Monotonic;
pub use command::{CommandError, Runner};
pub use root::Root;
