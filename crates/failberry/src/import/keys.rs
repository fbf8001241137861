//! `authorized_keys` as people save it on a laptop, to what sshd reads: pure.

/// Bound of the file: hundreds of keys.
pub(super) const MAX_BYTES: u64 = 64 * 1024;

/// Key types of Debian 13's OpenSSH 10 (sshd(8)); DSA is gone from it.
const TYPES: &[&str] = &[
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Keys {
    /// The valid lines, each with its LF.
    pub(super) text: Vec<u8>,
    /// How many.
    pub(super) count: usize,
    /// Numbers of the lines that hold no key.
    pub(super) dropped: Vec<usize>,
}

/// Reads a file; CRLF and a byte order mark are fine.
pub(super) fn read(bytes: &[u8]) -> Keys {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut keys = Keys::default();
    for (number, line) in (1..).zip(bytes.split(|b| *b == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match std::str::from_utf8(line) {
            Ok(text) if is_key(text) => {
                keys.text.extend_from_slice(line);
                keys.text.push(b'\n');
                keys.count += 1;
            }
            _ => keys.dropped.push(number),
        }
    }
    keys
}

/// `[options] type base64 [comment]`. The type must be told twice, in words and inside the key.
fn is_key(line: &str) -> bool {
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return false;
    }
    let words = split_outside_quotes(line);
    let Some(at) = words.iter().take(2).position(|w| TYPES.contains(w)) else { return false };
    let (kind, Some(key)) = (words[at], words.get(at + 1)) else { return false };
    let Some(blob) = base64(key) else { return false };
    // RFC 4253, 6.6: the key starts with its type as a string, a length of four bytes before it.
    let length = u32::try_from(kind.len()).unwrap_or(u32::MAX).to_be_bytes();
    blob.len() > length.len() + kind.len()
        && blob.starts_with(&length)
        && blob[length.len()..].starts_with(kind.as_bytes())
}

/// Options may hold quoted blanks: `command="a b" ssh-ed25519 …`; `\"` is a quote inside quotes.
fn split_outside_quotes(line: &str) -> Vec<&str> {
    let (mut words, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in line.char_indices() {
        match c {
            '"' if !escaped => quoted = !quoted,
            ' ' | '\t' if !quoted => {
                words.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    words.push(&line[start..]);
    words.retain(|w| !w.is_empty());
    words
}

/// RFC 4648, 4, with its padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    if !text.len().is_multiple_of(4) || text.len() - digits.len() > 2 {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from(bits >> count & 0xff).unwrap_or_default());
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

    #[test]
    fn line_ends_of_windows_and_a_byte_order_mark_are_taken_away() {
        let keys = read(format!("\u{feff}# mine\r\n{KEY} me@laptop\r\n\r\n{KEY}").as_bytes());
        assert_eq!(keys.text, format!("{KEY} me@laptop\n{KEY}\n").as_bytes());
        assert_eq!((keys.count, keys.dropped.len()), (2, 0));
    }

    #[test]
    fn options_before_a_key_are_kept() {
        let line = format!("from=\"192.0.2.0/24\",command=\"a \\\"b\\\" c\" {KEY}\n");
        assert_eq!(read(line.as_bytes()).text, line.as_bytes());
    }

    #[test]
    fn what_is_no_key_is_dropped_and_its_line_told() {
        let text = format!(
            "-----BEGIN OPENSSH PRIVATE KEY-----\n{KEY}\nssh-ed25519\nssh-ed25519 !!!!\nssh-rsa {}\nssh-dss AAAA\n\
             ssh-ed25519 AAAAC3Nz\n{KEY} a\rb\n",
            &KEY[12..]
        );
        let keys = read(text.as_bytes());
        assert_eq!(keys.count, 1);
        assert_eq!(keys.dropped, [1, 3, 4, 5, 6, 7, 8]);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_the_result_is_stable(
            bytes in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            let once = read(&bytes);
            let twice = read(&once.text);
            prop_assert_eq!(&twice.text, &once.text);
            prop_assert!(twice.dropped.is_empty());
        }
    }
}
