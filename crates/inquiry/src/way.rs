//! Sockets that leave by one line and by no other.
//!
//! `SO_BINDTODEVICE` of an unbound socket needs no capability since Linux 5.7 (`sock_bindtoindex`),
//! `SO_MARK` needs `CAP_NET_RAW` or `CAP_NET_ADMIN` (5.17); both in net/core/sock.c.

use link_health::Family;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, SetSockOpt, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, setsockopt,
    socket, sockopt,
};
use ruleset::marks::{Line, PROBE_DSCP};
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

/// DSCP is the upper six bits of the octet (RFC 2474 section 3).
const TRAFFIC_CLASS: i32 = (PROBE_DSCP as i32) << 2;

/// The way a line's questions take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Way {
    /// Which line.
    pub line: Line,
    /// Its interface.
    pub interface: String,
}

impl Way {
    /// A raw socket for ICMP of a family, which hears all there is.
    ///
    /// # Errors
    /// What was being done and what the system said.
    pub fn raw(&self, family: Family) -> Result<OwnedFd, String> {
        let protocol = if family == Family::V4 { SockProtocol::Icmp } else { SockProtocol::IcmpV6 };
        self.open(family, SockType::Raw, protocol)
    }

    /// A datagram socket with a port of its own, which hears this one peer alone.
    ///
    /// # Errors
    /// What was being done and what the system said.
    pub fn datagram(&self, to: SocketAddr) -> Result<OwnedFd, String> {
        let family = family(to);
        let socket = self.open(family, SockType::Datagram, SockProtocol::Udp)?;
        // Without it the kernel keeps "host unreachable" to itself (ip(7)).
        let asked = match family {
            Family::V4 => set(&socket, sockopt::Ipv4RecvErr, &true, "ask for errors"),
            Family::V6 => set(&socket, sockopt::Ipv6RecvErr, &true, "ask for errors"),
        };
        asked.map_err(|refusal| refusal.to_string())?;
        connect(socket.as_raw_fd(), &SockaddrStorage::from(to)).map_err(|e| format!("connect: {e}"))?;
        Ok(socket)
    }

    /// A stream that begins to open.
    ///
    /// # Errors
    /// What was being done and what the system said.
    pub fn stream(&self, to: SocketAddr) -> Result<OwnedFd, String> {
        let socket = self.open(family(to), SockType::Stream, SockProtocol::Tcp)?;
        // A reset instead of a farewell when we are done: two packets less, which a metered line
        // counts, and no waiting connection left behind.
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        set(&socket, sockopt::Linger, &linger, "set the manner of closing").map_err(|r| r.to_string())?;
        match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
            Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
            Err(error) => Err(format!("connect: {error}")),
        }
    }

    /// A socket that blocks, for children and commands.
    ///
    /// # Errors
    /// Whatever the system says, and if the way has no interface.
    pub fn blocking(&self, to: SocketAddr, kind: SockType) -> io::Result<OwnedFd> {
        let protocol = if kind == SockType::Datagram { SockProtocol::Udp } else { SockProtocol::Tcp };
        self.bound(family(to), kind, protocol, SockFlag::SOCK_CLOEXEC).map_err(|refusal| {
            match refusal.errno {
                // As it came, so that its cause can be told from others.
                Some(errno) => errno.into(),
                None => io::Error::other(refusal.what),
            }
        })
    }

    fn open(&self, family: Family, kind: SockType, protocol: SockProtocol) -> Result<OwnedFd, String> {
        self.bound(family, kind, protocol, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC)
            .map_err(|refusal| refusal.to_string())
    }

    fn bound(
        &self,
        family: Family,
        kind: SockType,
        protocol: SockProtocol,
        flags: SockFlag,
    ) -> Result<OwnedFd, Refusal> {
        // An empty name would bind to none, and the probe of one line would leave by the other.
        if self.interface.is_empty() {
            return Err(Refusal { what: "the line has no interface".to_owned(), errno: None });
        }
        let domain = if family == Family::V4 { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let socket = socket(domain, kind, flags, protocol).map_err(Refusal::of("open a socket"))?;
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

/// What could not be done to a socket, and what the system said.
#[derive(Debug)]
struct Refusal {
    what: String,
    errno: Option<Errno>,
}

impl Refusal {
    fn of(what: &str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self { what: what.to_owned(), errno: Some(errno) }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errno {
            Some(errno) => write!(f, "{}: {errno}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

fn set<O: SetSockOpt>(socket: &OwnedFd, option: O, value: &O::Val, what: &str) -> Result<(), Refusal> {
    setsockopt(socket, option, value).map_err(Refusal::of(what))
}

fn family(address: SocketAddr) -> Family {
    if address.is_ipv4() { Family::V4 } else { Family::V6 }
}
