//! A greeting that any TLS server answers: bytes only, no cryptography.
//!
//! It offers TLS 1.3 without a key, which RFC 8446 section 4.2.8 allows as a way to ask which group the
//! server wants, so that a server answers with about a
//! hundred bytes and not with its certificates: on a metered line those would be the greatest part of
//! what watching costs. An older server answers with an alert, which proves as much.

/// Content types of the record layer (RFC 8446 section 5.1).
const ALERT: u8 = 0x15;
const HANDSHAKE: u8 = 0x16;
/// A record's type, version and length.
pub(super) const RECORD_HEADER: usize = 5;

/// The greeting; without a name when the server is known by its address alone (RFC 6066 section 3
/// allows no literal addresses in it).
pub(super) fn client_hello(name: Option<&str>, random: [u8; 32]) -> Vec<u8> {
    let mut hello = vec![3, 3];
    hello.extend(random);
    // A session id makes middleboxes take it for a resumption they know (RFC 8446 appendix D.4).
    hello.extend(vector8(&random));
    hello.extend(vector16(&[0x13, 0x01, 0x13, 0x02, 0x13, 0x03]));
    hello.extend([1, 0]); // no compression
    let mut extensions = Vec::new();
    if let Some(name) = name {
        let entry = [&[0][..], &vector16(name.as_bytes())].concat();
        extensions.extend(extension(0, &vector16(&entry)));
    }
    extensions.extend(extension(10, &vector16(&[0, 29, 0, 23]))); // x25519, secp256r1
    extensions.extend(extension(13, &vector16(&[4, 3, 8, 4, 4, 1]))); // ECDSA and RSA with SHA-256
    extensions.extend(extension(43, &vector8(&[3, 4]))); // TLS 1.3
    extensions.extend(extension(51, &vector16(&[]))); // no key yet: ask for a group
    hello.extend(vector16(&extensions));
    let mut handshake = vec![1, 0];
    handshake.extend(vector16(&hello));
    let mut record = vec![HANDSHAKE, 3, 1];
    record.extend(vector16(&handshake));
    record
}

/// Whether the first bytes are a TLS record; none while there are too few.
pub(super) fn is_record(bytes: &[u8]) -> Option<bool> {
    if bytes.first().is_some_and(|first| !matches!(*first, ALERT | HANDSHAKE)) {
        return Some(false);
    }
    (bytes.len() >= RECORD_HEADER).then(|| bytes[1] == 3)
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], &vector16(content)].concat()
}

fn vector8(content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).unwrap_or(u8::MAX);
    [&[length], content].concat()
}

fn vector16(content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes()[..], content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lengths_in_a_greeting_are_right() {
        let record = client_hello(Some("example.org"), [7; 32]);
        let inner = usize::from(u16::from_be_bytes([record[3], record[4]]));
        assert_eq!(inner, record.len() - RECORD_HEADER);
        let handshake = usize::from(u16::from_be_bytes([record[7], record[8]]));
        assert_eq!(handshake, inner - 4);
        assert!(record.windows(11).any(|w| w == b"example.org"));
        assert!(record.len() < 200, "{}", record.len());
    }

    #[test]
    fn a_handshake_or_an_alert_is_an_answer_and_nothing_else() {
        assert_eq!(is_record(&[0x16, 3, 3, 0, 90]), Some(true));
        assert_eq!(is_record(&[0x15, 3, 1, 0, 2]), Some(true));
        assert_eq!(is_record(&[0x16, 3]), None);
        assert_eq!(is_record(&[]), None);
        assert_eq!(is_record(b"HTTP/1.1 400"), Some(false));
        assert_eq!(is_record(&[0x16, 9, 9, 9, 9]), Some(false));
    }
}
