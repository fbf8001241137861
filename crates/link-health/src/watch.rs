//! The watch over one line: what happens comes in here.
//!
//! Three things run side by side. *Pulses*, small probes to one operator after another, tell whether
//! anything comes back at all. When one is not answered, *waves* ask every operator at once, and when
//! nothing comes back from anybody the line is down (`silence`). Single failures start a *doubt*: those
//! concerned are asked again until each is known to be alive or dead, and only then the targets are
//! counted and the verdict changes (`judge`).

use std::time::Duration;

use sysio::Monotonic;

use crate::bytes::{Allowance, cost};
use crate::classify::Finding;
use crate::flight::{Fate, Flight};
use crate::loss::Loss;
use crate::pace::{BLIND, LATE, Pace, SLEPT_AGAIN, STALL, Sort};
use crate::passive::{Passive, Says};
use crate::track::{Failure, Life, Track};
use crate::{Action, Event, Outcome, Settings, State, Target, TargetReport, Tempo, Verdict};

/// Who is asked again until what is known of him is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Targets of one kind.
    Sort(Sort),
    /// Those that cost little.
    Cheap,
    All,
}

impl Scope {
    pub(crate) fn includes(self, track: &Track) -> bool {
        match self {
            Self::Sort(sort) => track.sort == sort,
            Self::Cheap => track.sort.is_cheap(),
            Self::All => true,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Doubt {
    pub(crate) since: Monotonic,
    pub(crate) scope: Scope,
}

/// Watches one line.
#[derive(Debug)]
pub struct Watch {
    pub(crate) settings: Settings,
    pub(crate) tracks: Vec<Track>,
    pub(crate) flight: Flight,
    pub(crate) loss: Loss,
    pub(crate) passive: Passive,
    pub(crate) allowance: Allowance,
    pub(crate) link: bool,
    pub(crate) active: bool,
    pub(crate) now: Monotonic,
    /// When something came back last, or when we began to look.
    pub(crate) life: Monotonic,
    /// When a probe was answered last, or we began to look.
    pub(crate) answer: Monotonic,
    /// Of the last echoes, weighted towards the newest.
    pub(crate) round_trip: Duration,
    /// What the targets say, until one of them says something else.
    pub(crate) finding: Option<Finding>,
    /// The last count of losses: counting is not worth repeating at every packet.
    pub(crate) counted: Option<(Monotonic, Option<f64>)>,
    /// Somebody told us to look.
    pub(crate) alarmed: bool,
    /// Waves sent in this silence, and when the next one goes.
    pub(crate) waves: u32,
    pub(crate) next_wave: Monotonic,
    pub(crate) doubt: Option<Doubt>,
    /// No great doubt before this: each asks everybody.
    pub(crate) calm_until: Monotonic,
    pub(crate) due: [Monotonic; 5],
    pub(crate) dead_due: Monotonic,
    pub(crate) down_due: Monotonic,
    pub(crate) down_gap: Duration,
    /// When a probe last told something of the line, and what our own kernel says since.
    pub(crate) told: Monotonic,
    pub(crate) unsent: Option<String>,
    pub(crate) verdict: Verdict,
    /// A better state, and since when.
    pub(crate) better: Option<(State, Monotonic)>,
    expected: Option<Monotonic>,
    /// When silence was blamed on ourselves last.
    slept: Option<Monotonic>,
    seed: u64,
}

impl Watch {
    /// A watch over `targets`; `seed` shifts its phases, so that many do not ask at the same moment.
    pub fn new(settings: Settings, targets: Vec<Target>, seed: u64) -> Self {
        let start = Monotonic::default();
        Self {
            settings,
            tracks: targets.into_iter().map(Track::new).collect(),
            flight: Flight::default(),
            loss: Loss::default(),
            passive: Passive::default(),
            allowance: Allowance::default(),
            link: false,
            active: false,
            now: start,
            life: start,
            answer: start,
            round_trip: Duration::ZERO,
            finding: None,
            counted: None,
            alarmed: false,
            waves: 0,
            next_wave: start,
            doubt: None,
            calm_until: start,
            due: [start; 5],
            dead_due: start,
            down_due: start,
            down_gap: Duration::ZERO,
            told: start,
            unsent: None,
            verdict: Verdict { reason: crate::words::FRESH.to_owned(), ..Verdict::default() },
            better: None,
            expected: None,
            slept: None,
            seed,
        }
    }

    /// Something happened, or a deadline passed.
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Action> {
        self.now = now.max(self.now);
        let mut actions = Vec::new();
        self.allowance.earn(self.now);
        if self.expected.is_some_and(|at| self.now > at + STALL) {
            self.slept();
        }
        self.take(event, &mut actions);
        self.expire();
        self.judge(&mut actions);
        if self.link {
            self.schedule(&mut actions);
        }
        self.expected = self.next_deadline();
        actions
    }

    /// How the line is.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// What is known of each target, in the order of the list last given.
    pub fn targets(&self) -> Vec<TargetReport> {
        self.tracks.iter().map(Track::report).collect()
    }

    pub(crate) fn pace(&self) -> &'static Pace {
        // Enough for a round of everything: below that the idle schedule is what is left.
        const ROUND: u64 = 20_000;
        Pace::of(self.settings.tempo, self.active && self.allowance.has(ROUND))
    }

    pub(crate) fn is_metered(&self) -> bool {
        self.settings.tempo == Tempo::Frugal
    }

    /// Between 0 and `most`, another for each `salt`.
    pub(crate) fn phase(&self, most: Duration, salt: u64) -> Duration {
        // SplitMix64's finaliser: neighbouring seeds give unrelated phases.
        let mut z = self.seed.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        most.mul_f64(f64::from(u32::try_from(z >> 32).unwrap_or(0)) / f64::from(u32::MAX))
    }

    fn take(&mut self, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Tick => {}
            Event::Link(link) => self.linked(link, actions),
            Event::Result { probe, outcome } => self.ended(probe, outcome),
            Event::Traffic { sent_packets, received_packets } => {
                if self.settings.counters_tell && self.link {
                    self.counted(sent_packets, received_packets);
                }
            }
            Event::Targets(targets) => self.replace(targets),
            Event::Active(active) => self.active = active,
        }
        if !self.link {
            self.say(State::Down, crate::words::NO_LINK.to_owned(), actions);
        }
    }

    fn linked(&mut self, link: bool, actions: &mut Vec<Action>) {
        if link && !self.link {
            self.begin(actions);
        }
        self.link = link;
        if !link {
            self.flight.clear();
            self.passive.forget();
            (self.doubt, self.better) = (None, None);
        }
    }

    /// A line that is fresh: all that was known of it is forgotten.
    fn begin(&mut self, actions: &mut Vec<Action>) {
        self.flight.clear();
        self.recount();
        self.tracks.iter_mut().for_each(Track::forget);
        self.say(State::Unknown, crate::words::FRESH.to_owned(), actions);
        (self.life, self.answer, self.told) = (self.now, self.now, self.now);
        (self.waves, self.alarmed, self.better) = (0, false, None);
        for sort in Sort::ALL {
            let period = self.pace().period(sort);
            // What is asked every few hours must come up although calls end more often.
            if self.is_metered() && !sort.is_packet() && self.due[sort as usize] != Monotonic::default() {
                continue;
            }
            self.due[sort as usize] = self.now + period / 2 + self.phase(period / 2, sort as u64);
        }
        self.dead_due = self.now + self.pace().dead;
        self.look_everywhere();
    }

    /// Asks everybody, or those who cost little when that is all there is money for.
    pub(crate) fn look_everywhere(&mut self) {
        let price = |scope: Scope| {
            let asked = self.tracks.iter().filter(|t| scope.includes(t));
            asked.map(|t| cost(t.sort, t.target.family)).sum::<u64>()
        };
        if !self.is_metered() || self.allowance.has(2 * price(Scope::All)) {
            self.doubt_about(Scope::All);
        } else if self.allowance.has(2 * price(Scope::Cheap)) {
            self.doubt_about(Scope::Cheap);
        } else {
            // Two echoes have to do.
            self.alarmed = self.verdict.state != State::Down;
        }
    }

    pub(crate) fn doubt_about(&mut self, scope: Scope) {
        let (old, since) = self.doubt.map_or((None, self.now), |d| (Some(d.scope), d.since));
        let new = match old {
            Some(old) if old == scope || matches!(old, Scope::All | Scope::Cheap) => return,
            Some(_) if matches!(scope, Scope::Sort(_)) => Scope::All,
            _ => scope,
        };
        let added =
            self.tracks.iter_mut().filter(|t| new.includes(t) && !old.is_some_and(|old| old.includes(t)));
        added.for_each(Track::doubt);
        self.doubt = Some(Doubt { since, scope: new });
    }

    fn ended(&mut self, probe: u64, outcome: Outcome) {
        let now = self.now;
        let Some(sent) = self.flight.find(probe) else { return };
        let (before, at, place) = (sent.fate, sent.at, sent.track);
        let answered = matches!(outcome, Outcome::Answered { .. });
        let waited = before == Fate::Waiting
            || (answered && before == Fate::Failed && now.since(at) < sent.timeout + LATE);
        if !waited {
            return;
        }
        sent.fate = match &outcome {
            Outcome::Answered { .. } | Outcome::Wrong { .. } => Fate::Answered,
            Outcome::Silent | Outcome::Refused { .. } => Fate::Failed,
            Outcome::Unresolvable | Outcome::Unsent(_) => Fate::Void,
        };
        if let Outcome::Unsent(why) = outcome {
            self.unsent = Some(why);
            self.tracks[place].unsent(now);
            return;
        }
        // Nothing could be asked for long: what is known is old.
        if self.unsent.take().is_some() && now.since(self.told) >= BLIND {
            self.look_everywhere();
        }
        self.told = now;
        let (failure, code) = match outcome {
            Outcome::Answered { latency, code } => {
                return self.answered(probe, place, at, latency, code, before == Fate::Failed);
            }
            Outcome::Refused { why } => (Failure::Refused(why), None),
            Outcome::Wrong { code, why } => (Failure::Wrong(why), code),
            Outcome::Unresolvable => (Failure::Nameless, None),
            Outcome::Silent | Outcome::Unsent(_) => (Failure::Silent, None),
        };
        // Whoever answers wrongly is there: the line carries something.
        if matches!(failure, Failure::Wrong(_)) {
            self.alive();
        }
        self.failed(probe, place, at, failure, code);
    }

    fn failed(&mut self, probe: u64, place: usize, at: Monotonic, failure: Failure, code: Option<u16>) {
        let down = self.verdict.state == State::Down;
        let loss = self.loss_percent().unwrap_or_default();
        let track = &mut self.tracks[place];
        let (was, same) = (track.life, track.failure == failure);
        track.bad(self.now, failure, code, loss);
        if track.life != was || (was == Life::Dead && !same) {
            self.finding = None;
        }
        let (sort, dead) = (track.sort, track.life == Life::Dead);
        if dead {
            self.loss.forget(place);
        } else if sort.is_packet() && !down {
            self.loss.add(probe, at, place, true);
        }
        // Echoes are asked all the time; of the others one failure is worth asking all of the kind.
        if sort != Sort::Echo && was != Life::Dead && !down {
            self.doubt_about(Scope::Sort(sort));
        }
    }

    fn answered(
        &mut self,
        probe: u64,
        place: usize,
        at: Monotonic,
        latency: Duration,
        code: Option<u16>,
        late: bool,
    ) {
        let track = &mut self.tracks[place];
        let was = track.life;
        track.good(self.now, at, latency, code, late);
        if track.life != was {
            self.finding = None;
        }
        if track.sort == Sort::Echo {
            self.round_trip = (self.round_trip + latency) / 2;
        }
        if late {
            self.loss.redeem(probe);
        } else if track.sort.is_packet() && self.verdict.state != State::Down {
            self.loss.add(probe, at, place, false);
        }
        self.answer = self.now;
        self.passive.unasked = 0;
        self.alive();
    }

    /// Something came back.
    pub(crate) fn alive(&mut self) {
        self.life = self.now;
        (self.waves, self.alarmed) = (0, false);
    }

    fn counted(&mut self, sent: u64, received: u64) {
        /// Even while traffic is answered somebody is asked so often: what comes in may be noise.
        const CONFIRM: Duration = Duration::from_secs(600);
        if self.passive.count(self.now, sent, received) == Says::Nothing {
            return;
        }
        if self.verdict.state == State::Down {
            // Worth a look at once, not a verdict.
            self.down_due = self.down_due.min(self.now + self.pace().down_first);
            return;
        }
        self.alive();
        let pulse = &mut self.due[Sort::Echo as usize];
        let period = Pace::of(self.settings.tempo, false).pulse;
        *pulse = (*pulse).max((self.now + period).min(self.answer + CONFIRM));
    }

    fn replace(&mut self, targets: Vec<Target>) {
        let mut old: Vec<Option<Track>> = std::mem::take(&mut self.tracks).into_iter().map(Some).collect();
        let mut places = vec![None; old.len()];
        let mut fresh = false;
        for target in targets {
            let place = old.iter().position(|t| t.as_ref().is_some_and(|t| t.target == target));
            let kept = place.and_then(|place| old[place].take());
            if let Some(place) = place {
                places[place] = Some(self.tracks.len());
            }
            fresh |= kept.is_none();
            self.tracks.push(kept.unwrap_or_else(|| Track::new(target)));
        }
        self.flight.renumber(|place| places.get(place).copied().flatten());
        self.recount();
        if fresh && self.link {
            self.look_everywhere();
        }
    }

    /// Results that should be here and are not.
    fn expire(&mut self) {
        while let Some(sent) = self.flight.overdue(self.now) {
            self.told = self.now;
            self.failed(sent.id, sent.track, sent.at, Failure::Silent, None);
        }
        self.flight.forget_old(self.now);
    }

    /// We did not run when we should have: silence meanwhile was ours. A loop that is late all the time
    /// is given that once in a while only, or a dead line would never be told.
    fn slept(&mut self) {
        if self.slept.is_some_and(|at| self.now.since(at) < SLEPT_AGAIN) {
            return;
        }
        self.slept = Some(self.now);
        self.flight.void();
        if self.verdict.state != State::Down {
            self.life = self.now;
            self.waves = 0;
        }
    }

    /// Loss in percent, half a second old at most.
    pub(crate) fn loss_percent(&mut self) -> Option<f64> {
        const OFTEN: Duration = Duration::from_millis(500);
        if let Some((_, loss)) = self.counted.filter(|(at, _)| self.now.since(*at) < OFTEN) {
            return loss;
        }
        self.loss.forget_before(self.now - self.pace().loss_window);
        let counts = |place: usize, at| self.tracks.get(place).is_some_and(|t| t.tells_of_loss(at));
        let loss = self.loss.percent(self.now, counts);
        self.counted = Some((self.now, loss));
        loss
    }

    /// Nothing that was counted or found is true any more.
    pub(crate) fn recount(&mut self) {
        self.loss.clear();
        (self.finding, self.counted) = (None, None);
    }
}
