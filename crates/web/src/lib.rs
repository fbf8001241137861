//! One request to a web service by ureq and rustls: over one line where that matters, timed by phase,
//! bounded in time and bytes, and with failures that say in which phase and why.
//!
//! Blocks, and takes megabytes while it does: for children and commands, never for a daemon's loop.

pub mod certificate;
pub mod dns;
mod failure;
mod names;
mod request;
mod visit;
mod way;
mod wire;

pub use failure::{Cause, Failure, Phase};
pub use request::{Family, Http};
pub use visit::{LARGEST, LIMIT, Options, Reply, Times, Visit, visit};
pub use way::{Way, connect};
