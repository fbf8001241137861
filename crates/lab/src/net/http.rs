//! A GET client with a deadline, and a small web server for the internet's pages.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

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
    announced(head).is_some_and(|length| body.len() >= length)
}

/// The length of the body that a head announces (RFC 9110 section 8.6).
fn announced(head: &str) -> Option<usize> {
    let fields = head.lines().filter_map(|line| line.split_once(':'));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    lengths.next().and_then(|(_, value)| value.trim().parse().ok())
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

/// What a visitor asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The host it names.
    pub host: String,
    /// Path with query.
    pub path: String,
    /// First byte wanted, of a page that is asked for in part (RFC 9110 section 14.2).
    pub range: Option<u64>,
    /// The visitor's address.
    pub from: IpAddr,
    /// What it sent along.
    pub body: String,
}

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Where to go instead.
    pub location: Option<String>,
    /// What it says.
    pub body: Vec<u8>,
    /// Bytes a second at most; 0 for all at once.
    pub rate: u64,
}

impl Reply {
    /// A short text.
    pub fn text(status: u16, body: &str) -> Self {
        Self { status, location: None, body: body.as_bytes().to_vec(), rate: 0 }
    }
}

/// A long page that comes slowly: `bytes=N&rate=BYTES-A-SECOND`.
pub fn large(query: &str) -> Reply {
    let number = |key: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(name, _)| *name == key).find_map(|(_, value)| value.parse::<u64>().ok())
    };
    let length = number("bytes").unwrap_or_default().min(LONGEST);
    let body = (0..length).map(large_byte).collect();
    Reply { status: 200, location: None, body, rate: number("rate").unwrap_or_default() }
}

/// What stands at each place of [`large`]: a part in the wrong place shows.
pub fn large_byte(at: u64) -> u8 {
    // 251 is prime: no power of two repeats the pattern.
    u8::try_from(at % 251).unwrap_or_default()
}

/// Serves pages from the calling thread's namespace until the process ends.
///
/// # Errors
/// When the port cannot be taken.
pub fn serve(address: SocketAddr, page: impl Fn(&Request) -> Reply + Clone + Send + 'static) -> Result<()> {
    let listener = TcpListener::bind(address).context(format!("listen on {address}"))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let page = page.clone();
            // A visitor who goes away in the middle is its own loss.
            thread::spawn(move || answer(stream, page));
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream, page: impl Fn(&Request) -> Reply) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut said = Vec::new();
    let mut chunk = [0; 1024];
    while split(&said).is_none() {
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            n => said.extend(&chunk[..n]),
        }
        if said.len() as u64 > LONGEST {
            return Ok(());
        }
    }
    // What was sent along is taken in, or closing would reset the connection before the answer is read.
    let length = split(&said).and_then(|(head, _)| announced(head)).unwrap_or_default();
    while split(&said).is_some_and(|(_, body)| body.len() < length) && (said.len() as u64) < LONGEST {
        match stream.read(&mut chunk)? {
            0 => break,
            n => said.extend(&chunk[..n]),
        }
    }
    let Some(request) = split(&said).and_then(|(head, body)| asked(head, body, stream.peer_addr().ok()?))
    else {
        return stream.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
    };
    let reply = page(&request);
    let first = request.range.filter(|first| *first < reply.body.len() as u64);
    let body = &reply.body[usize::try_from(first.unwrap_or_default()).unwrap_or_default()..];
    stream.write_all(head(&reply, first, body.len()).as_bytes())?;
    pour(&mut stream, body, reply.rate)
}

fn head(reply: &Reply, first: Option<u64>, length: usize) -> String {
    let status = if first.is_some() { 206 } else { reply.status };
    // Who has a clock tells the time (RFC 9110 section 6.6.1).
    let date = httpdate::fmt_http_date(SystemTime::now());
    let mut head =
        format!("HTTP/1.1 {status} x\r\nDate: {date}\r\nContent-Type: text/plain\r\nConnection: close\r\n");
    if let Some(location) = &reply.location {
        let _ = write!(head, "Location: {location}\r\n");
    }
    if let Some(first) = first {
        let whole = reply.body.len();
        let _ = write!(head, "Content-Range: bytes {first}-{}/{whole}\r\n", whole - 1);
    }
    // RFC 9110 section 8.6: none with 204.
    if status != 204 {
        let _ = write!(head, "Content-Length: {length}\r\n");
    }
    head + "\r\n"
}

/// Parts of a page that comes slowly go out this often a second.
const PARTS: u64 = 20;

fn pour(stream: &mut TcpStream, body: &[u8], rate: u64) -> io::Result<()> {
    if rate == 0 {
        return stream.write_all(body);
    }
    for part in body.chunks(usize::try_from(rate / PARTS).unwrap_or(1).max(1)) {
        stream.write_all(part)?;
        thread::sleep(Duration::from_secs(1) / u32::try_from(PARTS).unwrap_or(1));
    }
    Ok(())
}

fn asked(head: &str, body: &[u8], from: SocketAddr) -> Option<Request> {
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let headers: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
    let header = |wanted: &str| {
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let range =
        header("range").and_then(|value| value.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let host = header("host").unwrap_or_default().to_owned();
    let body = String::from_utf8_lossy(body).into_owned();
    Some(Request { host, path, range, from: from.ip().to_canonical(), body })
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
        serve(address, |request| Reply::text(200, &format!("you come from {}\n", request.from))).unwrap();
        let url = Url::parse(&format!("http://{address}/")).unwrap();
        let response = get(Ipv4Addr::LOCALHOST, &url, Duration::from_secs(5)).unwrap();
        assert_eq!(response, Response { status: 200, body: "you come from 127.0.0.1\n".into() });
    }

    #[test]
    fn a_message_is_taken_in_before_it_is_answered() {
        let probe = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        serve(address, |_| Reply::text(200, "taken")).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let body = vec![b'x'; 300_000];
        let head = format!("POST /alert HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("taken"), "{answer}");
    }

    #[test]
    fn a_server_that_keeps_the_connection_is_not_waited_for() {
        assert!(complete(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
        assert!(!complete(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok"));
    }
}
