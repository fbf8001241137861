//! The request parser: pure and strict (RFC 9112), because what two parties read differently, an
//! attacker reads to his advantage.

/// Longest request head we look at, in bytes. Route 53's checkers and browsers stay far below.
pub const MAX_HEAD: usize = 4096;
/// Most header lines in a head; more are a game.
const MAX_HEADERS: usize = 64;

/// What is asked to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Head and body.
    Get,
    /// Head alone.
    Head,
    /// Another method of RFC 9110 (or PATCH, RFC 5789), which is allowed nowhere here: 405.
    Other,
    /// A word that is no method we know: 501 (RFC 9110, 9.1).
    Unknown,
}

/// A complete, valid request head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'b> {
    /// What is asked to be done.
    pub method: Method,
    /// Path with its leading slash, without the query; percent-encoding untouched.
    pub path: &'b str,
    /// Whether the client expects the connection to stay open.
    pub keep_alive: bool,
    /// Whether a body follows, which we would not read.
    pub body: bool,
}

/// What the bytes so far amount to.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'b> {
    /// Nothing wrong yet, and not complete.
    Partial,
    /// A request, and how many bytes its head has.
    Complete(Request<'b>, usize),
    /// No request we can answer, and the status that says so: 400, 414, 431 or 505.
    Invalid(u16),
}

/// Parses the head of a request from the start of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    // RFC 9112, 2.2: at least one empty line before the request line is to be ignored.
    let skipped = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let rest = &bytes[skipped..];
    let Some(end) = rest.windows(4).position(|w| w == b"\r\n\r\n") else {
        return if bytes.len() >= MAX_HEAD { Parsed::Invalid(too_long(rest)) } else { early(rest) };
    };
    let length = skipped + end + 4;
    if length > MAX_HEAD {
        return Parsed::Invalid(431);
    }
    match head(&rest[..end]) {
        Ok(request) => Parsed::Complete(request, length),
        Err(status) => Parsed::Invalid(status),
    }
}

/// What is too long: a request line without an end means its target (RFC 9110, 15.5.15), else the header.
fn too_long(bytes: &[u8]) -> u16 {
    match bytes.first() {
        Some(first) if !is_token(*first) => 400,
        _ if bytes.windows(2).any(|pair| pair == b"\r\n") => 431,
        _ => 414,
    }
}

/// Refuses at the first byte what cannot become a request: other protocols knock here, too.
fn early(bytes: &[u8]) -> Parsed<'_> {
    match bytes.first() {
        Some(b) if !is_token(*b) && *b != b'\r' => Parsed::Invalid(400),
        _ => Parsed::Partial,
    }
}

fn head(bytes: &[u8]) -> Result<Request<'_>, u16> {
    let mut lines = Lines(Some(bytes));
    let (method, path, minor) = request_line(lines.next().ok_or(400_u16)?)?;
    let mut fields = Fields::default();
    for (count, line) in lines.enumerate() {
        if count >= MAX_HEADERS {
            return Err(431);
        }
        fields.take(line)?;
    }
    // RFC 9112, 3.2: exactly one Host in HTTP/1.1.
    if fields.hosts > 1 || (minor >= 1 && fields.hosts == 0) {
        return Err(400);
    }
    // RFC 9112, 9.3: persistent from 1.1 on unless closed; before that only when asked for.
    let keep_alive = !fields.close && (minor >= 1 || fields.keep_alive);
    Ok(Request { method, path, keep_alive, body: fields.body })
}

fn request_line(line: &[u8]) -> Result<(Method, &str, u8), u16> {
    let line = std::str::from_utf8(line).map_err(|_| 400_u16)?;
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(400);
    };
    if method.is_empty() || !method.bytes().all(is_token) || !target.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(400);
    }
    let minor = match version.as_bytes() {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'0'..=b'9'] => minor - b'0',
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => return Err(505),
        _ => return Err(400),
    };
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" | "PUT" | "DELETE" | "CONNECT" | "OPTIONS" | "TRACE" | "PATCH" => Method::Other,
        _ => Method::Unknown,
    };
    Ok((method, path(target, method)?, minor))
}

/// The path of a target in origin form (`/x`) or absolute form (`http://host/x`); RFC 9112, 3.2.
fn path(target: &str, method: Method) -> Result<&str, u16> {
    let local = match target.strip_prefix("http://") {
        Some(rest) => rest.find(['/', '?']).map_or("/", |at| &rest[at..]),
        None => target,
    };
    let path = local.split('?').next().unwrap_or_default();
    match path {
        "" => Ok("/"),
        _ if path.starts_with('/') => Ok(path),
        // OPTIONS * and CONNECT host:port are well-formed, and refused by their method.
        _ if matches!(method, Method::Other | Method::Unknown) => Ok("/"),
        _ => Err(400),
    }
}

/// What of the header matters to us.
#[derive(Default)]
struct Fields {
    hosts: usize,
    close: bool,
    keep_alive: bool,
    body: bool,
}

impl Fields {
    fn take(&mut self, line: &[u8]) -> Result<(), u16> {
        // A line that begins with a space continues the one before (obs-fold): not in our days.
        let colon = line.iter().position(|b| *b == b':').ok_or(400_u16)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let clean = value.iter().all(|b| *b == b'\t' || (*b >= b' ' && *b != 0x7f));
        if name.is_empty() || !name.iter().all(|b| is_token(*b)) || !clean {
            return Err(400);
        }
        if name.eq_ignore_ascii_case(b"host") {
            // RFC 9112, 3.2: an invalid value is refused, an empty one is none (RFC 3986, 3.2.2).
            if !value.iter().all(|b| b.is_ascii_graphic() && !b"/?#@\\<>\"{}|^`".contains(b)) {
                return Err(400);
            }
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"connection") {
            for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
                return Err(400);
            }
            self.body |= value.iter().any(|b| *b != b'0');
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.body = true;
        }
        Ok(())
    }
}

/// Lines between CRLFs. A lone CR or LF stays inside its line, where it is refused.
struct Lines<'b>(Option<&'b [u8]>);

impl<'b> Iterator for Lines<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        let bytes = self.0?;
        if let Some(at) = bytes.windows(2).position(|w| w == b"\r\n") {
            self.0 = Some(&bytes[at + 2..]);
            Some(&bytes[..at])
        } else {
            self.0 = None;
            Some(bytes)
        }
    }
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn complete(text: &str) -> Request<'_> {
        match parse(text.as_bytes()) {
            Parsed::Complete(request, length) => {
                assert_eq!(length, text.len());
                request
            }
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn reads_what_a_route_53_health_checker_sends() {
        let request = complete(
            "GET / HTTP/1.1\r\nHost: 203.0.113.7:9000\r\nConnection: close\r\nUser-Agent: \
             Amazon-Route53-Health-Check-Service (ref 0; report http://amzn.to/1vsZADi)\r\nAccept: */*\r\n\r\n",
        );
        assert_eq!(request, Request { method: Method::Get, path: "/", keep_alive: false, body: false });
    }

    #[test]
    fn persistence_follows_version_and_connection() {
        assert!(!complete("GET / HTTP/1.0\r\n\r\n").keep_alive);
        assert!(complete("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive);
        assert!(complete("GET / HTTP/1.1\r\nHost: a\r\n\r\n").keep_alive);
        assert!(!complete("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n").keep_alive);
    }

    #[test]
    fn the_path_is_cut_from_query_and_authority() {
        for (target, path) in
            [("/a?b=c", "/a"), ("http://h/x?y", "/x"), ("http://h", "/"), ("http://h?q", "/"), ("/", "/")]
        {
            assert_eq!(complete(&format!("HEAD {target} HTTP/1.0\r\n\r\n")).path, path, "{target}");
        }
    }

    #[test]
    fn a_body_is_noticed() {
        assert!(complete("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\n").body);
        assert!(complete("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").body);
        assert!(!complete("GET / HTTP/1.0\r\nContent-Length: 0\r\n\r\n").body);
    }

    #[test]
    fn refuses_what_is_not_http() {
        for (bytes, status) in [
            ("GET /\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400),
            ("GET /\0 HTTP/1.0\r\n\r\n", 400),
            ("GET\t/\tHTTP/1.0\r\n\r\n", 400),
            ("GET / HTTP/1.10\r\n\r\n", 400),
            ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
            ("G(T / HTTP/1.0\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: a\n\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400),
            ("GET x HTTP/1.0\r\n\r\n", 400),
            ("GET /\u{e9} HTTP/1.0\r\n\r\n", 400),
            ("GET / HTTP/1.0\r\nContent-Length: -1\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\n\r\n", 505),
            ("\u{16}\u{3}\u{1}", 400),
        ] {
            assert_eq!(parse(bytes.as_bytes()), Parsed::Invalid(status), "{bytes:?}");
        }
    }

    #[test]
    fn a_head_has_a_bound() {
        let long = format!("GET / HTTP/1.0\r\nX: {}", "x".repeat(MAX_HEAD));
        assert_eq!(parse(long.as_bytes()), Parsed::Invalid(431));
        let target = format!("GET /{}", "x".repeat(MAX_HEAD));
        assert_eq!(parse(target.as_bytes()), Parsed::Invalid(414));
        let many = format!("GET / HTTP/1.0\r\n{}\r\n", "X: y\r\n".repeat(MAX_HEADERS + 1));
        assert_eq!(parse(many.as_bytes()), Parsed::Invalid(431));
    }

    #[test]
    fn every_prefix_of_a_request_is_partial() {
        let text = "\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n";
        for end in 0..text.len() {
            assert_eq!(parse(&text.as_bytes()[..end]), Parsed::Partial, "{end}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..5000)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn likely_bytes_never_panic_and_lengths_are_true(text in "(GET|POST|\r\n| |/|http://|HTTP/1.[019]|Host:|:|\t|a|é){0,40}(\r\n\r\n)?") {
            if let Parsed::Complete(request, length) = parse(text.as_bytes()) {
                prop_assert!(length <= text.len() && request.path.starts_with('/'));
                prop_assert!(text.as_bytes()[..length].ends_with(b"\r\n\r\n"));
                // The same head says the same whatever follows, and nothing less of it is a request.
                prop_assert_eq!(parse(&text.as_bytes()[..length]), Parsed::Complete(request, length));
                prop_assert!(!matches!(parse(&text.as_bytes()[..length - 1]), Parsed::Complete(..)));
            }
        }
    }
}
