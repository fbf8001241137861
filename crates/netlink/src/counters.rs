//! What interfaces have carried, down to the last byte of one that goes.

use crate::connection::{failed, open};
use crate::{Connection, Error, decode, encode};
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage as Message;
use nix::errno::Errno;
use nix::sys::socket::recvfrom;
use std::os::fd::{AsRawFd, OwnedFd};

/// `RTNLGRP_LINK` of linux/rtnetlink.h as a bit.
const LINK_GROUP: u32 = 1;
/// A message about a link is under 4 KiB (`if_nlmsg_size` in net/core/rtnetlink.c).
const BUFFER: usize = 16 * 1024;
/// One turn reads at most this many messages; a flood must not hold the loop.
const MESSAGES_A_TURN: usize = 256;

/// What an interface has carried since it was made (or its driver began to count).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counters {
    /// The kernel's number for the interface; a name may move, this does not.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Bytes that came in.
    pub received_bytes: u64,
    /// Bytes that went out.
    pub sent_bytes: u64,
    /// Packets that came in.
    pub received_packets: u64,
    /// Packets that went out.
    pub sent_packets: u64,
}

impl Connection {
    /// The counters of all interfaces.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn all_counters(&mut self) -> Result<Vec<Counters>, Error> {
        let messages = self.dump("list counters", &encode::all_links())?;
        let counters = messages.into_iter().filter_map(|message| match message {
            Message::NewLink(link) => decode::counters(link),
            _ => None,
        });
        Ok(counters.collect())
    }

    /// What an interface has carried; none if it is not there.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn counters(&mut self, link: u32) -> Result<Option<Counters>, Error> {
        Ok(self.all_counters()?.into_iter().find(|counters| counters.index == link))
    }
}

/// Tells the last counters of interfaces that were removed: the kernel puts them into the farewell
/// (`unregister_netdevice_many_notify` in net/core/dev.c), and nowhere else are they to be had.
#[derive(Debug)]
pub struct Farewells {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl Farewells {
    /// Opens it, in the network namespace of this thread.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: open(LINK_GROUP)?, buffer: vec![0; BUFFER] })
    }

    /// What has gone since the last call. Farewells that came too fast for the socket are lost.
    ///
    /// # Errors
    /// If the socket is broken.
    pub fn take(&mut self) -> Result<Vec<Counters>, Error> {
        let mut gone = Vec::new();
        for _ in 0..MESSAGES_A_TURN {
            let length = match recvfrom::<()>(self.socket.as_raw_fd(), &mut self.buffer) {
                Ok((length, _)) => length,
                Err(Errno::ENOBUFS | Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => break,
                Err(e) => return Err(failed("read farewells of links", e)),
            };
            let Ok(message) = NetlinkMessage::<Message>::deserialize(&self.buffer[..length]) else {
                continue;
            };
            if let NetlinkPayload::InnerMessage(Message::DelLink(link)) = message.payload {
                gone.extend(decode::counters(link));
            }
        }
        Ok(gone)
    }
}
