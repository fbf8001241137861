//! From one look at the system, and what probes say of the lines, to what should be done.

use crate::advertise::{Advertisement, Advertiser};
use crate::dns;
use crate::line::LineNow;
use crate::memory::Memory;
use crate::modem::{Cellular, Modem};
use crate::plan::{Change, Facts, Intent, difference, in_place, plan};
use crate::settings::Settings;
use crate::switch::{Candidate, Switch, Switched, other};
use config::Mode;
use link_health::{Grade, Verdict};
use ruleset::marks::Line;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;
use sysio::Monotonic;

/// Everything that matters announces itself; this is for what does not: a snapshot growing stale, a
/// lease's DNS servers written after its route.
const LOOK: Duration = Duration::from_secs(5);
/// After a switch, what still goes by the line that was left is looked for at once and again so much
/// later: packets on their way while routes change make new entries, and a tunnel that is told
/// nothing keeps its old one for hours (opnsense/core#10684).
const SWEEPS: [Duration; 3] = [Duration::ZERO, Duration::from_secs(5), Duration::from_secs(10)];

/// What one look at the system found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Links, addresses, routes, rules.
    pub facts: Facts,
    /// What the modem says.
    pub modem: Modem,
    /// The DNS servers of the wired line.
    pub wired_dns: Vec<IpAddr>,
    /// Our own IPv6 prefix for the LAN, a /64.
    pub ula: Option<Ipv6Addr>,
}

/// What the machine hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A look at the system, or why there was none.
    Observed(Result<Observation, String>),
    /// What probes say of a line. It is acted on at the next look, which is due at once.
    Health {
        /// The line.
        line: Line,
        /// How it is.
        verdict: Verdict,
    },
    /// How the changes went: the first one that was refused.
    Changed(Result<(), String>),
    /// How writing the DNS upstreams went.
    ResolvWritten(Result<(), String>),
    /// How forgetting a line's connections went: how many there were.
    Forgotten(Line, Result<u32, String>),
    /// How sending a router advertisement went.
    Advertised(Result<(), String>),
}

/// What should be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Change routes and rules.
    Change(Vec<Change>),
    /// Replace `/run/failberry/resolv.conf`.
    WriteResolv(String),
    /// Delete the entries of connections that left by this line and did not come in by any; the next
    /// packet of each makes a new one, by the line in use.
    Forget(Line),
    /// Send a router advertisement to everybody on the LAN.
    Advertise {
        /// The kernel's number of the LAN's interface.
        link: u32,
        /// What it says.
        message: Advertisement,
    },
}

/// Decides; never reads a clock or the system.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    next_look: Monotonic,
    /// The last believed word of the modem: while it is silent, its line stays as it is.
    cellular: Option<Cellular>,
    silent: bool,
    switch: Switch,
    started: bool,
    verdicts: [Verdict; 2],
    lines: Vec<LineNow>,
    active: Option<Line>,
    active_since: Monotonic,
    offline_since: Option<Monotonic>,
    /// The wired line had a way out in this boot.
    wired_was_there: bool,
    /// When the system was last looked at.
    looked: Monotonic,
    /// Lines whose connections are to be forgotten, and when.
    sweeps: Vec<(Monotonic, Line)>,
    advertiser: Advertiser,
    /// Our prefix and the LAN's interface, where advertisements go.
    lan_v6: Option<(Ipv6Addr, u32)>,
    dns: Vec<IpAddr>,
    wired_dns: Vec<IpAddr>,
    /// What is in the file; none before the first write and after a failed one.
    resolv: Option<String>,
    look_failed: Option<String>,
    change_failed: Option<String>,
    /// How often in a row.
    refused: u32,
    resolv_failed: Option<String>,
    forget_failed: Option<String>,
    advertise_failed: Option<String>,
}

impl Machine {
    /// At start: nothing is known, nothing is assumed good.
    pub fn new(settings: Settings) -> Self {
        Self {
            switch: Switch::new(settings.failback_hold),
            settings,
            next_look: Monotonic::default(),
            cellular: None,
            silent: false,
            started: false,
            verdicts: Default::default(),
            lines: Vec::new(),
            active: None,
            active_since: Monotonic::default(),
            offline_since: None,
            wired_was_there: false,
            looked: Monotonic::default(),
            sweeps: Vec::new(),
            advertiser: Advertiser::default(),
            lan_v6: None,
            dns: Vec::new(),
            wired_dns: Vec::new(),
            resolv: None,
            look_failed: None,
            change_failed: None,
            refused: 0,
            resolv_failed: None,
            forget_failed: None,
            advertise_failed: None,
        }
    }

    /// Goes on from what an earlier process of this boot said.
    #[must_use]
    pub fn remembering(mut self, memory: Memory) -> Self {
        self.switch.remember(memory.count, memory.last);
        self.wired_was_there = memory.wired_was_there;
        if let Some((active, since)) = memory.active {
            (self.active, self.active_since) = (Some(active), since);
        }
        self
    }

    /// Takes an event and says what to do.
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Action> {
        match event {
            Event::Observed(Ok(observation)) => return self.observed(now, &observation),
            Event::Observed(Err(error)) => {
                (self.looked, self.next_look) = (now, now + LOOK);
                self.look_failed = Some(error);
            }
            Event::Health { line, verdict } => {
                self.verdicts[slot(line)] = verdict;
                self.next_look = now;
            }
            Event::Changed(result) => {
                self.change_failed = result.err();
                self.refused = if self.change_failed.is_some() { self.refused.saturating_add(1) } else { 0 };
                return self.due(now);
            }
            Event::ResolvWritten(result) => {
                if result.is_err() {
                    self.resolv = None;
                }
                self.resolv_failed = result.err();
            }
            Event::Forgotten(line, result) => self.forgotten(now, line, result),
            Event::Advertised(result) => {
                if let Err(error) = &result
                    && self.advertise_failed.is_none()
                {
                    log::warn!("{error}; LAN devices may stay without IPv6 on the cellular line");
                }
                self.advertise_failed = result.err();
            }
        }
        Vec::new()
    }

    fn observed(&mut self, now: Monotonic, observation: &Observation) -> Vec<Action> {
        (self.looked, self.next_look) = (now, now + LOOK);
        self.look_failed = None;
        self.silent = matches!(observation.modem, Modem::Silent(_));
        match &observation.modem {
            Modem::Known(cellular) => self.cellular.clone_from(cellular),
            // At a start, what it said last is all there is; later it is known here already.
            Modem::Silent(last) if !self.started => self.cellular.clone_from(last),
            Modem::Silent(_) => {}
        }
        self.wired_dns.clone_from(&observation.wired_dns);
        let facts = &observation.facts;
        self.choose(now, facts);
        self.lead(now, observation);
        let plan = self.plan(facts);
        let changes = difference(facts, &plan);
        self.describe(now, &after(facts, &plan), &observation.wired_dns);
        let mut actions = Vec::new();
        let settled = changes.is_empty();
        if settled {
            (self.change_failed, self.refused) = (None, 0);
        } else {
            actions.push(Action::Change(changes));
        }
        let resolv = dns::resolv_conf(&self.dns);
        if self.resolv.as_ref() != Some(&resolv) {
            self.resolv = Some(resolv.clone());
            actions.push(Action::WriteResolv(resolv));
        }
        if settled {
            actions.extend(self.due(now));
        }
        actions
    }

    fn plan(&self, facts: &Facts) -> crate::Plan {
        let dead = |line| self.verdicts[slot(line)].state.grade() == Grade::Dead;
        let intent = Intent {
            active: self.switch.current(),
            wired_dead: dead(Line::Wired),
            cellular_dead: dead(Line::Cellular),
            ula: self.lan_v6.map(|(prefix, _)| prefix).filter(|_| self.advertiser.active()),
        };
        plan(facts, &self.settings, self.cellular.as_ref(), &intent)
    }

    /// Decides on the lines as they would be if nothing were switched.
    fn choose(&mut self, now: Monotonic, facts: &Facts) {
        if !self.started
            && let Some(line) = in_place(facts, &self.settings.lan)
        {
            self.switch.resume(line);
        }
        let lines = self.see(&after(facts, &self.plan(facts)));
        let [wired, cellular] = lines.map(|l| {
            // The last word on a line without a way says nothing of the way it has now.
            let fresh = self.lines.iter().any(|before| before.line == l.line && !before.way);
            Candidate { way: l.way, grade: if fresh { Grade::Unknown } else { l.grade() } }
        });
        let before = self.switch.current();
        if let Some(Switched { from, to, reason, .. }) = self.switch.decide(now, wired, cellular) {
            log::info!("{} line instead of {}: {reason}", to.name(), from.name());
        }
        if let Some(left) = before.filter(|_| self.switch.current() != before) {
            self.leave(now, left);
        }
        if !self.started
            && let Some(line) = self.switch.current()
        {
            // Whoever went before may have been ended between the switch and this.
            self.started = true;
            self.leave(now, other(line));
        }
    }

    /// In gateway mode, whether the LAN's devices should come to us for IPv6: the line in use is ours and
    /// has it, and the house's router gave them some by the line that was left.
    fn lead(&mut self, now: Monotonic, observation: &Observation) {
        let facts = &observation.facts;
        let lan = facts.link(&self.settings.lan).filter(|l| l.up && l.carrier).map(|l| l.index);
        self.lan_v6 = observation.ula.zip(lan);
        let cellular = self.cellular.as_ref().and_then(|c| facts.link(&c.interface)).map(|l| l.index);
        let ours = cellular.is_some_and(|l| facts.global_addresses(l).any(|a| a.is_ipv6()));
        let house: Vec<_> = lan.map(|l| facts.global_networks(l).collect()).unwrap_or_default();
        let given = self.advertiser.active()
            || !house.is_empty()
            || lan.is_some_and(|l| facts.routes.iter().any(|r| r.link == Some(l) && r.is_default_v6()));
        let lead = self.settings.mode == Mode::Gateway
            && self.switch.current() == Some(Line::Cellular)
            && self.lan_v6.is_some()
            && ours
            && given;
        self.advertiser.wish(now, lead, house.into_iter());
        if !self.advertiser.active() {
            self.advertise_failed = None;
        }
    }

    /// In backup mode the LAN's connections are the router's choice and stay; of our own, each is bound
    /// to an address of its line and cannot move.
    fn leave(&mut self, now: Monotonic, line: Line) {
        if self.settings.mode == Mode::Backup {
            return;
        }
        self.sweeps = SWEEPS.iter().map(|after| (now + *after, line)).collect();
    }

    /// The metered line is cut off for the LAN: what still comes in for a device that sends nothing, and
    /// so is refused nothing, ends with its connection.
    pub fn cut(&mut self, now: Monotonic) {
        self.sweeps.extend(SWEEPS.iter().map(|after| (now + *after, Line::Cellular)));
    }

    /// What is to be done now that routes lead elsewhere, and not before; but a change that is refused
    /// again is another one, or will be refused for ever, and must not hold this up.
    fn due(&mut self, now: Monotonic) -> Vec<Action> {
        if self.refused == 1 {
            return Vec::new();
        }
        let due = |line: &Line| self.sweeps.iter().any(|(at, of)| of == line && *at <= now);
        let mut actions: Vec<_> =
            [Line::Wired, Line::Cellular].into_iter().filter(due).map(Action::Forget).collect();
        self.sweeps.retain(|(at, _)| *at > now);
        if let Some((own, link)) = self.lan_v6
            && let Some(message) = self.advertiser.due(now, own)
        {
            actions.push(Action::Advertise { link, message });
        }
        actions
    }

    fn forgotten(&mut self, now: Monotonic, line: Line, result: Result<u32, String>) {
        match result {
            Ok(count) => {
                if count > 0 {
                    log::info!("{count} connections of the {} line were let go", line.name());
                }
                self.forget_failed = None;
            }
            Err(error) => {
                if self.forget_failed.is_none() {
                    log::warn!("{error}; trying again every {} s", LOOK.as_secs());
                }
                self.forget_failed = Some(error);
                self.sweeps.push((now + LOOK, line));
            }
        }
    }

    fn see(&self, facts: &Facts) -> [LineNow; 2] {
        let cellular = self.cellular.as_ref().map(|c| c.interface.as_str());
        [(Line::Wired, Some(self.settings.lan.as_str())), (Line::Cellular, cellular)]
            .map(|(line, interface)| LineNow::see(line, facts, interface, &self.verdicts[slot(line)]))
    }

    fn describe(&mut self, now: Monotonic, facts: &Facts, wired_dns: &[IpAddr]) {
        let lines = self.see(facts);
        let active = self.switch.current().filter(|line| lines[slot(*line)].way);
        if active != self.active {
            self.active_since = now;
        }
        self.active = active;
        self.wired_was_there |= lines[slot(Line::Wired)].way;
        let alive = lines.iter().any(|line| line.way && line.grade() > Grade::Dead);
        self.offline_since = if alive { None } else { self.offline_since.or(Some(now)) };
        let carrier = self.cellular.as_ref().map_or(&[][..], |c| &c.dns);
        let state = active.map(|line| lines[slot(line)].verdict.state);
        self.dns = dns::choose(active.zip(state), wired_dns, carrier, &self.settings.last_resort_dns);
        self.lines = lines.into();
    }

    /// The wired interface.
    pub fn lan(&self) -> &str {
        &self.settings.lan
    }

    /// When to look without being called.
    pub fn next_look(&self) -> Monotonic {
        // While the system refuses, the rest waits for the next try: what is past due would be due again
        // at once, without end.
        if self.look_failed.is_some() || self.refused == 1 {
            return self.next_look;
        }
        let sweep = self.sweeps.iter().map(|(at, _)| *at).min();
        // By the hold time as it was when it was last decided: it may be shorter by now, and then the
        // next look finds that.
        let switch = self.switch.deadline(self.looked);
        let word = self.advertiser.deadline().filter(|_| self.lan_v6.is_some());
        [Some(self.next_look), sweep, switch, word].into_iter().flatten().min().unwrap_or_default()
    }

    /// The lines, the wired one first; none before the first look.
    pub fn lines(&self) -> &[LineNow] {
        &self.lines
    }

    /// The line of the box's own traffic and, in gateway mode, the LAN's.
    pub fn active(&self) -> Option<Line> {
        self.active
    }

    /// Since when it is that one.
    pub fn active_since(&self) -> Monotonic {
        self.active_since
    }

    /// How often a line was left for the other since the daemon started, and the last time.
    pub fn switches(&self) -> (u64, Option<&Switched>) {
        self.switch.history()
    }

    /// How long the wired line must be good just now, and after how many returns that did not
    /// last; while that is longer than usual.
    pub fn flapping(&self, now: Monotonic) -> Option<(Duration, u32)> {
        self.switch.penalty(now)
    }

    /// The settings it works with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The name servers a line has named.
    pub(crate) fn servers(&self, line: Line) -> &[IpAddr] {
        match line {
            Line::Wired => &self.wired_dns,
            Line::Cellular => self.cellular.as_ref().map_or(&[], |c| &c.dns),
        }
    }

    pub(crate) fn dns(&self) -> &[IpAddr] {
        &self.dns
    }

    pub(crate) fn offline_for(&self, now: Monotonic) -> Option<Duration> {
        self.offline_since.map(|since| now.since(since))
    }

    pub(crate) fn modem_is_silent(&self) -> bool {
        self.silent
    }

    pub(crate) fn route_failure(&self) -> Option<&str> {
        self.look_failed.as_deref().or(self.change_failed.as_deref())
    }

    /// What else of a switch did not work, though routes are set.
    pub(crate) fn switch_failure(&self) -> Option<&str> {
        self.forget_failed.as_deref().or(self.advertise_failed.as_deref())
    }

    /// Whether the wired line had a way out at any time of this boot.
    pub(crate) fn wired_was_there(&self) -> bool {
        self.wired_was_there
    }

    pub(crate) fn resolv_failure(&self) -> Option<&str> {
        self.resolv_failed.as_deref()
    }
}

fn slot(line: Line) -> usize {
    match line {
        Line::Wired => 0,
        Line::Cellular => 1,
    }
}

/// The facts as they will be once a plan is carried out.
fn after(facts: &Facts, plan: &crate::Plan) -> Facts {
    let mut then = facts.clone();
    then.routes.retain(|r| r.protocol != crate::PROTOCOL);
    then.routes.extend(plan.routes.iter().cloned());
    then
}

#[cfg(test)]
mod tests;
