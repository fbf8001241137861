//! The edges: USB bus, serial port, kernel events, pppd.

pub mod bus;
pub mod opening;
pub mod ppp;
pub mod serial;
pub mod uevents;
