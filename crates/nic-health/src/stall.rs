//! When a card has stopped receiving, and what to try: pure.
//!
//! Symptom of several drivers: carrier up, transmissions growing, receive counters frozen, no error.
//! An idle card looks the same but for the transmissions, so nothing is concluded before our own
//! questions, which make somebody speak, changed nothing either. Then the ladder: Energy-Efficient
//! Ethernet off, the interface down and up, the driver unbound and bound; each rung is given time to
//! prove itself. After the last one it starts again, later each time.

mod words;

use std::collections::BTreeMap;
use std::time::Duration;

use sysio::Monotonic;

use crate::limit::Limit;

pub use words::{Action, Event, Outcome, Past, Phase, Recovery, Rung, Sample};

/// Receive counters that stand still so long, while packets leave, are a doubt. Some drivers update
/// their counters every two seconds only (`e1000_watchdog`, `igb_watchdog_task`).
const FROZEN: Duration = Duration::from_secs(4);
/// So many packets must have left meanwhile: a lone one may have needed no answer.
const SENT: u64 = 3;
/// Questions before a verdict, and the time each has.
pub const ASKS: u8 = 3;
const ASK: Duration = Duration::from_secs(1);
/// A card that answers when asked is not asked again for so long: a sender of one-way traffic would
/// be asked without end. With the times above a stall is named within 8 + 3 + 2 s at any phase.
const ASKED: Duration = Duration::from_secs(8);
/// What a rung has to prove itself; a link that was down needs up to 4 s to negotiate.
const VERIFY: Duration = Duration::from_secs(10);
/// A rung that does not even come back with an answer is taken for failed.
const APPLYING: Duration = Duration::from_secs(30);
/// Between two climbs, doubled each time up to the second.
const PAUSE: Duration = Duration::from_secs(10 * 60);
const PAUSE_AT_MOST: Duration = Duration::from_secs(3600);
/// Bounces and rebinds of one card in an hour, across restarts of the daemon.
pub const BOUNCES_AN_HOUR: usize = 4;
/// See [`BOUNCES_AN_HOUR`].
pub const REBINDS_AN_HOUR: usize = 2;
const HOUR: Duration = Duration::from_secs(3600);
/// A recovery is news for so long.
pub const NEWS: Duration = Duration::from_secs(10 * 60);

/// One card.
#[derive(Clone, Debug)]
pub struct Watched {
    /// How it is.
    pub phase: Phase,
    /// When its receive counter last grew.
    pub received_at: Monotonic,
    /// The last stall's end.
    pub recovery: Option<Recovery>,
    /// Stalls of this boot.
    pub stalls: u64,
    /// What was tried in this stall, in words.
    pub tried: Vec<String>,
    received: u64,
    sent: u64,
    asked_at: Option<Monotonic>,
    climbs: u32,
    bounces: Limit,
    rebinds: Limit,
}

impl Watched {
    fn new(now: Monotonic, sample: &Sample, past: &Past) -> Self {
        let times = |list: &[u64]| list.iter().map(|ms| Monotonic::from_millis(*ms)).collect::<Vec<_>>();
        Self {
            phase: Phase::Fine,
            received_at: now,
            recovery: None,
            stalls: past.stalls,
            tried: Vec::new(),
            received: sample.received,
            sent: sample.sent,
            asked_at: None,
            climbs: past.climbs,
            bounces: Limit::resumed(BOUNCES_AN_HOUR, HOUR, times(&past.bounces_ms)),
            rebinds: Limit::resumed(REBINDS_AN_HOUR, HOUR, times(&past.rebinds_ms)),
        }
    }

    /// Nothing is received although it was asked for.
    pub fn stalled(&self) -> bool {
        !matches!(self.phase, Phase::Fine | Phase::Asking { .. })
    }

    fn past(&self) -> Past {
        let times = |limit: &Limit| limit.times().map(Monotonic::as_millis).collect();
        Past {
            stalls: self.stalls,
            climbs: self.climbs,
            bounces_ms: times(&self.bounces),
            rebinds_ms: times(&self.rebinds),
        }
    }

    fn fresh(&mut self, now: Monotonic) {
        if self.stalled() {
            let rung = match self.phase {
                Phase::Applying { rung, .. } | Phase::Verifying { rung, .. } => Some(rung),
                _ => None,
            };
            self.recovery = Some(Recovery { at: now, rung, lasted: now.since(self.received_at) });
            self.tried.clear();
            self.climbs = 0;
        }
        (self.phase, self.received_at) = (Phase::Fine, now);
    }
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    repair: bool,
    cards: BTreeMap<String, Watched>,
    past: BTreeMap<String, Past>,
}

impl Machine {
    /// With what earlier processes of this boot did; without `repair` it only reports.
    pub fn new(repair: bool, past: BTreeMap<String, Past>) -> Self {
        Self { repair, cards: BTreeMap::new(), past }
    }

    /// One step.
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Action> {
        match event {
            Event::Samples(samples) => self.samples(now, &samples),
            Event::Answered(name) => {
                if let Some(card) = self.cards.get_mut(&name) {
                    card.fresh(now);
                }
            }
            Event::Done(name, rung, outcome) => {
                let mut actions = Vec::new();
                self.done(now, &name, rung, outcome, &mut actions);
                return actions;
            }
            Event::Tick => {}
        }
        let mut actions = Vec::new();
        let names: Vec<String> = self.cards.keys().cloned().collect();
        for name in names {
            self.overdue(now, &name, &mut actions);
        }
        actions
    }

    /// When [`Event::Tick`] is due; samples come by themselves.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        self.cards
            .values()
            .filter_map(|card| match card.phase {
                Phase::Fine => None,
                Phase::Asking { next, .. } => Some(next),
                Phase::Applying { until, .. } | Phase::Resting { until } => Some(until),
                Phase::Verifying { until, next, .. } => Some(until.min(next)),
            })
            .min()
    }

    fn samples(&mut self, now: Monotonic, samples: &[Sample]) {
        let gone: Vec<String> =
            self.cards.keys().filter(|name| samples.iter().all(|s| s.name != **name)).cloned().collect();
        for name in gone {
            // A card whose driver is bound anew is gone for a moment.
            let card = &self.cards[&name];
            let ours = matches!(
                card.phase,
                Phase::Applying { rung: Rung::Rebind, .. } | Phase::Verifying { rung: Rung::Rebind, .. }
            );
            if !ours {
                self.past.insert(name.clone(), card.past());
                self.cards.remove(&name);
            }
        }
        for sample in samples {
            let past = &self.past;
            let card = self.cards.entry(sample.name.clone()).or_insert_with(|| {
                Watched::new(now, sample, past.get(&sample.name).unwrap_or(&Past::default()))
            });
            sampled(now, card, sample);
        }
    }

    fn overdue(&mut self, now: Monotonic, name: &str, actions: &mut Vec<Action>) {
        let Some(card) = self.cards.get_mut(name) else { return };
        match card.phase {
            Phase::Asking { asked, next } if now >= next && asked < ASKS => {
                card.phase = Phase::Asking { asked: asked + 1, next: now + ASK };
                card.asked_at = Some(now);
                actions.push(Action::Ask(name.to_owned()));
            }
            Phase::Asking { next, .. } if now >= next => {
                card.stalls += 1;
                self.climb(now, name, Some(Rung::EeeOff), actions);
            }
            Phase::Applying { rung, until } if now >= until => {
                let outcome = Outcome::Failed("no end of it".to_owned());
                self.done(now, name, rung, outcome, actions);
            }
            Phase::Verifying { rung, until, .. } if now >= until => {
                card.tried.push(format!("{}: no help", rung.as_str()));
                self.climb(now, name, rung.next(), actions);
            }
            Phase::Verifying { rung, until, next } if now >= next => {
                card.phase = Phase::Verifying { rung, until, next: now + ASK };
                actions.push(Action::Ask(name.to_owned()));
            }
            Phase::Resting { until } if now >= until => {
                card.tried.clear();
                self.climb(now, name, Some(Rung::EeeOff), actions);
            }
            _ => {}
        }
    }

    /// Tries `rung`, or the first one above it that may be tried; rests after the last.
    fn climb(&mut self, now: Monotonic, name: &str, rung: Option<Rung>, actions: &mut Vec<Action>) {
        let Some(card) = self.cards.get_mut(name) else { return };
        let mut rung = rung.filter(|_| self.repair);
        while let Some(this) = rung {
            let allowed = match this {
                Rung::EeeOff => true,
                Rung::Bounce => card.bounces.take(now),
                Rung::Rebind => card.rebinds.take(now),
            };
            if allowed {
                card.phase = Phase::Applying { rung: this, until: now + APPLYING };
                actions.push(Action::Apply(name.to_owned(), this));
                return;
            }
            card.tried.push(format!("{}: done often enough for this hour", this.as_str()));
            rung = this.next();
        }
        let pause = PAUSE.saturating_mul(1 << card.climbs.min(8)).min(PAUSE_AT_MOST);
        card.climbs = card.climbs.saturating_add(1);
        card.phase = Phase::Resting { until: now + pause };
    }

    fn done(&mut self, now: Monotonic, name: &str, rung: Rung, outcome: Outcome, actions: &mut Vec<Action>) {
        let Some(card) = self.cards.get_mut(name) else { return };
        if !matches!(card.phase, Phase::Applying { rung: this, .. } if this == rung) {
            return;
        }
        let word = match outcome {
            Outcome::Applied => {
                card.phase = Phase::Verifying { rung, until: now + VERIFY, next: now + ASK };
                return;
            }
            Outcome::Unsupported(why) => format!("not possible ({why})"),
            Outcome::Failed(why) => format!("failed ({why})"),
        };
        card.tried.push(format!("{}: {word}", rung.as_str()));
        self.climb(now, name, rung.next(), actions);
    }

    /// Every card.
    pub fn cards(&self) -> &BTreeMap<String, Watched> {
        &self.cards
    }

    /// What the next process should know.
    pub fn past(&self) -> BTreeMap<String, Past> {
        let mut past = self.past.clone();
        past.extend(self.cards.iter().map(|(name, card)| (name.clone(), card.past())));
        past.retain(|_, past| *past != Past::default());
        past
    }

    /// Whether samples should come faster.
    pub fn busy(&self) -> bool {
        self.cards.values().any(|card| card.phase != Phase::Fine)
    }
}

fn sampled(now: Monotonic, card: &mut Watched, sample: &Sample) {
    let grew = sample.received > card.received;
    // Counters begin anew with a driver that is bound anew.
    let reset = sample.received < card.received || sample.sent < card.sent;
    card.received = sample.received;
    if grew || reset {
        card.sent = sample.sent;
    }
    if grew {
        card.fresh(now);
        return;
    }
    let coming_back =
        matches!(card.phase, Phase::Applying { .. } | Phase::Verifying { .. } | Phase::Resting { .. });
    if !sample.carrier {
        // A cable that was pulled is no stall, and what comes after it is a new story; a link that we
        // bounced negotiates.
        if !coming_back {
            (card.phase, card.received_at, card.sent) = (Phase::Fine, now, sample.sent);
        } else if matches!(card.phase, Phase::Resting { .. }) {
            card.fresh(now);
            (card.recovery, card.sent) = (None, sample.sent);
        }
        return;
    }
    let frozen = now.since(card.received_at) >= FROZEN && sample.sent.saturating_sub(card.sent) >= SENT;
    let rested = card.asked_at.is_none_or(|at| now.since(at) >= ASKED);
    // A card that never received anything may have nobody at its other end.
    if card.phase == Phase::Fine && frozen && rested && sample.askable && sample.received > 0 {
        card.phase = Phase::Asking { asked: 0, next: now };
    }
}

#[cfg(test)]
mod tests;
