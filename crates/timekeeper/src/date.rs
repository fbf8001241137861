//! The time in an HTTP answer's head: `Date` (RFC 9110 section 6.6.1), and `Age` where a cache
//! answered in the server's place (RFC 9111 section 5.1). Bytes only.

use crate::utc::Utc;

/// A cache that kept a page for longer says nothing of the time.
const AGE_MOST: u32 = 24 * 60 * 60;
/// A date has whole seconds: the truth lies half of one behind it, on average.
const HALF_SECOND_MS: i64 = 500;

/// The time a head tells; none if it tells none, or several.
pub fn utc(answer: &[u8]) -> Option<Utc> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..end]);
    // The status line is none of them.
    let fields = || head.lines().skip(1).filter_map(|line| line.split_once(':'));
    let only = |name: &str| {
        let mut values = fields().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim());
        match (values.next(), values.next()) {
            (one, None) => Ok(one),
            _ => Err(()),
        }
    };
    let date = httpdate::parse_http_date(only("date").ok()??).ok()?;
    let age = match only("age").ok()? {
        None => 0,
        Some(age) => age.parse().ok().filter(|age| *age <= AGE_MOST)?,
    };
    Some(Utc(Utc::of(date).0 + i64::from(age) * 1000 + HALF_SECOND_MS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(fields: &str) -> Option<Utc> {
        utc(format!(
            "HTTP/1.1 200 OK\r\nServer: x\r\n{fields}\r\n\r\nDate: Mon, 01 Jan 2001 00:00:00 GMT\r\n"
        )
        .as_bytes())
    }

    /// RFC 9110 section 5.6.7 has one moment in all three forms.
    #[test]
    fn every_form_of_the_date_is_read() {
        let moment = Some(Utc(784_111_777_500));
        assert_eq!(told("Date: Sun, 06 Nov 1994 08:49:37 GMT"), moment);
        assert_eq!(told("DATE:Sunday, 06-Nov-94 08:49:37 GMT"), moment);
        assert_eq!(told("date: Sun Nov  6 08:49:37 1994 "), moment);
    }

    #[test]
    fn a_cached_page_is_as_old_as_its_age() {
        let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
        assert_eq!(told(&format!("{date}Age: 3600")), Some(Utc(784_111_777_500 + 3_600_000)));
        for age in ["86401", "-1", "1.5", "", "99999999999999999999"] {
            assert_eq!(told(&format!("{date}Age: {age}")), None, "{age}");
        }
    }

    #[test]
    fn no_date_two_dates_and_other_dates_are_none() {
        let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT";
        for fields in ["X: y", "Date: yesterday", "Date:", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(told(fields), None, "{fields}");
        }
        assert_eq!(told(&format!("{date}\r\n{date}")), None);
        assert_eq!(utc(format!("{date}\r\n\r\n").as_bytes()), None, "in place of a status line");
    }

    proptest! {
        #[test]
        fn no_bytes_from_outside_make_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = utc(&tail);
            let _ = utc(&[b"HTTP/1.1 200 OK\r\nDate: ".as_slice(), &tail].concat());
            let _ = utc(&[b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nAge: ".as_slice(), &tail].concat());
        }
    }
}
