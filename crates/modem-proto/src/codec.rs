//! The AT dialogue: one command at a time, its answer told apart from everything else on the line.
//!
//! Sticks interleave answers with unsolicited result codes (URCs) such as `+CREG: 1`, `^RSSI: 12`,
//! `+ZPASR: "HSDPA"`. A URC taken for an answer is how other projects got stuck for ever
//! (openwrt/openwrt#25285), so a line belongs to an answer only if the pending command expects it.

use crate::command::{Answer, Command};
use crate::lines::Lines;
use crate::outcome::Outcome;
use crate::parse;

/// An answer has at most this many lines; `+COPS=?`, the longest there is, stays below.
const MOST_LINES: usize = 64;
/// Characters that begin the URCs of 27.007 (`+`), Huawei and ZTE (`^`, `+Z`), and others.
const URC_MARKS: [char; 7] = ['+', '^', '*', '%', '$', '&', '!'];
/// URCs without a mark (V.250 section 6.3, 27.007 section 6.11).
const BARE_URCS: [&str; 6] = ["RING", "NO CARRIER", "NO ANSWER", "BUSY", "NO DIALTONE", "CONNECT"];

/// A command's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// How it ended.
    pub outcome: Outcome,
    /// What was said before, prefixes kept, echo and URCs removed.
    pub lines: Vec<String>,
}

/// What a line turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The pending command is answered.
    Answer(Response),
    /// Something nobody asked for.
    Unsolicited(String),
}

#[derive(Debug)]
struct Pending {
    echo: String,
    answer: Answer,
    lines: Vec<String>,
}

/// One port's dialogue.
#[derive(Debug, Default)]
pub struct Codec {
    lines: Lines,
    pending: Option<Pending>,
}

impl Codec {
    /// Notes that `command` was sent; an earlier one that is still unanswered is given up.
    pub fn sent(&mut self, command: &Command) {
        self.pending =
            Some(Pending { echo: command.text.clone(), answer: command.answer, lines: Vec::new() });
    }

    /// Forgets everything, as for a port just opened.
    pub fn reset(&mut self) {
        self.pending = None;
        self.lines.clear();
    }

    /// Takes bytes as they came. After `CONNECT` the rest is data and left alone.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        for byte in bytes {
            let Some(line) = self.lines.push(*byte) else { continue };
            let item = self.line(line);
            let connected =
                matches!(&item, Some(Heard::Answer(Response { outcome: Outcome::Connect(_), .. })));
            heard.extend(item);
            if connected {
                self.lines.clear();
                break;
            }
        }
        heard
    }

    fn line(&mut self, line: String) -> Option<Heard> {
        let Some(pending) = &mut self.pending else {
            return Some(Heard::Unsolicited(line));
        };
        // Half a URC may stand before the echo: the line began before the command was sent.
        if line.ends_with(&pending.echo) {
            return None;
        }
        if let Some(outcome) = Outcome::of(&line, pending.answer == Answer::Call) {
            // Dialling ends with CONNECT or a refusal (V.250 section 6.3.1): an OK is a late answer to
            // something before it.
            if pending.answer == Answer::Call && outcome == Outcome::Ok {
                return Some(Heard::Unsolicited(line));
            }
            let lines = self.pending.take().map(|pending| pending.lines).unwrap_or_default();
            return Some(Heard::Answer(Response { outcome, lines }));
        }
        if belongs(&line, pending.answer) && pending.lines.len() < MOST_LINES {
            pending.lines.push(line);
            return None;
        }
        Some(Heard::Unsolicited(line))
    }
}

fn belongs(line: &str, answer: Answer) -> bool {
    match answer {
        Answer::Final | Answer::Call => false,
        Answer::Everything => true,
        Answer::Prefix(prefix) => line.starts_with(prefix),
        Answer::Registration(prefix) => parse::registration(line, prefix).is_some(),
        Answer::Text(prefix) => {
            line.starts_with(prefix)
                || !(line.starts_with(URC_MARKS) || BARE_URCS.iter().any(|urc| line.starts_with(urc)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_ok_does_not_answer_a_call() {
        let mut codec = Codec::default();
        codec.sent(&Command::dial("*99#"));
        assert_eq!(codec.push(b"\r\nOK\r\n"), [Heard::Unsolicited("OK".into())]);
        let heard = codec.push(b"\r\nCONNECT 7200000\r\n");
        let [Heard::Answer(response)] = &heard[..] else { panic!("{heard:?}") };
        assert!(matches!(response.outcome, Outcome::Connect(_)));
    }
}
