//! Values for the stick. Each is safe inside an AT command: no quote, no line end.

use std::str::FromStr;

use super::{Fault, TextValue};

/// For values that come from elsewhere than the configuration (a provider database, a quirk file)
/// and end up in the same AT commands: the error is the cause in words.
macro_rules! from_str {
    ($($value:ty),+) => {$(
        impl FromStr for $value {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                <Self as TextValue>::parse(text).map_err(|fault| fault.cause)
            }
        }
    )+};
}

from_str!(Apn, DialNumber, super::Text, super::Secret<super::Text>);

/// Access point name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apn(String);

impl Apn {
    /// Longest, in bytes (3GPP TS 23.003, 9.1: 100 octets with the operator identifier).
    pub const LONGEST: usize = 100;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TextValue for Apn {
    const FORM: &'static str = "internet";

    fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.len() > Self::LONGEST {
            let cause = format!("{} bytes where 1 to {} are possible", text.len(), Self::LONGEST);
            return Err(Fault::new(cause, "copy the APN again from the provider's page"));
        }
        // The standard has letters, digits, hyphen and dot; providers also use the underscore.
        match text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))) {
            Some(c) => Err(Fault::new(
                format!("{c:?} cannot be in an APN"),
                "an APN has letters, digits, dots and hyphens, such as internet.example",
            )),
            None => Ok(Self(text.to_owned())),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// PIN of a SIM: 4 to 8 digits (3GPP TS 31.101, 9.5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin(String);

impl Pin {
    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TextValue for Pin {
    const FORM: &'static str = "0000";

    fn parse(text: &str) -> Result<Self, Fault> {
        if (4..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new("not 4 to 8 digits", "write the PIN of the SIM card, such as \"0000\""))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// What is dialled for a data call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialNumber(String);

impl DialNumber {
    /// Longest; a service code with address and context has fewer (3GPP TS 27.007, 10.2.1.1).
    pub const LONGEST: usize = 32;

    /// The number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for DialNumber {
    /// The GPRS service code (3GPP TS 27.007, 10.2.1.1).
    fn default() -> Self {
        Self("*99#".to_owned())
    }
}

impl TextValue for DialNumber {
    const FORM: &'static str = "*99#";

    fn parse(text: &str) -> Result<Self, Fault> {
        let dialable = |c: char| c.is_ascii_digit() || matches!(c, '*' | '#' | '+');
        if (1..=Self::LONGEST).contains(&text.len()) && text.chars().all(dialable) {
            return Ok(Self(text.to_owned()));
        }
        let cause = format!("not 1 to {} of the characters 0-9 * # +", Self::LONGEST);
        Err(Fault::new(cause, "\"*99#\" or \"*99***1#\" is usual"))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}
