//! Free text, and the wrapper that keeps secrets out of logs.

use super::{Fault, TextValue};
use std::fmt;

/// Text of a login: one octet holds its length on the wire (PAP, RFC 1334, 2.2.1), and control
/// characters could end a line of a protocol or file it is put in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Longest, in bytes.
    pub const LONGEST: usize = 255;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TextValue for Text {
    const FORM: &'static str = "…";

    fn parse(text: &str) -> Result<Self, Fault> {
        if text.is_empty() || text.len() > Self::LONGEST {
            let cause = format!("{} bytes where 1 to {} are possible", text.len(), Self::LONGEST);
            return Err(Fault::new(cause, "copy it again from the provider's letter"));
        }
        if text.chars().any(char::is_control) {
            return Err(Fault::new("holds a control character", "write it as one line of plain text"));
        }
        Ok(Self(text.to_owned()))
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// A value that is not shown: `Debug` and `Display` print three stars.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T> fmt::Display for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T: TextValue> TextValue for Secret<T> {
    const SECRET: bool = true;
    const FORM: &'static str = T::FORM;

    fn parse(text: &str) -> Result<Self, Fault> {
        T::parse(text).map(Self)
    }

    fn text(&self) -> String {
        self.0.text()
    }
}
