//! The watch over one line, tied to the sockets that ask for it.
//!
//! `link-health` decides whom to ask and what the answers mean; this sends what it wants sent, tells
//! it what came back, and tells it of the interface: there or not, another one, and what it carried.

use crate::history::entry;
use crate::line::LineNow;
use crate::probe::{Prober, Random};
use crate::targets::{Asked, resolvers};
use ::history::Ring;
use daemonkit::Interest;
use link_health::{
    Action, Event, Family, Outcome, Part, Settings, State, Target, TargetReport, Verdict, Watch,
};
use ruleset::marks::Line;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;
use sysio::Monotonic;

/// Probes that fail at once make the watch think again, at most so often in one turn.
const ROUNDS: usize = 16;
/// Probes whose outcome is still to come; the prober itself has fewer.
const FLYING: usize = 512;

/// One miss is a lost packet.
const MISSES: u32 = 3;
/// Longer than it takes to learn that DNS as a whole is dead.
const MISSED_FOR: Duration = Duration::from_secs(15);

/// A line being watched.
#[derive(Debug)]
pub(crate) struct LineWatch {
    line: Line,
    all: Vec<Rc<Asked>>,
    used: Vec<Rc<Asked>>,
    watch: Watch,
    prober: Prober,
    /// The interface as it was last seen, by number and name, and the families it can speak.
    seen: Seen,
    flying: HashMap<u64, Rc<Asked>>,
    changed: bool,
    /// The verdict that was told last.
    told: Verdict,
    unsent: bool,
    lost_names: HashMap<(String, Family), Misses>,
}

/// Tries to resolve a name in a row that failed.
#[derive(Debug)]
struct Misses {
    count: u32,
    since: Monotonic,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Seen {
    interface: Option<(u32, String)>,
    way: bool,
    v4: bool,
    v6: bool,
}

impl LineWatch {
    pub(crate) fn new(line: Line, settings: Settings, all: Vec<Rc<Asked>>) -> Self {
        let seed = Random::default().draw();
        Self {
            line,
            all,
            used: Vec::new(),
            watch: Watch::new(settings, Vec::new(), seed),
            prober: Prober::new(line, ""),
            seen: Seen::default(),
            flying: HashMap::new(),
            changed: false,
            told: Verdict::default(),
            unsent: false,
            lost_names: HashMap::new(),
        }
    }

    pub(crate) fn line(&self) -> Line {
        self.line
    }

    pub(crate) fn targets(&self) -> impl Iterator<Item = (&Target, TargetReport)> {
        self.used.iter().map(|asked| &asked.target).zip(self.watch.targets())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.prober.bytes()
    }

    /// The names that do not resolve although others do.
    pub(crate) fn unresolvable(&self, now: Monotonic) -> Vec<&str> {
        // A dead line or a dead DNS has no fault of single names.
        if matches!(self.watch.verdict().state, State::Unknown | State::Down | State::Partial(Part::Dns)) {
            return Vec::new();
        }
        let sure = |misses: &Misses| misses.count >= MISSES && now.since(misses.since) >= MISSED_FOR;
        let lost = |host: &str, family| self.lost_names.get(&(host.to_owned(), family)).is_some_and(sure);
        let mut names: Vec<_> = self.used.iter().filter_map(|asked| asked.host.as_deref()).collect();
        names.sort_unstable();
        names.dedup();
        // Many have addresses of one family only.
        let families = |host: &str| {
            let used = self.used.iter().filter(|a| a.host.as_deref() == Some(host));
            used.filter(|a| a.target.address.is_none()).map(|a| a.target.family).collect::<Vec<_>>()
        };
        names.retain(|host| {
            let families = families(host);
            !families.is_empty() && families.iter().all(|family| lost(host, *family))
        });
        names
    }

    /// Takes what a look at the system found of the line. `servers` are its own name servers.
    pub(crate) fn see(&mut self, now: Monotonic, now_is: &LineNow, servers: &[IpAddr], history: &mut Ring) {
        let seen = Seen {
            interface: now_is.index.zip(now_is.interface.clone()),
            way: now_is.way,
            // Addresses outlive the router that gave them; without a route a probe is not even sent.
            v4: now_is.ways[0] && now_is.addresses.iter().any(IpAddr::is_ipv4),
            v6: now_is.ways[1] && now_is.addresses.iter().any(is_global_v6),
        };
        self.prober.use_resolvers(self.resolvers(servers, &seen));
        if seen == self.seen {
            return;
        }
        let before = std::mem::replace(&mut self.seen, seen);
        if before.interface != self.seen.interface {
            let name = self.seen.interface.as_ref().map_or("", |(_, name)| name);
            self.prober.use_interface(name);
            self.pump(now, history);
            if before.way {
                self.step(now, Event::Link(false), history);
            }
        }
        self.use_targets(now, history);
        self.step(now, Event::Link(self.seen.way), history);
    }

    /// Public ones of the list first: the line's own server may be a router that answers from memory.
    fn resolvers(&self, servers: &[IpAddr], seen: &Seen) -> Vec<IpAddr> {
        let speaks = |a: &IpAddr| if a.is_ipv4() { seen.v4 } else { seen.v6 };
        let mut list: Vec<IpAddr> = Vec::new();
        for server in resolvers(&self.all).iter().chain(servers).filter(|a| speaks(a)) {
            if !list.contains(server) {
                list.push(*server);
            }
        }
        list
    }

    /// Only those whose family the line speaks: where there is no IPv6, its silence is no news.
    fn use_targets(&mut self, now: Monotonic, history: &mut Ring) {
        let Seen { v4, v6, .. } = self.seen;
        let speaks = |a: &&Rc<Asked>| if a.target.family == Family::V4 { v4 } else { v6 };
        let used: Vec<_> = self.all.iter().filter(speaks).cloned().collect();
        if used != self.used {
            self.used = used;
            let targets = self.used.iter().map(|a| a.target.clone()).collect();
            self.step(now, Event::Targets(targets), history);
        }
    }

    /// What the interface carried so far.
    pub(crate) fn traffic(&mut self, now: Monotonic, sent: u64, received: u64, history: &mut Ring) {
        self.step(now, Event::Traffic { sent_packets: sent, received_packets: received }, history);
    }

    /// Whether the house's traffic goes by it.
    pub(crate) fn active(&mut self, now: Monotonic, active: bool, history: &mut Ring) {
        self.step(now, Event::Active(active), history);
    }

    /// The number of the interface whose counters are worth reading.
    pub(crate) fn interface(&self) -> Option<u32> {
        self.seen.interface.as_ref().filter(|_| self.seen.way).map(|(index, _)| *index)
    }

    pub(crate) fn interests(&self, base: usize) -> impl Iterator<Item = Interest<'_>> {
        self.prober.interests(base)
    }

    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        [self.watch.next_deadline(), self.prober.deadline()].into_iter().flatten().min()
    }

    /// A descriptor is ready.
    pub(crate) fn ready(&mut self, now: Monotonic, token: usize, history: &mut Ring) {
        self.prober.ready(now, token);
        self.pump(now, history);
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Monotonic, history: &mut Ring) {
        if self.prober.deadline().is_some_and(|at| now >= at) {
            self.prober.tick(now);
            self.pump(now, history);
        }
        if self.watch.next_deadline().is_some_and(|at| now >= at) {
            self.step(now, Event::Tick, history);
        }
    }

    /// The verdict, if it is another than in the last call.
    pub(crate) fn take_verdict(&mut self) -> Option<Verdict> {
        if !std::mem::take(&mut self.changed) || *self.watch.verdict() == self.told {
            return None;
        }
        self.told = self.watch.verdict().clone();
        let Verdict { state, reason, .. } = &self.told;
        let colon = if reason.is_empty() { "" } else { ": " };
        log::info!("the {} line is {}{colon}{reason}", self.line.name(), state.word());
        Some(self.told.clone())
    }

    /// Whether our own kernel refused to send since the last call: the interface may be another.
    pub(crate) fn take_unsent(&mut self) -> bool {
        std::mem::take(&mut self.unsent)
    }

    fn step(&mut self, now: Monotonic, event: Event, history: &mut Ring) {
        let actions = self.watch.step(now, event);
        self.act(now, actions);
        self.pump(now, history);
    }

    /// Tells the watch what became of probes, and sends what it wants sent because of that.
    fn pump(&mut self, now: Monotonic, history: &mut Ring) {
        for _ in 0..ROUNDS {
            let found = self.prober.take();
            if found.is_empty() {
                return;
            }
            for (probe, outcome) in found {
                self.note(now, probe, &outcome, history);
                let actions = self.watch.step(now, Event::Result { probe, outcome });
                self.act(now, actions);
            }
        }
    }

    fn act(&mut self, now: Monotonic, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Probe { probe, target, timeout } => {
                    let Some(asked) = self.used.get(target) else { continue };
                    if self.flying.len() >= FLYING {
                        self.flying.clear();
                    }
                    self.flying.insert(probe, Rc::clone(asked));
                    self.prober.start(now, probe, asked, timeout);
                }
                Action::Changed(_) => self.changed = true,
            }
        }
    }

    /// For the charts, and for names that never resolve. A late answer was lost when it was due.
    fn note(&mut self, now: Monotonic, probe: u64, outcome: &Outcome, history: &mut Ring) {
        let Some(asked) = self.flying.remove(&probe) else { return };
        let target = &asked.target;
        if let Some(host) = asked.host.as_ref().filter(|_| target.address.is_none()) {
            match outcome {
                Outcome::Unresolvable => {
                    let fresh = Misses { count: 0, since: now };
                    self.lost_names.entry((host.clone(), target.family)).or_insert(fresh).count += 1;
                }
                Outcome::Unsent(_) => {}
                _ => drop(self.lost_names.remove(&(host.clone(), target.family))),
            }
        }
        match outcome {
            Outcome::Answered { latency, code } => {
                history.note(now, &entry(self.line, target), Some(*latency), *code);
            }
            Outcome::Wrong { code, .. } => history.note(now, &entry(self.line, target), None, *code),
            Outcome::Silent | Outcome::Refused { .. } | Outcome::Unresolvable => {
                history.note(now, &entry(self.line, target), None, None);
            }
            Outcome::Unsent(why) => {
                log::debug!("{}: {why}", target.name);
                self.unsent = true;
            }
        }
    }
}

/// What the internet answers to: global unicast (RFC 4291 section 2.4 as IANA assigns it: `2000::/3`).
fn is_global_v6(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(a) if a.segments()[0] & 0xe000 == 0x2000)
}
