//! The server: accepting, waiting, deadlines, and making room.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use sysio::{Monotonic, clock};

use crate::connection::{Connection, Outcome, Phase};
use crate::crowd::{Crowd, Place, Rank, Source};
use crate::latency::{Latencies, Latency};
use crate::limits::{Counters, Limits};
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
/// A deadline is moved only by at least this: on a busy connection not with each request.
const DEADLINE_STEP: Duration = Duration::from_millis(250);
/// For those who were just accepted when accepting ended, to say what they want.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// How far the end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// New connections are served still; those with numbers below `first_new` should come to an end.
    Leaving {
        until: Monotonic,
        first_new: u64,
    },
    /// Nobody is accepted any more: who comes now waits in the listener's queue, for the next process
    /// if the service manager holds the listener.
    Closing {
        until: Monotonic,
    },
}

struct Member {
    connection: Connection,
    phase: Phase,
}

/// A listener and its connections.
pub struct Server {
    listener: TcpListener,
    epoll: Epoll,
    limits: Limits,
    crowd: Crowd<Member>,
    next_id: u64,
    stage: Stage,
    /// Set while accepting rests for want of descriptors.
    resume_at: Option<Monotonic>,
    counters: Counters,
    latencies: Latencies,
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
            crowd: Crowd::new(),
            next_id: 0,
            stage: Stage::Serving,
            resume_at: None,
            counters: Counters::default(),
            latencies: Latencies::default(),
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
        let stage = match self.stage {
            Stage::Serving => None,
            Stage::Leaving { until, .. } | Stage::Closing { until } => Some(until),
        };
        [self.crowd.deadline(), stage, self.resume_at].into_iter().flatten().min()
    }

    /// What it has done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What answers took in the last five minutes; nothing without a request.
    pub fn latency(&self, now: Monotonic) -> Option<Latency> {
        self.latencies.summary(now)
    }

    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.crowd.len()
    }

    /// Whether accepting rests because the process has no descriptor left.
    pub fn out_of_descriptors(&self) -> bool {
        self.resume_at.is_some()
    }

    /// Begins to end: requests are answered as before, each with the word that it was the last on its
    /// connection. Who has a connection open gets [`Limits::drain`] to send one; then nobody is accepted
    /// any more. Nobody is refused or reset, if somebody else holds the listener, too.
    pub fn drain(&mut self) {
        if self.stage == Stage::Serving {
            self.stage = Stage::Leaving { until: clock::now() + self.limits.drain, first_new: self.next_id };
        }
    }

    /// After [`Server::drain`]: whether all who had to be answered are.
    pub fn drained(&self) -> bool {
        match self.stage {
            Stage::Serving | Stage::Leaving { .. } => false,
            Stage::Closing { until } => self.crowd.len() == 0 || clock::now() >= until,
        }
    }

    /// Does everything that can be done without waiting, within bounds.
    ///
    /// # Errors
    /// Only what makes serving impossible: the listener or the epoll descriptor is broken.
    pub fn turn(&mut self, mut answer: impl FnMut(&Request<'_>) -> Response) -> io::Result<()> {
        self.expire(clock::now())?;
        let mut events = [EpollEvent::empty(); EVENTS_A_ROUND];
        for _ in 0..ROUNDS_A_TURN {
            let begun = clock::now();
            let count = match self.epoll.wait(&mut events, EpollTimeout::ZERO) {
                Ok(0) => break,
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..count] {
                match event.data() {
                    LISTENER => self.accept(begun, &mut answer)?,
                    id => self.ready(id, begun, &mut answer),
                }
            }
        }
        self.leave()
    }

    fn accept(
        &mut self,
        begun: Monotonic,
        answer: &mut impl FnMut(&Request<'_>) -> Response,
    ) -> io::Result<()> {
        for _ in 0..ACCEPTS_A_ROUND {
            let (stream, peer) = match self.listener.accept() {
                Ok(accepted) => accepted,
                Err(error) => match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
                    Errno::EAGAIN => return Ok(()),
                    Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM => {
                        if self.evict(None) {
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
            let outcome = self.drive(&mut connection, begun, answer);
            if let Outcome::Wait(phase) = outcome {
                self.wait_first(connection, phase, Source::from(peer));
            }
        }
        Ok(())
    }

    fn drive(
        &mut self,
        c: &mut Connection,
        begun: Monotonic,
        answer: &mut impl FnMut(&Request<'_>) -> Response,
    ) -> Outcome {
        let (answered, refused) = (c.answered, c.refused);
        let outcome = c.drive(self.stage != Stage::Serving, answer);
        let answered = c.answered - answered;
        if answered > 0 {
            self.counters.requests += answered;
            self.counters.refused += c.refused - refused;
            let now = clock::now();
            self.latencies.record(now, now.since(begun), answered);
        }
        outcome
    }

    /// Most connections never get here: their request came with them, and they are closed already.
    fn wait_first(&mut self, connection: Connection, phase: Phase, source: Source) {
        if self.crowd.of(source) >= self.limits.per_source {
            self.evict(Some(source));
        }
        if self.crowd.len() >= self.limits.connections {
            self.evict(None);
        }
        let id = self.next_id;
        self.next_id += 1;
        if self.epoll.add(connection.fd(), EpollEvent::new(interest(phase), id)).is_err() {
            return; // no kernel memory: closing it is all that can be done
        }
        let until = clock::now() + self.patience(phase);
        self.crowd.insert(id, Place { source, rank: rank(phase), until }, Member { connection, phase });
    }

    fn ready(&mut self, id: u64, begun: Monotonic, answer: &mut impl FnMut(&Request<'_>) -> Response) {
        // Evicted or expired earlier in this round.
        let Some((old, mut member)) = self.crowd.lift(id) else { return };
        let before = member.connection.answered;
        let Outcome::Wait(phase) = self.drive(&mut member.connection, begun, answer) else {
            return self.crowd.forget(id, old);
        };
        let mut new = Place { rank: rank(phase), ..old };
        // A deadline is for a whole phase: a byte a second does not extend it, a request does.
        if phase != member.phase {
            new.until = clock::now() + self.patience(phase);
        } else if member.connection.answered != before {
            let until = clock::now() + self.patience(phase);
            new.until = if until.since(old.until) >= DEADLINE_STEP { until } else { old.until };
        }
        if interest(phase) != interest(member.phase) {
            let event = &mut EpollEvent::new(interest(phase), id);
            if self.epoll.modify(member.connection.fd(), event).is_err() {
                return self.crowd.forget(id, old);
            }
        }
        member.phase = phase;
        self.crowd.settle(id, old, new, member);
    }

    fn patience(&self, phase: Phase) -> Duration {
        match phase {
            Phase::Head => self.limits.head,
            Phase::Idle => self.limits.idle,
            Phase::Writing => self.limits.write,
            Phase::Linger => self.limits.linger,
        }
    }

    fn expire(&mut self, now: Monotonic) -> io::Result<()> {
        while let Some(id) = self.crowd.overdue(now) {
            self.crowd.remove(id);
            self.counters.timeouts += 1;
        }
        if self.resume_at.is_some_and(|at| now >= at) {
            self.resume_at = None;
            if !matches!(self.stage, Stage::Closing { .. }) {
                self.epoll.add(&self.listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
                log::info!("accepting connections again");
            }
        }
        Ok(())
    }

    /// From [`Stage::Leaving`] to [`Stage::Closing`], once the old connections are gone or had their time.
    fn leave(&mut self) -> io::Result<()> {
        let Stage::Leaving { until, first_new } = self.stage else { return Ok(()) };
        let now = clock::now();
        if now < until && self.crowd.ids().any(|id| id < first_new) {
            return Ok(());
        }
        if self.resume_at.is_none() {
            self.epoll.delete(&self.listener)?;
        }
        let ids: Vec<u64> = self.crowd.ids().collect();
        for id in ids {
            let Some((place, mut member)) = self.crowd.lift(id) else { continue };
            // What a client sends from now on is read and not reset; it sees the end and asks anew.
            if member.phase == Phase::Idle && !member.connection.part() {
                self.crowd.forget(id, place);
                continue;
            }
            self.crowd.settle(id, place, place, member);
        }
        self.stage = Stage::Closing { until: now + LAST_WORDS };
        Ok(())
    }

    /// Closes a connection of `source`, or of whoever has most.
    fn evict(&mut self, source: Option<Source>) -> bool {
        let victim = source.map_or_else(|| self.crowd.victim(), |source| self.crowd.first_of(source));
        let Some(id) = victim else { return false };
        self.crowd.remove(id);
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

fn rank(phase: Phase) -> Rank {
    match phase {
        Phase::Idle | Phase::Linger => Rank::Idle,
        Phase::Head | Phase::Writing => Rank::Busy,
    }
}

fn interest(phase: Phase) -> EpollFlags {
    if phase == Phase::Writing { EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN }
}
