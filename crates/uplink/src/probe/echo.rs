//! Echoes of one line: one raw socket a family, open as long as the line is there.
//!
//! Raw sockets and not ping sockets (`SOCK_DGRAM`, `IPPROTO_ICMP`): whether the latter may be used is
//! up to a sysctl (`net.ipv4.ping_group_range`), and a watch that a sysctl file silently blinds is
//! what this product exists to end. The price is `CAP_NET_RAW` in the unit, and to look at every ICMP
//! message that comes in by this interface.

use super::icmp::{self, Echo, HEARD_V4, HEARD_V6, Heard};
use inquiry::{Random, Way};
use link_health::{Family, Outcome};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, SockaddrStorage, recvfrom, sendto};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use sysio::Monotonic;

/// One turn reads at most this many messages of a family; a flood must not hold the loop.
const MESSAGES_A_TURN: usize = 64;
/// The longest error message we want to understand is far shorter; the rest is cut off.
const BUFFER: usize = 1280;

#[derive(Debug)]
struct Waiting {
    probe: u64,
    to: IpAddr,
    cookie: u64,
    sent: Monotonic,
    deadline: Monotonic,
    end: Monotonic,
    told: bool,
}

#[derive(Debug)]
pub(super) struct Echoes {
    id: u16,
    sequence: u16,
    v4: Option<OwnedFd>,
    v6: Option<OwnedFd>,
    waiting: HashMap<u16, Waiting>,
    bytes: u64,
}

impl Echoes {
    pub(super) fn new(random: &mut Random) -> Self {
        let [a, b, c, d, ..] = random.draw().to_ne_bytes();
        let (id, sequence) = (u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d]));
        Self { id, sequence, v4: None, v6: None, waiting: HashMap::new(), bytes: 0 }
    }

    pub(super) fn outstanding(&self) -> usize {
        self.waiting.len()
    }

    /// What echoes have cost, IP headers included.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn socket(&self, family: Family) -> Option<BorrowedFd<'_>> {
        let socket = if family == Family::V4 { &self.v4 } else { &self.v6 };
        socket.as_ref().map(AsFd::as_fd)
    }

    /// Asks. A socket that cannot send (its interface is another one by now) is opened anew once.
    pub(super) fn send(
        &mut self,
        way: &Way,
        (probe, to): (u64, IpAddr),
        (now, deadline, end): (Monotonic, Monotonic, Monotonic),
        cookie: u64,
    ) -> Result<(), String> {
        self.sequence = self.sequence.wrapping_add(1);
        let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
        let request = Echo { id: self.id, sequence: self.sequence, cookie }.request(family);
        let kept = if family == Family::V4 { &mut self.v4 } else { &mut self.v6 };
        let old = kept.is_some();
        let mut result = send(kept, way, family, &request, to);
        if result.is_err() && old {
            *kept = None;
            result = send(kept, way, family, &request, to);
        }
        if result.is_err() {
            *kept = None;
        } else {
            let waiting = Waiting { probe, to, cookie, sent: now, deadline, end, told: false };
            self.waiting.insert(self.sequence, waiting);
            self.bytes += packet(to, request.len());
        }
        result
    }

    /// Takes what has come in.
    pub(super) fn receive(&mut self, family: Family, now: Monotonic, found: &mut Vec<(u64, Outcome)>) {
        let mut buffer = [0; BUFFER];
        for _ in 0..MESSAGES_A_TURN {
            let socket = if family == Family::V4 { &self.v4 } else { &self.v6 };
            let Some(socket) = socket else { return };
            match recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut buffer) {
                Ok((length, from)) => {
                    let from = from.and_then(address);
                    if let Some(heard) = icmp::read(family, &buffer[..length.min(BUFFER)], from) {
                        found.extend(self.heard(now, &heard));
                    }
                }
                Err(Errno::EAGAIN) => return,
                Err(Errno::EINTR) => {}
                // Its interface went: the next request opens another.
                Err(_) => {
                    let kept = if family == Family::V4 { &mut self.v4 } else { &mut self.v6 };
                    *kept = None;
                    return;
                }
            }
        }
    }

    fn heard(&mut self, now: Monotonic, heard: &Heard) -> Option<(u64, Outcome)> {
        match *heard {
            Heard::Reply { from, echo } => {
                let waiting = self.waiting.get(&echo.sequence)?;
                let ours = echo.id == self.id && echo.cookie == waiting.cookie && from == waiting.to;
                ours.then_some(())?;
                let waiting = self.waiting.remove(&echo.sequence)?;
                self.bytes += packet(waiting.to, icmp::LENGTH);
                let latency = now.since(waiting.sent);
                Some((waiting.probe, Outcome::Answered { latency, code: None }))
            }
            Heard::Error { by, to, id, sequence, why } => {
                let waiting = self.waiting.get_mut(&sequence)?;
                (id == self.id && to == waiting.to && !waiting.told).then_some(())?;
                // The answer may still come: an error message is easy to forge.
                waiting.told = true;
                Some((waiting.probe, Outcome::Refused { why: format!("{by} says: {why}") }))
            }
        }
    }

    /// Whose time is over, and forgets those nobody waits for any more.
    pub(super) fn tick(&mut self, now: Monotonic, found: &mut Vec<(u64, Outcome)>) {
        self.waiting.retain(|_, waiting| {
            if now >= waiting.deadline && !waiting.told {
                waiting.told = true;
                found.push((waiting.probe, Outcome::Silent));
            }
            now < waiting.end
        });
    }

    pub(super) fn deadline(&self) -> Option<Monotonic> {
        self.waiting.values().map(|w| if w.told { w.end } else { w.deadline }).min()
    }

    /// The interface is gone or another one.
    pub(super) fn abandon(&mut self, why: &str, found: &mut Vec<(u64, Outcome)>) {
        (self.v4, self.v6) = (None, None);
        let untold = self.waiting.drain().filter(|(_, w)| !w.told);
        found.extend(untold.map(|(_, w)| (w.probe, Outcome::Unsent(why.to_owned()))));
    }
}

fn packet(to: IpAddr, length: usize) -> u64 {
    length as u64 + if to.is_ipv4() { 20 } else { 40 }
}

fn send(
    kept: &mut Option<OwnedFd>,
    way: &Way,
    family: Family,
    request: &[u8],
    to: IpAddr,
) -> Result<(), String> {
    if kept.is_none() {
        *kept = Some(open(way, family)?);
    }
    let socket = kept.as_ref().map(AsRawFd::as_raw_fd).ok_or("no socket")?;
    let to = SockaddrStorage::from(SocketAddr::new(to, 0));
    sendto(socket, request, &to, MsgFlags::empty()).map_err(|e| format!("send: {e}"))?;
    Ok(())
}

fn open(way: &Way, family: Family) -> Result<OwnedFd, String> {
    let socket = way.raw(family)?;
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

fn address(from: SockaddrStorage) -> Option<IpAddr> {
    let v4 = from.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| from.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::recv;
    use ruleset::marks::Line;

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
            let socket = open(&way, family).unwrap();
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
