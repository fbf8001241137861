//! The thin edge: one datagram to all nodes of a link.

use super::Advertisement;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, sendto, setsockopt, socket,
    sockopt,
};
use std::net::{Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

/// All nodes on a link (RFC 4291, section 2.7.1).
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// Anything less has passed a router and is not believed (RFC 4861, section 6.1.2).
const HOP_LIMIT: i32 = 255;

/// Sends it, from the link-local address the kernel picks. The socket lives for this one message: it
/// would hear every `ICMPv6` message of the link otherwise.
///
/// # Errors
/// What the kernel refuses; without a link-local address yet, `EADDRNOTAVAIL`.
pub fn send(link: u32, message: &Advertisement) -> std::io::Result<()> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet6, SockType::Raw, flags, SockProtocol::IcmpV6)?;
    // Our kernel takes prefixes from itself where it takes any (`ndisc_router_discovery`).
    ioctl::multicast::leave_ipv6_loop(socket.as_fd())?;
    setsockopt(&socket, sockopt::Ipv6MulticastHops, &HOP_LIMIT)?;
    let to = SockaddrIn6::from(SocketAddrV6::new(ALL_NODES, 0, 0, link));
    sendto(socket.as_raw_fd(), &message.bytes(), &to, MsgFlags::empty())?;
    Ok(())
}
