//! The listening socket: both address families on one descriptor, made here or handed over.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6, TcpListener};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, bind, getsockopt,
    setsockopt, socket, sockopt,
};

/// The listener the service manager holds for us, so that it outlives each of our processes, or else
/// one of our own on `port`. To be called before anything is opened.
///
/// # Errors
/// As [`listen`]; and when the service manager's word about what it handed over is wrong.
pub fn inherit_or_listen(port: u16) -> io::Result<TcpListener> {
    let mut found = None;
    for fd in ioctl::activation::handed_over()? {
        match usable(&fd, port) {
            Ok(()) if found.is_none() => found = Some(TcpListener::from(fd)),
            Ok(()) => log::warn!("a second socket for port {port} was handed over: closed"),
            Err(reason) => log::warn!("a descriptor that was handed over is of no use: {reason}"),
        }
    }
    match found {
        Some(listener) => {
            log::info!("port {port}: listening on the socket that was handed over");
            Ok(listener)
        }
        None => listen(port),
    }
}

/// Whether it is a TCP listener on `port`.
fn usable(fd: &OwnedFd, port: u16) -> Result<(), String> {
    let stream = getsockopt(fd, sockopt::SockType).map_err(|error| format!("not a socket: {error}"))?;
    if stream != SockType::Stream || !getsockopt(fd, sockopt::AcceptConn).is_ok_and(|listens| listens) {
        return Err("not a listening stream socket (ListenStream= of the .socket unit)".to_owned());
    }
    let copy = fd.try_clone().map_err(|error| format!("copy the descriptor: {error}"))?;
    match TcpListener::from(copy).local_addr() {
        Ok(address) if address.port() == port => Ok(()),
        Ok(address) => Err(format!("listens on {address}, expected port {port}")),
        Err(error) => Err(format!("not of the internet: {error}")),
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpStream, UdpSocket};

    #[test]
    fn only_a_tcp_listener_on_the_port_is_taken_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connected = OwnedFd::from(TcpStream::connect(address).unwrap());
        let listening = OwnedFd::from(listener);
        let datagrams = OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
        let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        assert_eq!(usable(&listening, address.port()), Ok(()));
        assert!(usable(&listening, 9).unwrap_err().contains("expected port 9"));
        for wrong in [&connected, &datagrams, &file] {
            assert!(usable(wrong, address.port()).unwrap_err().starts_with("not a"), "{wrong:?}");
        }
    }
}
