//! As much of the DNS's wire format (RFC 1035, 4) as an update and a question take; bounded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::request::Family;

/// Longest name on the wire, longest label (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 255;
const LONGEST_LABEL: usize = 63;
/// Length of a header.
const HEADER: usize = 12;
/// A name has at most 127 labels; who points more often than that runs in a circle.
const MOST_POINTERS: usize = 16;
/// Records of an answer that are read; an update's answer has two, a question's some.
const MOST_RECORDS: usize = 64;

/// Type of a zone's head (these numbers: IANA's registry of DNS parameters).
pub const SOA: u16 = 6;
/// Type of a signature.
pub const TSIG: u16 = 250;
const IN: u16 = 1;
/// Class of a deletion (RFC 2136, 2.5.2) and of a signature (RFC 8945, 4.2).
pub const ANY: u16 = 255;
/// Opcode UPDATE in its place (RFC 2136, 2.2).
const UPDATE: u16 = 5 << 11;
/// Recursion desired.
const RECURSE: u16 = 1 << 8;
/// The bit of an answer.
const RESPONSE: u16 = 1 << 15;
/// The opcode's bits.
const OPCODE: u16 = 0xf << 11;

/// A message that cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// It ends within a field.
    #[error("the message is cut off")]
    Short,
    /// A name that none can be, or that points in a circle.
    #[error("the message holds an impossible name")]
    Name,
    /// An answer to something else.
    #[error("the message is no answer to ours")]
    Foreign,
    /// More records than anybody asked for.
    #[error("the message holds more than {MOST_RECORDS} records")]
    Many,
}

/// A name as it goes on the wire, in lower case, which is also its canonical form (RFC 4034, 6.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Vec<u8>);

impl Name {
    /// From its text; a dot at the end makes no difference.
    ///
    /// # Errors
    /// If it has an empty or too long label, a character that is no host's or key's, or is too long.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        let mut wire = Vec::new();
        for label in text.strip_suffix('.').unwrap_or(text).split('.') {
            let sound = (1..=LONGEST_LABEL).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_*".contains(&b));
            if !sound {
                return Err(WireError::Name);
            }
            wire.push(u8::try_from(label.len()).map_err(|_| WireError::Name)?);
            wire.extend(label.bytes().map(|b| b.to_ascii_lowercase()));
        }
        wire.push(0);
        if wire.len() > LONGEST_NAME { Err(WireError::Name) } else { Ok(Self(wire)) }
    }

    /// On the wire.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }
}

/// The number of an address's record type.
fn kind(family: Family) -> u16 {
    match family {
        Family::V4 => 1,
        Family::V6 => 28,
    }
}

fn put(out: &mut Vec<u8>, words: &[u16]) {
    out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
}

/// A question for the addresses of `name`.
pub fn question(id: u16, name: &Name, family: Family) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, &[id, RECURSE, 1, 0, 0, 0]);
    out.extend(name.wire());
    put(&mut out, &[kind(family), IN]);
    out
}

/// An update that makes `address` the one of its family that `name` has: all of that type are deleted
/// and one is added, in one step (RFC 2136, 2.5 and 3.4.2.7).
pub fn update(id: u16, zone: &Name, name: &Name, address: IpAddr, ttl: u32) -> Vec<u8> {
    let kind = kind(Family::of(address));
    let mut out = Vec::new();
    put(&mut out, &[id, UPDATE, 1, 0, 2, 0]);
    out.extend(zone.wire());
    put(&mut out, &[SOA, IN]);
    out.extend(name.wire());
    put(&mut out, &[kind, ANY, 0, 0, 0]);
    out.extend(name.wire());
    put(&mut out, &[kind, IN]);
    out.extend(ttl.to_be_bytes());
    match address {
        IpAddr::V4(address) => {
            put(&mut out, &[4]);
            out.extend(address.octets());
        }
        IpAddr::V6(address) => {
            put(&mut out, &[16]);
            out.extend(address.octets());
        }
    }
    out
}

/// A record of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<'a> {
    /// Where it begins in the message.
    pub at: usize,
    /// Whose it is, in canonical form.
    pub owner: Vec<u8>,
    /// Type.
    pub kind: u16,
    /// Class.
    pub class: u16,
    /// Its data.
    pub data: &'a [u8],
}

/// An answer, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    /// Answer code (RFC 1035, 4.1.1, and RFC 2136, 2.2).
    pub rcode: u8,
    /// The flags and codes as they came.
    pub flags: u16,
    /// How many records each section had: questions, answers, authorities, additions.
    pub counts: [u16; 4],
    /// The records of the last three.
    pub records: Vec<Record<'a>>,
    /// All of it.
    pub bytes: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads the answer to the message with `id` and, of `update`, its opcode.
    ///
    /// # Errors
    /// If it is cut off, malformed, too large or an answer to something else.
    pub fn parse(bytes: &'a [u8], id: u16, update: bool) -> Result<Self, WireError> {
        let mut at = Reader { bytes, at: 0 };
        let (theirs, flags) = (at.u16()?, at.u16()?);
        let opcode = if update { UPDATE } else { 0 };
        if theirs != id || flags & RESPONSE == 0 || flags & OPCODE != opcode {
            return Err(WireError::Foreign);
        }
        let counts = [at.u16()?, at.u16()?, at.u16()?, at.u16()?];
        let records = counts[1..].iter().map(|n| usize::from(*n)).sum::<usize>();
        if records > MOST_RECORDS || usize::from(counts[0]) > MOST_RECORDS {
            return Err(WireError::Many);
        }
        for _ in 0..counts[0] {
            at.name()?;
            at.take(4)?;
        }
        let records = (0..records).map(|_| at.record()).collect::<Result<_, _>>()?;
        Ok(Self { rcode: (flags & 0xf) as u8, flags, counts, records, bytes })
    }

    /// All addresses of `family` in the answer section, whatever aliases lead to them.
    pub fn addresses(&self, family: Family) -> Vec<IpAddr> {
        let answers = self.records.iter().take(self.counts[1].into());
        answers.filter(|r| r.kind == kind(family) && r.class == IN).filter_map(|r| address(r.data)).collect()
    }
}

fn address(data: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(data) {
        return Some(Ipv4Addr::from(four).into());
    }
    <[u8; 16]>::try_from(data).ok().map(|sixteen| Ipv6Addr::from(sixteen).into())
}

/// Reads field by field.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    /// All of it.
    pub bytes: &'a [u8],
    /// Where it is.
    pub at: usize,
}

impl<'a> Reader<'a> {
    /// So many bytes.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let end = self.at.checked_add(length).ok_or(WireError::Short)?;
        let taken = self.bytes.get(self.at..end).ok_or(WireError::Short)?;
        self.at = end;
        Ok(taken)
    }

    /// Two bytes as a number.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn u16(&mut self) -> Result<u16, WireError> {
        self.take(2).map(|two| u16::from_be_bytes([two[0], two[1]]))
    }

    /// A name, its pointers followed (RFC 1035, 4.1.4), in canonical form.
    ///
    /// # Errors
    /// If it is cut off, or impossible.
    pub fn name(&mut self) -> Result<Vec<u8>, WireError> {
        let mut out = Vec::new();
        let (mut here, mut pointers, mut after) = (self.at, 0, None);
        loop {
            let length = *self.bytes.get(here).ok_or(WireError::Short)?;
            match length {
                0 => {
                    out.push(0);
                    self.at = after.unwrap_or(here + 1);
                    return if out.len() > LONGEST_NAME { Err(WireError::Name) } else { Ok(out) };
                }
                1..=63 => {
                    let end = here + 1 + usize::from(length);
                    let label = self.bytes.get(here..end).ok_or(WireError::Short)?;
                    out.extend(label.iter().map(u8::to_ascii_lowercase));
                    here = end;
                }
                192..=255 => {
                    let low = *self.bytes.get(here + 1).ok_or(WireError::Short)?;
                    after.get_or_insert(here + 2);
                    pointers += 1;
                    let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                    // Never forwards and never into the header.
                    if pointers > MOST_POINTERS || target >= here || target < HEADER {
                        return Err(WireError::Name);
                    }
                    here = target;
                }
                _ => return Err(WireError::Name),
            }
            if out.len() > LONGEST_NAME {
                return Err(WireError::Name);
            }
        }
    }

    fn record(&mut self) -> Result<Record<'a>, WireError> {
        let at = self.at;
        let owner = self.name()?;
        let (kind, class) = (self.u16()?, self.u16()?);
        self.take(4)?;
        let length = self.u16()?;
        Ok(Record { at, owner, kind, class, data: self.take(length.into())? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn names_are_lower_case_labels_within_their_bounds() {
        assert_eq!(name("Www.Example.ORG.").wire(), b"\x03www\x07example\x03org\0");
        let long = ["a"; 128].join(".");
        for bad in ["", ".", "a..b", "a b", "ä.org", &"x".repeat(64), &long] {
            assert_eq!(Name::parse(bad), Err(WireError::Name), "{bad}");
        }
    }

    #[test]
    fn an_update_replaces_all_addresses_of_one_family() {
        let message = update(7, &name("e.org"), &name("h.e.org"), "192.0.2.5".parse().unwrap(), 60);
        let expected = b"\0\x07\x28\0\0\x01\0\0\0\x02\0\0\
            \x01e\x03org\0\0\x06\0\x01\
            \x01h\x01e\x03org\0\0\x01\0\xff\0\0\0\0\0\0\
            \x01h\x01e\x03org\0\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x05";
        assert_eq!(message, expected);
    }

    /// An answer with an alias, its addresses behind a pointer, as resolvers write them.
    fn answer() -> Vec<u8> {
        let mut out = question(9, &name("h.e.org"), Family::V4);
        out[2] = 0x81;
        out[7] = 2;
        out.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x3c\0\x04\x01g\xc0\x0e");
        out.extend(b"\xc0\x25\0\x01\0\x01\0\0\0\x3c\0\x04\xc0\0\x02\x05");
        out
    }

    #[test]
    fn addresses_are_found_behind_an_alias() {
        let bytes = answer();
        let message = Message::parse(&bytes, 9, false).unwrap();
        assert_eq!(message.rcode, 0);
        assert_eq!(message.addresses(Family::V4), ["192.0.2.5".parse::<IpAddr>().unwrap()]);
        assert!(message.addresses(Family::V6).is_empty());
        assert_eq!(message.records[1].owner, name("g.e.org").wire());
    }

    #[test]
    fn an_answer_to_something_else_is_none() {
        let bytes = answer();
        assert_eq!(Message::parse(&bytes, 8, false), Err(WireError::Foreign));
        assert_eq!(Message::parse(&bytes, 9, true), Err(WireError::Foreign));
        let own = question(9, &name("h.e.org"), Family::V4);
        assert_eq!(Message::parse(&own, 9, false), Err(WireError::Foreign));
    }

    #[test]
    fn an_answer_cut_anywhere_is_cut_off() {
        let bytes = answer();
        for length in 0..bytes.len() {
            assert_eq!(Message::parse(&bytes[..length], 9, false), Err(WireError::Short), "{length}");
        }
    }

    #[test]
    fn a_name_that_points_in_a_circle_is_impossible() {
        let mut bytes = answer();
        let at = bytes.len() - 16;
        assert_eq!(bytes[at], 0xc0);
        bytes[at + 1] = u8::try_from(at).unwrap();
        assert_eq!(Message::parse(&bytes, 9, false), Err(WireError::Name));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = Message::parse(&bytes, 0, false);
        }

        #[test]
        fn no_damage_to_an_answer_breaks_it(at in 0usize..60, with in any::<u8>(), more in any::<u8>()) {
            let mut bytes = answer();
            let length = bytes.len();
            bytes[at % length] = with;
            bytes[(at * 7) % length] = more;
            if let Ok(message) = Message::parse(&bytes, 9, false) {
                prop_assert!(message.addresses(Family::V4).len() <= MOST_RECORDS);
            }
        }
    }
}
