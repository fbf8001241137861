//! Lines of the stick as they may stand in a log: without identities, and never with the PIN.
//!
//! By what a line looks like and not by what was asked: an answer that comes late is no answer any
//! more, and an echo may have lost its beginning.

/// Identities have 14 digits and more (IMEI, IMSI, SIM number), telephone numbers from ten on; what is
/// of use for finding a fault has fewer.
const IDENTITY: usize = 10;
const HIDDEN: &str = "…";

/// The line without runs of digits that tell who somebody is; of one with the PIN, nothing.
pub(super) fn discreet(line: &str, pin: Option<&str>) -> String {
    let upper = line.to_ascii_uppercase();
    if upper.contains("CPIN=") || pin.is_some_and(|pin| line.contains(pin)) {
        return HIDDEN.to_owned();
    }
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, digits) = rest.split_at(start);
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        shown.push_str(before);
        shown.push_str(if end >= IDENTITY { HIDDEN } else { &digits[..end] });
        rest = &digits[end..];
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_do_not_get_into_a_log() {
        for (line, shown) in [
            ("001010123456789", "…"),
            ("+CGSN: \"354762020123456\"", "+CGSN: \"…\""),
            ("+CCID: 89490200001234567890", "+CCID: …"),
            ("^ICCID: 8949020000123456789F", "^ICCID: …F"),
            ("+CLIP: \"+491701234567\",145", "+CLIP: \"+…\",145"),
            ("+CSQ: 18,99", "+CSQ: 18,99"),
            ("+CREG: 2,1,\"00A1\",\"01C2D3E4\",7", "+CREG: 2,1,\"00A1\",\"01C2D3E4\",7"),
        ] {
            assert_eq!(discreet(line, None), shown);
        }
    }

    #[test]
    fn no_echo_of_the_pin_does_however_it_was_mangled() {
        for line in ["AT+CPIN=\"4711\"", "+CPIN=\"4711", "OKat+cpin=4711", "AT+CREG?AT+CPIN=\"47"] {
            assert_eq!(discreet(line, None), HIDDEN, "{line}");
        }
        assert_eq!(discreet("N=\"4711\"", Some("4711")), HIDDEN);
        assert_eq!(discreet("+CPIN: READY", Some("4711")), "+CPIN: READY");
    }
}
