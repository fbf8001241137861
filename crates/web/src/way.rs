//! Sockets that leave by one line and by no other.

use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{SockType, SockaddrStorage, connect as dial, setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use ruleset::marks::Line;
use serde::{Deserialize, Serialize};

/// In milliseconds: the kernel gives a connection up by itself after two minutes (tcp(7), `tcp_syn_retries`).
const LONGEST: i64 = 130_000;

/// The way a request takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Way {
    /// The line's name: `wired` or `cellular`.
    pub line: String,
    /// Its interface.
    pub interface: String,
}

impl Way {
    /// As `uplink`'s probes leave: `SO_BINDTODEVICE`, the line's mark, and on the wired line the DSCP by
    /// which a request that comes back through the house's router is known.
    fn socket(&self, to: SocketAddr, kind: SockType) -> io::Result<OwnedFd> {
        let line = if self.line == Line::Wired.name() { Line::Wired } else { Line::Cellular };
        let way = inquiry::Way { line, interface: self.interface.clone() };
        way.blocking(to, kind)
    }
}

/// Opens a connection, by `way` if one is given.
///
/// # Errors
/// Whatever the system says, and if the way has no interface. Past `limit` that is `EINPROGRESS` by a
/// way, `TimedOut` without.
pub fn connect(to: SocketAddr, way: Option<&Way>, limit: Duration) -> io::Result<TcpStream> {
    let Some(way) = way else { return TcpStream::connect_timeout(&to, limit) };
    let socket = way.socket(to, SockType::Stream)?;
    // It also bounds connect (socket(7)), and zero would mean for ever.
    let milliseconds = i64::try_from(limit.as_millis()).unwrap_or(LONGEST).clamp(1, LONGEST);
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::milliseconds(milliseconds))?;
    dial(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(TcpStream::from(socket))
}

/// A socket that hears nobody but `to`.
pub(crate) fn datagrams(to: SocketAddr, way: Option<&Way>) -> io::Result<UdpSocket> {
    let socket = match way {
        Some(way) => UdpSocket::from(way.socket(to, SockType::Datagram)?),
        None => UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?,
    };
    socket.connect(to)?;
    Ok(socket)
}
