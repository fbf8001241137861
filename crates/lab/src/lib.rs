//! The lab: proof without hardware.
//!
//! It boots the real image on emulated machines, puts an emulated stick and carrier, a house and
//! a small internet around it, and runs scenarios written as data against the whole.

pub mod appliance;
pub mod bench;
pub mod carrier;
pub mod checker;
pub mod cli;
pub mod client;
pub mod error;
pub mod fault;
pub mod image;
pub mod line;
pub mod net;
pub mod process;
pub mod qemu;
pub mod scenario;
pub mod stick;
pub mod stop;
pub mod up;
pub mod usbredir;
pub mod world;
