//! A resolver for the lab's clients: asks the name server it is told, as a LAN device asks its
//! router, instead of the builder's own resolver.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};

/// RFC 1035 4.1.1: the header's length.
const HEADER: usize = 12;
/// RFC 1035 2.3.4: the longest answer over UDP.
const LONGEST: usize = 512;
/// A question is asked again after this time: what the resolvers of browsers and phones do (Chrome's
/// `DnsConfig` falls back to 1 s); glibc's 5 s would hide a quick recovery.
const AGAIN: Duration = Duration::from_secs(1);
/// RFC 1035 3.2.2 and 3.2.4: type A, class IN.
const A: u16 = 1;
const IN: u16 = 1;
/// RFC 1035 4.1.4: the two top bits of a compressed name.
const POINTER: u8 = 0xc0;

/// The IPv4 address of `name`, asked from `server` in the calling thread's namespace.
///
/// # Errors
/// When no answer comes within `limit`, or none with an address.
pub fn resolve(server: SocketAddr, name: &str, limit: Duration) -> Result<Ipv4Addr> {
    let what = || format!("ask {server} for {name}");
    let socket = UdpSocket::bind("0.0.0.0:0").context(what())?;
    socket.connect(server).context(what())?;
    socket.set_read_timeout(Some(AGAIN)).context(what())?;
    // The source port is random already; an identifier of the process is enough beside it.
    let id = std::process::id().to_le_bytes();
    let id = u16::from_le_bytes([id[0], id[1]]);
    let deadline = Instant::now() + limit;
    let mut answer = [0; LONGEST];
    loop {
        // An unreachable server shows as an error here; it may be back in a second.
        let sent = socket.send(&query(id, name));
        match sent.and_then(|_| socket.recv(&mut answer)) {
            Ok(length) => {
                let address = parse(id, &answer[..length]);
                return address.ok_or_else(|| Error::Unexpected(format!("{}: no address", what())));
            }
            Err(error) if Instant::now() >= deadline => return Err(error).context(what()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => thread::sleep(AGAIN.min(deadline.saturating_duration_since(Instant::now()))),
        }
    }
}

fn query(id: u16, name: &str) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER + name.len() + 6);
    packet.extend(id.to_be_bytes());
    // Recursion desired; one question.
    packet.extend([1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.').filter(|label| !label.is_empty()) {
        packet.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(A.to_be_bytes());
    packet.extend(IN.to_be_bytes());
    packet
}

fn parse(id: u16, packet: &[u8]) -> Option<Ipv4Addr> {
    if word(packet, 0)? != id {
        return None;
    }
    let (questions, answers) = (word(packet, 4)?, word(packet, 6)?);
    let mut at = HEADER;
    for _ in 0..questions {
        at = skip_name(packet, at)? + 4;
    }
    for _ in 0..answers {
        at = skip_name(packet, at)?;
        let (kind, class, length) = (word(packet, at)?, word(packet, at + 2)?, word(packet, at + 8)?);
        at += 10;
        if (kind, class, length) == (A, IN, 4) {
            let bytes: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
            return Some(bytes.into());
        }
        at += usize::from(length);
    }
    None
}

fn skip_name(packet: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *packet.get(at)? {
            0 => return Some(at + 1),
            length if length & POINTER == POINTER => return Some(at + 2),
            length => at += 1 + usize::from(length),
        }
    }
}

fn word(packet: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(packet.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Vec<u8> {
        let mut packet = query(7, "web.test");
        packet[2] = 0x81;
        packet[7] = 1;
        packet.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 80]);
        packet
    }

    #[test]
    fn reads_the_address_behind_a_compressed_name() {
        assert_eq!(parse(7, &answer()), Some(Ipv4Addr::new(192, 0, 2, 80)));
    }

    #[test]
    fn ignores_an_answer_to_another_question() {
        assert_eq!(parse(8, &answer()), None);
    }

    #[test]
    fn survives_an_answer_cut_anywhere() {
        let packet = answer();
        for length in 0..packet.len() {
            assert_eq!(parse(7, &packet[..length]), None);
        }
    }
}
