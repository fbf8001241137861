//! What goes over the wire and what an answer comes to, for all protocols alike.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use ::web::{Family, Http};

/// What is to be true: this name has this address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The name, without a dot at its end.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// For how long others may remember it, in seconds, where the protocol lets us say so.
    pub ttl: u32,
}

impl Order {
    /// The family of its address.
    pub fn family(&self) -> Family {
        Family::of(self.address)
    }
}

/// A request that has one answer. It may hold secrets, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Request {
    /// For a web service.
    Http(Http),
    /// A message for a name server, over TCP.
    Dns {
        /// The server's name or address.
        host: String,
        /// Its port.
        port: u16,
        /// The message, without the length before it.
        message: Vec<u8>,
    },
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http(http) => http.method,
            Self::Dns { .. } => "DNS",
        })
    }
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status; 0 for a name server.
    pub status: u16,
    /// Seconds of a `Retry-After`, if there is one.
    pub retry_after: Option<u64>,
    /// At most [`LARGEST_ANSWER`] bytes.
    pub body: Vec<u8>,
}

/// No service has more to say: ten record sets are some kilobytes. What is longer is cut here, and what
/// was cut is no whole document any more.
pub const LARGEST_ANSWER: u64 = 64 * 1024;

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send this, then say what came back.
    Ask(Request),
    /// It is over.
    Done(Verdict),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// The provider has it now.
    Changed {
        /// The address it has, which is not always the one that was meant: some take the sender's.
        address: IpAddr,
    },
    /// The provider had it before.
    Same {
        /// The same.
        address: IpAddr,
    },
    /// Not now.
    Later {
        /// In words, without secrets.
        why: String,
        /// Not before so many seconds have passed.
        at_least: u64,
    },
    /// Never again with this configuration.
    Stop {
        /// The protocol's own word.
        code: String,
        /// In words, with what to do; without secrets.
        why: String,
    },
}

/// Without a word of the service: the machine's own backoff is longer soon enough.
pub const SOON: Duration = Duration::from_secs(30);
/// Of a service that is in trouble itself (dyndns2's `911` and `dnserr` ask for it).
pub const IN_TROUBLE: Duration = Duration::from_secs(600);
/// Longer waits a service may ask for, but they are not believed: a wrong unit is likelier.
const LONGEST_WAIT: u64 = 24 * 3600;

impl Verdict {
    /// Not now.
    pub fn later(why: impl Into<String>, at_least: Duration) -> Self {
        Self::Later { why: why.into(), at_least: at_least.as_secs() }
    }

    /// Never again with this configuration.
    pub fn stop(code: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Stop { code: code.into(), why: why.into() }
    }
}

impl Answer {
    /// How long the service asks us to wait, at least `least`.
    pub fn wait(&self, least: Duration) -> Duration {
        least.max(Duration::from_secs(self.retry_after.unwrap_or(0).min(LONGEST_WAIT)))
    }

    /// The body as text, whatever is in it.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The judgement of a status that is the same for every service and is no answer to the question;
    /// `None` for those that each protocol judges itself (RFC 9110, 15).
    pub fn trouble(&self) -> Option<Verdict> {
        match self.status {
            300..=399 => Some(Verdict::later(
                format!(
                    "http status {}: redirected, which is not followed; a login page of the line, or the \
                     service has moved: check the address",
                    self.status
                ),
                self.wait(IN_TROUBLE),
            )),
            429 => Some(Verdict::later("http status 429: asked too often; waiting", self.wait(IN_TROUBLE))),
            // A bare 500 is a fault of the service, 502 to 504 one of what stands before it.
            500..=599 => Some(Verdict::later(
                format!("http status {}: the service is in trouble", self.status),
                self.wait(IN_TROUBLE),
            )),
            _ => None,
        }
    }
}

/// At most `most` printable characters of the first line of what a stranger said, for messages.
pub fn quote(said: &str, most: usize) -> String {
    let first = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    first.chars().filter(|c| !c.is_control()).take(most).collect()
}

/// So much of a service's words is shown.
pub const WORDS: usize = 120;

/// `text` as a part of a query (RFC 3986, 2.3).
pub fn percent(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_may_ask_for_a_day_and_for_no_more() {
        let answer = |retry_after| Answer { status: 429, retry_after, body: Vec::new() };
        assert_eq!(answer(None).wait(SOON), SOON);
        assert_eq!(answer(Some(900)).wait(SOON), Duration::from_secs(900));
        assert_eq!(answer(Some(u64::MAX)).wait(SOON), Duration::from_secs(LONGEST_WAIT));
    }

    #[test]
    fn a_strangers_words_are_one_short_line() {
        assert_eq!(quote("\r\n\n  a\u{7}b  \nmore", 10), "ab");
        assert_eq!(quote(&"x".repeat(500), 120).len(), 120);
    }

    #[test]
    fn a_redirect_is_never_an_answer() {
        for status in [301, 302, 307, 429, 500, 503] {
            let answer = Answer { status, ..Answer::default() };
            assert!(matches!(answer.trouble(), Some(Verdict::Later { .. })), "{status}");
        }
        assert_eq!(Answer { status: 200, ..Answer::default() }.trouble(), None);
    }

    #[test]
    fn what_is_no_letter_is_escaped() {
        assert_eq!(percent("a b&c=ü~"), "a%20b%26c%3D%C3%BC~");
    }
}
