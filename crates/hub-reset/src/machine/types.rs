//! What goes in and out.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sysio::Monotonic;

use super::{CD_ROM, GONE, SILENT};
use crate::incidents::{Incident, Step};
use crate::ledger::Ledger;
use crate::worker::{Answer, Job};

/// A stick in a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stick {
    /// The port.
    pub port: String,
    /// Vendor and product.
    pub id: String,
}

/// The dialer's call for help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Which stick.
    pub stick: Stick,
    /// Since when.
    pub since: Monotonic,
    /// Why.
    pub reason: String,
}

/// How far the dialer is with its stick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// No stick.
    Absent,
    /// Still a CD-ROM.
    CdRom,
    /// Looking for an answer, or about to.
    #[default]
    Tries,
    /// The stick answers.
    Answers,
    /// It is online, or could be at once.
    Online,
    /// It answers, and a person has to do something: nothing here can help.
    Person,
}

impl Progress {
    /// The stick is alive.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Answers | Self::Online | Self::Person)
    }
}

/// All that is known at one moment.
#[expect(clippy::struct_excessive_bools, reason = "facts from different places, each true by itself")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// How old the dialer's last word is.
    pub silent_for: Duration,
    /// How far it is.
    pub progress: Progress,
    /// Since how long.
    pub progress_for: Duration,
    /// Its call for help.
    pub stuck: Option<Stuck>,
    /// The stick it uses.
    pub stick: Option<Stick>,
    /// A stick was ever seen.
    pub ever: bool,
    /// Something is in the stick's port.
    pub present: bool,
    /// A person switched the port off.
    pub held: bool,
    /// Seconds of service, over all boots.
    pub service_s: u64,
    /// What is written to disk is there after a reboot.
    pub durable: bool,
    /// The wall clock, if plausible.
    pub wall: Option<String>,
}

impl View {
    /// The stick in question.
    pub fn best_stick(&self) -> Option<&Stick> {
        self.stuck.as_ref().map(|stuck| &stuck.stick).or(self.stick.as_ref())
    }

    pub(super) fn is_steady(&self, time: Duration) -> bool {
        self.progress == Progress::Online && self.progress_for >= time && self.trouble().is_none()
    }

    pub(super) fn trouble(&self) -> Option<Cause> {
        if self.silent_for >= SILENT {
            return Some(Cause::Silent);
        }
        // A dialer without its stick has nothing else to say.
        if self.held {
            return None;
        }
        if self.stuck.is_some() {
            return Some(Cause::Stuck);
        }
        match self.progress {
            Progress::Absent if self.ever && self.progress_for >= GONE => Some(Cause::Gone),
            Progress::CdRom if self.progress_for >= CD_ROM => Some(Cause::CdRom),
            _ => None,
        }
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// The dialer has not been heard of.
    Silent,
    /// The dialer is at its wits' end.
    Stuck,
    /// The stick fell off the bus.
    Gone,
    /// The stick stays a CD-ROM.
    CdRom,
}

const SILENT_WORDS: &str = "the dialer is silent";
const GONE_WORDS: &str = "the stick fell off the bus";
const CD_ROM_WORDS: &str = "the stick stays a CD-ROM";

impl Cause {
    pub(super) fn words(self, view: &View) -> String {
        match self {
            Self::Silent => SILENT_WORDS.to_owned(),
            Self::Stuck => view.stuck.as_ref().map(|stuck| stuck.reason.clone()).unwrap_or_default(),
            Self::Gone => GONE_WORDS.to_owned(),
            Self::CdRom => CD_ROM_WORDS.to_owned(),
        }
    }

    /// From an incident of an earlier boot.
    pub(super) fn from_words(words: &str) -> Self {
        match words {
            SILENT_WORDS => Self::Silent,
            GONE_WORDS => Self::Gone,
            CD_ROM_WORDS => Self::CdRom,
            _ => Self::Stuck,
        }
    }
}

/// A request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Power off until told otherwise.
    Off,
    /// Power on.
    On,
    /// Off and on.
    Cycle,
}

impl Verb {
    /// From its name.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Off, Self::On, Self::Cycle].into_iter().find(|verb| verb.word() == word)
    }

    /// Its name.
    pub fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::On => "on",
            Self::Cycle => "cycle",
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This is how things are.
    Seen(View),
    /// A worker answered.
    Done(Job, Answer),
    /// Somebody asked for it.
    Asked(Verb),
    /// What the dialer has done itself.
    DialerDid(Vec<Step>),
    /// The end: power back, and out.
    Stop,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a worker; its end is an [`Event::Done`].
    Work(Job),
    /// Put the reboots on disk; if that fails, a reboot that follows must not happen.
    SaveLedger(Ledger),
    /// The open incident changed.
    Record,
    /// The incident is over.
    Close(Incident),
    /// For the log.
    Say(Answer),
}
