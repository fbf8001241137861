//! Requests to web services by ureq and rustls, over one line where that matters. Blocks, and is
//! therefore only used by the child.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use ureq::config::IpFamily;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, RustlsConnector, Transport,
};
use ureq::{Agent, http};

use crate::socket::{Way, connect};
use crate::talk::{Answer, Family, Http, LARGEST_ANSWER};

/// From name resolution to the end of an answer. A name is to follow within 15 s of a failover, so a
/// second try must have its place in the minute after it.
const LIMIT: Duration = Duration::from_secs(20);
/// Until there is a connection, for each address.
const CONNECT: Duration = Duration::from_secs(6);
/// Certificates of one's own, trusted where the public ones are not enough.
pub const OWN_ROOTS: &str = "/data/failberry/dyndns/ca.pem";

/// Sends one off and reads the answer, as far as anybody wants to know it.
///
/// # Errors
/// In words, with what to do.
pub fn ask(
    request: &Http,
    way: Option<&Way>,
    family: Option<Family>,
    own_roots: Option<&[u8]>,
) -> Result<Answer, String> {
    let first = attempt(request, way, family, RootCerts::WebPki);
    let result = match (first, own_roots) {
        (Err(error), Some(pem)) if text(&error).contains("UnknownIssuer") => {
            let own = certificates(pem)?;
            attempt(request, way, family, RootCerts::new_with_certs(&own))
        }
        (result, _) => result,
    };
    result.map_err(|error| words(&error))
}

fn attempt(
    request: &Http,
    way: Option<&Way>,
    family: Option<Family>,
    roots: RootCerts,
) -> Result<Answer, ureq::Error> {
    let tls = TlsConfig::builder().provider(TlsProvider::Rustls).root_certs(roots).build();
    let config = Agent::config_builder()
        .tls_config(tls)
        // A proxy is not for a box whose environment nobody sets.
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .timeout_global(Some(LIMIT))
        .ip_family(match family {
            None => IpFamily::Any,
            Some(Family::V4) => IpFamily::Ipv4Only,
            Some(Family::V6) => IpFamily::Ipv6Only,
        })
        .user_agent(concat!("failberry-dyndns/", env!("CARGO_PKG_VERSION")))
        .build();
    let connector = ().chain(Line { way: way.cloned() }).chain(RustlsConnector::default());
    let agent = Agent::with_parts(config, connector, DefaultResolver::default());
    let mut builder = http::Request::builder().method(request.method).uri(&request.url);
    for (name, value) in &request.headers {
        builder = builder.header(*name, value);
    }
    let mut response = if request.body.is_empty() {
        agent.run(builder.body(())?)?
    } else {
        agent.run(builder.body(request.body.clone())?)?
    };
    let status = response.status().as_u16();
    let header = response.headers().get("retry-after");
    let retry_after = header.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let mut body = Vec::new();
    // Half an answer is judged as what it is; the status alone may do.
    let _ = response.body_mut().as_reader().take(LARGEST_ANSWER).read_to_end(&mut body);
    Ok(Answer { status, retry_after, body })
}

fn certificates(pem: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let own = |item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(format!("read {OWN_ROOTS}: {error}"))),
    };
    parse_pem(pem).filter_map(own).collect()
}

/// An error's words; rustls comes wrapped in errors of reading and writing.
fn text(error: &ureq::Error) -> String {
    format!("{error} {error:?}")
}

fn words(error: &ureq::Error) -> String {
    let text = text(error);
    let tls = [
        (
            "UnknownIssuer",
            "tls: the certificate is of an unknown issuer; put the issuer's into /data/failberry/dyndns/ca.pem if it is yours",
        ),
        ("NotValidYet", "tls: the certificate is not valid yet by this clock; waiting for the right time"),
        ("Expired", "tls: the certificate has expired, or this clock is wrong"),
        ("NotValidForName", "tls: the certificate is for another name; a login page of the line?"),
    ];
    if let Some((_, words)) = tls.iter().find(|(mark, _)| text.contains(mark)) {
        return (*words).to_owned();
    }
    match error {
        ureq::Error::HostNotFound => "the service's name cannot be resolved".to_owned(),
        ureq::Error::Timeout(phase) => format!("no answer in time ({phase})"),
        ureq::Error::Io(error) => error.to_string(),
        // Others may quote the address, which may hold a proof.
        _ => "the service's answer is no http".to_owned(),
    }
}

/// Opens connections that leave by one line.
#[derive(Debug)]
struct Line {
    way: Option<Way>,
}

impl Connector<()> for Line {
    type Out = Socket;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Socket>, ureq::Error> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        // Two addresses are what fits into the time.
        for address in details.addrs.iter().take(2) {
            match connect(*address, self.way.as_ref(), CONNECT) {
                Ok(stream) => {
                    let sizes = (details.config.input_buffer_size(), details.config.output_buffer_size());
                    return Ok(Some(Socket { stream, buffers: LazyBuffers::new(sizes.0, sizes.1) }));
                }
                Err(error) => last = error,
            }
        }
        Err(last.into())
    }
}

#[derive(Debug)]
struct Socket {
    stream: TcpStream,
    buffers: LazyBuffers,
}

/// What is left of the time, at least a moment: zero would mean for ever.
fn left(timeout: NextTimeout) -> Duration {
    timeout.not_zero().map_or(LIMIT, |left| (*left).clamp(Duration::from_millis(1), LIMIT))
}

fn late(timeout: NextTimeout, error: io::Error) -> ureq::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}

impl Transport for Socket {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.set_write_timeout(Some(left(timeout)))?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| late(timeout, error))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.set_read_timeout(Some(left(timeout)))?;
        let read = self.stream.read(self.buffers.input_append_buf()).map_err(|error| late(timeout, error))?;
        self.buffers.input_appended(read);
        Ok(read > 0)
    }

    /// One request for each connection: the next may leave by another line.
    fn is_open(&mut self) -> bool {
        false
    }
}
