//! One probe under way that has a socket of its own: a question, a connection, a page.

use super::dns::{self, Question};
use super::http::{self, Judged};
use super::random::Random;
use super::socket::Way;
use super::tls;
use crate::targets::Asked;
use link_health::{Kind, Outcome};
use nix::sys::socket::{getsockopt, sockopt};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;
use sysio::Monotonic;

/// RFC 1035 section 4.2.
pub(super) const DNS_PORT: u16 = 53;

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
}

#[derive(Debug)]
enum Stage {
    Resolving { socket: UdpSocket, question: Question, resolver: IpAddr, attempt: usize, retry: Monotonic },
    Asking { socket: UdpSocket, question: Question },
    Opening { stream: TcpStream },
    Talking { stream: TcpStream, received: Vec<u8> },
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
        let question = question(random, host, ticket.asked.target.family)?;
        let socket = UdpSocket::from(way.datagram(SocketAddr::new(resolver, DNS_PORT))?);
        socket.send(question.bytes()).map_err(|e| format!("send: {e}"))?;
        let stage = Stage::Resolving { socket, question, resolver, attempt, retry: now + patience };
        Ok(Self { ticket, started: now, stage })
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
        let stage = if let Kind::Dns { name } = &target.kind {
            let question = question(random, name, target.family)?;
            let socket = UdpSocket::from(way.datagram(to)?);
            socket.send(question.bytes()).map_err(|e| format!("send: {e}"))?;
            Stage::Asking { socket, question }
        } else {
            Stage::Opening { stream: TcpStream::from(way.stream(to)?) }
        };
        Ok(Self { ticket, started: now, stage })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match &self.stage {
            Stage::Resolving { socket, .. } | Stage::Asking { socket, .. } => socket.as_fd(),
            Stage::Opening { stream } | Stage::Talking { stream, .. } => stream.as_fd(),
        }
    }

    /// A connection that opens becomes writable; everything else waits to read.
    pub(super) fn waits_to_write(&self) -> bool {
        matches!(self.stage, Stage::Opening { .. })
    }

    /// The resolver that was asked, and in which attempt, while that is what it waits for.
    pub(super) fn resolving(&self) -> Option<(IpAddr, usize)> {
        match &self.stage {
            Stage::Resolving { resolver, attempt, .. } => Some((*resolver, *attempt)),
            _ => None,
        }
    }

    /// When another resolver should be asked.
    pub(super) fn retry(&self) -> Option<Monotonic> {
        match &self.stage {
            Stage::Resolving { retry, .. } if !self.ticket.told => Some(*retry),
            _ => None,
        }
    }

    /// Its descriptor is ready.
    pub(super) fn ready(&mut self, now: Monotonic, random: &mut Random) -> Step {
        let latency = now.since(self.started);
        match &mut self.stage {
            Stage::Resolving { socket, question, .. } => match read_answer(socket, question) {
                Ok(None) => Step::Waiting,
                Ok(Some(answer)) => match answer.addresses.first() {
                    Some(address) => Step::Resolved(*address, answer.lifetime),
                    None => Step::Unresolved,
                },
                Err(_) => Step::Unresolved,
            },
            Stage::Asking { socket, question } => match read_answer(socket, question) {
                Ok(None) => Step::Waiting,
                Ok(Some(answer)) => Step::Over(judge_dns(answer.code, latency)),
                Err(error) => Step::Over(refused(&error)),
            },
            Stage::Opening { .. } => self.opened(latency, random),
            Stage::Talking { .. } => self.talk(latency),
        }
    }

    fn opened(&mut self, latency: Duration, random: &mut Random) -> Step {
        let Stage::Opening { stream } = &mut self.stage else { return Step::Waiting };
        match getsockopt(stream, sockopt::SocketError) {
            Ok(0) => {}
            Ok(code) => return Step::Over(refused(&io::Error::from_raw_os_error(code))),
            Err(error) => return Step::Over(refused(&error.into())),
        }
        // Woken for a socket that had this place before.
        if stream.peer_addr().is_err() {
            return Step::Waiting;
        }
        let asked = &self.ticket.asked;
        let request = match &asked.target.kind {
            Kind::Http { host, path, .. } => http::request(host, path),
            Kind::Tls => tls::client_hello(asked.host.as_deref(), random.bytes()),
            _ => return Step::Over(Outcome::Answered { latency, code: None }),
        };
        // A fresh socket takes a few hundred bytes at once; one that does not is out of order.
        if let Err(error) = stream.write_all(&request) {
            return Step::Over(refused(&error));
        }
        match stream.try_clone() {
            Ok(stream) => self.stage = Stage::Talking { stream, received: Vec::new() },
            Err(error) => return Step::Over(Outcome::Unsent(format!("keep the connection: {error}"))),
        }
        Step::Waiting
    }

    fn talk(&mut self, latency: Duration) -> Step {
        let Stage::Talking { stream, received } = &mut self.stage else { return Step::Waiting };
        let mut buffer = [0; 1024];
        let mut over = false;
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
        if over && received.is_empty() {
            let why = "the connection was closed without an answer".to_owned();
            return Step::Over(Outcome::Refused { why });
        }
        let over = over || received.len() >= http::LONGEST;
        judge(&self.ticket.asked.target.kind, received, over, latency)
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

fn question(random: &mut Random, name: &str, family: link_health::Family) -> Result<Question, String> {
    let [a, b, ..] = random.next().to_ne_bytes();
    Question::new(u16::from_ne_bytes([a, b]), name, family).ok_or_else(|| format!("{name}: not a name"))
}

/// What is not an answer to this very question is passed over: anybody may send it.
fn read_answer(socket: &UdpSocket, question: &Question) -> io::Result<Option<dns::Answer>> {
    /// A flood of wrong answers must not hold the loop.
    const DATAGRAMS: usize = 8;
    let mut buffer = [0; dns::LONGEST];
    for _ in 0..DATAGRAMS {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                if let Some(answer) = question.answer(&buffer[..length]) {
                    return Ok(Some(answer));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}
