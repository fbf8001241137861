//! Neighbour entries (ARP and IPv6 neighbour discovery): what `ip neighbour` shows and changes, and
//! a socket that tells each change. Read as messages, never as text: iproute2 6.1 prints
//! `used 0/0/0probes 1` without a space.

use crate::connection::{failed, fine_if, messages, open};
use crate::{Connection, Error};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE, NetlinkPayload};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use nix::errno::Errno;
use nix::sys::socket::{NetlinkAddr, recvfrom, setsockopt, sockopt};
use std::fmt;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// `RTNLGRP_NEIGH` of linux/rtnetlink.h as a bit.
const NEIGHBOUR_GROUP: u32 = 1 << 2;
/// A datagram of the monitor holds one entry of under 200 bytes (`neigh_nlmsg_size` in
/// net/core/neighbour.c).
const BUFFER: usize = 4096;
/// Room for about 2,000 changes while the daemon is busy; more are told as lost.
const QUEUE: usize = 512 * 1024;
/// One turn reads at most this many messages; a flood must not hold the loop.
const MESSAGES_A_TURN: usize = 4096;
/// The kernel tells ages in `USER_HZ`, which is 100 on every architecture we run on
/// (`put_neigh_info` fills them by `jiffies_to_clock_t`).
const MS_A_TICK: u64 = 10;

/// A hardware address of Ethernet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HardwareAddress(pub [u8; 6]);

impl fmt::Display for HardwareAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let colon = if at == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02x}")?;
        }
        Ok(())
    }
}

/// The state of an entry (linux/neighbour.h, `NUD_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nud {
    /// Just made, or nothing known.
    None,
    /// Asked for, no answer yet.
    Incomplete,
    /// Confirmed a short time ago.
    Reachable,
    /// Not confirmed for a while; used as it is.
    Stale,
    /// Used while stale; to be asked unless something confirms it within five seconds.
    Delay,
    /// Being asked.
    Probe,
    /// Asked, no answer.
    Failed,
    /// Needs no asking.
    NoArp,
    /// Set by a person.
    Permanent,
}

impl Nud {
    /// The field's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Incomplete => "incomplete",
            Self::Reachable => "reachable",
            Self::Stale => "stale",
            Self::Delay => "delay",
            Self::Probe => "probe",
            Self::Failed => "failed",
            Self::NoArp => "noarp",
            Self::Permanent => "permanent",
        }
    }

    /// Whether packets are sent by the entry's hardware address (`NUD_VALID`).
    pub fn valid(self) -> bool {
        !matches!(self, Self::None | Self::Incomplete | Self::Failed)
    }
}

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    /// The interface.
    pub link: u32,
    /// Whose it is.
    pub address: IpAddr,
    /// Where packets for it are sent; none while that is not known.
    pub mac: Option<HardwareAddress>,
    /// Its state.
    pub state: Nud,
    /// Learned by another program that keeps it (EVPN, a bridge): not ours to mend.
    pub learned_elsewhere: bool,
    /// Milliseconds since something confirmed it.
    pub confirmed_ms: u64,
    /// Milliseconds since it changed.
    pub updated_ms: u64,
}

/// What the monitor heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeighbourChange {
    /// An entry is there, or is different.
    Set(Neighbour),
    /// An entry went.
    Gone {
        /// Its interface.
        link: u32,
        /// Whose it was.
        address: IpAddr,
    },
}

impl Connection {
    /// All entries of both families for hosts; multicast and broadcast entries (`noarp`) are left out.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn neighbours(&mut self) -> Result<Vec<Neighbour>, Error> {
        let question = Message::GetNeighbour(NeighbourMessage::default());
        let answers = self.dump("list neighbours", &question)?;
        Ok(answers.into_iter().filter_map(decode).filter(|n| n.state != Nud::NoArp).collect())
    }

    /// One entry, none if it is not there.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn neighbour(&mut self, link: u32, address: IpAddr) -> Result<Option<Neighbour>, Error> {
        let question = Message::GetNeighbour(message(link, address, Nud::None));
        match self.ask("read neighbour", question, || operand(link, address)) {
            Ok(answer) => Ok(answer.and_then(decode)),
            Err(e) if e.errno() == Some(Errno::ENOENT as i32) => Ok(None),
            // Single questions came with Linux 5.0 (82cbb5c631a0).
            Err(e) if e.errno() == Some(Errno::EOPNOTSUPP as i32) => {
                let all = self.neighbours()?;
                Ok(all.into_iter().find(|n| n.link == link && n.address == address))
            }
            Err(e) => Err(e),
        }
    }

    /// Has the kernel ask an entry's host anew (`NUD_PROBE`): the address stays in use until three
    /// questions, a second apart, had no answer. It needs no hardware address. False if the entry is
    /// not there.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn probe_neighbour(&mut self, link: u32, address: IpAddr) -> Result<bool, Error> {
        let message = Message::NewNeighbour(message(link, address, Nud::Probe));
        // Replace without create: an entry that went meanwhile must not come back empty.
        match self.order("probe neighbour", NLM_F_REPLACE, message, || operand(link, address)) {
            Err(e) if e.errno() == Some(Errno::ENOENT as i32) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Deletes an entry; one that is gone already is fine.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn delete_neighbour(&mut self, link: u32, address: IpAddr) -> Result<(), Error> {
        let message = Message::DelNeighbour(message(link, address, Nud::None));
        let result = self.order("delete neighbour", 0, message, || operand(link, address));
        fine_if(result, &[Errno::ENOENT, Errno::ENODEV])
    }

    /// Sets an entry, for tests and for people.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn set_neighbour(
        &mut self,
        link: u32,
        address: IpAddr,
        mac: HardwareAddress,
        state: Nud,
    ) -> Result<(), Error> {
        let mut entry = message(link, address, state);
        entry.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        self.order("set neighbour", flags, Message::NewNeighbour(entry), || operand(link, address))
    }
}

/// Tells each change of an entry, or that some were lost.
#[derive(Debug)]
pub struct NeighbourMonitor {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

impl NeighbourMonitor {
    /// Opens it, in the network namespace of this thread.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn open() -> Result<Self, Error> {
        Self::with_queue(QUEUE)
    }

    /// As [`NeighbourMonitor::open`] with a queue of so many bytes, so that a test can overrun it.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn with_queue(bytes: usize) -> Result<Self, Error> {
        let socket = open(NEIGHBOUR_GROUP)?;
        // Beyond net.core.rmem_max needs CAP_NET_ADMIN; without it the kernel gives what it may.
        if setsockopt(&socket, sockopt::RcvBufForce, &bytes).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &bytes).map_err(|e| failed("size netlink queue", e))?;
        }
        Ok(Self { socket, buffer: vec![0; BUFFER] })
    }

    /// What changed since the last call; `true` if some of it was lost (`ENOBUFS`): then only reading
    /// all entries anew gives a right picture.
    ///
    /// # Errors
    /// If the socket is broken.
    pub fn take(&mut self) -> Result<(Vec<NeighbourChange>, bool), Error> {
        let (mut changes, mut lost) = (Vec::new(), false);
        for _ in 0..MESSAGES_A_TURN {
            let (length, from) = match recvfrom::<NetlinkAddr>(self.socket.as_raw_fd(), &mut self.buffer) {
                Ok(received) => received,
                Err(Errno::ENOBUFS) => {
                    lost = true;
                    continue;
                }
                Err(Errno::EINTR) => continue,
                Err(Errno::EAGAIN) => break,
                Err(e) => return Err(failed("read neighbour monitor", e)),
            };
            // Any process may send here; only the kernel is port 0 (netlink(7)).
            if from.is_none_or(|from| from.pid() != 0) {
                continue;
            }
            for message in messages(&self.buffer[..length]) {
                if let NetlinkPayload::InnerMessage(message) = message.payload {
                    changes.extend(change(message));
                }
            }
        }
        Ok((changes, lost))
    }
}

impl AsFd for NeighbourMonitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn change(message: Message) -> Option<NeighbourChange> {
    if let Message::DelNeighbour(entry) = &message {
        let address = destination(entry)?;
        return Some(NeighbourChange::Gone { link: entry.header.ifindex, address });
    }
    decode(message).filter(|n| n.state != Nud::NoArp).map(NeighbourChange::Set)
}

fn decode(message: Message) -> Option<Neighbour> {
    let Message::NewNeighbour(entry) = message else { return None };
    let address = destination(&entry)?;
    let header = &entry.header;
    let mut neighbour = Neighbour {
        link: header.ifindex,
        address,
        mac: None,
        state: nud(header.state),
        learned_elsewhere: header.flags.contains(NeighbourFlags::ExtLearned),
        confirmed_ms: 0,
        updated_ms: 0,
    };
    for attribute in &entry.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                neighbour.mac = <[u8; 6]>::try_from(bytes.as_slice()).ok().map(HardwareAddress);
            }
            NeighbourAttribute::CacheInfo(ages) => {
                neighbour.confirmed_ms = u64::from(ages.confirmed) * MS_A_TICK;
                neighbour.updated_ms = u64::from(ages.updated) * MS_A_TICK;
            }
            _ => {}
        }
    }
    Some(neighbour)
}

fn destination(entry: &NeighbourMessage) -> Option<IpAddr> {
    // A bridge's own table comes by the same messages (AF_BRIDGE).
    if !matches!(entry.header.family, AddressFamily::Inet | AddressFamily::Inet6) {
        return None;
    }
    entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => Some(IpAddr::V4(*a)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => Some(IpAddr::V6(*a)),
        _ => None,
    })
}

fn message(link: u32, address: IpAddr, state: Nud) -> NeighbourMessage {
    let mut entry = NeighbourMessage::default();
    entry.header.family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    entry.header.ifindex = link;
    entry.header.state = NeighbourState::from(number(state));
    entry.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::from(address)));
    entry
}

fn operand(link: u32, address: IpAddr) -> String {
    format!("{address} on link {link}")
}

fn nud(state: NeighbourState) -> Nud {
    match state {
        NeighbourState::Incomplete => Nud::Incomplete,
        NeighbourState::Reachable => Nud::Reachable,
        NeighbourState::Stale => Nud::Stale,
        NeighbourState::Delay => Nud::Delay,
        NeighbourState::Probe => Nud::Probe,
        NeighbourState::Failed => Nud::Failed,
        NeighbourState::Noarp => Nud::NoArp,
        NeighbourState::Permanent => Nud::Permanent,
        _ => Nud::None,
    }
}

fn number(state: Nud) -> u16 {
    match state {
        Nud::None => 0,
        Nud::Incomplete => 1,
        Nud::Reachable => 2,
        Nud::Stale => 4,
        Nud::Delay => 8,
        Nud::Probe => 0x10,
        Nud::Failed => 0x20,
        Nud::NoArp => 0x40,
        Nud::Permanent => 0x80,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_not_there_is_none() {
        let mut connection = Connection::open().unwrap();
        assert_eq!(connection.neighbour(1, "192.0.2.77".parse().unwrap()).unwrap(), None);
        assert!(connection.neighbours().is_ok());
    }

    #[test]
    fn states_keep_their_number() {
        for state in [Nud::Reachable, Nud::Stale, Nud::Probe, Nud::Failed, Nud::Permanent] {
            assert_eq!(nud(NeighbourState::from(number(state))), state);
        }
    }
}
