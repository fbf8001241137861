//! A GET client with a deadline, and the internet's web server, which tells every visitor the
//! address it came from: that is how a scenario knows which way a page went.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};

/// Larger answers than any page of the lab or the appliance.
const LONGEST: u64 = 4 << 20;
/// How long the server waits for a visitor's request.
const PATIENCE: Duration = Duration::from_secs(5);

/// The parts of a plain `http://host[:port]/path`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Name or IPv4 address.
    pub host: String,
    /// Port, 80 when not named.
    pub port: u16,
    /// Path with its slash.
    pub path: String,
}

impl Url {
    /// Takes an address apart.
    ///
    /// # Errors
    /// When it is not plain HTTP.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = || Error::Unexpected(format!("{text}: not an http:// address"));
        let rest = text.strip_prefix("http://").ok_or_else(bad)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| bad())?),
            None => (authority, 80),
        };
        if host.is_empty() {
            return Err(bad());
        }
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { host: host.to_owned(), port, path: path.to_owned() })
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Body as text.
    pub body: String,
}

/// Fetches a page in the calling thread's namespace; `limit` is for the whole of it.
///
/// # Errors
/// When it cannot be fetched in time.
pub fn get(address: Ipv4Addr, url: &Url, limit: Duration) -> Result<Response> {
    let what = || format!("get http://{}:{}{}", url.host, url.port, url.path);
    let deadline = Instant::now() + limit;
    let mut stream =
        TcpStream::connect_timeout(&SocketAddr::from((address, url.port)), limit).context(what())?;
    let request = format!("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", url.path, url.host);
    stream.set_write_timeout(Some(limit)).context(what())?;
    stream.write_all(request.as_bytes()).context(what())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::Timeout { what: what(), limit });
        }
        stream.set_read_timeout(Some(left)).context(what())?;
        match stream.read(&mut chunk).context(what())? {
            0 => break,
            n => answer.extend(&chunk[..n]),
        }
        if answer.len() as u64 > LONGEST || complete(&answer) {
            break;
        }
    }
    parse(&answer).ok_or_else(|| Error::Unexpected(format!("{}: not an HTTP answer", what())))
}

/// Whether all of the body that `Content-Length` announces is there: a server that keeps the
/// connection open need not be waited for.
fn complete(answer: &[u8]) -> bool {
    let Some((head, body)) = split(answer) else { return false };
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .is_some_and(|length: usize| body.len() >= length)
}

fn parse(answer: &[u8]) -> Option<Response> {
    let (head, body) = split(answer)?;
    let mut words = head.lines().next()?.split(' ');
    words.next().filter(|word| word.starts_with("HTTP/1."))?;
    Some(Response { status: words.next()?.parse().ok()?, body: String::from_utf8_lossy(body).into_owned() })
}

fn split(answer: &[u8]) -> Option<(&str, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((std::str::from_utf8(&answer[..end]).ok()?, &answer[end + 4..]))
}

/// Serves pages from the calling thread's namespace until the process ends. Every page is one
/// line: `you come from <address>`.
///
/// # Errors
/// When the port cannot be taken.
pub fn serve(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address).context(format!("listen on {address}"))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A visitor who goes away in the middle is its own loss.
            thread::spawn(move || answer(stream));
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while split(&request).is_none() {
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            n => request.extend(&chunk[..n]),
        }
        if request.len() as u64 > LONGEST {
            return Ok(());
        }
    }
    let body = format!("you come from {}\n", stream.peer_addr()?.ip());
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_an_address_apart() {
        let url = Url::parse("http://10.77.0.2:9000").unwrap();
        assert_eq!(url, Url { host: "10.77.0.2".into(), port: 9000, path: "/".into() });
        assert!(Url::parse("https://web.test/").is_err());
        assert!(Url::parse("http://:80/").is_err());
    }

    #[test]
    fn server_tells_visitors_where_they_come_from() {
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        serve(address).unwrap();
        let url = Url::parse(&format!("http://{address}/")).unwrap();
        let response = get(Ipv4Addr::LOCALHOST, &url, Duration::from_secs(5)).unwrap();
        assert_eq!(response, Response { status: 200, body: "you come from 127.0.0.1\n".into() });
    }

    #[test]
    fn a_server_that_keeps_the_connection_is_not_waited_for() {
        assert!(complete(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
        assert!(!complete(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok"));
    }
}
