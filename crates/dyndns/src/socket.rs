//! Questions to name servers.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

pub use ::web::Way;

/// A server of one's own answers at once; this is for a slow line.
const SERVER: Duration = Duration::from_secs(8);
/// Resolvers are asked one after the other, each so long.
const RESOLVER: Duration = Duration::from_secs(4);
/// Two are what resolv.conf usually has, and what fits into the child's time.
const MOST_RESOLVERS: usize = 2;

/// Sends a message to a name server over TCP and reads the answer (RFC 7766, 8).
///
/// # Errors
/// Whatever the system says, if the name has no address, and if the answer is cut off.
pub fn exchange(host: &str, port: u16, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut last = io::Error::other("the server's name has no address");
    for address in (host, port).to_socket_addrs()?.take(2) {
        match exchange_with(address, message) {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn exchange_with(address: SocketAddr, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, SERVER)?;
    stream.set_read_timeout(Some(SERVER))?;
    stream.set_write_timeout(Some(SERVER))?;
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend(message);
    stream.write_all(&framed)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Asks the resolvers of a `resolv.conf`, one after the other; the first answer counts.
///
/// # Errors
/// If nobody answers.
pub fn resolve(resolv_conf: &str, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut last = io::Error::other("no name server is known");
    let servers = resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<std::net::IpAddr>().ok())?
    });
    for server in servers.take(MOST_RESOLVERS) {
        match query((server, 53).into(), question) {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn query(server: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.set_read_timeout(Some(RESOLVER))?;
    // From then on nobody else is heard.
    socket.connect(server)?;
    socket.send(question)?;
    let mut buffer = [0; 4096];
    let length = socket.recv(&mut buffer)?;
    Ok(buffer[..length].to_vec())
}
