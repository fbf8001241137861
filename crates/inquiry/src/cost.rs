//! What questions cost on a metered line: RFC 791, RFC 8200, RFC 768, RFC 9293.
//!
//! Headers without options, but for those of a SYN (maximum segment size, SACK, timestamps, window
//! scale) and the timestamps of all other segments; nothing of the link layer, and no repetitions.

use std::net::IpAddr;

const UDP_HEADER: u64 = 8;
const TCP_HEADER: u64 = 20 + 12;
/// What a SYN has besides.
pub const SYN_OPTIONS: u64 = 8;

fn ip_header(address: IpAddr) -> u64 {
    if address.is_ipv4() { 20 } else { 40 }
}

/// A datagram with so many bytes in it.
pub fn datagram(address: IpAddr, length: usize) -> u64 {
    ip_header(address) + UDP_HEADER + length as u64
}

/// So many segments, without what is in them.
pub fn segments(address: IpAddr, count: u64) -> u64 {
    (ip_header(address) + TCP_HEADER) * count
}
