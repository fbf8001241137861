//! The record in memory: bounded in targets, steps and samples a step.

use std::collections::VecDeque;
use std::time::Duration;
use sysio::Monotonic;

/// A point of a chart.
pub(super) const STEP: Duration = Duration::from_secs(60);
/// A day of steps.
pub(super) const STEPS: usize = 24 * 60;
/// The same in seconds.
const DAY: u64 = STEP.as_secs() * STEPS as u64;
/// Two lines with the built-in list, and as much again for lists that changed within the day.
const TRACKS: usize = 160;
/// Latencies kept of one step, for its median; more would not move it.
const SAMPLES: usize = 64;
/// Latencies are kept in tenths of a millisecond: 16 bits reach 6.5 s, longer than any timeout.
const TENTHS: u32 = 10;

/// What was found of a target within one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Point {
    pub(super) sent: u16,
    pub(super) lost: u16,
    /// Tenths of a millisecond; 0 where nothing was answered.
    pub(super) median: u16,
    pub(super) worst: u16,
    /// The last status; 0 for none.
    pub(super) code: u16,
}

/// When a step was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// Of this boot: steps since it began.
    Step(u32),
    /// Of an earlier one: what the wall clock showed, in seconds.
    Wall(u64),
}

/// A target's record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Track {
    pub(super) line: String,
    pub(super) name: String,
    pub(super) operator: String,
    pub(super) kind: String,
    pub(super) points: VecDeque<(When, Point)>,
    open: Option<Open>,
}

/// The step that is not over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Open {
    step: u32,
    point: Point,
    latencies: Vec<u16>,
}

/// Whom a question was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked<'a> {
    /// The line it left by.
    pub line: &'a str,
    /// The target; with the line it is what a track is known by. Neither has tabs or line feeds.
    pub name: &'a str,
    /// Whose it is.
    pub operator: &'a str,
    /// How it is asked.
    pub kind: &'a str,
}

/// The record of all targets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ring {
    pub(super) tracks: Vec<Track>,
}

impl Ring {
    /// A question is over: with a latency if it was answered as it should.
    pub fn note(&mut self, now: Monotonic, asked: &Asked<'_>, latency: Option<Duration>, code: Option<u16>) {
        let step = step_of(now);
        let track = self.track(asked);
        if track.open.as_ref().is_none_or(|open| open.step != step) {
            track.close();
            track.open = Some(Open { step, ..Open::default() });
        }
        let Some(open) = &mut track.open else { return };
        open.point.sent = open.point.sent.saturating_add(1);
        open.point.code = code.unwrap_or(open.point.code);
        match latency {
            Some(latency) if open.latencies.len() < SAMPLES => open.latencies.push(tenths(latency)),
            Some(_) => {}
            None => open.point.lost = open.point.lost.saturating_add(1),
        }
    }

    /// Ends steps that are over and forgets what is older than a day, by the wall clock (seconds since
    /// 1970) where that is known and the point is of an earlier boot.
    pub fn turn(&mut self, now: Monotonic, unix: Option<u64>) {
        let step = step_of(now);
        let oldest = step.saturating_sub(u32::try_from(STEPS).unwrap_or(u32::MAX));
        for track in &mut self.tracks {
            if track.open.as_ref().is_some_and(|open| open.step != step) {
                track.close();
            }
            track.points.retain(|(when, _)| match when {
                When::Step(step) => *step >= oldest,
                When::Wall(at) => unix.is_none_or(|unix| unix.saturating_sub(*at) <= DAY),
            });
        }
        self.tracks.retain(|track| track.open.is_some() || !track.points.is_empty());
    }

    /// When [`Ring::turn`] has something to do.
    pub fn deadline(now: Monotonic) -> Monotonic {
        start_of(step_of(now) + 1)
    }

    /// Adds what an earlier process or boot kept.
    pub(super) fn restore(&mut self, track: Track) {
        if self.tracks.len() < TRACKS {
            self.tracks.push(track);
        }
    }

    fn track(&mut self, asked: &Asked<'_>) -> &mut Track {
        let found = self.tracks.iter().position(|t| t.name == asked.name && t.line == asked.line);
        let at = found.unwrap_or_else(|| {
            if self.tracks.len() >= TRACKS {
                self.tracks.remove(0);
            }
            self.tracks.push(Track::new(asked.line, asked.name, asked.operator, asked.kind));
            self.tracks.len() - 1
        });
        &mut self.tracks[at]
    }
}

impl Track {
    pub(super) fn new(line: &str, name: &str, operator: &str, kind: &str) -> Self {
        let [line, name, operator, kind] = [line, name, operator, kind].map(str::to_owned);
        Self { line, name, operator, kind, points: VecDeque::new(), open: None }
    }

    /// Keeps a point; the oldest goes when there are too many.
    pub(super) fn push(&mut self, when: When, point: Point) {
        if self.points.len() >= STEPS {
            self.points.pop_front();
        }
        self.points.push_back((when, point));
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            let (when, point) = open.closed();
            self.push(when, point);
        }
    }

    /// All points, that of the open step included.
    pub(super) fn all(&self) -> impl Iterator<Item = (When, Point)> {
        self.points.iter().copied().chain(self.open.clone().map(Open::closed))
    }
}

impl Open {
    fn closed(mut self) -> (When, Point) {
        self.latencies.sort_unstable();
        self.point.median = self.latencies.get(self.latencies.len() / 2).copied().unwrap_or_default();
        self.point.worst = self.latencies.last().copied().unwrap_or_default();
        (When::Step(self.step), self.point)
    }
}

fn step_of(now: Monotonic) -> u32 {
    u32::try_from(now.since_boot().as_secs() / STEP.as_secs()).unwrap_or(u32::MAX)
}

/// The moment a step of this boot began.
pub(super) fn start_of(step: u32) -> Monotonic {
    Monotonic::default() + STEP * step
}

fn tenths(latency: Duration) -> u16 {
    // At least one, because zero means that nothing was answered.
    u16::try_from(latency.as_micros() / 100).unwrap_or(u16::MAX).max(1)
}

/// A latency as it is shown; none where nothing was answered.
pub(super) fn millis(tenths: u16) -> Option<f64> {
    (tenths > 0).then(|| f64::from(tenths) / f64::from(TENTHS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<'a>(line: &'a str, name: &'a str) -> Asked<'a> {
        Asked { line, name, operator: "x", kind: "icmp" }
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_secs(seconds)
    }

    #[test]
    fn a_step_has_its_median_worst_and_losses() {
        let mut ring = Ring::default();
        let ms = |n| Some(Duration::from_millis(n));
        for latency in [ms(30), ms(10), None, ms(900), ms(20)] {
            ring.note(at(61), &asked("wired", "a"), latency, Some(204));
        }
        ring.turn(at(120), None);
        let (when, point) = ring.tracks[0].points[0];
        assert_eq!(when, When::Step(1));
        assert_eq!(point, Point { sent: 5, lost: 1, median: 300, worst: 9000, code: 204 });
    }

    #[test]
    fn a_day_is_kept_and_no_more_however_long_it_runs() {
        let mut ring = Ring::default();
        for minute in 0..3000 {
            ring.note(at(minute * 60), &asked("cellular", "a"), None, None);
            ring.turn(at(minute * 60), None);
        }
        assert!(ring.tracks[0].points.len() <= STEPS);
        ring.turn(at(5000 * 60), None);
        assert!(ring.tracks.is_empty(), "a target that is asked no more goes with its last point");
    }

    #[test]
    fn points_of_an_earlier_boot_go_after_a_day_too() {
        let mut track = Track::new("wired", "a", "x", "icmp");
        track.push(When::Wall(1_800_000_000), Point::default());
        let mut ring = Ring { tracks: vec![track] };
        ring.turn(at(60), None);
        ring.turn(at(120), Some(1_800_000_000 + 86_400));
        assert_eq!(ring.tracks.len(), 1);
        ring.turn(at(180), Some(1_800_000_000 + 86_401));
        assert!(ring.tracks.is_empty());
    }

    #[test]
    fn lists_that_change_all_the_time_are_bounded() {
        let mut ring = Ring::default();
        for n in 0..1000 {
            ring.note(at(n), &asked("wired", &n.to_string()), None, None);
        }
        assert!(ring.tracks.len() <= TRACKS);
    }
}
