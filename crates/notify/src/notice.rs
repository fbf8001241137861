//! What is told: a notice as the machine makes it, a message as the queue keeps it.

use serde::{Deserialize, Serialize};
use snapshot::Severity;

/// Longest title, in characters: a line on a phone's lock screen and a mail's subject.
const TITLE: usize = 160;
/// Longest text, in characters; a condition's detail is a few hundred.
const TEXT: usize = 1500;
/// A summary names so many; how many more there are is a number.
pub const ITEMS: usize = 40;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Something is wrong.
    Alert,
    /// It is well again.
    Recovery,
    /// It is still wrong, a day later.
    Reminder,
    /// Several of these in one.
    Summary,
    /// A person wants to see whether messages arrive.
    Test,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Alert => "alert",
            Self::Recovery => "recovery",
            Self::Reminder => "reminder",
            Self::Summary => "summary",
            Self::Test => "test",
        }
    }
}

/// One line of a summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// What it was.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// Who said it.
    pub daemon: String,
    /// The condition's id.
    pub condition: String,
    /// In one line.
    pub title: String,
}

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// What it is.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// Who said it; empty for a summary.
    pub daemon: String,
    /// The condition's id; empty for a summary.
    pub condition: String,
    /// The condition whose place it takes.
    #[serde(default)]
    pub replaces: Option<String>,
    /// In one line.
    pub title: String,
    /// In some more.
    pub text: String,
    /// What a summary sums up.
    #[serde(default)]
    pub items: Vec<Item>,
    /// How many more it does not name.
    #[serde(default)]
    pub more: u64,
}

impl Notice {
    /// About one condition; what is too long is cut, because the queue is bounded.
    pub fn new(
        kind: Kind,
        severity: Severity,
        daemon: &str,
        condition: &str,
        title: &str,
        text: &str,
    ) -> Self {
        Self {
            kind,
            severity,
            daemon: daemon.to_owned(),
            condition: condition.to_owned(),
            replaces: None,
            title: cut(title, TITLE),
            text: cut(text, TEXT),
            items: Vec::new(),
            more: 0,
        }
    }

    /// That what was told of `was` has changed to this; the same trouble that got worse is no change
    /// of place.
    #[must_use]
    pub fn instead_of(self, was: String) -> Self {
        if was == self.condition {
            return self;
        }
        Self { title: cut(&format!("now: {}", self.title), TITLE), replaces: Some(was), ..self }
    }

    /// Several in one, in the order they came.
    pub fn summary(items: Vec<Item>, more: u64, title: &str, text: &str) -> Self {
        let severity = items.iter().map(|item| item.severity).max().unwrap_or(Severity::Warning);
        let beyond = items.len().saturating_sub(ITEMS);
        let mut items = items;
        // The newest say how things are; what is left out is counted.
        items.drain(..beyond);
        let more = more + u64::try_from(beyond).unwrap_or(u64::MAX);
        Self { items, more, ..Self::new(Kind::Summary, severity, "", "", title, text) }
    }

    /// As lines of a summary.
    pub fn into_items(self) -> (Vec<Item>, u64) {
        if self.kind == Kind::Summary {
            return (self.items, self.more);
        }
        let Self { kind, severity, daemon, condition, title, .. } = self;
        (vec![Item { kind, severity, daemon, condition, title }], 0)
    }

    /// How many occurrences it tells of.
    pub fn count(&self) -> u64 {
        if self.kind == Kind::Summary { self.items.len() as u64 + self.more } else { 1 }
    }
}

/// When something was noticed: exact within its boot, by the wall clock where that was plausible.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The boot.
    pub boot_id: String,
    /// Milliseconds of `CLOCK_BOOTTIME` in it.
    pub monotonic_ms: u64,
    /// Seconds since 1970.
    pub unix: Option<u64>,
}

/// A way to tell a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    /// A JSON document by POST.
    Webhook,
    /// ntfy.
    Ntfy,
    /// An incoming webhook as Slack has it.
    Slack,
    /// Mail.
    Mail,
}

impl Channel {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::Ntfy => "ntfy",
            Self::Slack => "slack",
            Self::Mail => "mail",
        }
    }
}

/// A notice in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The same in every try, so that a receiver recognises what it has.
    pub id: String,
    /// When.
    pub at: Stamp,
    /// What.
    pub notice: Notice,
    /// Who has not accepted it yet.
    pub pending: Vec<Channel>,
}

/// At most `most` characters, on one or more lines, without control characters that could end a
/// line of some protocol.
fn cut(text: &str, most: usize) -> String {
    let clean = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
    let mut short: String = text.chars().map(clean).take(most).collect();
    if text.chars().count() > most {
        short.pop();
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_keeps_the_newest_and_counts_the_rest() {
        let item = |n: usize| Item {
            kind: Kind::Alert,
            severity: Severity::Warning,
            daemon: "d".into(),
            condition: n.to_string(),
            title: "t".into(),
        };
        let notice = Notice::summary((0..ITEMS + 5).map(item).collect(), 2, "many", "");
        assert_eq!(notice.items.len(), ITEMS);
        assert_eq!(notice.more, 7);
        assert_eq!(notice.items[0].condition, "5");
        assert_eq!(notice.count(), ITEMS as u64 + 7);
    }

    #[test]
    fn what_a_stick_says_cannot_end_a_line_of_a_protocol() {
        let notice = Notice::new(Kind::Alert, Severity::Error, "d", "c", "a\r\nBcc: x", &"y".repeat(9000));
        assert!(!notice.title.contains('\r'));
        assert_eq!(notice.text.chars().count(), TEXT);
    }
}
