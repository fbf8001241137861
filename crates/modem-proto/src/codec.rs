//! The AT dialogue: one command at a time, its answer told apart from everything else on the line.
//!
//! Sticks interleave answers with unsolicited result codes (URCs) such as `+CREG: 1`, `^RSSI: 12`,
//! `+ZPASR: "HSDPA"`. A URC taken for an answer is how other projects got stuck for ever
//! (openwrt/openwrt#25285), so a line belongs to an answer only if the pending command expects it.

use crate::command::{Answer, Command};
use crate::lines::Lines;
use crate::outcome::Outcome;
use crate::parse;

/// So many given-up commands are remembered; each cost seconds, and the port is reopened after a few.
const MOST_OWED: usize = 8;
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
    /// Whether a final result came in its time that was taken for an earlier command's.
    passed_one: bool,
}

/// One port's dialogue.
#[derive(Debug, Default)]
pub struct Codec {
    lines: Lines,
    pending: Option<Pending>,
    /// What was given up and may still be answered, late: the next command must not get that answer.
    owed: Vec<Answer>,
}

impl Codec {
    /// Notes that `command` was sent; an earlier one that is still unanswered is given up.
    pub fn sent(&mut self, command: &Command) {
        // One whose result may have come already is not owed another one.
        if let Some(given_up) = self.pending.take().filter(|pending| !pending.passed_one)
            && self.owed.len() < MOST_OWED
        {
            self.owed.push(given_up.answer);
        }
        let (echo, answer) = (command.text.clone(), command.answer);
        self.pending = Some(Pending { echo, answer, lines: Vec::new(), passed_one: false });
    }

    /// Forgets everything, as for a port just opened.
    pub fn reset(&mut self) {
        self.pending = None;
        self.owed.clear();
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
            // Answers come in the order of the commands: what was owed will not come any more.
            if line == pending.echo {
                self.owed.clear();
            }
            return None;
        }
        let line = canonical(line, pending.answer);
        if let Some(outcome) = Outcome::of(&line, pending.answer == Answer::Call)
            .or_else(|| Outcome::of_digit(&line, pending.answer))
        {
            // Dialling ends with CONNECT or a refusal (V.250 section 6.3.1): an OK is a late answer to
            // something before it.
            if pending.answer == Answer::Call && outcome == Outcome::Ok {
                return Some(Heard::Unsolicited(line));
            }
            // Nothing but OK is no answer to a question: it is the late end of something given up.
            if outcome == Outcome::Ok
                && pending.is_question()
                && pending.lines.is_empty()
                && !self.owed.is_empty()
            {
                self.owed.remove(0);
                pending.passed_one = true;
                return Some(Heard::Unsolicited(line));
            }
            let answer = pending.answer;
            let lines = self.pending.take().map(|pending| pending.lines).unwrap_or_default();
            // Its own lines came, so everything before it is through; unless the same was asked twice.
            if !lines.is_empty() && !self.owed.contains(&answer) {
                self.owed.clear();
            }
            return Some(Heard::Answer(Response { outcome, lines }));
        }
        if belongs(&line, pending.answer) && pending.lines.len() < MOST_LINES {
            pending.lines.push(line);
            return None;
        }
        Some(Heard::Unsolicited(line))
    }
}

impl Pending {
    /// Whether lines must come before its `OK`.
    fn is_question(&self) -> bool {
        matches!(self.answer, Answer::Prefix(_) | Answer::Registration(_) | Answer::Text(_))
    }
}

/// A few firmwares answer in the letters they were asked in (`+csq: 18,99` from an MC7455): the
/// prefix as the parsers know it.
fn canonical(line: String, answer: Answer) -> String {
    let (Answer::Prefix(prefix) | Answer::Registration(prefix) | Answer::Text(prefix)) = answer else {
        return line;
    };
    match line.get(..prefix.len()) {
        Some(start) if start != prefix && start.eq_ignore_ascii_case(prefix) => {
            format!("{prefix}{}", &line[prefix.len()..])
        }
        _ => line,
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
mod tests;
