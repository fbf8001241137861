//! Questions and orders to the kernel, one at a time, each with a deadline.

use crate::{Address, Error, Link, Route, Rule, decode, encode};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recvfrom, sendto, socket,
};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// The kernel answers within microseconds; this is for a machine that is on its knees.
const LIMIT: Duration = Duration::from_secs(2);
/// A list that changed while it was read is read again this often.
const DUMP_TRIES: usize = 5;
/// The kernel fills at most 32 KiB a message (`netlink_dump` in `af_netlink.c`).
const BUFFER: usize = 64 * 1024;
/// Every message starts at a multiple of this (linux/netlink.h, `NLMSG_ALIGNTO`).
const ALIGN: usize = 4;
/// `struct nlmsghdr`.
const HEADER: usize = 16;

/// A socket to the kernel's routing.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

type Answer = NetlinkMessage<RouteNetlinkMessage>;

impl Connection {
    /// Opens it, in the network namespace of this thread.
    ///
    /// # Errors
    /// If the kernel gives no socket.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: open(0)?, sequence: 0, buffer: vec![0; BUFFER] })
    }

    /// All interfaces.
    ///
    /// # Errors
    /// See [`Error`]; so for every method here.
    pub fn links(&mut self) -> Result<Vec<Link>, Error> {
        Ok(self.dump("list links", &encode::all_links())?.into_iter().filter_map(decode::link).collect())
    }

    /// All addresses of both families.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn addresses(&mut self) -> Result<Vec<Address>, Error> {
        let messages = self.dump("list addresses", &encode::all_addresses())?;
        Ok(messages.into_iter().filter_map(decode::address).collect())
    }

    /// All unicast routes of both families, of every table.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn routes(&mut self) -> Result<Vec<Route>, Error> {
        Ok(self.dump("list routes", &encode::all_routes())?.into_iter().filter_map(decode::route).collect())
    }

    /// All policy rules of both families that look into a table.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn rules(&mut self) -> Result<Vec<Rule>, Error> {
        Ok(self.dump("list rules", &encode::all_rules())?.into_iter().filter_map(decode::rule).collect())
    }

    /// Adds a route, or replaces the one with the same destination, metric and table.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn replace_route(&mut self, route: &Route) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRoute(encode::route(route));
        self.order("set route", NLM_F_CREATE | NLM_F_REPLACE, message, || route.to_string())
    }

    /// Deletes a route; one that is gone already is fine.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn delete_route(&mut self, route: &Route) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelRoute(encode::route(route));
        // ESRCH: no such route; ENODEV: its interface went, and the route with it.
        fine_if(self.order("delete route", 0, message, || route.to_string()), &[Errno::ESRCH, Errno::ENODEV])
    }

    /// Adds a rule; one that is there already is fine.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn add_rule(&mut self, rule: &Rule) -> Result<(), Error> {
        let message = RouteNetlinkMessage::NewRule(encode::rule(rule));
        fine_if(
            self.order("add rule", NLM_F_CREATE | NLM_F_EXCL, message, || rule.to_string()),
            &[Errno::EEXIST],
        )
    }

    /// Deletes a rule; one that is gone already is fine.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn delete_rule(&mut self, rule: &Rule) -> Result<(), Error> {
        let message = RouteNetlinkMessage::DelRule(encode::rule(rule));
        fine_if(self.order("delete rule", 0, message, || rule.to_string()), &[Errno::ENOENT, Errno::ESRCH])
    }

    pub(crate) fn dump(
        &mut self,
        operation: &'static str,
        question: &RouteNetlinkMessage,
    ) -> Result<Vec<RouteNetlinkMessage>, Error> {
        for _ in 0..DUMP_TRIES {
            let mut list = Vec::new();
            let mut torn = false;
            self.send(operation, NLM_F_REQUEST | NLM_F_DUMP, question.clone())?;
            self.receive(operation, |answer| {
                torn |= answer.header.flags & NLM_F_DUMP_INTR != 0;
                match answer.payload {
                    NetlinkPayload::InnerMessage(message) => {
                        list.push(message);
                        None
                    }
                    NetlinkPayload::Done(_) => Some(Ok(())),
                    NetlinkPayload::Error(error) => Some(match error.code {
                        None => Ok(()),
                        Some(_) => Err(refused(operation, String::new(), error.raw_code())),
                    }),
                    _ => None,
                }
            })?;
            if !torn {
                return Ok(list);
            }
        }
        Err(Error::Interrupted { operation })
    }

    pub(crate) fn order(
        &mut self,
        operation: &'static str,
        flags: u16,
        message: RouteNetlinkMessage,
        operand: impl Fn() -> String,
    ) -> Result<(), Error> {
        self.send(operation, NLM_F_REQUEST | NLM_F_ACK | flags, message)?;
        self.receive(operation, |answer| match answer.payload {
            NetlinkPayload::Error(error) => Some(match error.code {
                None => Ok(()),
                Some(_) => Err(refused(operation, operand(), error.raw_code())),
            }),
            _ => None,
        })
    }

    /// A question with one answer; none if the kernel has nothing to say.
    pub(crate) fn ask(
        &mut self,
        operation: &'static str,
        question: RouteNetlinkMessage,
        operand: impl Fn() -> String,
    ) -> Result<Option<RouteNetlinkMessage>, Error> {
        self.send(operation, NLM_F_REQUEST | NLM_F_ACK, question)?;
        let mut found = None;
        self.receive(operation, |answer| match answer.payload {
            NetlinkPayload::InnerMessage(message) => {
                found = Some(message);
                None
            }
            NetlinkPayload::Error(error) => Some(match error.code {
                None => Ok(()),
                Some(_) => Err(refused(operation, operand(), error.raw_code())),
            }),
            _ => None,
        })?;
        Ok(found)
    }

    fn send(
        &mut self,
        operation: &'static str,
        flags: u16,
        message: RouteNetlinkMessage,
    ) -> Result<(), Error> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut packet = NetlinkMessage::from(message);
        packet.header.flags = flags;
        packet.header.sequence_number = self.sequence;
        packet.finalize();
        let mut bytes = vec![0; packet.buffer_len()];
        packet.serialize(&mut bytes);
        let kernel = NetlinkAddr::new(0, 0);
        sendto(self.socket.as_raw_fd(), &bytes, &kernel, MsgFlags::empty())
            .map_err(|e| failed(operation, e))?;
        Ok(())
    }

    /// Hands every answer to the last question to `each`, until it says that it was the last one.
    fn receive(
        &mut self,
        operation: &'static str,
        mut each: impl FnMut(Answer) -> Option<Result<(), Error>>,
    ) -> Result<(), Error> {
        let end = Instant::now() + LIMIT;
        loop {
            wait(&self.socket, end, operation)?;
            let (length, from) = match recvfrom::<NetlinkAddr>(self.socket.as_raw_fd(), &mut self.buffer) {
                Ok(received) => received,
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                Err(e) => return Err(failed(operation, e)),
            };
            // Any process may send here; only the kernel is port 0 (netlink(7)).
            if from.is_none_or(|from| from.pid() != 0) {
                continue;
            }
            for answer in messages(&self.buffer[..length]) {
                // The answer to an earlier question that ran into its deadline.
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                if let Some(result) = each(answer) {
                    return result;
                }
            }
        }
    }
}

/// A socket that hears the multicast `groups`.
pub(crate) fn open(groups: u32) -> Result<OwnedFd, Error> {
    open_protocol(SockProtocol::NetlinkRoute, groups)
}

pub(crate) fn open_protocol(protocol: SockProtocol, groups: u32) -> Result<OwnedFd, Error> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)
        .map_err(|e| failed("open netlink socket", e))?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, groups)).map_err(|e| failed("bind netlink socket", e))?;
    Ok(socket)
}

/// The messages in one datagram. One that a newer kernel wrote in a way the library cannot read is left out.
pub(crate) fn messages(mut bytes: &[u8]) -> Vec<Answer> {
    let mut list = Vec::new();
    while let Some(length) = bytes.get(..4).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes) {
        let length = length as usize;
        if length < HEADER || length > bytes.len() {
            break;
        }
        list.extend(Answer::deserialize(&bytes[..length]).ok());
        bytes = &bytes[length.next_multiple_of(ALIGN).min(bytes.len())..];
    }
    list
}

pub(crate) fn wait(socket: &OwnedFd, end: Instant, operation: &'static str) -> Result<(), Error> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Deadline { operation, limit: LIMIT });
        }
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(e) => return Err(failed(operation, e)),
        }
    }
}

pub(crate) fn failed(operation: &'static str, errno: Errno) -> Error {
    Error::Socket { operation, source: errno.into() }
}

pub(crate) fn refused(operation: &'static str, operand: String, code: i32) -> Error {
    Error::Refused { operation, operand, source: std::io::Error::from_raw_os_error(code.abs()) }
}

pub(crate) fn fine_if(result: Result<(), Error>, errors: &[Errno]) -> Result<(), Error> {
    match result {
        Err(e) if e.errno().is_some_and(|code| errors.contains(&Errno::from_raw(code))) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_datagram_ends_the_list_without_harm() {
        assert!(messages(&[]).is_empty());
        assert!(messages(&[1, 2]).is_empty());
        assert!(messages(&[255; 64]).is_empty());
        assert!(messages(&[0; 64]).is_empty());
    }

    #[test]
    fn the_loopback_interface_is_listed() {
        let mut connection = Connection::open().unwrap();
        let links = connection.links().unwrap();
        assert!(links.iter().any(|l| l.name == "lo"), "{links:?}");
        assert!(!connection.rules().unwrap().is_empty());
    }
}
