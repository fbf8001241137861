//! The kernel's word that a device came or went (netlink, `lib/kobject_uevent.c`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

/// Multicast group of the kernel itself; 2 is udev's.
const KERNEL: u32 = 1;
/// A uevent has at most this many bytes (`UEVENT_BUFFER_SIZE`, and the header in front).
const LARGEST: usize = 4096;
/// So many are taken in a turn; the rest wake the next one.
const A_TURN: usize = 64;

/// A socket that hears of devices.
#[derive(Debug)]
pub struct Uevents(OwnedFd);

impl Uevents {
    /// Listens.
    ///
    /// # Errors
    /// Where netlink is not allowed; then looking from time to time has to do.
    pub fn listen() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkKObjectUEvent)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, KERNEL))?;
        Ok(Self(fd))
    }

    /// Takes what has come; whether something about USB or a tty was in it. Lost messages count.
    pub fn take(&self) -> bool {
        let mut buffer = [0; LARGEST];
        let mut relevant = false;
        for _ in 0..A_TURN {
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(0) | Err(nix::errno::Errno::EAGAIN) => break,
                Ok(n) => relevant |= concerns_us(&buffer[..n]),
                Err(_) => relevant = true,
            }
        }
        relevant
    }
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn concerns_us(message: &[u8]) -> bool {
    message
        .split(|byte| *byte == 0)
        .any(|field| matches!(field, b"SUBSYSTEM=usb" | b"SUBSYSTEM=tty" | b"SUBSYSTEM=usb-serial"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hears_of_ports_and_not_of_the_rest() {
        assert!(concerns_us(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=tty\0DEVNAME=ttyUSB2\0"));
        assert!(!concerns_us(b"add@/devices/x\0ACTION=add\0SUBSYSTEM=net\0INTERFACE=ppp0\0"));
    }
}
