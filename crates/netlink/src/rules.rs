//! A socket that becomes readable when the packet filter changes, and says who changed it.

use crate::Error;
use crate::connection::open_protocol;
use crate::generation::{Commit, commits};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockProtocol, recv};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// `NFNLGRP_NFTABLES` (7 in linux/netfilter/nfnetlink.h) as a bit.
const GROUP: u32 = 1 << 6;
/// One turn reads at most this many messages: a thousand new rules make as many.
const MESSAGES_A_TURN: usize = 4096;
/// A commit's last message, which we want, is a few attributes; of others the beginning is enough.
const BUFFER: usize = 4096;

/// Hears of every change of this network namespace's nftables rules.
#[derive(Debug)]
pub struct RulesMonitor {
    socket: OwnedFd,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Heard {
    /// Changes, in order.
    pub commits: Vec<Commit>,
    /// Some came too fast and were lost: anything may have changed.
    pub lost: bool,
}

impl RulesMonitor {
    /// Opens it, in the network namespace of this thread.
    ///
    /// # Errors
    /// Without the capability `CAP_NET_ADMIN`, or on a kernel without nfnetlink.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: open_protocol(SockProtocol::NetlinkNetFilter, GROUP)? })
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// If the socket is broken.
    pub fn drain(&mut self) -> Result<Heard, Error> {
        let mut buffer = [0; BUFFER];
        let mut heard = Heard::default();
        for _ in 0..MESSAGES_A_TURN {
            match recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(length) => heard.commits.extend(commits(&buffer[..length])),
                Err(Errno::ENOBUFS) => heard.lost = true,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(e) => {
                    return Err(Error::Socket {
                        operation: "read the packet filter's events",
                        source: e.into(),
                    });
                }
            }
        }
        Ok(heard)
    }
}

impl AsFd for RulesMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
