//! A line for real: a TUN device in each of two namespaces, and a thread that carries packets
//! between them through a [`Pipe`].

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ioctl::tun::{self, Flags, Mode};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::pipe::{Counted, Pipe};
use super::{Direction, LineFault};
use crate::error::{Context, Result};
use crate::net::Namespace;

/// How long the thread sleeps when there is nothing to do: how late it notices its end.
const IDLE: Duration = Duration::from_millis(100);
/// The longest packet a TUN device hands over: its MTU is 1500 (`drivers/net/tun.c`), and IP allows
/// no longer one anyway.
const LONGEST: usize = 1 << 16;
/// Packets taken from one end before the other has its turn.
const TURN: usize = 64;

/// A line; it ends with this value.
#[derive(Debug)]
pub struct Relay {
    shared: Arc<Shared>,
    carrier: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    pipe: Mutex<Pipe>,
    begun: Instant,
    over: AtomicBool,
}

/// Interfaces of a line: the subscriber's end, the internet's end.
#[derive(Debug)]
pub struct Ends<'a> {
    /// Namespace and name of the subscriber's end.
    pub subscriber: (&'a Namespace, &'a str),
    /// Namespace and name of the internet's end.
    pub internet: (&'a Namespace, &'a str),
}

impl Relay {
    /// Makes both devices, switches them on and carries from now on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn between(ends: &Ends<'_>, seed: u64) -> Result<Self> {
        let subscriber = device(ends.subscriber)?;
        let internet = device(ends.internet)?;
        let pipe = Mutex::new(Pipe::new(seed));
        let shared = Arc::new(Shared { pipe, begun: Instant::now(), over: AtomicBool::new(false) });
        let mine = shared.clone();
        let carry = move || carry(&mine, &subscriber, &internet);
        let carrier = thread::Builder::new().name("line".into()).spawn(carry).context("start a line")?;
        Ok(Self { shared, carrier: Some(carrier) })
    }

    /// The faults it has from now on.
    pub fn set_faults(&self, faults: Vec<LineFault>) {
        self.shared.pipe().set_faults(faults);
    }

    /// What has been handed to it in a direction.
    pub fn counted(&self, direction: Direction) -> Counted {
        self.shared.pipe().counted(direction)
    }

    /// How long ago something was last sent to that port of the internet; `None` for never.
    pub fn quiet_for(&self, port: u16) -> Option<Duration> {
        let last = self.shared.pipe().last_to_port(port)?;
        Some(self.shared.begun.elapsed().saturating_sub(last))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(carrier) = self.carrier.take() {
            let _ = carrier.join();
        }
    }
}

impl Shared {
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.pipe.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn device((namespace, name): (&Namespace, &str)) -> Result<File> {
    let open = || {
        tun::open(name, Flags { mode: Mode::Tun, nonblocking: true }).context(format!("make device {name}"))
    };
    let descriptor: OwnedFd = namespace.inside(open)?;
    // No addresses of its own making, no questions for routers: what a line carries is counted.
    namespace.ip(&format!("link set {name} addrgenmode none"))?;
    namespace.ip(&format!("link set {name} up"))?;
    Ok(descriptor.into())
}

fn carry(shared: &Shared, subscriber: &File, internet: &File) {
    let mut packet = vec![0; LONGEST];
    while !shared.over.load(Ordering::Relaxed) {
        let now = shared.begun.elapsed();
        let next = shared.pipe().next_deadline();
        let left = next.map_or(IDLE, |next| next.saturating_sub(now).min(IDLE));
        // Rounded up, or the last part of a millisecond would be spent asking.
        let wait = PollTimeout::try_from(left + Duration::from_micros(999)).unwrap_or(PollTimeout::ZERO);
        let mut ends = [
            PollFd::new(subscriber.as_fd(), PollFlags::POLLIN),
            PollFd::new(internet.as_fd(), PollFlags::POLLIN),
        ];
        if poll(&mut ends, wait).is_err() {
            continue;
        }
        for (direction, mut from) in [(Direction::Up, subscriber), (Direction::Down, internet)] {
            for _ in 0..TURN {
                let Ok(length) = from.read(&mut packet) else { break };
                shared.pipe().push(shared.begun.elapsed(), direction, &packet[..length]);
            }
        }
        let now = shared.begun.elapsed();
        loop {
            let Some((direction, bytes)) = shared.pipe().pop(now) else { break };
            let mut to = if direction == Direction::Up { internet } else { subscriber };
            // A device that is down takes nothing: the packet is lost, as on a pulled cable.
            let _ = to.write(&bytes);
        }
    }
}
