//! One probe under way that has a socket of its own: a question, a connection, a page.

use super::tls;
use crate::targets::Asked;
use inquiry::cost::{SYN_OPTIONS, datagram, segments};
use inquiry::dns::{self, Question};
use inquiry::http::{self, Judged};
use inquiry::{Random, Way};
use link_health::{Family, Kind, Outcome};
use nix::sys::socket::{getsockopt, sockopt};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;
use sysio::Monotonic;

/// Whose probe it is, and until when anybody cares.
#[derive(Debug, Clone)]
pub(super) struct Ticket {
    pub(super) probe: u64,
    pub(super) asked: Rc<Asked>,
    pub(super) deadline: Monotonic,
    pub(super) end: Monotonic,
    pub(super) told: bool,
}

#[derive(Debug)]
pub(super) struct Flight {
    pub(super) ticket: Ticket,
    started: Monotonic,
    stage: Stage,
    bytes: u64,
}

#[derive(Debug)]
enum Stage {
    Resolving {
        socket: UdpSocket,
        question: Question,
        whom: Resolver,
    },
    Asking {
        socket: UdpSocket,
        question: Question,
    },
    /// A connection, and whether it has opened.
    Talking {
        stream: TcpStream,
        open: bool,
        received: Vec<u8>,
    },
}

/// Which name server, in which try, and when to ask another.
#[derive(Debug, Clone, Copy)]
struct Resolver {
    address: IpAddr,
    attempt: usize,
    retry: Option<Monotonic>,
}

/// Where a flight is after something happened.
#[derive(Debug)]
pub(super) enum Step {
    Waiting,
    Over(Outcome),
    Resolved(IpAddr, Duration),
    /// A resolver that will not help; another may.
    Unresolved,
}

impl Flight {
    /// Asks a name server for the target's address.
    pub(super) fn resolve(
        way: &Way,
        ticket: Ticket,
        (resolver, attempt): (IpAddr, usize),
        (now, patience): (Monotonic, Duration),
        random: &mut Random,
    ) -> Result<Self, String> {
        let host = ticket.asked.host.as_deref().unwrap_or_default();
        let question = Question::draw(random, host, ticket.asked.target.family)?;
        let socket = UdpSocket::from(way.datagram(SocketAddr::new(resolver, dns::PORT))?);
        socket.send(question.bytes()).map_err(|e| format!("send: {e}"))?;
        let bytes = datagram(resolver, question.bytes().len());
        let whom = Resolver { address: resolver, attempt, retry: Some(now + patience) };
        let stage = Stage::Resolving { socket, question, whom };
        Ok(Self { ticket, started: now, stage, bytes })
    }

    /// Asks the target itself.
    pub(super) fn ask(
        way: &Way,
        ticket: Ticket,
        address: IpAddr,
        now: Monotonic,
        random: &mut Random,
    ) -> Result<Self, String> {
        let target = &ticket.asked.target;
        let to = SocketAddr::new(address, target.port);
        let (stage, bytes) = if let Kind::Dns { name } = &target.kind {
            let question = Question::draw(random, name, target.family)?;
            let socket = UdpSocket::from(way.datagram(to)?);
            socket.send(question.bytes()).map_err(|e| format!("send: {e}"))?;
            let bytes = datagram(address, question.bytes().len());
            (Stage::Asking { socket, question }, bytes)
        } else {
            let stream = TcpStream::from(way.stream(to)?);
            (Stage::Talking { stream, open: false, received: Vec::new() }, segments(address, 1) + SYN_OPTIONS)
        };
        Ok(Self { ticket, started: now, stage, bytes })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match &self.stage {
            Stage::Resolving { socket, .. } | Stage::Asking { socket, .. } => socket.as_fd(),
            Stage::Talking { stream, .. } => stream.as_fd(),
        }
    }

    /// A connection that opens becomes writable; everything else waits to read.
    pub(super) fn waits_to_write(&self) -> bool {
        matches!(self.stage, Stage::Talking { open: false, .. })
    }

    /// The resolver that was asked, and in which attempt, while that is what it waits for.
    pub(super) fn resolving(&self) -> Option<(IpAddr, usize)> {
        match &self.stage {
            Stage::Resolving { whom, .. } => Some((whom.address, whom.attempt)),
            _ => None,
        }
    }

    /// When another resolver should be asked.
    pub(super) fn retry(&self) -> Option<Monotonic> {
        match &self.stage {
            Stage::Resolving { whom, .. } if !self.ticket.told => whom.retry,
            _ => None,
        }
    }

    /// Nobody else is left to ask: this one has until the end.
    pub(super) fn wait_on(&mut self) {
        if let Stage::Resolving { whom, .. } = &mut self.stage {
            whom.retry = None;
        }
    }

    /// What it has cost since the last call.
    pub(super) fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }

    /// Its descriptor is ready.
    pub(super) fn ready(&mut self, now: Monotonic, random: &mut Random) -> Step {
        let latency = now.since(self.started);
        match &mut self.stage {
            Stage::Resolving { socket, question, whom } => match dns::receive(socket, question) {
                Ok(None) => Step::Waiting,
                Ok(Some((answer, length))) => {
                    self.bytes += datagram(whom.address, length);
                    let address = answer.addresses.first().copied();
                    address.map_or(Step::Unresolved, |address| Step::Resolved(address, answer.lifetime))
                }
                Err(_) => Step::Unresolved,
            },
            Stage::Asking { socket, question } => match dns::receive(socket, question) {
                Ok(None) => Step::Waiting,
                Ok(Some((answer, length))) => {
                    let server = socket.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |a| a.ip());
                    self.bytes += datagram(server, length);
                    Step::Over(judge_dns(answer.code, latency))
                }
                Err(error) => Step::Over(refused(&error)),
            },
            Stage::Talking { open: false, .. } => self.opened(latency, random),
            Stage::Talking { .. } => self.talk(latency),
        }
    }

    fn opened(&mut self, latency: Duration, random: &mut Random) -> Step {
        let Stage::Talking { stream, open, .. } = &mut self.stage else { return Step::Waiting };
        match getsockopt(stream, sockopt::SocketError) {
            Ok(0) => {}
            Ok(code) => return Step::Over(refused(&io::Error::from_raw_os_error(code))),
            Err(error) => return Step::Over(refused(&error.into())),
        }
        // Not yet: woken for a socket that had this place before.
        let Ok(peer) = stream.peer_addr() else { return Step::Waiting };
        let asked = &self.ticket.asked;
        // Theirs, our confirmation, and our reset in the end.
        self.bytes += segments(peer.ip(), 3) + SYN_OPTIONS;
        let request = match &asked.target.kind {
            Kind::Http { host, path, .. } => http::request(host, path),
            Kind::Tls => tls::client_hello(asked.host.as_deref(), random.bytes()),
            _ => return Step::Over(Outcome::Answered { latency, code: None }),
        };
        // A fresh socket takes a few hundred bytes at once; one that does not is out of order.
        if let Err(error) = stream.write_all(&request) {
            return Step::Over(refused(&error));
        }
        *open = true;
        self.bytes += segments(peer.ip(), 2) + request.len() as u64;
        Step::Waiting
    }

    fn talk(&mut self, latency: Duration) -> Step {
        let Stage::Talking { stream, received, .. } = &mut self.stage else { return Step::Waiting };
        let mut buffer = [0; 1024];
        let mut over = false;
        let before = received.len();
        while received.len() < http::LONGEST && !over {
            match stream.read(&mut buffer) {
                Ok(0) => over = true,
                Ok(length) => received.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if received.is_empty() => return Step::Over(refused(&error)),
                Err(_) => over = true,
            }
        }
        let family = ticket_address(&self.ticket);
        self.bytes += segments(family, 2) + (received.len() - before) as u64;
        if over && received.is_empty() {
            let why = "the connection was closed without an answer".to_owned();
            return Step::Over(Outcome::Refused { why });
        }
        let over = over || received.len() >= http::LONGEST;
        judge(&self.ticket.asked.target.kind, received, over, latency)
    }
}

/// An address of the target's family, to reckon with.
fn ticket_address(ticket: &Ticket) -> IpAddr {
    match ticket.asked.target.family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn judge(kind: &Kind, received: &[u8], over: bool, latency: Duration) -> Step {
    let wrong = |code, why: &str| Step::Over(Outcome::Wrong { code, why: why.to_owned() });
    if let Kind::Http { status, body, .. } = kind {
        return match http::judge(received, over, *status, body) {
            Judged::More => Step::Waiting,
            Judged::Right(code) => Step::Over(Outcome::Answered { latency, code: Some(code) }),
            Judged::Wrong { code, why } => wrong(code, &why),
        };
    }
    match tls::is_record(received) {
        Some(true) => Step::Over(Outcome::Answered { latency, code: None }),
        None if !over => Step::Waiting,
        _ => wrong(None, "what answers does not speak TLS"),
    }
}

/// That a name does not exist is as good an answer as any: the server works. Whether what it says
/// is true shows in the pages that are asked for.
fn judge_dns(code: u16, latency: Duration) -> Outcome {
    match code {
        dns::NOERROR | dns::NXDOMAIN => Outcome::Answered { latency, code: Some(code) },
        _ => Outcome::Wrong { code: Some(code), why: dns::words(code).to_owned() },
    }
}

/// What the kernel says of a socket that was sent from is somebody's word on the way, except where
/// it is about our own interface.
fn refused(error: &io::Error) -> Outcome {
    match error.kind() {
        ErrorKind::NetworkDown => Outcome::Unsent(error.to_string()),
        _ => Outcome::Refused { why: words(error) },
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::ConnectionReset => "connection reset".to_owned(),
        ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        _ => error.to_string(),
    }
}
