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
    /// `^HCSQ?` of Huawei's sticks, where the other two know nothing.
    HuaweiSignal,
    /// `+CREG?`.
    Registration,
    /// `+CGREG?`: packets on 2G and 3G (27.007 section 10.1.20).
    Packet,
    /// `+CEREG?`: LTE (27.007 section 10.1.22).
    Evolved,
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
            Self::HuaweiSignal => Command::question("AT^HCSQ?", "^HCSQ:"),
            Self::Registration => Command::registration("AT+CREG?", "+CREG:"),
            Self::Packet => Command::registration("AT+CGREG?", "+CGREG:"),
            Self::Evolved => Command::registration("AT+CEREG?", "+CEREG:"),
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
    /// How the stick stands with the network, as far as data are concerned.
    pub registration: Option<Registration>,
    circuit: Option<Registration>,
    packet: Option<Registration>,
    evolved: Option<Registration>,
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
            Question::HuaweiSignal => {
                self.signal_dbm = lines.iter().find_map(|line| parse::huawei_signal_dbm(line));
            }
            // Each of them is asked in one round; what counts is told at its end.
            Question::Registration => self.circuit = registration(lines, "+CREG:"),
            Question::Packet => self.packet = registration(lines, "+CGREG:"),
            Question::Evolved => self.evolved = registration(lines, "+CEREG:"),
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

    /// The round is over: one of its answers alone could be taken for a change of network.
    pub(super) fn settle(&mut self) {
        self.registration = Registration::for_data(self.circuit, self.packet, self.evolved);
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

fn registration(lines: &[String], prefix: &str) -> Option<Registration> {
    lines.iter().find_map(|line| parse::registration(line, prefix))
}
