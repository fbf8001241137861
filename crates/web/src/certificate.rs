//! Until when a certificate is valid: the one field of X.509 that rustls does not hand out.
//!
//! DER (X.690) as far as the way to that field goes (RFC 5280, 4.1). Pure; what is not as it should be
//! is no answer.

/// Tags (X.690, 8): universal ones, and the context-specific one of the version.
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;

/// Seconds since 1970 of a certificate's `notAfter`.
pub fn not_after(der: &[u8]) -> Option<u64> {
    let (certificate, _) = take(der, SEQUENCE)?;
    let (tbs, _) = take(certificate, SEQUENCE)?;
    // The version is optional, and missing in version 1.
    let rest = take(tbs, VERSION).map_or(tbs, |(_, rest)| rest);
    let (_serial, rest) = take(rest, INTEGER)?;
    let (_algorithm, rest) = take(rest, SEQUENCE)?;
    let (_issuer, rest) = take(rest, SEQUENCE)?;
    let (validity, _) = take(rest, SEQUENCE)?;
    let (_, rest) = take(validity, UTC_TIME).or_else(|| take(validity, GENERALIZED_TIME))?;
    match take(rest, UTC_TIME) {
        Some((text, _)) => {
            // RFC 5280, 4.1.2.5.1: below 50 it is this century.
            let year = u64::from(*text.first()?);
            let century: &[u8] = if year < u64::from(b'5') { b"20" } else { b"19" };
            moment(&[century, text].concat())
        }
        None => moment(take(rest, GENERALIZED_TIME)?.0),
    }
}

/// The content of what `bytes` begin with, if it has that tag, and what follows it.
fn take(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let [first, length, rest @ ..] = bytes else { return None };
    if *first != tag {
        return None;
    }
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        // Of a certificate no part has a length of more than three bytes.
        long @ 0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long - 0x80))?;
            (digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// `YYYYMMDDHHMMSSZ`, the only form allowed (RFC 5280, 4.1.2.5.2).
fn moment(text: &[u8]) -> Option<u64> {
    let digits = text.strip_suffix(b"Z").filter(|d| d.len() == 14 && d.iter().all(u8::is_ascii_digit))?;
    let number = |from: usize, to: usize| {
        digits[from..to].iter().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0'))
    };
    let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
    let (hour, minute, second) = (number(8, 10), number(10, 12), number(12, 14));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_before(year, month)?.checked_add(day - 1)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from 1970-01-01 to the first of a month; none for years before.
fn days_before(year: u64, month: u64) -> Option<u64> {
    const LENGTHS: [u64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let leaps = |before: u64| before / 4 - before / 100 + before / 400;
    let years = year.checked_sub(1970)?;
    let whole = years * 365 + leaps(year - 1) - leaps(1969);
    let months: u64 = LENGTHS.iter().take(usize::try_from(month).ok()? - 1).sum();
    Some(whole + months + u64::from(month > 2 && leap(year)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match content.len() {
            short @ 0..=0x7f => out.push(u8::try_from(short).unwrap()),
            long => out.extend([0x82, u8::try_from(long >> 8).unwrap(), u8::try_from(long & 0xff).unwrap()]),
        }
        out.extend(content);
        out
    }

    fn certificate(version: bool, time: u8, end: &[u8]) -> Vec<u8> {
        let validity = wrap(SEQUENCE, &[wrap(UTC_TIME, b"200101000000Z"), wrap(time, end)].concat());
        let mut tbs = if version { wrap(VERSION, &[2, 1, 2]) } else { Vec::new() };
        tbs.extend(wrap(INTEGER, &[7]));
        tbs.extend(wrap(SEQUENCE, &[5, 0]));
        tbs.extend(wrap(SEQUENCE, &[0; 200]));
        tbs.extend(validity);
        tbs.extend(wrap(SEQUENCE, &[0; 300]));
        wrap(SEQUENCE, &wrap(SEQUENCE, &tbs))
    }

    #[test]
    fn the_end_is_read_in_both_forms() {
        // By GNU date: date -u -d '2027-02-28 12:34:56' +%s, and so on.
        for (time, end, unix) in [
            (UTC_TIME, &b"270228123456Z"[..], 1_803_818_096),
            (GENERALIZED_TIME, b"20510101000000Z", 2_556_144_000),
            (UTC_TIME, b"700101000001Z", 1),
            (UTC_TIME, b"280229235959Z", 1_835_481_599),
            (GENERALIZED_TIME, b"99991231235959Z", 253_402_300_799),
        ] {
            for version in [true, false] {
                assert_eq!(not_after(&certificate(version, time, end)), Some(unix), "{end:?}");
            }
        }
    }

    #[test]
    fn what_is_no_date_is_no_answer() {
        for end in [&b"271328123456Z"[..], b"270228123456", b"2702281234Z", b"", b"270228123456+0100"] {
            assert_eq!(not_after(&certificate(true, UTC_TIME, end)), None, "{end:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = not_after(&bytes);
        }

        #[test]
        fn no_damage_to_a_certificate_breaks_it(at in 0usize..400, with in any::<u8>(), cut in 0usize..700) {
            let mut bytes = certificate(true, UTC_TIME, b"270228123456Z");
            let length = bytes.len();
            bytes[at % length] = with;
            bytes.truncate(cut);
            let _ = not_after(&bytes);
        }
    }
}
