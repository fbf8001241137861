//! Decides whom to ask for the time, when, and what is done with the answers. Pure.
//!
//! ```text
//!             a line                time is up              nobody is awaited any more
//!  Waiting ───────────▶ Pausing ───────────────▶ Asking ──┬─▶ Asking (pages, after NTP) ──┐
//!     ▲ ◀── no line ───────┴────────────────────────┘     └──────────▶ Pausing ◀──────────┘
//!     any ──── timesyncd has synchronised the clock ────▶ Synchronised, the end
//! ```
//!
//! Whether the clock is believed by now ([`Machine::believed`]) is apart from that: one that was set
//! here is looked after, every hour, until timesyncd has taken over.

mod event;

pub use event::{Action, Believed, Event, Failure, Now, Round, Source, Trouble};

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use inquiry::public::PAGES;
use link_health::Family;
use ruleset::marks::Line;
use sysio::Monotonic;

use crate::lines::Usable;
use crate::sources::{OPERATORS, Question};
use crate::utc::{BootedAt, Utc};
use crate::votes::{self, Verdict, Vote};

/// timesyncd answers within a second of a line where it can; asking at once would only cost.
const GRACE: Duration = Duration::from_secs(5);
/// A server that answers does so within this, over the slowest line.
const NTP_PATIENCE: Duration = Duration::from_secs(3);
/// A name, a connection and a page; names of a broken resolver take three tries.
const PAGE_PATIENCE: Duration = Duration::from_secs(9);
/// NTP alone is tried so often before pages are asked: with the pauses between, after 13 s.
const NTP_ROUNDS: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// ... then doubling up to this.
const LATER_PAUSE: Duration = Duration::from_secs(5);
/// See [`LATER_PAUSE`].
pub const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A new line brings the next round forward, but not closer than this to the last one: a call that
/// breaks every minute must not cost a round each.
const LEAST_APART: Duration = Duration::from_secs(30);
/// A line's pages are asked so often at most, at first ...
const PAGES_APART: Duration = Duration::from_secs(60);
/// ... so many times; ...
const PAGES_SOON: u32 = 3;
/// ... then so often: a round of them costs kilobytes, one of NTP a tenth.
const PAGES_LATER: Duration = Duration::from_secs(30 * 60);
/// On a metered line, so many operators a round, once the first rounds have failed.
const METERED_AT_ONCE: usize = 2;
/// A server that says `RATE` is left alone for this.
const KISSED: Duration = Duration::from_secs(3600);
/// A clock that was set here drifts by some milliseconds until it is looked at again.
const RECHECK: Duration = Duration::from_secs(3600);
/// NTP answers may differ by this: half a round trip each over a slow line, and half a second of a
/// smeared leap second.
pub const NTP_TOLERANCE_MS: i64 = 3_000;
/// Dates have whole seconds, and nobody says when within an exchange they were written.
pub const DATE_TOLERANCE_MS: i64 = 10_000;
/// No time later than this after the image was built is believed: whoever answers in everybody's
/// place could else make every certificate a thing of the past. systemd draws its line at 15 years
/// (`CLOCK_VALID_RANGE_USEC_MAX`); no image is in use for ten.
const BELIEVED_FOR_MS: i64 = 10 * 366 * 24 * 3600 * 1000;
/// What went wrong is kept for people; more than this nobody reads.
const NOTES: usize = 12;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Pausing { until: Monotonic },
    Asking { source: Source, pending: BTreeMap<u64, Asked>, round: Round, until: Monotonic },
    Synchronised,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    line: Line,
    question: Question,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Machine {
    built: Utc,
    phase: Phase,
    lines: Vec<Usable>,
    usable_since: Option<Monotonic>,
    /// Rounds since the clock was believed last.
    rounds: u32,
    last_round: Option<Monotonic>,
    next_ask: u64,
    /// When a line's pages were asked last, and how often.
    pages_asked: BTreeMap<Line, (Monotonic, u32)>,
    /// Servers that want to be left alone, and until when; none: for good.
    resting: BTreeMap<IpAddr, Option<Monotonic>>,
    setting: Option<Believed>,
    believed: Option<Believed>,
    ntp: Round,
    pages: Round,
    trouble: Option<Trouble>,
}

impl Machine {
    /// For an image that was built at that time.
    pub fn new(built: Utc) -> Self {
        Self {
            built,
            phase: Phase::Waiting,
            lines: Vec::new(),
            usable_since: None,
            rounds: 0,
            last_round: None,
            next_ask: 0,
            pages_asked: BTreeMap::new(),
            resting: BTreeMap::new(),
            setting: None,
            believed: None,
            ntp: Round::default(),
            pages: Round::default(),
            trouble: None,
        }
    }

    /// Takes an event and says what to do.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.phase == Phase::Synchronised {
            return actions;
        }
        match event {
            Event::Synchronised => {
                self.phase = Phase::Synchronised;
                self.trouble = None;
                return vec![Action::Abandon, Action::Believe];
            }
            Event::Lines(lines) => self.lines_are(now.boot, lines, &mut actions),
            Event::Answered { ask, booted_at } => self.answered(ask, booted_at),
            Event::Failed { ask, why } => self.failed(now.boot, ask, why),
            Event::WasSet(result) => actions.extend(self.was_set(now.boot, result)),
            Event::Deadline => {}
        }
        self.go_on(now, &mut actions);
        actions
    }

    /// When to be given [`Event::Deadline`]; none while there is no line, and in the end.
    pub fn deadline(&self) -> Option<Monotonic> {
        match &self.phase {
            Phase::Pausing { until } | Phase::Asking { until, .. } => Some(*until),
            Phase::Waiting | Phase::Synchronised => None,
        }
    }

    /// Whether timesyncd has taken over.
    pub fn synchronised(&self) -> bool {
        self.phase == Phase::Synchronised
    }

    /// Whose word the clock was believed by, if it was not timesyncd.
    pub fn believed(&self) -> Option<&Believed> {
        self.believed.as_ref()
    }

    /// Since when somebody can be asked.
    pub fn usable_since(&self) -> Option<Monotonic> {
        self.usable_since
    }

    /// What came of the last NTP round, and of the last round of pages.
    pub fn rounds(&self) -> (&Round, &Round) {
        (&self.ntp, &self.pages)
    }

    /// Why the time that was agreed on was not taken.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    fn lines_are(&mut self, now: Monotonic, lines: Vec<Usable>, actions: &mut Vec<Action>) {
        let new = lines.iter().any(|line| !self.lines.contains(line));
        self.lines = lines;
        if self.lines.is_empty() {
            if self.phase != Phase::Waiting {
                actions.push(Action::Abandon);
            }
            (self.phase, self.usable_since) = (Phase::Waiting, None);
            return;
        }
        self.usable_since.get_or_insert(now);
        let apart = if self.believed.is_some() { RECHECK } else { LEAST_APART };
        let least = self.last_round.map_or(now, |last| last + apart);
        let soon = least.max(now + GRACE);
        match &mut self.phase {
            Phase::Waiting => self.phase = Phase::Pausing { until: soon },
            Phase::Pausing { until } if new => *until = soon.min(*until),
            _ => {}
        }
    }

    fn answered(&mut self, ask: u64, booted_at: BootedAt) {
        let Phase::Asking { pending, round, .. } = &mut self.phase else { return };
        if let Some(asked) = pending.remove(&ask) {
            round.votes.push(Vote { operator: asked.question.operator(), line: asked.line, booted_at });
        }
    }

    fn failed(&mut self, now: Monotonic, ask: u64, why: Failure) {
        let Phase::Asking { pending, round, .. } = &mut self.phase else { return };
        let Some(asked) = pending.remove(&ask) else { return };
        let words = match why {
            Failure::Told(words) => words,
            Failure::Kiss { code, for_good } => {
                if let Question::Ntp { server, .. } = asked.question {
                    self.resting.insert(server, (!for_good).then_some(now + KISSED));
                }
                format!("wants to be left alone ({code})")
            }
        };
        note(round, &asked, &words);
    }

    fn was_set(&mut self, now: Monotonic, result: Result<(), String>) -> Option<Action> {
        let setting = self.setting.take()?;
        match result {
            Ok(()) => Some(self.believe(now, setting)),
            Err(why) => {
                self.trouble = Some(Trouble::CannotSet(why));
                self.pause(now);
                None
            }
        }
    }

    /// What is due at this moment: begin a round, or end one.
    fn go_on(&mut self, now: Now, actions: &mut Vec<Action>) {
        match &self.phase {
            Phase::Pausing { until } if now.boot >= *until => self.begin(now, actions),
            Phase::Asking { pending, until, .. } if pending.is_empty() || now.boot >= *until => {
                self.conclude(now, actions);
            }
            _ => {}
        }
    }

    fn begin(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.last_round = Some(now.boot);
        self.rounds = self.rounds.saturating_add(1);
        let questions = self.servers(now.boot);
        if !self.ask(now.boot, Source::Ntp, questions, actions) {
            self.ask_pages_or_pause(now.boot, actions);
        }
    }

    /// One server of each operator over each line.
    fn servers(&self, now: Monotonic) -> Vec<Asked> {
        let turn = self.rounds.saturating_sub(1);
        let mut all = Vec::new();
        for line in &self.lines {
            let awake = |server: &IpAddr| match self.resting.get(server) {
                None => true,
                Some(until) => until.is_some_and(|until| now >= until),
            };
            let few = line.metered && self.rounds > NTP_ROUNDS;
            let most = if few { METERED_AT_ONCE } else { OPERATORS.len() };
            // Another one is left out each time.
            let from = usize::try_from(turn).unwrap_or(0) % OPERATORS.len();
            let order = OPERATORS.iter().cycle().skip(from).take(OPERATORS.len());
            let asked = order.filter_map(|operator| {
                let server = operator.address(turn, line.v4, line.v6).filter(awake)?;
                let question = Question::Ntp { operator: operator.name, server };
                Some(Asked { line: line.way.line, question })
            });
            all.extend(asked.take(most));
        }
        all
    }

    /// Pages over each line that has not been asked for some lately.
    fn pages(&mut self, now: Monotonic) -> Vec<Asked> {
        let mut all = Vec::new();
        for line in &self.lines {
            let (last, times) = self.pages_asked.get(&line.way.line).copied().unwrap_or_default();
            let apart = if times < PAGES_SOON { PAGES_APART } else { PAGES_LATER };
            if times > 0 && now.since(last) < apart {
                continue;
            }
            self.pages_asked.insert(line.way.line, (now, times.saturating_add(1)));
            let family = if line.v4 { Family::V4 } else { Family::V6 };
            let most = if line.metered { METERED_AT_ONCE } else { PAGES.len() };
            let from = usize::try_from(self.rounds).unwrap_or(0) % PAGES.len();
            let order = PAGES.iter().cycle().skip(from).take(most);
            all.extend(
                order.map(|page| Asked { line: line.way.line, question: Question::Page { page, family } }),
            );
        }
        all
    }

    /// Whether there was anything to ask.
    fn ask(
        &mut self,
        now: Monotonic,
        source: Source,
        questions: Vec<Asked>,
        actions: &mut Vec<Action>,
    ) -> bool {
        if questions.is_empty() {
            return false;
        }
        let until = now + if source == Source::Ntp { NTP_PATIENCE } else { PAGE_PATIENCE };
        let round = Round { asked: questions.len(), ..Round::default() };
        let mut pending = BTreeMap::new();
        for asked in questions {
            self.next_ask += 1;
            let (ask, Asked { line, question }) = (self.next_ask, asked);
            actions.push(Action::Ask { ask, line, question, deadline: until });
            pending.insert(ask, asked);
        }
        self.phase = Phase::Asking { source, pending, round, until };
        true
    }

    /// Nobody is awaited any more.
    fn conclude(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Phase::Asking { source, pending, mut round, .. } =
            std::mem::replace(&mut self.phase, Phase::Pausing { until: now.boot })
        else {
            return;
        };
        for asked in pending.values() {
            note(&mut round, asked, "no answer");
        }
        if !pending.is_empty() {
            actions.push(Action::Abandon);
        }
        let tolerance = if source == Source::Ntp { NTP_TOLERANCE_MS } else { DATE_TOLERANCE_MS };
        let verdict = votes::judge(&round.votes, tolerance);
        round.disagreed = verdict == Verdict::Disagreed;
        *(if source == Source::Ntp { &mut self.ntp } else { &mut self.pages }) = round;
        self.trouble = None;
        match verdict {
            Verdict::Agreed(booted_at) => actions.extend(self.take(now, source, booted_at)),
            _ if source == Source::Ntp && self.rounds >= NTP_ROUNDS => {
                self.ask_pages_or_pause(now.boot, actions);
            }
            _ => self.pause(now.boot),
        }
    }

    fn ask_pages_or_pause(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        let questions = self.pages(now);
        if !self.ask(now, Source::Pages, questions, actions) {
            self.pause(now);
        }
    }

    /// A majority says so.
    fn take(&mut self, now: Now, source: Source, booted_at: BootedAt) -> Option<Action> {
        let utc = booted_at.at(now.boot);
        let latest = Utc(self.built.0.saturating_add(BELIEVED_FOR_MS));
        let forward = utc.0.saturating_sub(now.wall.0);
        let tolerance = if source == Source::Ntp { NTP_TOLERANCE_MS } else { DATE_TOLERANCE_MS };
        self.pause(now.boot);
        if utc < self.built || utc > latest {
            self.trouble = Some(Trouble::Incredible(utc));
        } else if forward > tolerance {
            self.setting = Some(Believed { by: source, moved_ms: forward });
            return Some(Action::Set(booted_at));
        } else if forward >= -tolerance {
            return Some(self.believe(now.boot, Believed { by: source, moved_ms: 0 }));
        } else {
            self.trouble = Some(Trouble::Ahead(-forward));
        }
        None
    }

    fn believe(&mut self, now: Monotonic, believed: Believed) -> Action {
        self.believed = Some(believed);
        (self.trouble, self.rounds) = (None, 0);
        self.phase = Phase::Pausing { until: now + RECHECK };
        Action::Believe
    }

    fn pause(&mut self, now: Monotonic) {
        let pause = match self.rounds.checked_sub(NTP_ROUNDS) {
            _ if self.believed.is_some() => RECHECK,
            None => FIRST_PAUSE,
            Some(more) => (LATER_PAUSE * (1 << more.min(6))).min(LONGEST_PAUSE),
        };
        self.phase = Phase::Pausing { until: now + pause };
    }
}

fn note(round: &mut Round, asked: &Asked, words: &str) {
    if round.notes.len() < NOTES {
        let (operator, line) = (asked.question.operator(), asked.line.name());
        round.notes.push(format!("{operator} over the {line} line: {words}"));
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
