//! The SIM's own number: how two SIMs are told apart before either is unlocked.

use std::fmt;

/// Digits that tell two cards apart: issuer and account. Of the 19 or 20 digits of an ICCID the
/// last are a check digit and filler, which sticks show or hide (ITU-T E.118 section 4.1).
const TELLING: usize = 18;
/// Every SIM's number begins so: the industry code of telecommunication (ITU-T E.118 section 4.1).
const TELECOMMUNICATION: &str = "89";

/// A SIM card's number. Its `Debug` shows the last digits alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Iccid(String);

impl Iccid {
    /// Reads an answer to one of [`QUESTIONS`], or the digits as [`Iccid::as_str`] gives them.
    pub fn of(line: &str) -> Option<Self> {
        let value = line.rsplit([':', ',']).next()?.trim().trim_matches('"');
        let raw = line.starts_with("+CRSM:");
        let digits = if raw { swapped(value) } else { value.to_owned() };
        let digits = digits.trim_end_matches(['f', 'F']);
        let sound = digits.len() >= TELLING
            && digits.len() <= TELLING + 2
            && digits.starts_with(TELECOMMUNICATION)
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        sound.then(|| Self(digits[..TELLING].to_owned()))
    }

    /// The digits that tell. Not for logs.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Iccid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Iccid(…{})", &self.0[TELLING - 4..])
    }
}

/// As it lies on the card, two digits a byte with the lower half first (ETSI TS 102 221 section 13.2).
fn swapped(hex: &str) -> String {
    hex.as_bytes().chunks(2).flat_map(|pair| pair.iter().rev()).map(|byte| char::from(*byte)).collect()
}

/// Vendors' questions, then the file itself: `+CRSM` is in 3GPP TS 27.007 section 8.18, file 2FE2
/// (12258) in ETSI TS 102 221 section 13.2, and it can be read without the PIN.
pub(super) const QUESTIONS: [(&str, &str); 5] = [
    ("AT+CCID", "+CCID:"),
    ("AT+ICCID", "+ICCID:"),
    ("AT^ICCID?", "^ICCID:"),
    ("AT+ZGETICCID", "+ZGETICCID:"),
    ("AT+CRSM=176,12258,0,0,10", "+CRSM:"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_card_is_the_same_however_it_is_read() {
        let plain = Iccid::of("+CCID: \"8949012345678901234F\"").unwrap();
        for line in [
            "89490123456789012345",
            "^ICCID: 8949012345678901234",
            "+CRSM: 144,0,\"989410325476981032F4\"",
            "+ZGETICCID: 89490123456789012345",
        ] {
            assert_eq!(Iccid::of(line).as_ref(), Some(&plain), "{line}");
        }
        assert_eq!(Iccid::of(plain.as_str()), Some(plain.clone()));
        assert!(!format!("{plain:?}").contains("894901"));
    }

    #[test]
    fn what_is_no_card_number_is_none() {
        for line in
            ["+CCID: ", "OK", "+CRSM: 106,130", "123456789012345678", "^ICCID: 8949", "8949éé01234567890123"]
        {
            assert_eq!(Iccid::of(line), None, "{line}");
        }
    }
}
