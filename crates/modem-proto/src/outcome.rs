//! Final result codes, matched as whole lines: a substring is how a URC becomes an answer.

mod names;

use std::fmt;

use crate::command::Answer;

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
    /// A stick that ignores `AT+CMEE=1` answers in words; these are not the standard's.
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

    /// The outcome a digit stands for, as after `ATV0` (V.250 section 5.7.1, table 1). Only for
    /// commands without text in their answer: there a digit can be nothing else.
    pub(crate) fn of_digit(line: &str, answer: Answer) -> Option<Self> {
        match (answer, line) {
            (Answer::Final | Answer::Call, "0") => Some(Self::Ok),
            (Answer::Final | Answer::Call, "4") => Some(Self::Error),
            (Answer::Call, "1") => Some(Self::Connect(String::new())),
            (Answer::Call, "3") => Some(Self::NoCarrier),
            (Answer::Call, "6") => Some(Self::NoDialtone),
            (Answer::Call, "7") => Some(Self::Busy),
            (Answer::Call, "8") => Some(Self::NoAnswer),
            _ => None,
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
        let code = reason.parse().ok().or_else(|| names::mobile_code(reason));
        code.map_or_else(|| Self::Text(reason.to_owned()), Self::Code)
    }
}

impl fmt::Display for MobileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "{} ({code})", names::mobile(*code)),
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
            Self::Message(reason) => match reason.parse() {
                Ok(code) => write!(f, "message service error: {} ({code})", names::message(code)),
                Err(_) => write!(f, "message service error: {reason}"),
            },
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
        assert_eq!(named("+CME ERROR: SIM busy"), "SIM busy (14)");
        assert_eq!(named("+CME ERROR: out of cheese"), "out of cheese");
        assert_eq!(named("+CMS ERROR: 500"), "message service error: unknown error (500)");
    }
}
