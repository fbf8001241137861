//! The listening socket: both address families on one descriptor.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, TcpListener};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, bind, setsockopt,
    socket, sockopt,
};

/// Listens on `port` of every address, IPv6 and IPv4; IPv4 alone where the kernel has no IPv6.
///
/// # Errors
/// Whatever making or binding the socket reports, with the port.
pub fn listen(port: u16) -> io::Result<TcpListener> {
    open_any(port).map_err(|errno| {
        let error = io::Error::from(errno);
        io::Error::new(error.kind(), format!("listen on port {port}: {error}"))
    })
}

fn open_any(port: u16) -> Result<TcpListener, Errno> {
    let six = SockaddrIn6::from(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0));
    match open(AddressFamily::Inet6, &six) {
        Err(Errno::EAFNOSUPPORT | Errno::EADDRNOTAVAIL) => {
            let four = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port));
            open(AddressFamily::Inet, &four)
        }
        other => other,
    }
}

fn open(family: AddressFamily, address: &dyn SockaddrLike) -> Result<TcpListener, Errno> {
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, None)?;
    // Connections of the process before us may be in TIME-WAIT.
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if family == AddressFamily::Inet6 {
        setsockopt(&fd, sockopt::Ipv6V6Only, &false)?;
    }
    bind(fd.as_raw_fd(), address)?;
    // The kernel's own bound (net.core.somaxconn) cuts this to size.
    nix::sys::socket::listen(&fd, Backlog::MAXCONN)?;
    Ok(TcpListener::from(fd))
}
