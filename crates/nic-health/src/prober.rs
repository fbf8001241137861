//! Asks "who has this address?" from sockets of its own and collects who answers, without waiting.
//! A socket lives only while a question is out: one that hears every ARP packet of a busy network
//! would wake the daemon for each.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use netlink::{HardwareAddress, Neighbour};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn6, recv,
    recvmsg, send, sendto, setsockopt, socket, sockopt,
};
use sysio::Monotonic;

use crate::entry::Key;
use crate::wire;

/// Answers take microseconds on a wire and some milliseconds over Wi-Fi; a device that sleeps between
/// beacons takes a fifth of a second. A second owner's answer has the same time.
const WINDOW: Duration = Duration::from_millis(600);
/// Questions before silence is believed.
const TRIES: u8 = 2;
/// Owners that are told apart.
const OWNERS: usize = 8;
/// Questions under way at once.
const UNDER_WAY: usize = 64;
/// Datagrams read in a turn; a flood must not hold the loop.
const DATAGRAMS_A_TURN: usize = 256;
/// Anything less has passed a router and is not believed (RFC 4861, 7.1.2).
const HOP_LIMIT: i32 = 255;

/// What a question is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Whether a neighbour entry is right.
    Entry,
    /// Whether somebody else has our own address.
    Own,
    /// Whether the card receives at all.
    Reception,
}

/// From where a question is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender {
    pub(crate) mac: HardwareAddress,
    /// Unspecified: nobody shall learn anything from it.
    pub(crate) address: Ipv4Addr,
}

/// A question and its answers.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) purpose: Purpose,
    pub(crate) key: Key,
    /// The entry before it was asked.
    pub(crate) before: Option<Neighbour>,
    pub(crate) answers: Vec<HardwareAddress>,
    sender: Sender,
    tries: u8,
    until: Monotonic,
}

#[derive(Debug, Default)]
pub(crate) struct Prober {
    /// By interface, and whether for IPv4.
    sockets: BTreeMap<(u32, bool), OwnedFd>,
    questions: Vec<Question>,
}

impl Prober {
    /// Asks; a question that is under way already is not asked twice.
    pub(crate) fn ask(
        &mut self,
        now: Monotonic,
        purpose: Purpose,
        key: Key,
        sender: Sender,
        before: Option<Neighbour>,
    ) -> io::Result<()> {
        let asked = self.questions.iter().any(|q| (q.purpose, q.key) == (purpose, key));
        if asked || self.questions.len() >= UNDER_WAY {
            return Ok(());
        }
        let answers = Vec::new();
        let question = Question { purpose, key, before, answers, sender, tries: 1, until: now + WINDOW };
        self.send(&question)?;
        self.questions.push(question);
        Ok(())
    }

    fn send(&mut self, question: &Question) -> io::Result<()> {
        let Key { link, address } = question.key;
        let slot = (link, address.is_ipv4());
        let Sender { mac, address: own } = question.sender;
        let socket = match self.sockets.entry(slot) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(none) if slot.1 => none.insert(ioctl::packet::open(link, ioctl::packet::ARP)?),
            Entry::Vacant(none) => none.insert(discovery()?),
        };
        let socket = socket.as_raw_fd();
        match address {
            IpAddr::V4(target) => {
                send(socket, &wire::arp_request(mac, own, target), MsgFlags::empty())?;
            }
            IpAddr::V6(target) => {
                let to = SockaddrIn6::from(SocketAddrV6::new(wire::solicited_node(target), 0, 0, link));
                sendto(socket, &wire::solicitation(mac, target), &to, MsgFlags::empty())?;
            }
        }
        Ok(())
    }

    /// The sockets to watch, in the order of [`Prober::read`]'s numbers.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.values().map(AsFd::as_fd)
    }

    /// Reads all sockets; `own` are our hardware addresses, whose claims are no answers. Gives the
    /// interfaces on which somebody answered.
    pub(crate) fn read(&mut self, own: &[HardwareAddress]) -> Vec<u32> {
        let mut heard = Vec::new();
        for (slot, socket) in &self.sockets {
            let claims = if slot.1 { arp(socket) } else { advertisements(socket) };
            for (link, address, mac) in claims {
                // The socket of IPv6 hears every interface.
                let link = link.unwrap_or(slot.0);
                if own.contains(&mac) {
                    continue;
                }
                let key = Key { link, address };
                for question in self.questions.iter_mut().filter(|q| q.key == key) {
                    heard.push(link);
                    if !question.answers.contains(&mac) && question.answers.len() < OWNERS {
                        question.answers.push(mac);
                    }
                }
            }
        }
        heard
    }

    /// When [`Prober::finish`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Monotonic> {
        self.questions.iter().map(|question| question.until).min()
    }

    /// Takes the questions whose time is over. One without an answer is asked once more.
    pub(crate) fn finish(&mut self, now: Monotonic) -> Vec<Question> {
        let (over, still): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.questions).into_iter().partition(|question| now >= question.until);
        self.questions = still;
        let mut finished = Vec::new();
        for mut question in over {
            // The watch over reception counts its questions itself.
            let once = question.purpose == Purpose::Reception || question.tries >= TRIES;
            if question.answers.is_empty() && !once {
                (question.tries, question.until) = (question.tries + 1, now + WINDOW);
                // A card that went meanwhile answers nothing.
                if self.send(&question).is_ok() {
                    self.questions.push(question);
                    continue;
                }
            }
            finished.push(question);
        }
        let used = |slot: &(u32, bool)| {
            self.questions.iter().any(|q| (q.key.link, q.key.address.is_ipv4()) == *slot)
        };
        self.sockets.retain(|slot, _| used(slot));
        finished
    }
}

type Heard = (Option<u32>, IpAddr, HardwareAddress);

fn arp(socket: &OwnedFd) -> Vec<Heard> {
    let (mut heard, mut buffer) = (Vec::new(), [0; 128]);
    for _ in 0..DATAGRAMS_A_TURN {
        match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => {
                let claim = wire::arp_claim(&buffer[..length]);
                heard.extend(claim.map(|claim| (None, IpAddr::V4(claim.address), claim.mac)));
            }
            // An interface that went down says so once.
            Err(Errno::EINTR | Errno::ENETDOWN) => {}
            Err(_) => break,
        }
    }
    heard
}

fn advertisements(socket: &OwnedFd) -> Vec<Heard> {
    let mut heard = Vec::new();
    for _ in 0..DATAGRAMS_A_TURN {
        let (mut buffer, mut control) = ([0; 256], nix::cmsg_space!(i32, nix::libc::in6_pktinfo));
        let mut parts = [io::IoSliceMut::new(&mut buffer)];
        let got =
            recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty());
        let (length, link, hops) = match got {
            Ok(message) => {
                let (mut link, mut hops) = (None, None);
                for told in message.cmsgs().into_iter().flatten() {
                    match told {
                        ControlMessageOwned::Ipv6HopLimit(number) => hops = Some(number),
                        ControlMessageOwned::Ipv6PacketInfo(info) => link = Some(info.ipi6_ifindex),
                        _ => {}
                    }
                }
                (message.bytes, link, hops)
            }
            Err(Errno::EINTR) => continue,
            Err(_) => break,
        };
        if let Some((address, mac)) =
            wire::advertisement(&buffer[..length]).filter(|_| hops == Some(HOP_LIMIT))
        {
            heard.push((link, IpAddr::V6(address), mac));
        }
    }
    heard
}

/// A socket for neighbour discovery that hears advertisements alone.
fn discovery() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet6, SockType::Raw, flags, SockProtocol::IcmpV6)?;
    ioctl::icmp::hear_only_v6(socket.as_fd(), &[wire::ADVERTISEMENT])?;
    setsockopt(&socket, sockopt::Ipv6MulticastHops, &HOP_LIMIT)?;
    setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
    setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    Ok(socket)
}
