//! Names that follow the addresses of the lines: dynamic DNS by five protocols.
//!
//! Everything up to the wire is pure. [`provider`] holds what each protocol sends and how its answers
//! are judged, as conversations that are given answers and give the next request; [`address`] says
//! which addresses the world can reach; [`machine`] decides when anybody is told anything at all;
//! [`store`] keeps what was told, so that a reboot is no reason to tell it again.

pub mod address;
pub mod dns;
pub mod machine;
pub mod provider;
pub mod sigv4;
pub mod store;
pub mod talk;
pub mod tsig;
