//! When which page is asked for, and what the answers come to. Pure: moments, lines, findings and jitter
//! come in; what to do goes out.

use std::time::Duration;

use sysio::Monotonic;

use crate::ask::Finding;
use crate::lines::Lines;
use crate::settings::Page;

/// Requests at once: a server that hangs must not hold up the others, and each child takes megabytes.
pub const MOST_FLIGHTS: usize = 2;
/// So many failures in a row are one: a packet may be lost, a server restarted.
pub const FAILURES: u32 = 3;
/// So many successes in a row end it: one may be luck.
pub const SUCCESSES: u32 = 2;
/// The first requests are spread over so long, so that they do not all come at once after a boot.
const SPREAD: Duration = Duration::from_secs(60);
/// Nothing is waited for longer than this without a look: lines come and go.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// What happens to the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The lines are so now.
    Lines(Lines),
    /// Whether the date is good enough for certificates.
    Clock(bool),
    /// A request is over. The last is a random part of 256.
    Landed(usize, Finding, u8),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask for this page; ends with [`Event::Landed`].
    Ask(usize),
    /// It is in another state now; worth a line in the log.
    Changed(usize),
}

/// A page and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// The page.
    pub page: Page,
    /// How it is.
    pub state: State,
    /// What was found last.
    pub last: Option<Last>,
    /// Requests since the start of the daemon.
    pub sent: u64,
    /// Those of them that were not well.
    pub failed: u64,
    plan: Plan,
}

/// What was found, when, over which line.
#[derive(Clone, Debug, PartialEq)]
pub struct Last {
    /// What.
    pub finding: Finding,
    /// When it was over.
    pub at: Monotonic,
    /// The line's name.
    pub line: String,
}

/// How a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not known yet, with the failures so far.
    Unknown(Doubt),
    /// Well since, with the failures since the last success.
    Ok(Monotonic, Doubt),
    /// Failing since, with the successes since the last failure.
    Failing(Monotonic, Doubt),
}

/// What speaks against a state: how often in a row, and since when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubt {
    /// How often.
    pub count: u32,
    since: Monotonic,
}

impl Doubt {
    fn more(self, now: Monotonic) -> Self {
        let since = if self.count == 0 { now } else { self.since };
        Self { count: self.count.saturating_add(1), since }
    }
}

impl State {
    /// Its word in snapshots.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown",
            Self::Ok(..) => "ok",
            Self::Failing(..) => "failing",
        }
    }

    fn after(self, now: Monotonic, well: bool) -> Self {
        let fresh = Doubt::default();
        match (self, well) {
            (Self::Unknown(_), true) => Self::Ok(now, fresh),
            (Self::Ok(since, _), true) => Self::Ok(since, fresh),
            (Self::Failing(since, _), false) => Self::Failing(since, fresh),
            (Self::Unknown(doubt), false) => match doubt.more(now) {
                Doubt { count: FAILURES.., since } => Self::Failing(since, fresh),
                doubt => Self::Unknown(doubt),
            },
            (Self::Ok(since, doubt), false) => match doubt.more(now) {
                Doubt { count: FAILURES.., since } => Self::Failing(since, fresh),
                doubt => Self::Ok(since, doubt),
            },
            (Self::Failing(since, doubt), true) => match doubt.more(now) {
                Doubt { count: SUCCESSES.., since } => Self::Ok(since, fresh),
                doubt => Self::Failing(since, doubt),
            },
        }
    }
}

/// When a page is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Plan {
    /// For the first time, at this moment.
    First(Monotonic),
    /// A request is under way since, over that line.
    Flying(Monotonic, String),
    /// One began at this moment; the next comes after the interval and that random part of 256.
    Rest(Monotonic, u8),
}

/// All pages.
#[derive(Clone, Debug)]
pub struct Machine {
    tracks: Vec<Track>,
    lines: Lines,
    /// Whether the date is good enough for certificates.
    dated: bool,
}

impl Machine {
    /// For these pages; `jitter` gives a random part of 256 for each.
    pub fn new(pages: Vec<Page>, now: Monotonic, mut jitter: impl FnMut() -> u8) -> Self {
        let track = |page: Page| {
            let first = now + page.every.min(SPREAD) * u32::from(jitter()) / 256;
            let state = State::Unknown(Doubt::default());
            Track { page, state, last: None, sent: 0, failed: 0, plan: Plan::First(first) }
        };
        Self { tracks: pages.into_iter().map(track).collect(), lines: Lines::default(), dated: false }
    }

    /// The pages in the order of the configuration.
    pub fn tracks(&self) -> &[Track] {
        &self.tracks
    }

    /// The lines as they were told last.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Takes an event in and says what is to be done.
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Lines(lines) => self.lines = lines,
            Event::Clock(dated) => self.dated = dated,
            Event::Landed(page, finding, jitter) => {
                if self.landed(now, page, finding, jitter) {
                    actions.push(Action::Changed(page));
                }
            }
            Event::Tick => {}
        }
        self.depart(now, &mut actions);
        actions
    }

    /// When there is something to do without any event.
    pub fn next_deadline(&self, now: Monotonic) -> Option<Monotonic> {
        if self.tracks.is_empty() {
            return None;
        }
        let full = self.flights() >= MOST_FLIGHTS;
        let due = self.tracks.iter().filter(|_| !full).filter_map(|track| self.due(track)).min();
        Some(due.unwrap_or(now + LOOK_EVERY).min(now + LOOK_EVERY))
    }

    /// Sends what is due, the one that waits longest first.
    fn depart(&mut self, now: Monotonic, actions: &mut Vec<Action>) {
        while self.flights() < MOST_FLIGHTS {
            let due = self.tracks.iter().enumerate().filter_map(|(at, track)| Some((self.due(track)?, at)));
            let Some((_, at)) = due.filter(|(due, _)| *due <= now).min() else { return };
            let line = self.lines.meant(self.tracks[at].page.line).map_or("", |(name, _)| name).to_owned();
            let track = &mut self.tracks[at];
            track.plan = Plan::Flying(now, line);
            track.sent += 1;
            actions.push(Action::Ask(at));
        }
    }

    /// When a page is due; never while nothing can be learned or it may cost too much.
    fn due(&self, track: &Track) -> Option<Monotonic> {
        let (_, line) = self.lines.meant(track.page.line)?;
        if !line.open || line.cut || (track.page.needs_clock() && !self.dated) {
            return None;
        }
        let interval = if line.metered { track.page.metered } else { track.page.every };
        match track.plan {
            Plan::First(at) => Some(at),
            Plan::Flying(..) => None,
            // Up to a sixteenth later, never sooner: pages with one interval part, and so do appliances.
            Plan::Rest(began, jitter) => Some(began + interval + interval / 16 * u32::from(jitter) / 256),
        }
    }

    fn flights(&self) -> usize {
        self.tracks.iter().filter(|track| matches!(track.plan, Plan::Flying(..))).count()
    }

    /// Whether its state is another now.
    fn landed(&mut self, now: Monotonic, page: usize, finding: Finding, jitter: u8) -> bool {
        let Some(track) = self.tracks.get_mut(page) else { return false };
        let Plan::Flying(began, line) = &track.plan else { return false };
        let (began, line) = (*began, line.clone());
        track.plan = Plan::Rest(began, jitter);
        // A line that died or was left under way says nothing of the page; `uplink` speaks of the line.
        let same =
            self.lines.meant(track.page.line).is_some_and(|(name, now_is)| name == line && now_is.open);
        let finding = finding.judged(&track.page.expect);
        let well = finding.well();
        if !well && !same {
            return false;
        }
        track.failed += u64::from(!well);
        let before = track.state;
        track.state = before.after(now, well);
        track.last = Some(Last { finding, at: now, line });
        track.state.word() != before.word()
    }
}

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
