//! A DNS health checker of the internet that asks the appliance over both lines at once, each on the
//! address the line has in the internet.
//!
//! As Route 53's checkers do (Amazon Route 53 developer guide, "How Amazon Route 53 determines whether a
//! health check is healthy"): connected within four seconds, a status of 2xx or 3xx within two, the word
//! within two more and in the first 5,120 bytes. They ask every 10 or 30 s from many places, so an endpoint
//! sees several requests a second; this one asks each line once a second.
//!
//! It sits behind both lines on an address of its own, so an answer that leaves by the wrong line comes
//! from another address (the router's or the carrier's) and no connection is made.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::error::{Context, Result};
use crate::line::Line;
use crate::net::Namespace;

/// Where it sits (RFC 5737).
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 200);
const PORT: u16 = 9000;
/// Between two questions over one line.
const EVERY: Duration = Duration::from_secs(1);
/// Until the connection is made, in seconds.
const CONNECT_SECONDS: i64 = 4;
/// Until the status has come, and from then on until the word has.
const ANSWER: Duration = Duration::from_secs(2);
/// Where the word must be.
const FIRST: usize = 5120;
/// So many in a row make it healthy or not: Route 53's usual threshold.
const THRESHOLD: u32 = 3;
/// Reasons kept for a report.
const KEPT: usize = 8;

/// What it found over one line since it began, or since it was told to forget.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Good answers.
    pub good: u64,
    /// Everything else.
    pub bad: u64,
    /// What it would tell the DNS; nothing before the first threshold.
    pub healthy: Option<bool>,
    /// The latest reasons, the newest last.
    pub why: Vec<String>,
    /// How the last answer was, and how many like it came in a row.
    pub row: (bool, u32),
}

/// The checkers, one a line; they end with this value.
#[derive(Debug)]
pub struct Checkers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    found: Mutex<[Found; 2]>,
    over: AtomicBool,
}

impl Checkers {
    /// Begins to ask: the wired line on `wired`, the cellular one on `cellular`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn begin(internet: &Arc<Namespace>, wired: Ipv4Addr, cellular: Ipv4Addr) -> Result<Self> {
        internet.ip(&format!("address replace {ADDRESS} dev lo"))?;
        let mut checkers = Self { shared: Arc::default(), threads: Vec::new() };
        for (line, address) in [(Line::Wired, wired), (Line::Cellular, cellular)] {
            let (shared, internet) = (checkers.shared.clone(), internet.clone());
            let work = move || {
                // Only entering the namespace can fail, and the counts then show that nobody asks.
                let _ = internet.inside(|| {
                    ask_on(&shared, line, address);
                    Ok(())
                });
            };
            let thread = thread::Builder::new().name(format!("checker-{line:?}")).spawn(work);
            checkers.threads.push(thread.context("start a health checker")?);
        }
        Ok(checkers)
    }

    /// What was found over a line.
    pub fn found(&self, line: Line) -> Found {
        self.shared.found()[line as usize].clone()
    }

    /// Counts anew; what it holds for healthy stays.
    pub fn forget(&self) {
        for found in self.shared.found().iter_mut() {
            *found = Found { healthy: found.healthy, row: found.row, ..Found::default() };
        }
    }
}

impl Drop for Checkers {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn found(&self) -> MutexGuard<'_, [Found; 2]> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Found {
    fn note(&mut self, answer: std::result::Result<(), String>) {
        let good = answer.is_ok();
        *(if good { &mut self.good } else { &mut self.bad }) += 1;
        if let Err(why) = answer {
            self.why.push(why);
            let many = self.why.len().saturating_sub(KEPT);
            self.why.drain(..many);
        }
        self.row = if self.row.0 == good { (good, self.row.1.saturating_add(1)) } else { (good, 1) };
        if self.row.1 >= THRESHOLD {
            self.healthy = Some(good);
        }
    }
}

fn ask_on(shared: &Shared, line: Line, address: Ipv4Addr) {
    let name = match line {
        Line::Wired => "wired",
        Line::Cellular => "cellular",
    };
    while !shared.over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let answer = ask(address, name);
        shared.found()[line as usize].note(answer);
        thread::sleep(EVERY.saturating_sub(begun.elapsed()));
    }
}

fn ask(address: Ipv4Addr, line: &str) -> std::result::Result<(), String> {
    let said = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    let mut stream = dial(address).map_err(said("connect"))?;
    // The header a checker sends: the port is part of the host when it is not 80.
    let request = format!(
        "GET /health/{line} HTTP/1.1\r\nHost: {address}:{PORT}\r\nConnection: close\r\nAccept: */*\r\n\
         User-Agent: Amazon-Route53-Health-Check-Service (ref 5f1b7c1e-0000-4000-8000-000000000000; \
         report http://amzn.to/1vsZADi)\r\nAccept-Encoding: *\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).map_err(said("send"))?;
    let (mut answer, mut chunk) = (Vec::new(), [0; 2048]);
    let mut deadline = Instant::now() + ANSWER;
    let mut status = None;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("too late: status {status:?}, {} bytes", answer.len()));
        }
        stream.set_read_timeout(Some(left)).map_err(said("wait"))?;
        let ended = match stream.read(&mut chunk) {
            Ok(length) => {
                answer.extend_from_slice(&chunk[..length]);
                length == 0
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => return Err(format!("read: {error}")),
        };
        let text = String::from_utf8_lossy(&answer);
        if status.is_none() && text.contains("\r\n") {
            status = text.split(' ').nth(1).and_then(|code| code.parse::<u16>().ok());
            match status {
                Some(200..=399) => deadline = Instant::now() + ANSWER,
                other => return Err(format!("status {other:?}")),
            }
        }
        if let Some((_, body)) = text.split_once("\r\n\r\n") {
            let first: String = body.chars().take(FIRST).collect();
            if first.contains(&format!("ok {line}")) {
                return Ok(());
            }
        }
        if ended {
            return Err(format!("no word in: {}", text.trim().escape_default()));
        }
    }
}

fn dial(address: Ipv4Addr) -> std::io::Result<TcpStream> {
    let stream = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    bind(stream.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(ADDRESS, 0)))?;
    // It bounds connect, too (socket(7)).
    setsockopt(&stream, sockopt::SendTimeout, &TimeVal::new(CONNECT_SECONDS, 0))?;
    connect(stream.as_raw_fd(), &SockaddrIn::from(SocketAddrV4::new(address, PORT)))?;
    Ok(TcpStream::from(stream))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_in_a_row_change_its_mind_and_forgetting_does_not() {
        let mut found = Found::default();
        found.note(Ok(()));
        found.note(Ok(()));
        assert_eq!(found.healthy, None);
        found.note(Ok(()));
        assert_eq!(found.healthy, Some(true));
        found.note(Err("connect".into()));
        found.note(Err("connect".into()));
        found.note(Ok(()));
        assert_eq!((found.healthy, found.good, found.bad), (Some(true), 4, 2));
        for _ in 0..3 {
            found.note(Err("connect".into()));
        }
        assert_eq!(found.healthy, Some(false));
    }

    #[test]
    fn reasons_are_bounded() {
        let mut found = Found::default();
        for number in 0..100 {
            found.note(Err(number.to_string()));
        }
        assert_eq!(found.why.len(), KEPT);
        assert_eq!(found.why.last().unwrap(), "99");
    }
}
