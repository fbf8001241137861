//! Sockets that leave by one line and by no other.

use super::icmp::{HEARD_V4, HEARD_V6};
use link_health::Family;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SetSockOpt, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, setsockopt,
    socket, sockopt,
};
use ruleset::marks::{Line, PROBE_DSCP};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// DSCP is the upper six bits of the octet (RFC 2474 section 3).
const TRAFFIC_CLASS: i32 = (PROBE_DSCP as i32) << 2;

/// The way a line's probes take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) line: Line,
    pub(super) interface: String,
}

impl Way {
    pub(super) fn echo(&self, family: Family) -> Result<OwnedFd, String> {
        let protocol = if family == Family::V4 { SockProtocol::Icmp } else { SockProtocol::IcmpV6 };
        let socket = self.open(family, SockType::Raw, protocol)?;
        // Without it whoever pings us wakes us, and a flood of pings would push answers out of the buffer.
        // A kernel that refuses costs that, so it is no reason not to ask.
        let filtered = match family {
            Family::V4 => ioctl::icmp::hear_only_v4(socket.as_fd(), &HEARD_V4),
            Family::V6 => ioctl::icmp::hear_only_v6(socket.as_fd(), &HEARD_V6),
        };
        if let Err(error) = filtered {
            log::debug!("filter ICMP: {error}");
        }
        Ok(socket)
    }

    /// A datagram socket with a port of its own, which hears this one peer alone.
    pub(super) fn datagram(&self, to: SocketAddr) -> Result<OwnedFd, String> {
        let family = family(to);
        let socket = self.open(family, SockType::Datagram, SockProtocol::Udp)?;
        // Without it the kernel keeps "host unreachable" to itself (ip(7)).
        match family {
            Family::V4 => set(&socket, sockopt::Ipv4RecvErr, &true, "ask for errors")?,
            Family::V6 => set(&socket, sockopt::Ipv6RecvErr, &true, "ask for errors")?,
        }
        connect(socket.as_raw_fd(), &SockaddrStorage::from(to)).map_err(|e| format!("connect: {e}"))?;
        Ok(socket)
    }

    /// A stream that begins to open.
    pub(super) fn stream(&self, to: SocketAddr) -> Result<OwnedFd, String> {
        let socket = self.open(family(to), SockType::Stream, SockProtocol::Tcp)?;
        // A reset instead of a farewell when we are done: two packets less, which a metered line
        // counts, and no waiting connection left behind.
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        set(&socket, sockopt::Linger, &linger, "set the manner of closing")?;
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
            Err(error) => Err(format!("connect: {error}")),
        }
    }

    fn open(&self, family: Family, kind: SockType, protocol: SockProtocol) -> Result<OwnedFd, String> {
        // An empty name would bind to none, and the probe of one line would leave by the other.
        if self.interface.is_empty() {
            return Err("the line has no interface".to_owned());
        }
        let domain = if family == Family::V4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(domain, kind, flags, protocol).map_err(|e| format!("open a socket: {e}"))?;
        let interface = OsString::from(&self.interface);
        set(&socket, sockopt::BindToDevice, &interface, &format!("bind to {}", self.interface))?;
        set(&socket, sockopt::Mark, &self.line.probe(), "mark")?;
        if self.line == Line::Wired {
            match family {
                Family::V4 => set(&socket, sockopt::Ipv4Tos, &TRAFFIC_CLASS, "set DSCP")?,
                Family::V6 => set(&socket, sockopt::Ipv6TClass, &TRAFFIC_CLASS, "set DSCP")?,
            }
        }
        Ok(socket)
    }
}

fn set<O: SetSockOpt>(socket: &OwnedFd, option: O, value: &O::Val, what: &str) -> Result<(), String> {
    setsockopt(socket, option, value).map_err(|e| format!("{what}: {e}"))
}

pub(super) fn family(address: SocketAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}

#[cfg(test)]
mod tests {
    use super::super::icmp::Echo;
    use super::*;
    use nix::sys::socket::{MsgFlags, recv, sendto};

    /// The loopback interface of any namespace; the kernel answers while it takes the request.
    #[test]
    fn echo_sockets_hear_answers_and_no_requests() {
        let namespace = testnet::Namespace::new();
        namespace.sh("ip link set lo up");
        namespace.run(heard_on_loopback);
    }

    fn heard_on_loopback() {
        for (family, to, at) in [(Family::V4, "127.0.0.1:0", 20), (Family::V6, "[::1]:0", 0)] {
            let way = Way { line: Line::Cellular, interface: "lo".to_owned() };
            let socket = way.echo(family).unwrap();
            let request = Echo { id: 1, sequence: 1, cookie: 1 }.request(family);
            let to = SockaddrStorage::from(to.parse::<SocketAddr>().unwrap());
            sendto(socket.as_raw_fd(), &request, &to, MsgFlags::empty()).unwrap();
            let mut buffer = [0; 256];
            let mut heard = Vec::new();
            while let Ok(length) = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT) {
                assert!(length > at);
                heard.push(buffer[at]);
            }
            assert_eq!(heard, [if family == Family::V4 { 0 } else { 129 }], "{family:?}");
        }
    }
}
