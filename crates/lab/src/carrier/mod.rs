//! The carrier: the mobile network behind the stick.
//!
//! On one side a PPP peer that takes the subscriber's bytes, on the other a TUN device in the
//! internet's network namespace. In a real stick PPP ends *inside the stick*, which talks PDP
//! context activation to the network (3GPP TS 27.060 section 9, TS 29.061 section 11.2.1.3): LCP
//! and authentication are answered at once, and IPCP waits for the network's address. It is kept
//! here because the addresses and the authentication verdict are the network's.

pub mod card;
mod config;
mod fault;
mod handle;
pub(crate) mod network;
pub mod ppp;
pub(crate) mod tun;

pub use config::{Auth, AuthMethod, CarrierConfig, Credentials, Ipv6Subscriber};
pub use handle::{CallState, CarrierCommand, CarrierHandle, CarrierStats};

use std::net::Ipv6Addr;

/// The link-local address of an interface identifier (RFC 4291 section 2.5.6).
fn link_local(interface_id: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(interface_id))
}
