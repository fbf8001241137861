//! Packet sockets: frames as they are, of one protocol on one interface. nix has no way to make the
//! address they are bound to.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::libc;

/// `ETH_P_ARP` of `linux/if_ether.h`.
pub const ARP: u16 = 0x0806;

/// A socket that sends frames by interface number `link` and hears those of `protocol` on it, link
/// layer included; never waits.
///
/// # Errors
/// `EPERM` without `CAP_NET_RAW`, `ENODEV` for an interface that is not there, `ENETDOWN` if it is off.
pub fn open(link: u32, protocol: u16) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // Protocol 0 hears nothing until it is bound, so no frame of another interface slips in.
    // SAFETY: no pointers go in.
    let socket = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    let address = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?,
        sll_protocol: protocol.to_be(),
        sll_ifindex: i32::try_from(link).map_err(io::Error::other)?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: `address` is an initialised sockaddr_ll of `length` bytes and outlives the call.
    let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if result == 0 { Ok(socket) } else { Err(io::Error::last_os_error()) }
}
