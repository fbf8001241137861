//! A line, its weather and its faults, played through `link-health` and through what others do.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "shared by a test and an example; each uses its part"
)]

pub mod peers;
pub mod rng;
pub mod table;
pub mod world;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use link_health::{Action, Event, Family, Kind, Outcome, Settings, State, Target, Watch, probe_bytes};
use sysio::Monotonic;
use world::World;

pub fn moment(secs: f64) -> Monotonic {
    Monotonic::new(Duration::from_secs_f64(secs))
}

pub fn secs(at: Monotonic) -> f64 {
    at.since_boot().as_secs_f64()
}

pub fn target(name: &str, operator: &str, kind: Kind, family: Family, address: Option<&str>) -> Target {
    Target {
        name: name.to_owned(),
        operator: operator.to_owned(),
        region: None,
        kind,
        family,
        address: address.map(|a| a.parse().unwrap()),
        port: 0,
    }
}

/// Three operators of echoes and resolvers in both families, three of pages, three of TLS.
pub fn targets() -> Vec<Target> {
    let mut all = Vec::new();
    let literal = [
        ("cloudflare", "192.0.2.1", "2001:db8::1"),
        ("google", "192.0.2.2", "2001:db8::2"),
        ("quad9", "192.0.2.3", "2001:db8::3"),
    ];
    for (kind, word) in [(Kind::Icmp, "icmp"), (Kind::Dns { name: "example.org".to_owned() }, "dns")] {
        for (operator, v4, v6) in literal {
            all.push(target(&format!("{word} {v4}"), operator, kind.clone(), Family::V4, Some(v4)));
            all.push(target(&format!("{word} {v6}"), operator, kind.clone(), Family::V6, Some(v6)));
        }
    }
    for operator in ["google", "mozilla", "apple"] {
        let kind = Kind::Http {
            host: format!("{operator}.example"),
            path: "/".to_owned(),
            status: 204,
            body: String::new(),
        };
        all.push(target(&format!("http {operator}"), operator, kind, Family::V4, None));
    }
    for (operator, v4, _) in literal {
        all.push(target(&format!("tls {v4}"), operator, Kind::Tls, Family::V4, Some(v4)));
    }
    all
}

/// What was said, and what it cost.
#[derive(Debug, Default)]
pub struct Told {
    pub said: Vec<(f64, State, String)>,
    pub bytes: u64,
    pub probes: u64,
    pub in_flight_most: usize,
    /// Probes by the first word of their target's name.
    pub by: std::collections::BTreeMap<String, u64>,
}

impl Told {
    /// When `state` was said first at or after `from`.
    pub fn first(&self, from: f64, matches: impl Fn(State) -> bool) -> Option<f64> {
        self.said.iter().find(|(at, state, _)| *at >= from && matches(*state)).map(|(at, _, _)| *at)
    }

    pub fn count(&self, matches: impl Fn(State) -> bool) -> usize {
        self.said.iter().filter(|(_, state, _)| matches(*state)).count()
    }
}

/// A watch and its world.
#[derive(Debug)]
pub struct Play {
    pub watch: Watch,
    pub world: World,
    pub targets: Vec<Target>,
    pub told: Told,
    queue: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    results: Vec<Option<(u64, Outcome)>>,
    free: Vec<usize>,
    sequence: u64,
    at: f64,
}

impl Play {
    pub fn new(settings: Settings, world: World, seed: u64) -> Self {
        Self::with(settings, targets(), world, seed)
    }

    pub fn with(settings: Settings, targets: Vec<Target>, world: World, seed: u64) -> Self {
        let mut play = Self {
            watch: Watch::new(settings, targets.clone(), seed),
            world,
            targets,
            told: Told::default(),
            queue: BinaryHeap::new(),
            results: Vec::new(),
            free: Vec::new(),
            sequence: 0,
            at: 0.0,
        };
        play.give(Event::Link(true));
        play
    }

    /// Something happens now.
    pub fn give(&mut self, event: Event) {
        let now = moment(self.at);
        for action in self.watch.step(now, event) {
            match action {
                Action::Changed(verdict) => self.told.said.push((self.at, verdict.state, verdict.reason)),
                Action::Probe { probe, target, timeout } => self.send(probe, target, timeout),
            }
        }
    }

    fn send(&mut self, probe: u64, place: usize, timeout: Duration) {
        /// A prober listens for late answers so long.
        const LATE: f64 = 5.0;
        let target = &self.targets[place];
        self.told.bytes += probe_bytes(target);
        self.told.probes += 1;
        let word = target.name.split(' ').next().unwrap_or_default();
        *self.told.by.entry(word.to_owned()).or_default() += 1;
        let first = self.targets[0].operator.clone();
        let (outcome, took) = self.world.ask(self.at, place, &self.targets[place], &first);
        let timeout = timeout.as_secs_f64();
        if took.is_none_or(|took| took > timeout) {
            self.plan(self.at + timeout, probe, Outcome::Silent);
        }
        if let Some(took) = took.filter(|took| *took < timeout + LATE) {
            self.plan(self.at + took, probe, outcome);
        }
        self.told.in_flight_most = self.told.in_flight_most.max(self.queue.len());
    }

    fn plan(&mut self, at: f64, probe: u64, outcome: Outcome) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.results.push(None);
            self.results.len() - 1
        });
        self.results[slot] = Some((probe, outcome));
        self.sequence += 1;
        self.queue.push(Reverse((Duration::from_secs_f64(at), self.sequence, slot)));
    }

    /// Goes on until then, or until `stop` says so after a step.
    pub fn run(&mut self, until: f64, mut stop: impl FnMut(&Watch) -> bool) {
        loop {
            let due = self.watch.next_deadline().map_or(f64::INFINITY, secs);
            let result = self.queue.peek().map_or(f64::INFINITY, |Reverse((at, _, _))| at.as_secs_f64());
            if due.min(result) > until {
                self.at = until;
                return;
            }
            if result <= due {
                let Some(Reverse((_, _, slot))) = self.queue.pop() else { return };
                self.at = result;
                self.free.push(slot);
                if let Some((probe, outcome)) = self.results[slot].take() {
                    self.give(Event::Result { probe, outcome });
                }
            } else {
                self.at = due;
                self.give(Event::Tick);
            }
            if stop(&self.watch) {
                return;
            }
        }
    }

    pub fn now(&self) -> f64 {
        self.at
    }
}

/// The value below which `share` of them lie.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index"
    )]
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
