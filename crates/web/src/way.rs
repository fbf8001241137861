//! Sockets that leave by one line and by no other.

use std::ffi::OsString;
use std::io;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, SockFlag, SockProtocol, SockType, SockaddrStorage, connect as dial, setsockopt, socket,
    sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};
use ruleset::marks::Line;
use serde::{Deserialize, Serialize};

/// The way a request takes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Way {
    /// The line's name: `wired` or `cellular`.
    pub line: String,
    /// Its interface.
    pub interface: String,
}

impl Way {
    fn mark(&self) -> u32 {
        if self.line == Line::Wired.name() { Line::Wired.probe() } else { Line::Cellular.probe() }
    }

    fn socket(&self, to: SocketAddr, kind: SockType, protocol: SockProtocol) -> io::Result<OwnedFd> {
        // An empty name would bind to none, and the request would leave by the other line.
        if self.interface.is_empty() {
            return Err(io::Error::other("the line has no interface"));
        }
        let domain = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let socket = socket(domain, kind, SockFlag::SOCK_CLOEXEC, protocol)?;
        setsockopt(&socket, sockopt::BindToDevice, &OsString::from(&self.interface))?;
        // uplink's rules send it by that line, and netguard never cuts it off.
        setsockopt(&socket, sockopt::Mark, &self.mark())?;
        Ok(socket)
    }
}

/// Opens a connection, by `way` if one is given.
///
/// # Errors
/// Whatever the system says, and if the way has no interface. Past `limit` that is `EINPROGRESS` by a
/// way, `TimedOut` without.
pub fn connect(to: SocketAddr, way: Option<&Way>, limit: Duration) -> io::Result<TcpStream> {
    let Some(way) = way else { return TcpStream::connect_timeout(&to, limit) };
    let socket = way.socket(to, SockType::Stream, SockProtocol::Tcp)?;
    // It also bounds connect (socket(7)), and zero would mean for ever.
    let milliseconds = i64::try_from(limit.as_millis()).unwrap_or(i64::MAX).max(1);
    setsockopt(&socket, sockopt::SendTimeout, &TimeVal::milliseconds(milliseconds))?;
    dial(socket.as_raw_fd(), &SockaddrStorage::from(to))?;
    Ok(TcpStream::from(socket))
}

/// A socket that hears nobody but `to`.
pub(crate) fn datagrams(to: SocketAddr, way: Option<&Way>) -> io::Result<UdpSocket> {
    let socket = match way {
        Some(way) => UdpSocket::from(way.socket(to, SockType::Datagram, SockProtocol::Udp)?),
        None => UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?,
    };
    socket.connect(to)?;
    Ok(socket)
}
