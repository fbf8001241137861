//! Asks targets over one line: the edge that `link-health` decides about.
//!
//! No thread and no waiting: every socket is non-blocking and lives in the daemon's poll loop. Every
//! probe ends in exactly one outcome by its deadline; what comes a little later is told as well,
//! because a late answer is life.

mod echo;
mod flight;
mod icmp;
mod names;
mod tls;

pub(crate) use inquiry::Random;

use crate::targets::Asked;
use daemonkit::Interest;
use echo::Echoes;
use flight::{Flight, Step, Ticket};
use inquiry::Way;
use link_health::{Family, Kind, Outcome};
use names::Names;
use ruleset::marks::Line;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use sysio::Monotonic;

/// How long a late answer is waited for: of a line that hangs and recovers, most come within this.
const LATE: Duration = Duration::from_secs(2);
/// Descriptors of one line, besides two for echoes. More probes than this at once are a fault upstream.
const FLIGHTS: usize = 48;
/// Echoes waited for at once.
const ECHOES: usize = 256;
/// A resolver that has not answered by then is not worth waiting for: the next one is asked.
const RESOLVER_PATIENCE: Duration = Duration::from_millis(700);
const TOKEN_V4: usize = 0;
const TOKEN_V6: usize = 1;
const TOKEN_FLIGHT: usize = 2;
/// Tokens of one prober: what a caller must keep apart.
pub const TOKENS: usize = TOKEN_FLIGHT + FLIGHTS;

/// What became of a probe, by its id.
pub type Finding = (u64, Outcome);

/// Sends the probes of one line and tells what became of them.
#[derive(Debug)]
pub struct Prober {
    way: Way,
    random: Random,
    echoes: Echoes,
    flights: Vec<Option<Flight>>,
    names: Names,
    found: Vec<Finding>,
    bytes: u64,
}

impl Prober {
    /// For a line by an interface.
    pub fn new(line: Line, interface: &str) -> Self {
        let mut random = Random::default();
        let echoes = Echoes::new(&mut random);
        Self {
            way: Way { line, interface: interface.to_owned() },
            random,
            echoes,
            flights: Vec::new(),
            names: Names::default(),
            found: Vec::new(),
            bytes: 0,
        }
    }

    /// What probes cost so far, both directions, IP headers included, as reckoned from what was sent
    /// and received; without what the link layer adds and the network repeats.
    pub fn bytes(&self) -> u64 {
        self.bytes + self.echoes.bytes()
    }

    /// Whom to ask for names over this line, best first.
    pub fn use_resolvers(&mut self, resolvers: Vec<IpAddr>) {
        self.names.use_resolvers(resolvers);
    }

    /// The interface is called so from now on, or is another one: nothing that was sent by the old
    /// one will be answered.
    pub fn use_interface(&mut self, interface: &str) {
        interface.clone_into(&mut self.way.interface);
        self.abandon("the interface has changed");
    }

    /// Gives up everything under way, which says nothing of the line.
    pub fn abandon(&mut self, why: &str) {
        self.echoes.abandon(why, &mut self.found);
        for flight in std::mem::take(&mut self.flights).into_iter().flatten() {
            self.tell(&flight.ticket, Outcome::Unsent(why.to_owned()));
        }
    }

    /// Asks a target.
    pub fn start(&mut self, now: Monotonic, probe: u64, asked: &Rc<Asked>, timeout: Duration) {
        let deadline = now + timeout;
        let ticket = Ticket { probe, asked: Rc::clone(asked), deadline, end: deadline + LATE, told: false };
        let known = asked.target.address.or_else(|| {
            let host = asked.host.as_deref()?;
            self.names.fresh(now, host, asked.target.family)
        });
        match known {
            Some(address) => self.ask(now, &ticket, address),
            None => self.resolve(now, &ticket, 0),
        }
    }

    /// Takes the outcomes since the last call.
    pub fn take(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.found)
    }

    /// The descriptors to watch, with tokens from `base` on.
    pub fn interests(&self, base: usize) -> impl Iterator<Item = Interest<'_>> {
        let echoes = [(Family::V4, TOKEN_V4), (Family::V6, TOKEN_V6)];
        let echoes = echoes
            .into_iter()
            .filter_map(move |(f, token)| Some(Interest::read(self.echoes.socket(f)?, base + token)));
        let flights = self.flights.iter().enumerate().filter_map(move |(slot, flight)| {
            let flight = flight.as_ref()?;
            let write = flight.waits_to_write();
            Some(Interest { fd: flight.fd(), token: base + TOKEN_FLIGHT + slot, read: !write, write })
        });
        echoes.chain(flights)
    }

    /// A descriptor is ready; `token` without the base.
    pub fn ready(&mut self, now: Monotonic, token: usize) {
        match token {
            TOKEN_V4 => self.echoes.receive(Family::V4, now, &mut self.found),
            TOKEN_V6 => self.echoes.receive(Family::V6, now, &mut self.found),
            _ => {
                let slot = token - TOKEN_FLIGHT;
                if let Some(mut flight) = self.flights.get_mut(slot).and_then(Option::take) {
                    let step = flight.ready(now, &mut self.random);
                    self.bytes += flight.take_bytes();
                    match step {
                        Step::Waiting => self.flights[slot] = Some(flight),
                        step => self.ended(now, flight, step),
                    }
                }
            }
        }
    }

    fn ended(&mut self, now: Monotonic, flight: Flight, step: Step) {
        let attempt = flight.resolving().map_or(0, |(_, attempt)| attempt);
        let Flight { ticket, .. } = flight;
        let family = ticket.asked.target.family;
        match step {
            Step::Waiting => {}
            Step::Over(outcome) => {
                if let Some(host) = &ticket.asked.host {
                    self.names.judge(host, family, matches!(outcome, Outcome::Answered { .. }));
                }
                self.tell(&ticket, outcome);
            }
            Step::Resolved(address, lifetime) => {
                if let Some(host) = &ticket.asked.host {
                    self.names.learn(now, (host, family), address, lifetime);
                }
                self.ask(now, &ticket, address);
            }
            Step::Unresolved => self.resolve(now, &ticket, attempt + 1),
        }
    }

    fn ask(&mut self, now: Monotonic, ticket: &Ticket, address: IpAddr) {
        if ticket.asked.target.kind == Kind::Icmp {
            let times = (now, ticket.deadline, ticket.end);
            let cookie = self.random.draw();
            let sent = if self.echoes.outstanding() < ECHOES {
                self.echoes.send(&self.way, (ticket.probe, address), times, cookie)
            } else {
                Err("too many echoes under way".to_owned())
            };
            if let Err(error) = sent {
                self.tell(ticket, Outcome::Unsent(error));
            }
            return;
        }
        let flight = Flight::ask(&self.way, ticket.clone(), address, now, &mut self.random);
        self.keep(ticket, flight);
    }

    /// Asks the next resolver; after one that was silent, an address that was right before is tried:
    /// the others' silence would take longer than the probe may.
    fn resolve(&mut self, now: Monotonic, ticket: &Ticket, attempt: usize) {
        let host = ticket.asked.host.clone().unwrap_or_default();
        let resolver = self.names.resolver(attempt);
        let proven = self.names.proven(&host, ticket.asked.target.family);
        if let Some(address) = proven.filter(|_| attempt > 0 || resolver.is_none()) {
            self.ask(now, ticket, address);
        } else if let Some(resolver) = resolver {
            // A slow line may need longer than the first patience; the second one gets twice as long.
            let patience = RESOLVER_PATIENCE * (1 << attempt.min(4));
            let times = (now, patience);
            let flight =
                Flight::resolve(&self.way, ticket.clone(), (resolver, attempt), times, &mut self.random);
            self.keep(ticket, flight);
        } else {
            self.tell(ticket, Outcome::Unresolvable);
        }
    }

    fn keep(&mut self, ticket: &Ticket, flight: Result<Flight, String>) {
        match flight {
            Ok(mut flight) => {
                self.bytes += flight.take_bytes();
                self.place(ticket, flight);
            }
            Err(error) => self.tell(ticket, Outcome::Unsent(error)),
        }
    }

    fn place(&mut self, ticket: &Ticket, flight: Flight) {
        match self.flights.iter().position(Option::is_none) {
            Some(slot) => self.flights[slot] = Some(flight),
            None if self.flights.len() < FLIGHTS => self.flights.push(Some(flight)),
            None => self.tell(ticket, Outcome::Unsent("too many probes under way".to_owned())),
        }
    }

    /// One outcome a probe; after that only that it answered after all.
    fn tell(&mut self, ticket: &Ticket, outcome: Outcome) {
        if !ticket.told || matches!(outcome, Outcome::Answered { .. }) {
            self.found.push((ticket.probe, outcome));
        }
    }

    /// Whose time is over.
    pub fn tick(&mut self, now: Monotonic) {
        self.echoes.tick(now, &mut self.found);
        for slot in 0..self.flights.len() {
            let Some(mut flight) = self.flights[slot].take() else { continue };
            let resolving = flight.resolving();
            if now >= flight.ticket.deadline && !flight.ticket.told {
                let silent = if resolving.is_some() { Outcome::Unresolvable } else { Outcome::Silent };
                if resolving.is_none()
                    && let Some(host) = &flight.ticket.asked.host
                {
                    self.names.judge(host, flight.ticket.asked.target.family, false);
                }
                self.found.push((flight.ticket.probe, silent));
                flight.ticket.told = true;
            }
            if let (Some((resolver, attempt)), Some(at)) = (resolving, flight.retry())
                && now >= at
            {
                self.names.silent(resolver);
                let host = flight.ticket.asked.host.as_deref().unwrap_or_default();
                let family = flight.ticket.asked.target.family;
                if self.names.resolver(attempt + 1).is_some() || self.names.proven(host, family).is_some() {
                    self.resolve(now, &flight.ticket, attempt + 1);
                } else {
                    flight.wait_on();
                    self.flights[slot] = Some(flight);
                }
            } else if now < flight.ticket.end && !(resolving.is_some() && flight.ticket.told) {
                self.flights[slot] = Some(flight);
            }
        }
    }

    /// When [`Prober::tick`] has something to do.
    pub fn deadline(&self) -> Option<Monotonic> {
        let flights = self.flights.iter().flatten().map(|flight| {
            let ticket = &flight.ticket;
            let own = if ticket.told { ticket.end } else { ticket.deadline };
            flight.retry().map_or(own, |retry| retry.min(own))
        });
        flights.chain(self.echoes.deadline()).min()
    }
}
