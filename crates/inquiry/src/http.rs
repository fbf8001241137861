//! A request for a page whose answer is known, and the check of what came (RFC 9112): bytes only.

/// Enough of an answer to judge it by: status, headers of a login page, and the beginning of a body.
/// More is never read.
pub const LONGEST: usize = 4096;

/// What the bytes so far say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// More has to come.
    More,
    /// The page that was asked for.
    Right(u16),
    /// Another one: somebody else answers in its place.
    Wrong {
        /// Its status, if it has one.
        code: Option<u16>,
        /// In words.
        why: String,
    },
}

/// The request.
pub fn request(host: &str, path: &str) -> Vec<u8> {
    // Short on purpose: on a metered line each of them is paid for. And 1.0, to which nobody may answer
    // in chunks (RFC 9112, section 7.1): the body has to begin as the known page does.
    format!("GET {path} HTTP/1.0\r\nHost: {host}\r\nUser-Agent: failberry\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

/// Judges an answer; `over` says that the connection has ended, or that enough was read.
pub fn judge(bytes: &[u8], over: bool, status: u16, body: &str) -> Judged {
    let Some(line_end) = find(bytes, b"\n") else {
        let nonsense = !b"HTTP/1.".starts_with(&bytes[..bytes.len().min(7)]);
        return if over || nonsense { wrong(None, "what answers does not speak HTTP") } else { Judged::More };
    };
    let Some(code) = code(&bytes[..line_end]) else {
        return wrong(None, "what answers does not speak HTTP");
    };
    let end = find(bytes, b"\r\n\r\n");
    if code != status {
        // The headers tell where a login page wants us to go; that is worth waiting for.
        if (300..400).contains(&code) && end.is_none() && !over {
            return Judged::More;
        }
        return wrong(Some(code), &instead(code, &bytes[line_end..end.unwrap_or(bytes.len())]));
    }
    let content = end.map_or(&[][..], |end| &bytes[end + 4..]);
    if body.is_empty() || content.starts_with(body.as_bytes()) {
        return if end.is_some() || over { Judged::Right(code) } else { Judged::More };
    }
    if over || !body.as_bytes().starts_with(content) {
        return wrong(Some(code), "another page than the known one");
    }
    Judged::More
}

fn wrong(code: Option<u16>, why: &str) -> Judged {
    Judged::Wrong { code, why: why.to_owned() }
}

/// `HTTP/1.1 204 No Content`.
fn code(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let digits = std::str::from_utf8(rest.get(2..5)?).ok()?;
    digits.parse().ok().filter(|c| (100..600).contains(c))
}

fn instead(code: u16, headers: &[u8]) -> String {
    let text = String::from_utf8_lossy(headers);
    let location = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case("location").then(|| value.trim())
    });
    match location.and_then(host) {
        Some(host) => format!("{code}, sent on to {host}"),
        None => format!("{code} instead of the known page"),
    }
}

/// The host of a URL, cleaned: it comes from outside and goes into a log and a page.
fn host(url: &str) -> Option<String> {
    let rest = url.split_once("://")?.1;
    let host: String = rest
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']'))
        .take(80)
        .collect();
    (!host.is_empty()).then_some(host)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUCCESS: &[u8] = b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nsuccess\n";

    #[test]
    fn the_known_page_is_right_as_soon_as_its_beginning_is_there() {
        assert_eq!(judge(SUCCESS, false, 200, "success"), Judged::Right(200));
        assert_eq!(judge(b"HTTP/1.1 204 No Content\r\n\r\n", false, 204, ""), Judged::Right(204));
        for cut in 0..SUCCESS.len() - 1 {
            assert_eq!(judge(&SUCCESS[..cut], false, 200, "success"), Judged::More, "after {cut} bytes");
        }
    }

    #[test]
    fn nobody_is_allowed_to_answer_in_chunks() {
        assert!(request("web.test", "/x").starts_with(b"GET /x HTTP/1.0\r\nHost: web.test\r\n"));
    }

    #[test]
    fn a_redirect_names_where_it_leads() {
        let portal = b"HTTP/1.1 302 Found\r\nLocation: http://login.hotel.test/?x=1\r\n\r\n";
        let why = "302, sent on to login.hotel.test".to_owned();
        assert_eq!(judge(portal, false, 204, ""), Judged::Wrong { code: Some(302), why });
    }

    #[test]
    fn another_page_with_the_right_status_is_wrong() {
        let page = b"HTTP/1.1 200 OK\r\n\r\n<html>Your data volume is used up</html>";
        assert!(matches!(judge(page, false, 200, "success"), Judged::Wrong { code: Some(200), .. }));
        assert!(matches!(judge(b"HTTP/1.1 200 OK\r\n\r\nsucc", true, 200, "success"), Judged::Wrong { .. }));
    }

    #[test]
    fn what_is_not_http_is_wrong_at_once() {
        assert!(matches!(judge(b"SSH-2.0-x\r\n", false, 200, ""), Judged::Wrong { code: None, .. }));
        assert!(matches!(judge(b"220 smtp", false, 200, ""), Judged::Wrong { code: None, .. }));
        assert!(matches!(judge(b"HTTP", true, 200, ""), Judged::Wrong { code: None, .. }));
    }

    proptest! {
        #[test]
        fn no_bytes_from_outside_make_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..200), over in any::<bool>()) {
            let _ = judge(&tail, over, 200, "success");
            let _ = judge(&[b"HTTP/1.1 302\r\nLocation:".as_slice(), &tail].concat(), over, 204, "");
        }
    }
}
