//! Whom to ask, and when.

use std::time::Duration;

use sysio::Monotonic;

use crate::bytes::cost;
use crate::pace::{AT_ONCE, BLIND, Sort};
use crate::track::{Life, Track};
use crate::watch::Watch;
use crate::{Action, Family, State};

/// Waves that follow each other closely; then one a second, until something is known.
const CLOSE: u32 = 4;
/// What is left over when too many are due at once goes out this much later.
const SPREAD: Duration = Duration::from_millis(20);

impl Watch {
    /// When [`crate::Event::Tick`] is due at the latest; always some moment while the line has a link.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        if !self.link {
            return None;
        }
        let now = self.now;
        let down = self.verdict.state == State::Down;
        let pace = self.pace();
        // The first is the pulse's, whoever it asks.
        let rounds = Sort::ALL.into_iter().skip(1).filter(|sort| self.tracks.iter().any(|t| t.sort == *sort));
        let due = rounds.chain((!down).then_some(Sort::Echo)).map(|sort| self.due[sort as usize]);
        let waves = self.is_silent() && !down;
        let events = due
            .chain(
                self.tracks.iter().any(|t| t.life == Life::Dead).then_some(self.dead_due).filter(|_| !down),
            )
            .chain(down.then_some(self.down_due))
            .chain(waves.then_some(self.next_wave))
            .chain((0..self.tracks.len()).filter_map(|place| self.nag_at(place)))
            .chain(self.passive.deadline().filter(|_| !down))
            .map(|at| at.max(now + SPREAD));
        let moments = self
            .flight
            .deadlines(now, pace.unanswered)
            .chain(self.silence_deadline())
            .chain(self.better_deadline())
            .chain(self.doubt.map(|d| d.since + pace.doubt_longest))
            .chain(self.unsent.as_ref().map(|_| self.told + BLIND))
            .filter(|at| *at > now);
        // An hour: a line without targets has nothing to wait for.
        events.chain(moments).min().or(Some(now + Duration::from_secs(3600)))
    }

    pub(crate) fn schedule(&mut self, actions: &mut Vec<Action>) {
        let mut wanted = Vec::new();
        if self.verdict.state == State::Down {
            self.knock(&mut wanted);
        } else {
            self.pulse(&mut wanted);
            self.wave(&mut wanted);
            self.look(&mut wanted);
        }
        self.rounds(&mut wanted);
        wanted.extend(
            (0..self.tracks.len()).filter(|place| self.nag_at(*place).is_some_and(|at| at <= self.now)),
        );
        let mut asked = Vec::new();
        for place in wanted {
            if asked.len() < AT_ONCE && !asked.contains(&place) && !self.flight.full() {
                asked.push(place);
                self.ask(place, actions);
            }
        }
    }

    fn ask(&mut self, place: usize, actions: &mut Vec<Action>) {
        let numbers = self.pace();
        let track = &mut self.tracks[place];
        let timeout = numbers.timeout(track.sort, track.smoothed(), self.round_trip);
        track.asked = Some(self.now);
        self.allowance.spend(cost(track.sort, track.target.family));
        let probe = self.flight.launch(self.now, place, timeout);
        actions.push(Action::Probe { probe, target: place, timeout });
    }

    /// The one of these that was asked longest ago.
    fn oldest(&self, matches: impl Fn(&Track) -> bool) -> Option<usize> {
        (0..self.tracks.len())
            .filter(|place| matches(&self.tracks[*place]))
            .min_by_key(|place| self.tracks[*place].asked)
    }

    /// Whom a pulse asks: echoes where they are answered, the cheapest of what is answered elsewhere.
    fn pulse_target(&self) -> Option<usize> {
        let living = |sort: Sort| self.oldest(|t| t.sort == sort && t.life != Life::Dead);
        Sort::ALL.into_iter().find_map(living).or_else(|| self.oldest(|_| true))
    }

    fn pulse(&mut self, wanted: &mut Vec<usize>) {
        let period = self.pace().pulse;
        let answered = self.passive.is_fresh(self.now);
        let due = &mut self.due[Sort::Echo as usize];
        // A tempo that grew brisker counts from now, unless traffic tells as much.
        *due = if answered { *due } else { (*due).min(self.now + period) };
        if self.now >= *due {
            *due = self.now + period;
            wanted.extend(self.pulse_target());
        }
    }

    /// The slower questions, one target of each kind after another, and the dead.
    fn rounds(&mut self, wanted: &mut Vec<usize>) {
        for sort in Sort::ALL.into_iter().skip(1) {
            let period = self.pace().period(sort);
            let due = &mut self.due[sort as usize];
            *due = (*due).min(self.now + period);
            if self.now >= *due {
                *due = self.now + period;
                let living = self.oldest(|t| t.sort == sort && t.life != Life::Dead);
                wanted.extend(living.or_else(|| self.oldest(|t| t.sort == sort)));
            }
        }
        if self.now >= self.dead_due && self.verdict.state != State::Down {
            self.dead_due = self.now + self.pace().dead;
            wanted.extend(self.oldest(|t| t.life == Life::Dead && (t.sort.is_cheap() || !self.is_metered())));
        }
    }

    /// Nothing comes back: every operator is asked at once, by both families and a kind or two.
    fn wave(&mut self, wanted: &mut Vec<usize>) {
        if !self.is_silent() || self.now < self.next_wave {
            return;
        }
        let gap = self.pace().wave;
        self.next_wave = self.now + if self.waves < CLOSE { gap } else { gap.max(Duration::from_secs(1)) };
        self.waves += 1;
        if self.is_metered() && self.waves == 1 {
            // A lost packet costs two echoes, not a round.
            let first = self.oldest(|t| t.sort == Sort::Echo && t.life != Life::Dead);
            let other = first.map(|place| self.tracks[place].target.operator.clone());
            wanted.extend(first);
            wanted.extend(self.oldest(|t| {
                t.sort == Sort::Echo && t.life != Life::Dead && Some(&t.target.operator) != other.as_ref()
            }));
            return;
        }
        let living = |t: &Track| !t.accounted;
        let mut operators: Vec<&str> =
            self.tracks.iter().filter(|t| living(t)).map(|t| t.target.operator.as_str()).collect();
        operators.sort_unstable();
        operators.dedup();
        for operator in &operators {
            let cheapest = self
                .tracks
                .iter()
                .filter(|t| living(t) && t.target.operator == *operator)
                .map(|t| t.sort)
                .min();
            let affordable = |t: &Track| t.sort.is_cheap() || !self.is_metered();
            for family in [Family::V4, Family::V6] {
                let theirs = |t: &Track| {
                    living(t) && affordable(t) && t.target.operator == *operator && t.target.family == family
                };
                wanted.extend(self.oldest(|t| theirs(t) && Some(t.sort) == cheapest));
            }
        }
        for sort in Sort::ALL.into_iter().skip(1).filter(|sort| sort.is_cheap() || !self.is_metered()) {
            wanted.extend(self.oldest(|t| t.sort == sort && living(t)));
        }
    }

    /// Traffic went out and nothing came back: two operators are asked.
    fn look(&mut self, wanted: &mut Vec<usize>) {
        if !self.passive.is_due(self.now) {
            return;
        }
        self.passive.looked(self.now);
        let first = self.pulse_target();
        let operator = first.map(|place| self.tracks[place].target.operator.clone());
        wanted.extend(first);
        wanted.extend(self.oldest(|t| {
            t.sort == Sort::Echo && t.life != Life::Dead && Some(&t.target.operator) != operator.as_ref()
        }));
    }

    /// The line is down: one after another is asked whether it is back.
    fn knock(&mut self, wanted: &mut Vec<usize>) {
        if self.now < self.down_due {
            return;
        }
        let pace = self.pace();
        self.down_gap = (self.down_gap * 2).clamp(pace.down_first, pace.down_longest);
        self.down_due = self.now + self.down_gap;
        wanted.extend(self.oldest(|t| t.sort.is_cheap()).or_else(|| self.oldest(|_| true)));
    }

    /// When a target in doubt is asked again.
    fn nag_at(&self, place: usize) -> Option<Monotonic> {
        let track = &self.tracks[place];
        let down = self.verdict.state == State::Down;
        let doubted = self.doubt.is_some_and(|d| d.scope.includes(track) && !track.settled(d.since));
        let alone = !down && track.contradicts() && (track.sort.is_cheap() || !self.is_metered());
        if !doubted && !alone || (!self.pace().impatient && self.flight.waits_for(place)) {
            return None;
        }
        Some(track.asked.map_or(self.now, |asked| asked + self.pace().nag))
    }
}
