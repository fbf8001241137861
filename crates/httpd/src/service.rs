//! A daemon that is a web server: the part every such daemon shares.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use daemonkit::{Daemon, Event, Interest};
use snapshot::{Condition, Report, Severity};
use sysio::{Monotonic, clock};

use crate::{Counters, Limits, Request, Response, Server};

/// Counters in the snapshot may be this old: it is not rewritten for every request.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// A condition stays this long after its cause, so that it can be seen.
const SHOWN_FOR: Duration = Duration::from_secs(30);

/// The serving socket broke; starting again makes a new one.
#[derive(Debug, thiserror::Error)]
#[error("serve connections: {0}")]
pub struct Broken(#[from] io::Error);

/// What [`Service`] serves.
pub trait Site {
    /// Answers a GET or HEAD.
    fn answer(&mut self, request: &Request<'_>) -> Response;
}

impl<F: FnMut(&Request<'_>) -> Response> Site for F {
    fn answer(&mut self, request: &Request<'_>) -> Response {
        self(request)
    }
}

/// A [`Daemon`] that serves a [`Site`]; state `serving`.
pub struct Service<S> {
    server: Server,
    site: S,
    port: u16,
    shown: (Counters, usize),
    count_at: Monotonic,
    starved_at: Option<Monotonic>,
}

impl<S: Site> Service<S> {
    /// Serves `site` on `listener`.
    ///
    /// # Errors
    /// If the listener has no address or the kernel no epoll descriptor for us.
    pub fn new(listener: TcpListener, limits: Limits, site: S) -> io::Result<Self> {
        let port = listener.local_addr()?.port();
        let server = Server::new(listener, limits)?;
        let shown = (Counters::default(), 0);
        Ok(Self { server, site, port, shown, count_at: Monotonic::default(), starved_at: None })
    }

    fn starved(&self, now: Monotonic) -> bool {
        self.starved_at.is_some_and(|at| now.since(at) < SHOWN_FOR)
    }
}

impl<S: Site> Daemon for Service<S> {
    type Error = Broken;

    fn interests(&self) -> Vec<Interest<'_>> {
        vec![Interest::read(self.server.fd(), 0)]
    }

    fn handle(&mut self, _: Monotonic, event: Event) -> Result<(), Broken> {
        if matches!(event, Event::Start | Event::Ready { .. } | Event::Deadline) {
            self.server.turn(|request| self.site.answer(request))?;
        }
        let now = clock::now();
        if self.server.out_of_descriptors() {
            self.starved_at = Some(now);
        }
        if now >= self.count_at {
            self.shown = (self.server.counters(), self.server.connections());
            self.count_at = now + COUNT_EVERY;
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        // What was counted last must be shown once, however quiet it gets then.
        let behind = self.shown != (self.server.counters(), self.server.connections());
        let count = behind.then_some(self.count_at);
        [self.server.deadline(), count].into_iter().flatten().min()
    }

    fn report(&self, now: Monotonic) -> Report {
        let (counters, connections) = self.shown;
        let starved = self.starved(now).then(|| {
            Condition::new(
                "http-out-of-descriptors",
                Severity::Warning,
                "more connections than the server can hold",
                "Accepting rests a quarter of a second at a time; idle connections are closed to make room.",
            )
        });
        Report::new("serving")
            .field("port", self.port)
            .field("requests", counters.requests)
            .field("connections", connections)
            .field("evicted", counters.evicted)
            .field("timeouts", counters.timeouts)
            .condition(starved)
    }
}
