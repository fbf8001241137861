//! One request from beginning to end.

use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use ureq::config::IpFamily;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, http};

use crate::failure::{Cause, Failure, Phase};
use crate::names::Names;
use crate::request::{Family, Http};
use crate::way::Way;
use crate::wire::Line;

/// From name resolution to the end of an answer, for who has no other wish.
pub const LIMIT: Duration = Duration::from_secs(10);
/// So much of an answer is read; what is longer is cut there.
pub const LARGEST: u64 = 64 * 1024;
/// The certificates of one's own that are looked at; a company has some.
const MOST_ROOTS: usize = 64;

/// How a request is made.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// Who asks: the `User-Agent`.
    pub agent: &'a str,
    /// Which addresses; any where there is no wish.
    pub family: Option<Family>,
    /// By which line; by the system's routes where there is none.
    pub way: Option<&'a Way>,
    /// That line's name servers; without any, libc resolves names by the system's routes.
    pub servers: &'a [IpAddr],
    /// Certificates of one's own, as PEM, trusted besides the public ones.
    pub own_roots: Option<&'a [u8]>,
    /// From the beginning to the end.
    pub limit: Duration,
    /// Bytes of the answer that are wanted; 0 ends it after the head.
    pub largest: u64,
}

impl<'a> Options<'a> {
    /// By any line, for 10 s and 64 KiB.
    pub fn new(agent: &'a str) -> Self {
        let (family, way, own_roots) = (None, None, None);
        Self { agent, family, way, servers: &[], own_roots, limit: LIMIT, largest: LARGEST }
    }
}

/// How long each phase took; none for one that was not there or not finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Until the name had addresses.
    pub dns: Option<Duration>,
    /// From then until there was a connection, tries in vain included.
    pub connect: Option<Duration>,
    /// From then until keys were agreed on and the certificate was found valid.
    pub tls: Option<Duration>,
    /// From then until the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// From the beginning to the end, whatever the end was.
    pub total: Duration,
}

/// What an answer was. Any status is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Where a redirection leads; it is not followed.
    pub location: Option<String>,
    /// Seconds of a `Retry-After`.
    pub retry_after: Option<u64>,
    /// The beginning of the body.
    pub body: Vec<u8>,
    /// Why the body ended before its end, if it did so.
    pub cut: Option<Failure>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// How long it took.
    pub times: Times,
    /// Whom it led to, as far as it came.
    pub address: Option<SocketAddr>,
    /// Until when the server's certificate is valid, in seconds since 1970.
    pub certificate_until: Option<u64>,
    /// The answer, or why there was none.
    pub outcome: Result<Reply, Failure>,
}

/// What was noted on the way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    pub(crate) resolved: Option<Instant>,
    pub(crate) connected: Option<Instant>,
    pub(crate) secured: Option<Instant>,
    pub(crate) first: Option<Instant>,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) certificate_until: Option<u64>,
    pub(crate) failure: Option<Failure>,
}

/// Where resolver and connection note it; ureq's own errors hold less.
#[derive(Debug)]
pub(crate) struct Log {
    marks: Mutex<Marks>,
    pub(crate) until: Instant,
}

impl Log {
    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Marks) -> T) -> T {
        change(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Keeps the failure; what is returned only ends the request.
    pub(crate) fn failed(&self, failure: Failure) -> ureq::Error {
        self.with(|marks| marks.failure = Some(failure));
        ureq::Error::ConnectionFailed
    }

    /// The failure that was noted, or else what ureq's error means.
    fn failure(&self, error: &ureq::Error) -> Failure {
        self.with(|marks| marks.failure.take()).unwrap_or_else(|| match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => Failure::new(Phase::Url, Cause::Address),
            ureq::Error::Timeout(_) => Failure::new(Phase::Http, Cause::TimedOut),
            ureq::Error::Io(error) => Failure::io(Phase::Http, error),
            // Its words may quote the address.
            _ => Failure::new(Phase::Http, Cause::Broken),
        })
    }
}

/// What is left until a moment.
pub(crate) fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Sends a request and reads the answer, once, following nothing.
pub fn visit(request: &Http, options: &Options<'_>) -> Visit {
    let begin = Instant::now();
    let log = Arc::new(Log { marks: Mutex::default(), until: begin + options.limit });
    let outcome = ask(request, options, &log);
    let marks = log.with(|marks| marks.clone());
    let span = |from: Option<Instant>, to: Option<Instant>| Some(to?.saturating_duration_since(from?));
    let ready = marks.secured.or(marks.connected);
    let times = Times {
        dns: span(Some(begin), marks.resolved),
        connect: span(marks.resolved.or(Some(begin)), marks.connected),
        tls: span(marks.connected, marks.secured),
        first_byte: span(ready, marks.first),
        total: begin.elapsed(),
    };
    Visit { times, address: marks.address, certificate_until: marks.certificate_until, outcome }
}

fn ask(request: &Http, options: &Options<'_>, log: &Arc<Log>) -> Result<Reply, Failure> {
    let (tls, own) = trust(options.own_roots)?;
    let agent = agent(options, Arc::new(tls), log);
    let mut builder = http::Request::builder().method(request.method).uri(&request.url);
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    let wrong = |_| Failure::new(Phase::Url, Cause::Address);
    let answered = if request.body.is_empty() {
        agent.run(builder.body(()).map_err(wrong)?)
    } else {
        agent.run(builder.body(request.body.clone()).map_err(wrong)?)
    };
    let mut response = answered.map_err(|error| {
        let mut failure = log.failure(&error);
        if failure.cause == Cause::UnknownIssuer && options.own_roots.is_some() && own == 0 {
            "the file of one's own certificates holds none (PEM)".clone_into(&mut failure.detail);
        }
        failure
    })?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let mut reply = Reply {
        status: response.status().as_u16(),
        location: header("location").map(str::to_owned),
        retry_after: header("retry-after").and_then(|value| value.trim().parse().ok()),
        ..Reply::default()
    };
    let read = response.body_mut().as_reader().take(options.largest).read_to_end(&mut reply.body);
    reply.cut = read.err().map(|error| {
        let noted = log.with(|marks| marks.failure.take());
        noted.unwrap_or_else(|| match error.kind() {
            // Too short for what its head had promised.
            std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::Other => {
                Failure::new(Phase::Http, Cause::Closed)
            }
            _ => Failure::io(Phase::Http, &error),
        })
    });
    Ok(reply)
}

fn agent(options: &Options<'_>, tls: Arc<ClientConfig>, log: &Arc<Log>) -> Agent {
    let config = Agent::config_builder()
        // A proxy is not for a box whose environment nobody sets.
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(options.limit))
        .ip_family(match options.family {
            None => IpFamily::Any,
            Some(Family::V4) => IpFamily::Ipv4Only,
            Some(Family::V6) => IpFamily::Ipv6Only,
        })
        .user_agent(options.agent)
        .build();
    let connector = Line { way: options.way.cloned(), tls, log: Arc::clone(log) };
    let names = Names {
        way: options.way.cloned(),
        servers: options.servers.to_vec(),
        family: options.family,
        log: Arc::clone(log),
        libc: DefaultResolver::default(),
    };
    Agent::with_parts(config, connector, names)
}

/// The public roots, Mozilla's, and those of one's own; what makes no sense among these is left out,
/// because the public ones must not suffer for it. The number is of those of one's own.
fn trust(own: Option<&[u8]>) -> Result<(ClientConfig, usize), Failure> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let own = CertificateDer::pem_slice_iter(own.unwrap_or_default());
    let (own, _) = roots.add_parsable_certificates(own.take(MOST_ROOTS).filter_map(Result::ok));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| Failure::tls(Phase::Tls, &error))?;
    Ok((builder.with_root_certificates(roots).with_no_client_auth(), own))
}
