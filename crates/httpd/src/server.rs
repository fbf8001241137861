//! The server: accepting, waiting, deadlines, and making room.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use sysio::{Monotonic, clock};

use crate::connection::{Connection, Outcome, Phase};
use crate::request::Request;
use crate::response::Response;

/// The listener's mark among the connections' numbers.
const LISTENER: u64 = u64::MAX;
/// Connections accepted before others get their turn.
const ACCEPTS_A_ROUND: usize = 64;
/// Rounds before the outer loop (signals, snapshot, watchdog) gets its turn.
const ROUNDS_A_TURN: usize = 32;
/// Events fetched in a round.
const EVENTS_A_ROUND: usize = 256;
/// How long accepting rests when there are no descriptors left and none could be freed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(250);

/// Bounds of a server.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections; one more closes the longest idle.
    pub connections: usize,
    /// From the first byte we wait for to the end of the head.
    pub head: Duration,
    /// For the client to take an answer.
    pub write: Duration,
    /// Between requests on one connection.
    pub idle: Duration,
    /// For the client to close after the last answer.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            // Route 53 gives up after 4 s to connect and 2 s to answer; a person's phone has no more patience.
            head: Duration::from_secs(5),
            write: Duration::from_secs(5),
            idle: Duration::from_secs(10),
            linger: Duration::from_secs(1),
        }
    }
}

/// What a server has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests answered, wrong ones included.
    pub requests: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections closed to make room.
    pub evicted: u64,
    /// Connections closed because a deadline passed.
    pub timeouts: u64,
}

struct Waiting {
    connection: Connection,
    phase: Phase,
    until: Monotonic,
}

/// A listener and its connections.
pub struct Server {
    listener: TcpListener,
    epoll: Epoll,
    limits: Limits,
    waiting: HashMap<u64, Waiting>,
    /// Deadlines of the connections that had an answer: the first to go when room is needed.
    idle: BTreeSet<(Monotonic, u64)>,
    /// Deadlines of the others.
    busy: BTreeSet<(Monotonic, u64)>,
    next_id: u64,
    /// Set while accepting rests for want of descriptors.
    resume_at: Option<Monotonic>,
    counters: Counters,
}

impl Server {
    /// Serves `listener`, which must not block.
    ///
    /// # Errors
    /// If the kernel gives no epoll descriptor.
    pub fn new(listener: TcpListener, limits: Limits) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
        Ok(Self {
            listener,
            epoll,
            limits,
            waiting: HashMap::new(),
            idle: BTreeSet::new(),
            busy: BTreeSet::new(),
            next_id: 0,
            resume_at: None,
            counters: Counters::default(),
        })
    }

    /// Readable whenever [`Server::turn`] has something to do.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.epoll.0.as_fd()
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// Whatever the kernel reports.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// When [`Server::turn`] has something to do though nothing is readable.
    pub fn deadline(&self) -> Option<Monotonic> {
        let first = |set: &BTreeSet<(Monotonic, u64)>| set.first().map(|(at, _)| *at);
        [first(&self.idle), first(&self.busy), self.resume_at].into_iter().flatten().min()
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.waiting.len()
    }

    /// Whether accepting rests because the process has no descriptor left.
    pub fn out_of_descriptors(&self) -> bool {
        self.resume_at.is_some()
    }

    /// Does everything that can be done without waiting, within bounds.
    ///
    /// # Errors
    /// Only what makes serving impossible: the listener or the epoll descriptor is broken.
    pub fn turn(&mut self, mut answer: impl FnMut(&Request<'_>) -> Response) -> io::Result<()> {
        self.expire(clock::now())?;
        let mut events = [EpollEvent::empty(); EVENTS_A_ROUND];
        for _ in 0..ROUNDS_A_TURN {
            let count = match self.epoll.wait(&mut events, EpollTimeout::ZERO) {
                Ok(0) => break,
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.accept(&mut answer)?,
                    id => self.ready(id, &mut answer),
                }
            }
        }
        Ok(())
    }

    fn accept(&mut self, answer: &mut impl FnMut(&Request<'_>) -> Response) -> io::Result<()> {
        for _ in 0..ACCEPTS_A_ROUND {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                    Errno::EAGAIN => return Ok(()),
                    Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => {
                        if self.evict() {
                            continue;
                        }
                        return self.pause();
                    }
                    Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK | Errno::EOPNOTSUPP => return Err(error),
                    // Errors of the connection that was to be accepted (accept(2), "Error handling").
                    _ => continue,
                },
            };
            self.counters.accepted += 1;
            let mut connection = Connection::new(stream);
            let outcome = self.drive(&mut connection, answer);
            if let Outcome::Wait(phase) = outcome {
                self.wait_first(connection, phase);
            }
        }
        Ok(())
    }

    fn drive(&mut self, c: &mut Connection, answer: &mut impl FnMut(&Request<'_>) -> Response) -> Outcome {
        let before = c.answered;
        let outcome = c.drive(answer);
        self.counters.requests += c.answered - before;
        outcome
    }

    /// Most connections never get here: their request came with them, and they are closed already.
    fn wait_first(&mut self, connection: Connection, phase: Phase) {
        if self.waiting.len() >= self.limits.connections {
            self.evict();
        }
        let id = self.next_id;
        self.next_id += 1;
        if self.epoll.add(connection.fd(), EpollEvent::new(interest(phase), id)).is_err() {
            return; // no kernel memory: closing it is all that can be done
        }
        let until = clock::now() + self.patience(phase);
        self.deadlines(phase).insert((until, id));
        self.waiting.insert(id, Waiting { connection, phase, until });
    }

    fn ready(&mut self, id: u64, answer: &mut impl FnMut(&Request<'_>) -> Response) {
        // Evicted or expired earlier in this round.
        let Some(mut waiting) = self.waiting.remove(&id) else { return };
        self.deadlines(waiting.phase).remove(&(waiting.until, id));
        let before = waiting.connection.answered;
        let Outcome::Wait(phase) = self.drive(&mut waiting.connection, answer) else { return };
        // A deadline is for a whole phase: a byte a second does not extend it, a request does.
        if phase != waiting.phase || waiting.connection.answered != before {
            waiting.until = clock::now() + self.patience(phase);
        }
        if interest(phase) != interest(waiting.phase) {
            let event = &mut EpollEvent::new(interest(phase), id);
            if self.epoll.modify(waiting.connection.fd(), event).is_err() {
                return;
            }
        }
        waiting.phase = phase;
        self.deadlines(phase).insert((waiting.until, id));
        self.waiting.insert(id, waiting);
    }

    fn patience(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Head => self.limits.head,
            Phase::Idle => self.limits.idle,
            Phase::Writing => self.limits.write,
            Phase::Linger => self.limits.linger,
        }
    }

    fn deadlines(&mut self, phase: Phase) -> &mut BTreeSet<(Monotonic, u64)> {
        match phase {
            Phase::Idle | Phase::Linger => &mut self.idle,
            Phase::Head | Phase::Writing => &mut self.busy,
        }
    }

    fn expire(&mut self, now: Monotonic) -> io::Result<()> {
        while let Some((_, id)) = self.overdue(now) {
            self.waiting.remove(&id);
            self.counters.timeouts += 1;
        }
        if self.resume_at.is_some_and(|at| now >= at) {
            self.resume_at = None;
            self.epoll.add(&self.listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
            log::info!("accepting connections again");
        }
        Ok(())
    }

    fn overdue(&mut self, now: Monotonic) -> Option<(Monotonic, u64)> {
        [&mut self.idle, &mut self.busy]
            .into_iter()
            .find_map(|set| set.first().is_some_and(|(at, _)| *at <= now).then(|| set.pop_first()).flatten())
    }

    /// Closes the longest idle connection, or the one that has kept us waiting longest.
    fn evict(&mut self) -> bool {
        let victim = self.idle.pop_first().or_else(|| self.busy.pop_first());
        let Some((_, id)) = victim else { return false };
        self.waiting.remove(&id);
        self.counters.evicted += 1;
        true
    }

    fn pause(&mut self) -> io::Result<()> {
        log::warn!("no file descriptor left: not accepting connections for {ACCEPT_PAUSE:?}");
        self.epoll.delete(&self.listener)?;
        self.resume_at = Some(clock::now() + ACCEPT_PAUSE);
        Ok(())
    }
}

fn interest(phase: Phase) -> EpollFlags {
    if phase == Phase::Writing { EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN }
}
