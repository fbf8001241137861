//! Ten thousand connections that say nothing, or a byte at a time, and what a health checker gets meanwhile.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};

use super::PORT;
use super::server::Server;
use crate::error::Result;

/// As many as the issue has.
const MEMBERS: usize = 10_000;
/// Addresses they come from: one alone would meet the limit for one.
const SOURCES: usize = 100;
/// One in so many dribbles a head, a byte each round; the others have had an answer or said nothing.
const DRIBBLERS: usize = 4;
/// How long they stay, once they are there.
const STAY: Duration = Duration::from_secs(15);
/// They are there, or as many as are let in, by then.
const GATHER: Duration = Duration::from_secs(20);
/// Between rounds in which who was closed comes again.
const ROUND: Duration = Duration::from_millis(500);
/// Who comes again in a round; more would measure this program.
const AGAIN: usize = 1000;
/// Between a checker's requests.
const CHECK: Duration = Duration::from_millis(100);
/// Route 53 gives up after 4 s and 2 s.
const PATIENCE: Duration = Duration::from_secs(6);
/// Afterwards all is as before by then: our longest deadline is 10 s.
const RECOVERY: Duration = Duration::from_secs(40);

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Connections at the most, as the clients saw it: what the server had closed shows a round later.
    pub(super) gathered: usize,
    /// Connections that were opened in all.
    pub(super) opened: usize,
    /// Milliseconds of each check, in order of length.
    pub(super) checks: Vec<f64>,
    /// Checks without an answer.
    pub(super) failed: usize,
    pub(super) pss: u64,
    pub(super) descriptors: usize,
    pub(super) threads: usize,
    /// Seconds until its descriptors were as before.
    pub(super) recovered: Option<f64>,
}

/// Sends the crowd to `server`, and afterwards waits until it has recovered.
pub(super) fn run(server: &Server) -> Result<Seen> {
    let before = server.descriptors();
    let (stop, standing) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut seen = Seen::default();
    let (stopped, told) = (Arc::clone(&stop), Arc::clone(&standing));
    // A thread of its own that is started in the namespace, so that the checks have the namespace's.
    let crowd = server.net.run(move || thread::spawn(move || gather(&stopped, &told)));
    let begun = Instant::now();
    while standing.load(Ordering::Relaxed) < MEMBERS && begun.elapsed() < GATHER {
        thread::sleep(CHECK);
    }
    let begun = Instant::now();
    while begun.elapsed() < STAY {
        match server.net.run(check) {
            Some(ms) => seen.checks.push(ms),
            None => seen.failed += 1,
        }
        seen.gathered = seen.gathered.max(standing.load(Ordering::Relaxed));
        seen.descriptors = seen.descriptors.max(server.descriptors());
        seen.threads = seen.threads.max(server.threads());
        seen.pss = seen.pss.max(server.pss()?);
        thread::sleep(CHECK);
    }
    stop.store(true, Ordering::Relaxed);
    seen.opened = crowd.join().unwrap_or(0);
    let begun = Instant::now();
    while begun.elapsed() < RECOVERY && seen.recovered.is_none() {
        // Two for what the daemon opens now and then by itself.
        if server.descriptors() <= before + 2 {
            seen.recovered = Some(begun.elapsed().as_secs_f64());
        }
        thread::sleep(CHECK);
    }
    seen.checks.sort_by(f64::total_cmp);
    Ok(seen)
}

/// A health checker's request, on a connection of its own; milliseconds, if it was answered.
fn check() -> Option<f64> {
    let begun = Instant::now();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    (answer.starts_with(b"HTTP/1.1 200 ")).then(|| begun.elapsed().as_secs_f64() * 1000.0)
}

/// Opens connections, dribbles, and opens again what was closed, until told to stop; how many it opened.
fn gather(stop: &AtomicBool, standing: &AtomicUsize) -> usize {
    let mut members: Vec<Option<TcpStream>> = (0..MEMBERS).map(|_| None).collect();
    let end = Instant::now() + GATHER + STAY + PATIENCE;
    let (mut first, mut opened) = (true, 0);
    while !stop.load(Ordering::Relaxed) && Instant::now() < end {
        let mut budget = if first { MEMBERS } else { AGAIN };
        for (place, member) in members.iter_mut().enumerate() {
            if let Some(stream) = member
                && !stands(stream, place)
            {
                *member = None;
            }
            if member.is_none() && budget > 0 && !stop.load(Ordering::Relaxed) {
                budget -= 1;
                *member = open(place);
                opened += usize::from(member.is_some());
            }
        }
        first = false;
        standing.store(members.iter().flatten().count(), Ordering::Relaxed);
        thread::sleep(ROUND);
    }
    opened
}

/// Reads what there is, dribbles; whether the server still has it.
fn stands(stream: &mut TcpStream, place: usize) -> bool {
    let mut buffer = [0; 512];
    match stream.read(&mut buffer) {
        Ok(0) => return false,
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
        Err(_) => return false,
    }
    !place.is_multiple_of(DRIBBLERS) || stream.write(b"x").is_ok()
}

/// One of three: a dribbler, one that gets an answer and stays, or one that never says a word.
fn open(place: usize) -> Option<TcpStream> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None).ok()?;
    let last = u8::try_from(1 + place % SOURCES).ok()?;
    let from = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::new(127, 1, 0, last), 0));
    bind(fd.as_raw_fd(), &from).ok()?;
    let to = SockaddrIn::from(SocketAddrV4::new(Ipv4Addr::LOCALHOST, PORT));
    match connect(fd.as_raw_fd(), &to) {
        // Over loopback the handshake is done within the call, unless the server's queue is full.
        Ok(()) | Err(nix::errno::Errno::EINPROGRESS) => {}
        Err(_) => return None,
    }
    let mut stream = TcpStream::from(fd);
    let words: &[u8] = match place % DRIBBLERS {
        0 => b"GET / HTTP/1.1\r\nX: ",
        1 => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        _ => b"",
    };
    // Not connected yet: it dribbles later, or is one that says nothing.
    let _ = stream.write(words);
    Some(stream)
}
