//! One question to a name server and its answer (RFC 1035 section 4): bytes, and the one loop that
//! reads them.

use crate::Random;
use link_health::Family;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

/// Where name servers are (RFC 1035 section 4.2).
pub const PORT: u16 = 53;
/// Without EDNS no answer over UDP is longer (RFC 1035 section 2.3.4).
pub const LONGEST: usize = 512;
const HEADER: usize = 12;
/// `QR` in the third byte of the header: an answer.
const ANSWER: u8 = 0x80;
/// `RD`: please resolve for us.
const RECURSION_DESIRED: u8 = 0x01;
const CLASS_IN: u16 = 1;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;
/// A chain of aliases is this long at most in what we follow; more is a loop or a joke.
const RECORDS: usize = 32;

/// RFC 1035 section 4.1.1: an answer.
pub const NOERROR: u16 = 0;
/// The same: there is no such name.
pub const NXDOMAIN: u16 = 3;

/// A question that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    id: u16,
    bytes: Vec<u8>,
    kind: u16,
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// `RCODE`.
    pub code: u16,
    /// The addresses in it.
    pub addresses: Vec<IpAddr>,
    /// How long they hold: the shortest of all records.
    pub lifetime: Duration,
}

impl Question {
    /// Asks for a name's addresses; none if the name cannot be one.
    pub fn new(id: u16, name: &str, family: Family) -> Option<Self> {
        let kind = if family == Family::V4 { TYPE_A } else { TYPE_AAAA };
        let mut bytes = id.to_be_bytes().to_vec();
        bytes.extend([RECURSION_DESIRED, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        for label in name.trim_end_matches('.').split('.') {
            let length = u8::try_from(label.len()).ok().filter(|l| (1..=63).contains(l))?;
            bytes.push(length);
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        (bytes.len() <= HEADER + 255 + 4).then_some(Self { id, bytes, kind })
    }

    /// The same with an identifier nobody guesses.
    ///
    /// # Errors
    /// If the name cannot be one.
    pub fn draw(random: &mut Random, name: &str, family: Family) -> Result<Self, String> {
        let [a, b, ..] = random.draw().to_ne_bytes();
        Self::new(u16::from_ne_bytes([a, b]), name, family).ok_or_else(|| format!("{name}: not a name"))
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Reads an answer. None if it is not one to this question: another identifier, another name.
    pub fn answer(&self, bytes: &[u8]) -> Option<Answer> {
        let header = bytes.get(..HEADER)?;
        let asked = self.bytes.get(HEADER..)?;
        let ours = header[..2] == self.id.to_be_bytes()
            && header[2] & ANSWER != 0
            && header[4..6] == [0, 1]
            && bytes.get(HEADER..HEADER + asked.len())?.eq_ignore_ascii_case(asked);
        ours.then_some(())?;
        let mut answer = Answer { code: u16::from(header[3] & 0x0f), ..Answer::default() };
        // A torn record list is what some routers make of a long answer: what was readable counts.
        let _ = self.records(bytes, HEADER + asked.len(), &mut answer);
        Some(answer)
    }

    fn records(&self, bytes: &[u8], mut at: usize, answer: &mut Answer) -> Option<()> {
        let count = usize::from(be16(bytes, 6)?).min(RECORDS);
        let mut lifetime = u32::MAX;
        for _ in 0..count {
            at = behind_name(bytes, at)?;
            let (kind, class) = (be16(bytes, at)?, be16(bytes, at + 2)?);
            let ttl = u32::from(be16(bytes, at + 4)?) << 16 | u32::from(be16(bytes, at + 6)?);
            let length = usize::from(be16(bytes, at + 8)?);
            let data = bytes.get(at + 10..at + 10 + length)?;
            at += 10 + length;
            if class != CLASS_IN {
                continue;
            }
            lifetime = lifetime.min(ttl);
            if kind == self.kind {
                answer.addresses.extend(address(data));
                answer.lifetime = Duration::from_secs(lifetime.into());
            }
        }
        Some(())
    }
}

/// Reads what has come to a non-blocking socket, until there is an answer to the question; gives its
/// length, too. What is not one is passed over: anybody may send it.
///
/// # Errors
/// What somebody on the way said.
pub fn receive(socket: &UdpSocket, question: &Question) -> io::Result<Option<(Answer, usize)>> {
    /// A flood of wrong answers must not hold the loop.
    const DATAGRAMS: usize = 8;
    let mut buffer = [0; LONGEST];
    for _ in 0..DATAGRAMS {
        match socket.recv(&mut buffer) {
            Ok(length) => {
                if let Some(answer) = question.answer(&buffer[..length]) {
                    return Ok(Some((answer, length)));
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn address(data: &[u8]) -> Option<IpAddr> {
    match data.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(data).ok()?).into()),
        _ => None,
    }
}

/// The position behind a name, which is never followed into a pointer.
fn behind_name(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match *bytes.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            0xc0.. => return Some(at + 2),
            _ => return None,
        }
    }
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// An `RCODE` in words (RFC 1035 section 4.1.1).
pub fn words(code: u16) -> &'static str {
    match code {
        NOERROR => "answered",
        1 => "format error",
        2 => "server failure (SERVFAIL)",
        NXDOMAIN => "no such name (NXDOMAIN)",
        5 => "refused (REFUSED)",
        _ => "an error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn question() -> Question {
        Question::new(0xbeef, "web.test", Family::V4).unwrap()
    }

    fn answer(records: &[&[u8]], code: u8) -> Vec<u8> {
        let mut bytes = question().bytes().to_vec();
        bytes[2] |= ANSWER;
        bytes[3] = 0x80 | code;
        bytes[7] = u8::try_from(records.len()).unwrap();
        bytes.extend(records.concat());
        bytes
    }

    const ALIAS: &[u8] = b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x06\x03www\xc0\x0c";
    const ADDRESS: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc0\0\x02\x50";

    #[test]
    fn an_address_behind_an_alias_is_found_with_the_shorter_lifetime() {
        let read = question().answer(&answer(&[ALIAS, ADDRESS], 0)).unwrap();
        assert_eq!(read.addresses, ["192.0.2.80".parse::<IpAddr>().unwrap()]);
        assert_eq!(read.lifetime, Duration::from_secs(60));
    }

    #[test]
    fn an_answer_to_another_question_is_none() {
        let mut spoofed = answer(&[ADDRESS], 0);
        spoofed[1] ^= 1;
        assert_eq!(question().answer(&spoofed), None);
        let other = Question::new(0xbeef, "web.west", Family::V4).unwrap();
        assert_eq!(other.answer(&answer(&[ADDRESS], 0)), None);
        assert_eq!(question().answer(question().bytes()), None, "our own question come back");
    }

    #[test]
    fn a_failure_is_read_as_its_code() {
        assert_eq!(question().answer(&answer(&[], 2)).unwrap().code, 2);
        assert!(question().answer(&answer(&[], 3)).unwrap().addresses.is_empty());
    }

    #[test]
    fn what_cannot_be_a_name_is_not_asked() {
        for name in ["", "a..b", &"x".repeat(64), &"abc.".repeat(80)] {
            assert_eq!(Question::new(1, name, Family::V4), None, "{name}");
        }
        assert!(Question::new(1, "example.com.", Family::V6).is_some());
    }

    proptest! {
        #[test]
        fn no_bytes_from_outside_make_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..80), count in any::<u8>()) {
            let mut bytes = answer(&[], 0);
            bytes[7] = count;
            bytes.extend(tail);
            let _ = question().answer(&bytes);
        }
    }
}
