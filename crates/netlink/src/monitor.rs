//! A socket that becomes readable when links, addresses, routes or rules change.

use crate::{Error, connection::open};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// `RTNLGRP_*` of linux/rtnetlink.h as bits: link, IPv4 address, route and rule, IPv6 address, route and rule.
const GROUPS: u32 = group(1) | group(5) | group(7) | group(8) | group(9) | group(11) | group(19);
/// One turn reads at most this many messages; a flood must not hold the loop.
const MESSAGES_A_TURN: usize = 256;

const fn group(number: u32) -> u32 {
    1 << (number - 1)
}

/// Tells that something changed, not what: whoever wants to know reads it all again, so that a lost
/// message cannot leave a wrong picture behind.
#[derive(Debug)]
pub struct Monitor {
    socket: OwnedFd,
}

impl Monitor {
    /// Opens it, in the network namespace of this thread.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: open(GROUPS)? })
    }

    /// Takes what has come; whether anything had, or was lost because it came too fast.
    ///
    /// # Errors
    /// If the socket is broken.
    pub fn drain(&mut self) -> Result<bool, Error> {
        let mut buffer = [0; 4096];
        let mut any = false;
        for _ in 0..MESSAGES_A_TURN {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC) {
                Ok(_) | Err(Errno::ENOBUFS) => any = true,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(e) => return Err(Error::Socket { operation: "read netlink monitor", source: e.into() }),
            }
        }
        Ok(any)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
