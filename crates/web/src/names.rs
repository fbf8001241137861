//! Names to addresses: over the line that is asked where its name servers are known, else as libc does
//! it, by whatever line is in use.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom, SystemRandom};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::dns::{Message, Name, question};
use crate::failure::{Cause, Failure, Phase};
use crate::request::Family;
use crate::visit::{Log, left};
use crate::way::{Way, datagrams};

/// So long a name server is waited for; a lost datagram is asked for again.
const SERVER: Duration = Duration::from_secs(2);
/// Two are what resolv.conf usually has; each is asked twice within the limit of a request.
const MOST_SERVERS: usize = 2;
const ROUNDS: usize = 2;
/// An address is as good as the next; ureq keeps 16.
const MOST_ADDRESSES: usize = 8;

/// The resolver of one request.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) way: Option<Way>,
    pub(crate) servers: Vec<IpAddr>,
    pub(crate) family: Option<Family>,
    pub(crate) log: Arc<Log>,
    pub(crate) libc: DefaultResolver,
}

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let found = match (literal, &self.way) {
            (None, Some(way)) if !self.servers.is_empty() => {
                let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
                self.ask(host, way).map(|all| all.into_iter().map(|ip| SocketAddr::new(ip, port)).collect())
            }
            // libc's words for an address are the address.
            _ => self.libc.resolve(uri, config, timeout).map(|all| all.to_vec()).map_err(|e| libc(&e)),
        };
        if literal.is_none() {
            self.log.with(|marks| marks.resolved = Some(Instant::now()));
        }
        let found: Vec<SocketAddr> = found.map_err(|failure| self.log.failed(failure))?;
        let mut result = self.empty();
        for address in found.into_iter().take(MOST_ADDRESSES) {
            result.push(address);
        }
        Ok(result)
    }
}

impl Names {
    /// IPv4 first, IPv6 where there is none: half the questions, and every line has IPv4.
    fn ask(&self, host: &str, way: &Way) -> Result<Vec<IpAddr>, Failure> {
        let name = Name::parse(host).map_err(|_| Failure::new(Phase::Dns, Cause::NoSuchName))?;
        let families: &[Family] = match self.family {
            None => &Family::BOTH,
            Some(Family::V4) => &[Family::V4],
            Some(Family::V6) => &[Family::V6],
        };
        for family in families {
            let found = self.ask_all(&name, *family, way)?;
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Err(Failure::new(Phase::Dns, Cause::NoSuchName))
    }

    /// No addresses is an answer, too; an error is none.
    fn ask_all(&self, name: &Name, family: Family, way: &Way) -> Result<Vec<IpAddr>, Failure> {
        let mut worst = Failure::new(Phase::Dns, Cause::TimedOut);
        for _ in 0..ROUNDS {
            for server in self.servers.iter().take(MOST_SERVERS) {
                if left(self.log.until).is_zero() {
                    return Err(worst);
                }
                match ask_one(SocketAddr::new(*server, 53), name, family, way, self.log.until) {
                    Ok((0 | 3, found)) => return Ok(found),
                    Ok(_) => worst = Failure::new(Phase::Dns, Cause::NoNameServer),
                    // Silence of one says nothing of the other; what the system says of the line does.
                    Err(error) => {
                        let failure = Failure::io(Phase::Dns, &error);
                        if ![Cause::TimedOut, Cause::Refused].contains(&failure.cause) {
                            worst = failure;
                        }
                    }
                }
            }
        }
        Err(worst)
    }
}

/// A name server's answer code and the addresses in it.
fn ask_one(
    server: SocketAddr,
    name: &Name,
    family: Family,
    way: &Way,
    until: Instant,
) -> io::Result<(u8, Vec<IpAddr>)> {
    let mut id = [0; 2];
    // Without randomness the port still protects us.
    let _ = SystemRandom::new().fill(&mut id);
    let id = u16::from_be_bytes(id);
    let socket = datagrams(server, Some(way))?;
    socket.send(&question(id, name, family))?;
    let until = until.min(Instant::now() + SERVER);
    let mut buffer = [0; 4096];
    loop {
        let left = left(until);
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        let length = socket.recv(&mut buffer)?;
        // What is no answer to this may be a forgery; the true one may still come.
        if let Ok(message) = Message::parse(&buffer[..length], id, false) {
            return Ok((message.rcode, message.addresses(family)));
        }
    }
}

/// glibc's words, which std passes on (glibc, posix/gai_strerror-strs.h): `EAI_AGAIN` is all that is not
/// an answer.
fn libc(error: &ureq::Error) -> Failure {
    let cause = match error {
        ureq::Error::HostNotFound => Cause::NoSuchName,
        ureq::Error::Timeout(_) => Cause::TimedOut,
        ureq::Error::BadUri(_) => return Failure::new(Phase::Url, Cause::Address),
        ureq::Error::Io(error) if error.to_string().contains("Temporary failure") => Cause::NoNameServer,
        ureq::Error::Io(error) => {
            let words = error.to_string();
            let none =
                ["Name or service not known", "No address associated"].iter().any(|w| words.contains(w));
            if !none {
                return Failure::io(Phase::Dns, error);
            }
            Cause::NoSuchName
        }
        _ => Cause::System,
    };
    Failure::new(Phase::Dns, cause)
}
