//! Final result codes, matched as whole lines: a substring is how a URC becomes an answer.

use std::fmt;

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `OK`.
    Ok,
    /// `CONNECT`, with what stood behind it; the port carries data from here on.
    Connect(String),
    /// `NO CARRIER`.
    NoCarrier,
    /// `NO DIALTONE`.
    NoDialtone,
    /// `BUSY`.
    Busy,
    /// `NO ANSWER`.
    NoAnswer,
    /// `ERROR`, without a reason.
    Error,
    /// `+CME ERROR`.
    Mobile(MobileError),
    /// `+CMS ERROR`, with its number or text.
    Message(String),
}

/// The reason in a `+CME ERROR` (3GPP TS 27.007 section 9.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MobileError {
    /// With `AT+CMEE=1`.
    Code(u16),
    /// A stick that ignores `AT+CMEE=1` answers in words.
    Text(String),
}

impl Outcome {
    /// The outcome a whole line stands for. `dialling` lets the call results count: outside a dial
    /// command `NO CARRIER` tells that an earlier call ended (V.250 section 5.7.1).
    pub(crate) fn of(line: &str, dialling: bool) -> Option<Self> {
        if let Some(reason) = after(line, "+CME ERROR") {
            return Some(Self::Mobile(MobileError::of(reason)));
        }
        if let Some(reason) = after(line, "+CMS ERROR") {
            return Some(Self::Message(reason.to_owned()));
        }
        match line {
            "OK" => Some(Self::Ok),
            "ERROR" | "COMMAND NOT SUPPORT" => Some(Self::Error),
            "NO CARRIER" if dialling => Some(Self::NoCarrier),
            "NO DIALTONE" | "NO DIAL TONE" if dialling => Some(Self::NoDialtone),
            "BUSY" if dialling => Some(Self::Busy),
            "NO ANSWER" if dialling => Some(Self::NoAnswer),
            "CONNECT" if dialling => Some(Self::Connect(String::new())),
            _ => line
                .strip_prefix("CONNECT ")
                .filter(|_| dialling)
                .map(|rest| Self::Connect(rest.trim().to_owned())),
        }
    }

    /// Whether it is a `+CME ERROR` with this number.
    pub fn is_mobile(&self, code: u16) -> bool {
        *self == Self::Mobile(MobileError::Code(code))
    }
}

fn after<'line>(line: &'line str, name: &str) -> Option<&'line str> {
    line.strip_prefix(name)?.trim_start().strip_prefix(':').map(str::trim)
}

impl MobileError {
    fn of(reason: &str) -> Self {
        reason.parse().map_or_else(|_| Self::Text(reason.to_owned()), Self::Code)
    }

    /// The name of a numbered error (3GPP TS 27.007 sections 9.2.1 to 9.2.3).
    fn name(code: u16) -> &'static str {
        match code {
            3 => "operation not allowed",
            4 => "operation not supported",
            10 => "SIM not inserted",
            11 => "SIM PIN required",
            12 => "SIM PUK required",
            13 => "SIM failure",
            14 => "SIM busy",
            15 => "SIM wrong",
            16 => "incorrect password",
            17 => "SIM PIN2 required",
            18 => "SIM PUK2 required",
            30 => "no network service",
            31 => "network timeout",
            32 => "network not allowed, emergency calls only",
            40..=47 => "the stick is locked to a network, subset, provider or company",
            103 => "illegal subscriber",
            106 => "illegal device",
            107 => "packet service not allowed",
            111 => "network not allowed",
            112 => "location area not allowed",
            113 => "roaming not allowed in this location area",
            127 => "missing or unknown APN",
            129 => "user authentication failed",
            132 => "service option not supported",
            133 => "service option not subscribed",
            134 => "service option temporarily out of order",
            148 => "unspecified packet service error",
            149 => "PDP authentication failure",
            _ => "unknown error",
        }
    }
}

impl fmt::Display for MobileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{} ({code})", Self::name(*code)),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("OK"),
            Self::Connect(speed) => write!(f, "CONNECT {speed}"),
            Self::NoCarrier => f.write_str("NO CARRIER"),
            Self::NoDialtone => f.write_str("NO DIALTONE"),
            Self::Busy => f.write_str("BUSY"),
            Self::NoAnswer => f.write_str("NO ANSWER"),
            Self::Error => f.write_str("ERROR"),
            Self::Mobile(error) => error.fmt(f),
            Self::Message(reason) => write!(f, "message service error {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_final() {
        for line in ["OKAY", "NOT OK", "+CREG: OK", "ERRORS", "CONNECTED", "NO CARRIER 2", "ok"] {
            assert_eq!(Outcome::of(line, true), None, "{line}");
        }
    }

    #[test]
    fn a_call_result_outside_a_call_is_not_an_answer() {
        assert_eq!(Outcome::of("NO CARRIER", false), None);
        assert_eq!(Outcome::of("NO CARRIER", true), Some(Outcome::NoCarrier));
    }

    #[test]
    fn mobile_errors_have_names() {
        let named = |line| Outcome::of(line, false).unwrap().to_string();
        assert_eq!(named("+CME ERROR: 16"), "incorrect password (16)");
        assert_eq!(named("+CME ERROR:10"), "SIM not inserted (10)");
        assert_eq!(named("+CME ERROR: SIM busy"), "SIM busy");
    }
}
