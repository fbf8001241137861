//! Which ICMP messages a raw socket hears: options nix does not offer.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc;

/// `SOL_RAW` and `SOL_ICMPV6` of linux/socket.h; `ICMP_FILTER` of linux/icmp.h and `ICMPV6_FILTER` of
/// linux/icmpv6.h. In both masks a set bit keeps a type away (`icmp_filter` in net/ipv4/raw.c,
/// `icmpv6_filter` in net/ipv6/raw.c).
const V4: (libc::c_int, libc::c_int) = (255, 1);
const V6: (libc::c_int, libc::c_int) = (58, 1);

/// The raw ICMP `socket` hears these types alone; a type beyond 31 cannot be kept away and is heard.
///
/// # Errors
/// What the kernel refuses: `EOPNOTSUPP` or `ENOPROTOOPT` for another kind of socket.
pub fn hear_only_v4(socket: BorrowedFd<'_>, types: &[u8]) -> io::Result<()> {
    let heard = types.iter().filter(|kind| **kind < 32).fold(0, |mask, kind| mask | 1_u32 << kind);
    set(socket, V4, &[!heard])
}

/// The raw `ICMPv6` `socket` hears these types alone.
///
/// # Errors
/// What the kernel refuses: `ENOPROTOOPT` for another kind of socket.
pub fn hear_only_v6(socket: BorrowedFd<'_>, types: &[u8]) -> io::Result<()> {
    let mut mask = [u32::MAX; 8];
    for kind in types {
        mask[usize::from(kind >> 5)] &= !(1 << (kind & 31));
    }
    set(socket, V6, &mask)
}

fn set(socket: BorrowedFd<'_>, (level, name): (libc::c_int, libc::c_int), mask: &[u32]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(mask)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is open for the whole call, and the kernel reads `length` bytes of `mask`,
    // which is initialised and lives until the call returns.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, mask.as_ptr().cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
