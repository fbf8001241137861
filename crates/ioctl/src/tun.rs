//! TUN and TAP devices: a network interface whose other end is a file descriptor.
//!
//! Interface of the kernel: `Documentation/networking/tuntap.rst`, `include/uapi/linux/if_tun.h`.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;

/// Longest interface name: `IFNAMSIZ` of `include/uapi/linux/if.h`, less the closing NUL.
pub const NAME_MAX: usize = libc::IFNAMSIZ - 1;

/// The multiplexing device (devices.txt: misc 200).
const TUN_DEVICE: &str = "/dev/net/tun";

/// What the descriptor carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// IP packets, no link layer.
    Tun,
    /// Ethernet frames.
    Tap,
}

/// How the interface is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags {
    /// What the descriptor carries.
    pub mode: Mode,
    /// Whether reads return `WouldBlock` instead of waiting.
    pub nonblocking: bool,
}

nix::ioctl_write_ptr_bad!(
    /// `TUNSETIFF`: `_IOW('T', 202, int)`, though its argument is a pointer to an `ifreq`.
    tunsetiff,
    nix::request_code_write!(b'T', 202, size_of::<libc::c_int>()),
    libc::ifreq
);

/// Creates the interface `name`, or attaches to it, in the calling thread's network namespace.
///
/// The interface vanishes when the descriptor is closed. Packets come without the four bytes of
/// packet information (`IFF_NO_PI`).
///
/// # Errors
/// `InvalidInput` for a name that is empty, longer than [`NAME_MAX`] or holds a NUL; otherwise
/// what the kernel says: `PermissionDenied` without `CAP_NET_ADMIN`, `ResourceBusy` when another
/// process holds the interface.
pub fn open(name: &str, flags: Flags) -> io::Result<OwnedFd> {
    let request = request(name, flags.mode)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC | if flags.nonblocking { libc::O_NONBLOCK } else { 0 })
        .open(TUN_DEVICE)?;
    // SAFETY: the descriptor is open for the whole call and `request` is a fully initialised
    // ifreq, which the kernel reads and writes back within its size.
    unsafe { tunsetiff(file.as_raw_fd(), &raw const request) }?;
    Ok(file.into())
}

fn request(name: &str, mode: Mode) -> io::Result<libc::ifreq> {
    let mode = match mode {
        Mode::Tun => libc::IFF_TUN,
        Mode::Tap => libc::IFF_TAP,
    };
    let flags = libc::c_short::try_from(mode | libc::IFF_NO_PI).map_err(io::Error::other)?;
    let mut request = crate::name(name)?;
    request.ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_flags: flags };
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TUN: Flags = Flags { mode: Mode::Tun, nonblocking: true };

    #[test]
    fn refuses_names_the_kernel_cannot_hold() {
        for name in ["", "a-name-of-sixteen", "nul\0inside"] {
            assert_eq!(open(name, TUN).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name}");
        }
    }

    #[test]
    fn request_carries_name_and_flags() {
        let request = request("carrier0", Mode::Tun).unwrap();
        assert_eq!(request.ifr_name[7], libc::c_char::from_ne_bytes([b'0']));
        assert_eq!(request.ifr_name[8], 0);
        // SAFETY: `request` has just written this member of the union.
        assert_eq!(unsafe { request.ifr_ifru.ifru_flags }, 0x1001); // IFF_NO_PI | IFF_TUN
    }
}
