//! A load generator: some clients on one event loop, each asking as soon as it has its answer.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::PORT;
use crate::error::{Context, Error, Result};

/// Clients at once: several dozen checkers that ask at the same moment.
pub(super) const CLIENTS: usize = 32;
/// A client that hears nothing for so long has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// More failures are not counted, they end it.
const FAILURES: u64 = 1000;
/// How every answer ends here, whoever gives it.
const END: &[u8] = b"\r\n\r\nok\n";

/// What it measured.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) seconds: f64,
    /// Microseconds of each request, sorted.
    latencies: Vec<u32>,
}

impl Told {
    pub(super) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "counts of some seconds")]
        let requests = self.requests as f64;
        requests / self.seconds
    }

    /// Milliseconds that so many in a thousand did not exceed.
    pub(super) fn permille(&self, share: usize) -> Option<f64> {
        let place = (self.latencies.len() * share).div_ceil(1000).checked_sub(1)?;
        self.latencies.get(place).map(|us| f64::from(*us) / 1000.0)
    }
}

struct Client {
    stream: Option<TcpStream>,
    began: Instant,
    got: Vec<u8>,
}

struct Load {
    keep: bool,
    epoll: Epoll,
    clients: Vec<Client>,
    told: Told,
}

/// Asks for `time`, with a connection for each request or, `keep`, one for many.
///
/// # Errors
/// When nobody listens, or nearly everything fails.
pub(super) fn run(keep: bool, time: Duration) -> Result<Told> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(std::io::Error::from);
    let mut load = Load {
        keep,
        epoll: epoll.context("make an epoll descriptor")?,
        clients: Vec::new(),
        told: Told::default(),
    };
    let begun = Instant::now();
    for place in 0..CLIENTS {
        load.clients.push(Client { stream: None, began: begun, got: Vec::new() });
        load.ask(place)?;
    }
    while begun.elapsed() < time {
        load.turn()?;
        if load.told.failed > FAILURES {
            return Err(Error::Unexpected(format!("{} requests failed", load.told.failed)));
        }
    }
    load.told.seconds = begun.elapsed().as_secs_f64();
    load.told.latencies.sort_unstable();
    Ok(load.told)
}

impl Load {
    fn turn(&mut self) -> Result<()> {
        let mut events = [EpollEvent::empty(); CLIENTS];
        let wait = EpollTimeout::from(100_u8);
        let count = self.epoll.wait(&mut events, wait).map_err(std::io::Error::from).context("epoll")?;
        for event in &events[..count] {
            self.read(usize::try_from(event.data()).unwrap_or(0))?;
        }
        if count == 0 {
            for place in 0..self.clients.len() {
                if self.clients[place].began.elapsed() > PATIENCE {
                    self.done(place, false)?;
                }
            }
        }
        Ok(())
    }

    fn read(&mut self, place: usize) -> Result<()> {
        let client = &mut self.clients[place];
        let mut buffer = [0; 2048];
        let Some(stream) = &mut client.stream else { return Ok(()) };
        let ended = match stream.read(&mut buffer) {
            Ok(0) => true,
            Ok(count) => {
                client.got.extend_from_slice(&buffer[..count]);
                // On a connection for one request the server's end belongs to it.
                !self.keep && matches!(stream.read(&mut buffer), Ok(0))
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => false,
            Err(_) => return self.done(place, false),
        };
        let whole = client.got.starts_with(b"HTTP/1.1 200 ") && client.got.ends_with(END);
        match (whole, ended) {
            (true, true) => self.done(place, true),
            (true, false) if self.keep => self.done(place, true),
            (false, true) => self.done(place, false),
            (_, false) => Ok(()),
        }
    }

    fn done(&mut self, place: usize, answered: bool) -> Result<()> {
        let client = &mut self.clients[place];
        let keep = self.keep && answered && !client.got.windows(17).any(|part| part == b"Connection: close");
        client.got.clear();
        if answered {
            self.told.requests += 1;
            let took = client.began.elapsed().as_micros();
            self.told.latencies.push(u32::try_from(took).unwrap_or(u32::MAX));
        } else {
            self.told.failed += 1;
        }
        if !keep {
            // Closing takes it out of the epoll descriptor, too.
            client.stream = None;
        }
        self.ask(place)
    }

    fn ask(&mut self, place: usize) -> Result<()> {
        let client = &mut self.clients[place];
        client.began = Instant::now();
        let mut stream = if let Some(stream) = client.stream.take() {
            stream
        } else {
            let to = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
            let stream = TcpStream::connect_timeout(&to, PATIENCE).context(format!("connect to {to}"))?;
            stream.set_nonblocking(true).context("set non-blocking")?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, place as u64);
            self.epoll.add(&stream, event).map_err(std::io::Error::from).context("epoll")?;
            stream
        };
        let word = if self.keep { "keep-alive" } else { "close" };
        let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nConnection: {word}\r\n\r\n");
        // A server that has closed shows when it is read.
        let _ = stream.write_all(request.as_bytes());
        client.stream = Some(stream);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let told = Told { latencies: (1..=1000).collect(), ..Told::default() };
        assert_eq!((told.permille(500), told.permille(990)), (Some(0.5), Some(0.99)));
        assert_eq!(Told::default().permille(990), None);
    }
}
