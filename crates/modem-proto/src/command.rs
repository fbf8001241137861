//! Commands, what may answer them, and how long that may take.

use std::fmt;
use std::time::Duration;

use crate::machine::{Apn, PdpType};

/// Ordinary commands: wvdial gives 5 s, `ModemManager` 3 s to a probe.
const ORDINARY: Duration = Duration::from_secs(5);
/// The first words to a port; `ModemManager` probes with 3 s.
const PROBE: Duration = Duration::from_secs(3);
/// SIM questions take longer while the card starts; `ModemManager` gives `+CPIN?` 10 s.
const SIM: Duration = Duration::from_secs(10);
/// `ATD*99#` waits for PDP context activation. Networks answer within seconds; 3GPP TS 24.008
/// repeats the request after 30 s (T3380). One repetition is waited for, not all four (150 s): a
/// stick that has lost its tongue looks the same, and a fresh call asks again anyway.
const DIAL: Duration = Duration::from_secs(45);
/// Radio off and on takes some sticks ten seconds and more; `ModemManager` gives it 25 s and more.
const RADIO: Duration = Duration::from_secs(30);
/// Attaching: 3GPP TS 24.008 repeats the request after 15 s (T3310), four times.
const ATTACH: Duration = Duration::from_secs(75);
/// A network scan is not asked for, but some sticks ask the network for its name.
const OPERATOR: Duration = Duration::from_secs(15);

/// Which lines belong to a command's answer; every other line is unsolicited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Only a final result.
    Final,
    /// Lines with this prefix, which no URC has.
    Prefix(&'static str),
    /// A registration state: its URC has the same prefix and differs in its fields alone.
    Registration(&'static str),
    /// A line of text, on some sticks behind this prefix.
    Text(&'static str),
    /// Every line until the final result: a person tells answers from URCs.
    Everything,
    /// A call: its results count as final.
    Call,
}

/// One AT command line.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    pub(crate) text: String,
    pub(crate) answer: Answer,
    pub(crate) limit: Duration,
    secret: bool,
}

impl Command {
    fn new(text: impl Into<String>, answer: Answer, limit: Duration) -> Self {
        Self { text: text.into(), answer, limit, secret: false }
    }

    /// A command with nothing but a final result.
    pub(crate) fn plain(text: &str) -> Self {
        Self::new(text, Answer::Final, ORDINARY)
    }

    /// A first word to a port that may be anything.
    pub(crate) fn probe() -> Self {
        Self::new("AT", Answer::Final, PROBE)
    }

    /// `AT+CREG?` and its sisters.
    pub(crate) fn registration(text: &str, prefix: &'static str) -> Self {
        Self::new(text, Answer::Registration(prefix), ORDINARY)
    }

    /// A question answered behind `prefix`.
    pub(crate) fn question(text: &str, prefix: &'static str) -> Self {
        Self::new(text, Answer::Prefix(prefix), ORDINARY)
    }

    /// A question to the network.
    pub(crate) fn operator() -> Self {
        Self::new("AT+COPS?", Answer::Prefix("+COPS:"), OPERATOR)
    }

    /// A question answered in plain text.
    pub(crate) fn text(text: &str, prefix: &'static str) -> Self {
        Self::new(text, Answer::Text(prefix), ORDINARY)
    }

    /// A question to the SIM.
    pub(crate) fn sim(text: &str, prefix: &'static str) -> Self {
        Self::new(text, Answer::Prefix(prefix), SIM)
    }

    /// The PIN; the only command that can destroy something.
    pub(crate) fn pin(pin: &str) -> Self {
        Self { secret: true, ..Self::new(format!("AT+CPIN=\"{pin}\""), Answer::Final, SIM) }
    }

    /// The access point of PDP context 1.
    pub(crate) fn context(pdp_type: PdpType, apn: &Apn) -> Self {
        let text = format!("AT+CGDCONT=1,\"{}\",\"{}\"", pdp_type.word(), apn.as_str());
        Self::new(text, Answer::Final, ORDINARY)
    }

    /// The radio, off or on.
    pub(crate) fn radio(text: &str) -> Self {
        Self::new(text, Answer::Final, RADIO)
    }

    /// Leaving or joining the packet network.
    pub(crate) fn attach(text: &str) -> Self {
        Self::new(text, Answer::Final, ATTACH)
    }

    /// What a person wants to know; see [`crate::maintenance`].
    pub(crate) fn maintenance(text: &str, limit: Duration) -> Self {
        Self::new(text, Answer::Everything, limit)
    }

    /// Another limit.
    pub(crate) fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// A call.
    pub(crate) fn dial(number: &str) -> Self {
        Self::new(format!("ATD{number}"), Answer::Call, DIAL)
    }

    /// What goes over the wire. Contains secrets.
    pub fn wire(&self) -> Vec<u8> {
        format!("{}\r", self.text).into_bytes()
    }

    /// Whether it carries the PIN.
    pub fn carries_pin(&self) -> bool {
        self.secret
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.secret { "AT+CPIN=…" } else { &self.text })
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Command({self})")
    }
}
