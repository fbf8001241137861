//! What the machine is told, what it answers, and what it remembers for people.

use ruleset::marks::Line;
use sysio::Monotonic;

use crate::lines::Usable;
use crate::sources::Question;
use crate::utc::{BootedAt, Utc};
use crate::votes::Vote;

/// This moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The one that never jumps.
    pub boot: Monotonic,
    /// The one that may be wrong.
    pub wall: Utc,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The lines that can be asked over.
    Lines(Vec<Usable>),
    /// A question was answered.
    Answered {
        /// Which.
        ask: u64,
        /// What the answer implies.
        booted_at: BootedAt,
    },
    /// A question was not, or not well.
    Failed {
        /// Which.
        ask: u64,
        /// Why.
        why: Failure,
    },
    /// What came of [`Action::Set`].
    WasSet(Result<(), String>),
    /// timesyncd says that it has synchronised the clock.
    Synchronised,
    /// The moment of [`super::Machine::deadline`] has come.
    Deadline,
}

/// Why a question brought no time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// In words.
    Told(String),
    /// The server wants to be left alone.
    Kiss {
        /// How it says so.
        code: String,
        /// And for good.
        for_good: bool,
    },
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask.
    Ask {
        /// What the answer is to be called by.
        ask: u64,
        /// Over which line.
        line: Line,
        /// What.
        question: Question,
        /// Nobody waits longer.
        deadline: Monotonic,
    },
    /// Give up everything under way.
    Abandon,
    /// Set the clock, and say whether it could be: [`Event::WasSet`].
    Set(BootedAt),
    /// From now on the clock can be believed: let everybody know.
    Believe,
}

/// Where a time came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// NTP servers.
    Ntp,
    /// The dates of web pages.
    Pages,
}

/// The clock that is believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Believed {
    /// By whose word.
    pub by: Source,
    /// By how much it was moved forward, in milliseconds; 0: it was right.
    pub moved_ms: i64,
}

/// What came of asking, the last time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Questions.
    pub asked: usize,
    /// Answers.
    pub votes: Vec<Vote>,
    /// What went wrong with the others.
    pub notes: Vec<String>,
    /// Enough operators answered, and no majority agreed.
    pub disagreed: bool,
}

/// Why a time that was agreed on was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It cannot be true.
    Incredible(Utc),
    /// The clock is ahead of it by so many milliseconds, and is set forward only.
    Ahead(i64),
    /// The system refused.
    CannotSet(String),
}
