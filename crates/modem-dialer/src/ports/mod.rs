//! The edges: USB bus, serial port, kernel events, pppd.

pub mod bus;
pub mod ppp;
pub mod serial;
pub mod uevents;
