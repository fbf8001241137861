//! Whether this host hears its own multicast packets: an option of sockets nix does not offer for IPv6.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc;

/// What is sent by `socket` to an IPv6 group stays away from this host's own members of the group
/// (`IPV6_MULTICAST_LOOP`, ipv6(7)).
///
/// # Errors
/// What the kernel refuses: `ENOPROTOOPT` for a socket that is not of IPv6.
pub fn leave_ipv6_loop(socket: BorrowedFd<'_>) -> io::Result<()> {
    let off: libc::c_int = 0;
    let length = libc::socklen_t::try_from(size_of_val(&off)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for the whole call, and the kernel reads `length` bytes of `off`,
    // which is initialised and lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IPV6,
            libc::IPV6_MULTICAST_LOOP,
            (&raw const off).cast(),
            length,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
