//! Questions of the monitor, and what their answers are worth.

use sysio::Monotonic;

use crate::command::Command;
use crate::measure;
use crate::parse::{self, Registration};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// `ATE0`, the first words.
    Quiet,
    /// Whether it answers at all.
    Alive,
    /// `+CSQ`.
    Signal,
    /// `+CESQ`, where `+CSQ` knows nothing.
    ExtendedSignal,
    /// `+CREG?`.
    Registration,
    /// `+COPS=3,n`: how the operator is told, 0 by name, 2 by number.
    Format(u8),
    /// `+COPS?`.
    Operator,
}

impl Question {
    pub(super) fn command(self) -> Command {
        match self {
            Self::Quiet => Command::plain("ATE0"),
            Self::Alive => Command::plain("AT"),
            Self::Signal => Command::question("AT+CSQ", "+CSQ:"),
            Self::ExtendedSignal => Command::question("AT+CESQ", "+CESQ:"),
            Self::Registration => Command::registration("AT+CREG?", "+CREG:"),
            Self::Format(format) => Command::plain(&format!("AT+COPS=3,{format}")),
            Self::Operator => Command::operator(),
        }
    }

    /// The heartbeat is never left out: `ERROR` is an answer, too.
    pub(super) fn may_be_refused(self) -> bool {
        !matches!(self, Self::Quiet | Self::Alive | Self::Registration)
    }
}

/// What is known of the air, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measurement {
    /// Signal strength; none where the stick does not know.
    pub signal_dbm: Option<i16>,
    /// The operator's name.
    pub operator: Option<String>,
    /// Country and network, five or six digits.
    pub operator_code: Option<String>,
    /// `GSM`, `UMTS`, `HSPA`, `LTE`, …
    pub technology: Option<&'static str>,
    /// How the stick stands with the network.
    pub registration: Option<Registration>,
    /// When the signal was last asked.
    pub measured: Option<Monotonic>,
}

impl Measurement {
    pub(super) fn learn(&mut self, now: Monotonic, question: Question, lines: &[String]) {
        match question {
            Question::Signal => {
                self.signal_dbm = lines.iter().find_map(|line| parse::signal_dbm(line));
                self.measured = Some(now);
            }
            Question::ExtendedSignal => {
                self.signal_dbm = lines.iter().find_map(|line| measure::extended_signal_dbm(line));
            }
            Question::Registration => {
                self.registration = lines.iter().find_map(|line| parse::registration(line, "+CREG:"));
            }
            Question::Operator => {
                let Some(found) = lines.iter().find_map(|line| measure::operator(line)) else { return };
                if found.name.is_some() {
                    self.operator = found.name;
                }
                if found.code.is_some() {
                    self.operator_code = found.code;
                }
                if found.technology.is_some() {
                    self.technology = found.technology;
                }
            }
            Question::Quiet | Question::Alive | Question::Format(_) => {}
        }
    }

    /// What the stick tells by itself: Huawei's `^RSSI: n`, in the scale of `+CSQ` (Huawei AT
    /// Command Interface Specification, section "Signal strength report").
    pub(super) fn hear(&mut self, now: Monotonic, line: &str) {
        let Some(level) = line.strip_prefix("^RSSI:") else { return };
        if let Some(signal) = parse::signal_dbm(&format!("+CSQ:{level}")) {
            self.signal_dbm = Some(signal);
            self.measured = Some(now);
        }
    }
}
