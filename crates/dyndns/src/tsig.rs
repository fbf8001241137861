//! Signatures of DNS messages with a shared secret (RFC 8945), HMAC-SHA256 alone: the one algorithm
//! that every server must have (section 6) and that nobody calls weak.

use ring::hmac;

use crate::dns::{ANY, Message, Name, Reader, TSIG};

/// The clocks may differ by so much (RFC 8945, 10, recommends it).
const FUDGE: u16 = 300;
/// Where the number of additional records stands in a header.
const ADDITIONS: usize = 10;
/// Errors that a server cannot sign, and the one of a wrong clock (RFC 8945, 3).
pub const BADSIG: u16 = 16;
/// The server does not know the key.
pub const BADKEY: u16 = 17;
/// Its clock or ours is wrong.
pub const BADTIME: u16 = 18;

/// A shared secret with its name.
#[derive(Clone)]
pub struct Key {
    name: Name,
    algorithm: Name,
    secret: hmac::Key,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(***)")
    }
}

/// What a server said of our signature, and whether what it said can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// Signed with the same secret; with its error, 0 if none.
    Good(u16),
    /// It says why it cannot sign: [`BADSIG`] or [`BADKEY`].
    Refused(u16),
    /// Not signed, or not by who knows the secret.
    Missing,
}

impl Key {
    /// Of a name and the secret's bytes.
    pub fn new(name: Name, secret: &[u8]) -> Option<Self> {
        let algorithm = Name::parse("hmac-sha256").ok()?;
        Some(Self { name, algorithm, secret: hmac::Key::new(hmac::HMAC_SHA256, secret) })
    }

    /// Signs a message at the time `unix`; gives the message to send and its signature, which the
    /// answer's is bound to.
    pub fn sign(&self, message: &[u8], unix: u64) -> (Vec<u8>, Vec<u8>) {
        let mut signed = message.to_vec();
        signed.extend(self.variables(time(unix), FUDGE, 0, &[]));
        let mac = hmac::sign(&self.secret, &signed).as_ref().to_vec();
        let mut out = message.to_vec();
        let id = [message[0], message[1]];
        let additions = u16::from_be_bytes([out[ADDITIONS], out[ADDITIONS + 1]]).saturating_add(1);
        out[ADDITIONS..ADDITIONS + 2].copy_from_slice(&additions.to_be_bytes());
        out.extend(self.name.wire());
        out.extend([TSIG, ANY, 0, 0].iter().flat_map(|w| w.to_be_bytes()));
        let mut data = self.algorithm.wire().to_vec();
        data.extend(time(unix));
        data.extend(FUDGE.to_be_bytes());
        data.extend(length(&mac));
        data.extend(&mac);
        data.extend(id);
        data.extend([0, 0, 0, 0]); // no error, nothing else
        out.extend(length(&data));
        out.extend(data);
        (out, mac)
    }

    /// Checks the answer to a message that was signed with `request` at about `unix`.
    pub fn check(&self, answer: &Message<'_>, request: &[u8], unix: u64) -> Signature {
        // It is the last record, and an addition (RFC 8945, 5.1).
        let Some(record) = answer.records.last().filter(|r| r.kind == TSIG && answer.counts[3] > 0) else {
            return Signature::Missing;
        };
        let Some(data) = Data::parse(record.data) else { return Signature::Missing };
        if data.mac.is_empty() {
            return match data.error {
                BADSIG | BADKEY => Signature::Refused(data.error),
                _ => Signature::Missing,
            };
        }
        if record.owner != self.name.wire() || data.algorithm != self.algorithm.wire() {
            return Signature::Missing;
        }
        let mut signed = length(request).to_vec();
        signed.extend(request);
        let mut message = answer.bytes[..record.at].to_vec();
        message[..2].copy_from_slice(data.id);
        let additions = (answer.counts[3] - 1).to_be_bytes();
        message[ADDITIONS..ADDITIONS + 2].copy_from_slice(&additions);
        signed.extend(message);
        signed.extend(self.variables(data.time, data.fudge, data.error, data.other));
        if hmac::verify(&self.secret, &signed, data.mac).is_err() {
            return Signature::Missing;
        }
        let theirs = data.time.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
        // BADTIME says by itself that the clocks differ.
        if data.error != BADTIME && theirs.abs_diff(unix) > u64::from(data.fudge.max(FUDGE)) {
            return Signature::Missing;
        }
        Signature::Good(data.error)
    }

    /// The variables that are signed along (RFC 8945, 4.3.3).
    fn variables(&self, time: [u8; 6], fudge: u16, error: u16, other: &[u8]) -> Vec<u8> {
        let mut out = self.name.wire().to_vec();
        out.extend([ANY, 0, 0].iter().flat_map(|w| w.to_be_bytes()));
        out.extend(self.algorithm.wire());
        out.extend(time);
        out.extend(fudge.to_be_bytes());
        out.extend(error.to_be_bytes());
        out.extend(length(other));
        out.extend(other);
        out
    }
}

/// The data of a signature's record (RFC 8945, 4.2).
struct Data<'a> {
    algorithm: Vec<u8>,
    time: [u8; 6],
    fudge: u16,
    mac: &'a [u8],
    id: &'a [u8],
    error: u16,
    other: &'a [u8],
}

impl<'a> Data<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut at = Reader { bytes, at: 0 };
        let algorithm = at.name().ok()?;
        let time = at.take(6).ok()?.try_into().ok()?;
        let fudge = at.u16().ok()?;
        let mac = at.u16().ok().and_then(|length| at.take(length.into()).ok())?;
        let id = at.take(2).ok()?;
        let error = at.u16().ok()?;
        let other = at.u16().ok().and_then(|length| at.take(length.into()).ok())?;
        Some(Self { algorithm, time, fudge, mac, id, error, other })
    }
}

fn time(unix: u64) -> [u8; 6] {
    let bytes = unix.to_be_bytes();
    [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
}

/// 16 bits of length; nothing here is longer.
fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::dns::update;
    use proptest::prelude::*;

    pub(crate) fn key(secret: &[u8]) -> Key {
        Key::new(Name::parse("k.example").unwrap(), secret).unwrap()
    }

    fn message() -> Vec<u8> {
        let (zone, name) = (Name::parse("e.org").unwrap(), Name::parse("h.e.org").unwrap());
        update(7, &zone, &name, "192.0.2.5".parse().unwrap(), 60)
    }

    /// What a server answers: a header, and a signature over it and the request's.
    pub(crate) fn answer(key: &Key, id: u16, rcode: u8, request: &[u8], unix: u64, error: u16) -> Vec<u8> {
        let mut head = id.to_be_bytes().to_vec();
        head.extend([0xa8, rcode, 0, 0, 0, 0, 0, 0, 0, 0]);
        let mut signed = length(request).to_vec();
        signed.extend(request);
        signed.extend(&head);
        signed.extend(key.variables(time(unix), FUDGE, error, &[]));
        let mac = hmac::sign(&key.secret, &signed).as_ref().to_vec();
        record(key, &head, &mac, unix, error)
    }

    /// A header with a signature's record behind it, whatever the signature is.
    pub(crate) fn record(key: &Key, head: &[u8], mac: &[u8], unix: u64, error: u16) -> Vec<u8> {
        let mut data = key.algorithm.wire().to_vec();
        data.extend(time(unix));
        data.extend(FUDGE.to_be_bytes());
        data.extend(length(mac));
        data.extend(mac);
        data.extend(&head[..2]);
        data.extend(error.to_be_bytes());
        data.extend([0, 0]);
        let mut out = head.to_vec();
        out[ADDITIONS + 1] = 1;
        out.extend(key.name.wire());
        out.extend([TSIG, ANY, 0, 0].iter().flat_map(|w| w.to_be_bytes()));
        out.extend(length(&data));
        out.extend(data);
        out
    }

    fn checked(bytes: &[u8], mac: &[u8], unix: u64) -> Signature {
        key(b"secret").check(&Message::parse(bytes, 7, true).unwrap(), mac, unix)
    }

    #[test]
    fn only_who_knows_the_secret_and_the_question_can_answer() {
        let (_, mac) = key(b"secret").sign(&message(), 1_800_000_000);
        let good = answer(&key(b"secret"), 7, 0, &mac, 1_800_000_010, 0);
        assert_eq!(checked(&good, &mac, 1_800_000_000), Signature::Good(0));
        let other_key = answer(&key(b"other"), 7, 0, &mac, 1_800_000_010, 0);
        assert_eq!(checked(&other_key, &mac, 1_800_000_000), Signature::Missing);
        let replayed = answer(&key(b"secret"), 7, 0, b"another request", 1_800_000_010, 0);
        assert_eq!(checked(&replayed, &mac, 1_800_000_000), Signature::Missing);
        assert_eq!(checked(&good, &mac, 1_800_001_000), Signature::Missing);
        let mut changed = good.clone();
        changed[3] = 5;
        assert_eq!(checked(&changed, &mac, 1_800_000_000), Signature::Missing);
    }

    #[test]
    fn a_server_that_cannot_sign_may_say_why() {
        let (_, mac) = key(b"secret").sign(&message(), 1_800_000_000);
        let head = [0, 7, 0xa8, 9, 0, 0, 0, 0, 0, 0, 0, 0];
        for error in [BADSIG, BADKEY] {
            let bytes = record(&key(b"x"), &head, &[], 0, error);
            assert_eq!(checked(&bytes, &mac, 1_800_000_000), Signature::Refused(error));
        }
        assert_eq!(checked(&head, &mac, 1_800_000_000), Signature::Missing);
    }

    proptest! {
        #[test]
        fn no_bit_of_a_signed_answer_can_be_changed(at in 0usize..200, bit in 0u8..8) {
            let (_, mac) = key(b"secret").sign(&message(), 1_800_000_000);
            let good = answer(&key(b"secret"), 7, 0, &mac, 1_800_000_000, 0);
            let mut bad = good.clone();
            let length = bad.len();
            bad[at % length] ^= 1 << bit;
            if let Ok(parsed) = Message::parse(&bad, 7, true) {
                let signature = key(b"secret").check(&parsed, &mac, 1_800_000_000);
                // Letters of names have no case, and a TTL is not read: then it says the same.
                let same = Message::parse(&good, 7, true).unwrap();
                prop_assert!(
                    matches!(signature, Signature::Missing | Signature::Refused(_))
                        || (parsed.rcode == same.rcode && signature == Signature::Good(0))
                );
            }
        }
    }
}
