//! The access point name: a type that cannot end or escape an AT command.

/// An access point name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Apn(String);

impl Apn {
    /// Longest, in bytes (3GPP TS 23.003 section 9.1: 100 octets with the operator identifier).
    const LONGEST: usize = 100;

    /// Takes letters, digits, hyphen, dot and underscore (3GPP TS 23.003 section 9.1; the
    /// underscore is in use): nothing that could close the quotes of `AT+CGDCONT` or its line.
    pub fn new(name: &str) -> Option<Self> {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let fits = (1..=Self::LONGEST).contains(&name.len()) && name.bytes().all(sound);
        fits.then(|| Self(name.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What became of looking up the access point of the SIM in the stick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Not asked for yet.
    NotYet,
    /// None is known.
    Nothing,
    /// This one.
    Found(Apn),
}

impl Lookup {
    pub(super) fn found(&self) -> Option<&Apn> {
        if let Self::Found(apn) = self { Some(apn) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_can_leave_its_quotes() {
        assert_eq!(Apn::new("internet.t-mobile").as_ref().map(Apn::as_str), Some("internet.t-mobile"));
        for bad in ["", "a b", "a\"", "a\",\"x", "a\r", "a\nAT+CFUN=0", "ä", &"x".repeat(101)] {
            assert_eq!(Apn::new(bad), None, "{bad:?}");
        }
    }
}
