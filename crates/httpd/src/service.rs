//! A daemon that is a web server: the part every such daemon shares.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use daemonkit::{Daemon, Event, Interest};
use serde_json::{Value, json};
use snapshot::{Condition, Report, Severity};
use sysio::{Monotonic, clock};

use crate::{Counters, Latency, Limits, Request, Response, Server};

/// Counters in the snapshot may be this old: it is not rewritten for every request.
const COUNT_EVERY: Duration = Duration::from_secs(5);
/// A condition stays this long after its cause, so that it can be seen.
const SHOWN_FOR: Duration = Duration::from_secs(30);
/// An answer that takes longer is slow: a quarter of the 2 s Route 53's health checkers wait.
const SLOW: Duration = Duration::from_millis(500);
/// Fewer requests than this in the last minutes are no measure.
const MEASURED: u64 = 5;

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
    /// Counts up when the report may say something new.
    revision: u64,
    ending: bool,
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
        let (count_at, starved_at) = (Monotonic::default(), None);
        Ok(Self { server, site, port, shown, count_at, starved_at, revision: 0, ending: false })
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
        if event == Event::Terminate {
            self.ending = true;
            self.server.drain();
        }
        if matches!(event, Event::Start | Event::Ready { .. } | Event::Deadline | Event::Terminate) {
            self.server.turn(|request| self.site.answer(request))?;
        }
        let now = clock::now();
        let starved = self.starved(now);
        if self.server.out_of_descriptors() {
            self.starved_at = Some(now);
        }
        let counted = (self.server.counters(), self.server.connections());
        let count = now >= self.count_at && self.shown != counted;
        if count {
            self.shown = counted;
            self.count_at = now + COUNT_EVERY;
        }
        self.revision += u64::from(count || starved != self.starved(now));
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        // What was counted last must be shown once, however quiet it gets then.
        let behind = self.shown != (self.server.counters(), self.server.connections());
        let count = behind.then_some(self.count_at);
        [self.server.deadline(), count].into_iter().flatten().min()
    }

    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }

    /// Until everybody who asked has an answer; [`Limits::drain`] and a little at most.
    fn finished(&self) -> bool {
        !self.ending || self.server.drained()
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
        let latency = self.server.latency(now);
        Report::new("serving")
            .field("port", self.port)
            .field("requests", counters.requests)
            .field("refused", counters.refused)
            .field("connections", connections)
            .field("evicted", counters.evicted)
            .field("timeouts", counters.timeouts)
            .field("latency", latency.map_or(Value::Null, figures))
            .condition(starved)
            .condition(latency.and_then(slow))
    }
}

/// Milliseconds, to the microsecond.
fn figures(latency: Latency) -> Value {
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    json!({
        "requests": latency.requests,
        "p50_ms": ms(latency.p50),
        "p99_ms": ms(latency.p99),
        "worst_ms": ms(latency.worst),
    })
}

fn slow(latency: Latency) -> Option<Condition> {
    (latency.requests >= MEASURED && latency.p99 > SLOW).then(|| {
        Condition::new(
            "http-slow",
            Severity::Warning,
            format!("answers take up to {} ms", latency.p99.as_millis()),
            format!(
                "One in a hundred of the last five minutes took longer, of {}; health checkers give up after 2 s.",
                latency.requests
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(requests: u64, p99: u64) -> Latency {
        let ms = Duration::from_millis;
        Latency { requests, p50: ms(1), p99: ms(p99), worst: ms(p99) }
    }

    #[test]
    fn slow_answers_are_a_condition_once_there_are_enough_to_tell() {
        assert!(slow(of(5, 501)).is_some_and(|condition| condition.id == "http-slow"));
        assert!(slow(of(4, 501)).is_none());
        assert!(slow(of(500, 500)).is_none());
    }
}
