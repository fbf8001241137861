//! Questions under way: sockets bound to a line, in the daemon's one loop.
//!
//! Every question ends in one event by its deadline; what a server or somebody on the way says is
//! bounded in bytes and in the work of one turn.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use daemonkit::Interest;
use inquiry::cost::{SYN_OPTIONS, datagram, segments};
use inquiry::dns;
use inquiry::http::{self, Judged};
use inquiry::public::{Page, RESOLVERS};
use inquiry::{Random, Way};
use link_health::Family;
use sysio::Monotonic;

use crate::machine::{Event, Failure};
use crate::ntp::{self, Refusal};
use crate::sources::Question;
use crate::utc::{BootedAt, Utc, millis};

const HTTP_PORT: u16 = 80;
/// A resolver that has not answered by then is left for the next one.
const RESOLVER_PATIENCE: Duration = Duration::from_millis(1500);
/// Resolvers asked for one name: the first in use, and public ones.
const RESOLVERS_MOST: usize = 3;
/// A flood of wrong answers must not hold the loop.
const DATAGRAMS_A_TURN: usize = 8;

/// All questions under way.
#[derive(Debug)]
pub struct Asker {
    flights: BTreeMap<u64, Flight>,
    random: Random,
    built: Utc,
    bytes: u64,
    events: Vec<Event>,
}

#[derive(Debug)]
struct Flight {
    way: Way,
    stage: Stage,
    deadline: Monotonic,
}

#[derive(Debug)]
enum Stage {
    Ntp { socket: UdpSocket, server: IpAddr, cookie: u64, asked: Monotonic },
    Resolving { socket: UdpSocket, question: dns::Question, search: Search },
    Opening { stream: TcpStream, server: IpAddr, search: Search },
    Reading { stream: TcpStream, server: IpAddr, page: &'static Page, asked: Monotonic, received: Vec<u8> },
}

/// For a page's address: whom to ask next, and until when this one may take.
#[derive(Debug, Clone)]
struct Search {
    page: &'static Page,
    family: Family,
    /// Next ones last.
    resolvers: Vec<IpAddr>,
    resolver: IpAddr,
    retry: Monotonic,
}

/// What became of a question when something happened.
enum Step {
    Waiting(Stage),
    Over(Event),
}

impl Asker {
    /// For an image that was built at that time.
    pub fn new(built: Utc) -> Self {
        Self { flights: BTreeMap::new(), random: Random::default(), built, bytes: 0, events: Vec::new() }
    }

    /// What asking cost so far, both directions, IP headers included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Asks; `dns` are the name servers in use.
    pub fn start(
        &mut self,
        now: Monotonic,
        ask: u64,
        way: &Way,
        question: &Question,
        dns: &[IpAddr],
        deadline: Monotonic,
    ) {
        let stage = match question {
            Question::Ntp { server, .. } => self.ask_server(now, way, *server),
            Question::Page { page, family } => {
                let public = RESOLVERS.iter().filter_map(|(_, _, v4, v6)| match family {
                    Family::V4 => Some(IpAddr::from(*v4)),
                    Family::V6 => v6.parse().ok(),
                });
                let own = dns.iter().copied().filter(|a| a.is_ipv4() == (*family == Family::V4)).take(1);
                let mut resolvers: Vec<IpAddr> = own.chain(public).take(RESOLVERS_MOST).collect();
                resolvers.reverse();
                self.resolve(now, way, page, *family, resolvers)
            }
        };
        match stage {
            Ok(stage) => drop(self.flights.insert(ask, Flight { way: way.clone(), stage, deadline })),
            Err(why) => self.events.push(Event::Failed { ask, why: Failure::Told(why) }),
        }
    }

    /// Gives up everything under way.
    pub fn abandon(&mut self) {
        self.flights.clear();
    }

    /// What happened since the last call.
    pub fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The descriptors to watch; a question's number is the token.
    pub fn interests(&self) -> Vec<Interest<'_>> {
        let token = |ask: u64| usize::try_from(ask).unwrap_or(usize::MAX);
        self.flights.iter().map(|(ask, flight)| flight.stage.interest(token(*ask))).collect()
    }

    /// When [`Asker::tick`] has something to do.
    pub fn deadline(&self) -> Option<Monotonic> {
        let due = |flight: &Flight| match &flight.stage {
            Stage::Resolving { search, .. } if !search.resolvers.is_empty() => {
                search.retry.min(flight.deadline)
            }
            _ => flight.deadline,
        };
        self.flights.values().map(due).min()
    }

    /// A descriptor is ready.
    pub fn ready(&mut self, now: Monotonic, token: usize) {
        let ask = token as u64;
        if let Some(Flight { way, stage, deadline }) = self.flights.remove(&ask) {
            match self.go_on(now, ask, &way, stage) {
                Step::Waiting(stage) => drop(self.flights.insert(ask, Flight { way, stage, deadline })),
                Step::Over(event) => self.events.push(event),
            }
        }
    }

    /// Whose time is over, and whose name server has been silent for too long.
    pub fn tick(&mut self, now: Monotonic) {
        let due: Vec<u64> = self.flights.iter().filter(|(_, f)| f.is_due(now)).map(|(ask, _)| *ask).collect();
        for ask in due {
            let Some(Flight { way, stage, deadline }) = self.flights.remove(&ask) else { continue };
            let next = match stage {
                Stage::Resolving { search, .. } if now < deadline => self.next_resolver(now, &way, search),
                Stage::Resolving { .. } => Err("its name could not be resolved".to_owned()),
                _ => Err("no answer".to_owned()),
            };
            match next {
                Ok(stage) => drop(self.flights.insert(ask, Flight { way, stage, deadline })),
                Err(why) => self.events.push(Event::Failed { ask, why: Failure::Told(why) }),
            }
        }
    }

    fn go_on(&mut self, now: Monotonic, ask: u64, way: &Way, stage: Stage) -> Step {
        let failed = |why: String| Step::Over(Event::Failed { ask, why: Failure::Told(why) });
        match stage {
            Stage::Ntp { .. } => self.hear_server(now, ask, stage),
            Stage::Resolving { socket, question, search } => match dns::receive(&socket, &question) {
                Ok(None) => Step::Waiting(Stage::Resolving { socket, question, search }),
                Ok(Some((answer, length))) => {
                    self.bytes += datagram(search.resolver, length);
                    let stage = match answer.addresses.first() {
                        Some(address) => self.open(way, *address, search),
                        None => self.next_resolver(now, way, search),
                    };
                    stage.map_or_else(failed, Step::Waiting)
                }
                Err(_) => self.next_resolver(now, way, search).map_or_else(failed, Step::Waiting),
            },
            Stage::Opening { stream, server, search } => {
                self.request(now, stream, server, search).map_or_else(failed, Step::Waiting)
            }
            Stage::Reading { .. } => self.read(now, ask, stage),
        }
    }

    fn ask_server(&mut self, now: Monotonic, way: &Way, server: IpAddr) -> Result<Stage, String> {
        let socket = UdpSocket::from(way.datagram(SocketAddr::new(server, ntp::PORT))?);
        let cookie = self.random.draw();
        socket.send(&ntp::request(cookie)).map_err(|e| format!("send: {e}"))?;
        self.bytes += datagram(server, ntp::LENGTH);
        Ok(Stage::Ntp { socket, server, cookie, asked: now })
    }

    fn hear_server(&mut self, now: Monotonic, ask: u64, stage: Stage) -> Step {
        let Stage::Ntp { socket, server, cookie, asked } = stage else { return Step::Waiting(stage) };
        // One byte more than an answer has, so that a longer one shows.
        let mut buffer = [0; ntp::LENGTH + 1];
        for _ in 0..DATAGRAMS_A_TURN {
            let length = match socket.recv(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => {
                    return Step::Over(Event::Failed { ask, why: Failure::Told(error.to_string()) });
                }
            };
            self.bytes += datagram(server, length);
            let told = ntp::read(&buffer[..length], cookie);
            match told.and_then(|reply| reply.booted_at(asked, now, self.built)) {
                Ok(booted_at) => return Step::Over(Event::Answered { ask, booted_at }),
                Err(Refusal::Foreign) => {}
                Err(refusal) => return Step::Over(Event::Failed { ask, why: failure(refusal) }),
            }
        }
        Step::Waiting(Stage::Ntp { socket, server, cookie, asked })
    }

    fn resolve(
        &mut self,
        now: Monotonic,
        way: &Way,
        page: &'static Page,
        family: Family,
        resolvers: Vec<IpAddr>,
    ) -> Result<Stage, String> {
        let resolver = IpAddr::from([0, 0, 0, 0]);
        self.next_resolver(now, way, Search { page, family, resolvers, resolver, retry: now })
    }

    fn next_resolver(&mut self, now: Monotonic, way: &Way, mut search: Search) -> Result<Stage, String> {
        let mut last = "its name could not be resolved".to_owned();
        while let Some(resolver) = search.resolvers.pop() {
            let host = search.host();
            let question = dns::Question::draw(&mut self.random, host, search.family)?;
            let sent = way.datagram(SocketAddr::new(resolver, dns::PORT)).and_then(|socket| {
                let socket = UdpSocket::from(socket);
                socket.send(question.bytes()).map_err(|e| format!("send: {e}"))?;
                Ok(socket)
            });
            match sent {
                Ok(socket) => {
                    self.bytes += datagram(resolver, question.bytes().len());
                    (search.resolver, search.retry) = (resolver, now + RESOLVER_PATIENCE);
                    return Ok(Stage::Resolving { socket, question, search });
                }
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    fn open(&mut self, way: &Way, server: IpAddr, search: Search) -> Result<Stage, String> {
        let stream = TcpStream::from(way.stream(SocketAddr::new(server, HTTP_PORT))?);
        self.bytes += segments(server, 1) + SYN_OPTIONS;
        Ok(Stage::Opening { stream, server, search })
    }

    fn request(
        &mut self,
        now: Monotonic,
        mut stream: TcpStream,
        server: IpAddr,
        search: Search,
    ) -> Result<Stage, String> {
        if let Some(error) = stream.take_error().map_err(|e| e.to_string())? {
            return Err(error.to_string());
        }
        if stream.peer_addr().is_err() {
            return Ok(Stage::Opening { stream, server, search });
        }
        let request = http::request(search.host(), search.page.path);
        // A fresh socket takes a few hundred bytes at once; one that does not is out of order.
        stream.write_all(&request).map_err(|e| e.to_string())?;
        // Theirs, our confirmation, the request, its confirmation, and our reset in the end.
        self.bytes += segments(server, 5) + SYN_OPTIONS + request.len() as u64;
        Ok(Stage::Reading { stream, server, page: search.page, asked: now, received: Vec::new() })
    }

    fn read(&mut self, now: Monotonic, ask: u64, stage: Stage) -> Step {
        let Stage::Reading { mut stream, server, page, asked, mut received } = stage else {
            return Step::Waiting(stage);
        };
        let mut buffer = [0; http::LONGEST];
        let mut over = false;
        match stream.read(&mut buffer) {
            Ok(0) => over = true,
            Ok(length) => {
                // What came, and its confirmation.
                self.bytes += segments(server, 2) + length as u64;
                received.extend(&buffer[..length.min(http::LONGEST - received.len())]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Step::Over(Event::Failed { ask, why: Failure::Told(error.to_string()) }),
        }
        let over = over || received.len() >= http::LONGEST;
        let failed = |why: &str| Step::Over(Event::Failed { ask, why: Failure::Told(why.to_owned()) });
        match http::judge(&received, over, page.status, page.body) {
            Judged::More => Step::Waiting(Stage::Reading { stream, server, page, asked, received }),
            Judged::Wrong { why, .. } => failed(&why),
            Judged::Right(_) => match crate::date::utc(&received) {
                // Written somewhen between the two.
                Some(utc) => {
                    let booted_at = BootedAt(utc.0.saturating_sub(i64::midpoint(millis(asked), millis(now))));
                    Step::Over(Event::Answered { ask, booted_at })
                }
                None => failed("the page has no date"),
            },
        }
    }
}

impl Stage {
    fn interest(&self, token: usize) -> Interest<'_> {
        let fd: BorrowedFd<'_> = match self {
            Self::Ntp { socket, .. } | Self::Resolving { socket, .. } => socket.as_fd(),
            Self::Opening { stream, .. } | Self::Reading { stream, .. } => stream.as_fd(),
        };
        // A connection that opens becomes writable; everything else waits to read.
        let write = matches!(self, Self::Opening { .. });
        Interest { fd, token, read: !write, write }
    }
}

impl Flight {
    fn is_due(&self, now: Monotonic) -> bool {
        let retry = match &self.stage {
            Stage::Resolving { search, .. } => now >= search.retry && !search.resolvers.is_empty(),
            _ => false,
        };
        retry || now >= self.deadline
    }
}

impl Search {
    fn host(&self) -> &'static str {
        self.page.hosts[usize::from(self.family == Family::V6)]
    }
}

fn failure(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Kiss { code, for_good } => Failure::Kiss { code, for_good },
        Refusal::Unsynchronised => Failure::Told("does not know the time itself".to_owned()),
        Refusal::Nonsense(why) => Failure::Told(why.to_owned()),
        Refusal::Foreign => Failure::Told("not an answer".to_owned()),
    }
}
