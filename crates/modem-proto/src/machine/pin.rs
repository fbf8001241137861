//! The PIN, kept out of logs, and the memory that keeps it from being sent twice.

use std::fmt;

/// A SIM PIN of 4 to 8 digits (ETSI TS 102 221 section 9.5.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(String);

impl Pin {
    /// Takes 4 to 8 digits.
    pub fn new(digits: &str) -> Option<Self> {
        let fits = (4..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| Self(digits.to_owned()))
    }

    /// The digits. Not for logs.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

/// What became of the PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PinMemory {
    /// Not sent yet.
    Untried,
    /// Sent; the SIM has not said `READY` since.
    Sent,
    /// The SIM said `READY` after it: it is right, and may be sent after the SIM lost power.
    Accepted,
    /// Not accepted. For good: only a new configuration brings a new PIN.
    Refused,
}

impl PinMemory {
    pub(super) fn may_send(self) -> bool {
        matches!(self, Self::Untried | Self::Accepted)
    }
}
