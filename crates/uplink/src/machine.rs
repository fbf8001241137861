//! From one look at the system to what should be done, and what to say about it.

use crate::modem::{Cellular, Modem};
use crate::plan::{Change, Facts, difference, plan};
use crate::settings::Settings;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;
use sysio::Monotonic;

/// Everything that matters announces itself; this is for what does not: a snapshot growing stale, a
/// lease's DNS servers written after its route.
const LOOK: Duration = Duration::from_secs(5);
/// resolv.conf(5): libc uses the first three (`MAXNS`).
const NAME_SERVERS: usize = 3;

/// What one look at the system found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// Links, addresses, routes, rules.
    pub facts: Facts,
    /// What the modem says.
    pub modem: Modem,
    /// The DNS servers of the wired line.
    pub wired_dns: Vec<IpAddr>,
}

/// What the machine hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A look at the system, or why there was none.
    Observed(Result<Observation, String>),
    /// How the changes went: the first one that was refused.
    Changed(Result<(), String>),
    /// How writing the DNS upstreams went.
    ResolvWritten(Result<(), String>),
}

/// What should be done, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Change routes and rules.
    Change(Vec<Change>),
    /// Replace `/run/failberry/resolv.conf`.
    WriteResolv(String),
}

/// A line to the internet at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) interface: Option<String>,
    pub(crate) up: bool,
    pub(crate) metric: Option<u32>,
    pub(crate) gateway: Option<IpAddr>,
}

/// Decides; never reads a clock or the system.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    next_look: Monotonic,
    /// The last believed word of the modem: while it is silent, its line stays as it is.
    cellular: Option<Cellular>,
    silent: bool,
    lines: Vec<Line>,
    active: Option<&'static str>,
    offline_since: Option<Monotonic>,
    dns: Vec<IpAddr>,
    /// What is in the file; none before the first write and after a failed one.
    resolv: Option<String>,
    look_failed: Option<String>,
    change_failed: Option<String>,
    resolv_failed: Option<String>,
}

impl Machine {
    /// At start: nothing is known, nothing is assumed good.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            next_look: Monotonic::default(),
            cellular: None,
            silent: false,
            lines: Vec::new(),
            active: None,
            offline_since: None,
            dns: Vec::new(),
            resolv: None,
            look_failed: None,
            change_failed: None,
            resolv_failed: None,
        }
    }

    /// The wired interface.
    pub fn lan(&self) -> &str {
        &self.settings.lan
    }

    /// When to look without being called.
    pub fn next_look(&self) -> Monotonic {
        self.next_look
    }

    /// Takes an event and says what to do.
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Action> {
        match event {
            Event::Observed(Ok(observation)) => return self.observed(now, &observation),
            Event::Observed(Err(error)) => {
                self.next_look = now + LOOK;
                self.look_failed = Some(error);
            }
            Event::Changed(result) => self.change_failed = result.err(),
            Event::ResolvWritten(result) => {
                if result.is_err() {
                    self.resolv = None;
                }
                self.resolv_failed = result.err();
            }
        }
        Vec::new()
    }

    fn observed(&mut self, now: Monotonic, observation: &Observation) -> Vec<Action> {
        self.next_look = now + LOOK;
        self.look_failed = None;
        self.silent = observation.modem == Modem::Silent;
        if let Modem::Known(cellular) = &observation.modem {
            self.cellular.clone_from(cellular);
        }
        let facts = &observation.facts;
        let plan = plan(facts, &self.settings, self.cellular.as_ref());
        let changes = difference(facts, &plan);
        // The lines as they will be once the changes are made.
        let mut then = facts.clone();
        then.routes.retain(|r| r.protocol != crate::PROTOCOL);
        then.routes.extend(plan.routes);
        self.describe(now, &then, &observation.wired_dns);
        let mut actions = Vec::new();
        if changes.is_empty() {
            self.change_failed = None;
        } else {
            actions.push(Action::Change(changes));
        }
        let resolv = resolv_conf(&self.dns);
        if self.resolv.as_ref() != Some(&resolv) {
            self.resolv = Some(resolv.clone());
            actions.push(Action::WriteResolv(resolv));
        }
        actions
    }

    fn describe(&mut self, now: Monotonic, facts: &Facts, wired_dns: &[IpAddr]) {
        let cellular = self.cellular.as_ref();
        self.lines = vec![
            line(facts, "wired", Some(&self.settings.lan)),
            line(facts, "cellular", cellular.map(|c| c.interface.as_str())),
        ];
        let usable = self.lines.iter().filter(|l| l.up && l.metric.is_some());
        self.active = usable.min_by_key(|l| l.metric).map(|l| l.name);
        self.offline_since = if self.active.is_none() { self.offline_since.or(Some(now)) } else { None };
        let carrier = cellular.map_or(&[][..], |c| &c.dns);
        // The other line's servers come behind: better late than never.
        let order = if self.active == Some("cellular") { [carrier, wired_dns] } else { [wired_dns, &[]] };
        self.dns.clear();
        for server in order.into_iter().flatten() {
            if !self.dns.contains(server) && self.dns.len() < NAME_SERVERS {
                self.dns.push(*server);
            }
        }
    }

    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    pub(crate) fn active(&self) -> Option<&'static str> {
        self.active
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

    pub(crate) fn resolv_failure(&self) -> Option<&str> {
        self.resolv_failed.as_deref()
    }
}

fn line(facts: &Facts, name: &'static str, interface: Option<&str>) -> Line {
    let link = interface.and_then(|i| facts.link(i));
    let route = link.and_then(|l| facts.default_route(l.index));
    Line {
        name,
        interface: interface.map(str::to_owned),
        up: link.is_some_and(|l| l.up && l.carrier && facts.global_addresses(l.index).next().is_some()),
        metric: route.map(|r| r.metric),
        gateway: route.and_then(|r| r.gateway),
    }
}

fn resolv_conf(servers: &[IpAddr]) -> String {
    let mut text = String::from("# Written by uplink; the DNS servers of the line in use come first.\n");
    for server in servers {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "nameserver {server}");
    }
    // libc waits 5 s for each server otherwise; a dead line's server should not hold everything up.
    text.push_str("options timeout:2\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use netlink::{Address, Link, Route};

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_secs(seconds)
    }

    fn machine() -> Machine {
        Machine::new(Settings::backup("eth0"))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// A wired line with a lease, and `ppp0` where `session` says so.
    fn observation(session: bool, modem: Modem) -> Observation {
        let link = |index, name: &str| Link { index, name: name.to_owned(), up: true, carrier: true };
        let address = |link, text: &str| Address { link, address: ip(text), prefix: 24, global: true };
        let (destination, gateway) = (ip("0.0.0.0"), Some(ip("192.168.178.1")));
        let route =
            Route { destination, prefix: 0, gateway, link: Some(2), metric: 1024, table: 254, protocol: 16 };
        let mut facts = Facts {
            links: vec![link(2, "eth0")],
            addresses: vec![address(2, "192.168.178.2")],
            ..Facts::default()
        };
        facts.routes.push(route);
        if session {
            facts.links.push(link(7, "ppp0"));
            facts.addresses.push(address(7, "100.64.0.2"));
        }
        Observation { facts, modem, wired_dns: vec![ip("192.168.178.1")] }
    }

    fn session() -> Modem {
        let dns = vec![ip("198.51.100.53"), ip("198.51.100.54")];
        let (interface, local) = ("ppp0".to_owned(), Some(ip("100.64.0.2")));
        Modem::Known(Some(Cellular { interface, kind: crate::Kind::Ppp, remote: None, local, dns }))
    }

    fn resolv(actions: &[Action]) -> Option<&str> {
        actions
            .iter()
            .find_map(|a| if let Action::WriteResolv(text) = a { Some(text.as_str()) } else { None })
    }

    #[test]
    fn dns_follows_the_line_in_use_and_comes_back() {
        let mut machine = machine();
        let actions = machine.step(at(1), Event::Observed(Ok(observation(false, Modem::Known(None)))));
        assert!(resolv(&actions).unwrap().contains("nameserver 192.168.178.1\n"));
        assert_eq!(machine.active(), Some("wired"));
        let actions = machine.step(at(2), Event::Observed(Ok(observation(true, session()))));
        let text = resolv(&actions).unwrap();
        assert!(text.find("198.51.100.53").unwrap() < text.find("192.168.178.1").unwrap(), "{text}");
        assert_eq!(machine.active(), Some("cellular"));
        let actions = machine.step(at(3), Event::Observed(Ok(observation(false, Modem::Known(None)))));
        assert!(!resolv(&actions).unwrap().contains("198.51.100"));
        assert_eq!(machine.active(), Some("wired"));
    }

    #[test]
    fn an_unchanged_list_is_not_written_again_but_a_failed_one_is() {
        let mut machine = machine();
        let look = || Event::Observed(Ok(observation(false, Modem::Known(None))));
        assert!(resolv(&machine.step(at(1), look())).is_some());
        assert!(resolv(&machine.step(at(2), look())).is_none());
        machine.step(at(2), Event::ResolvWritten(Err("disk full".to_owned())));
        assert!(resolv(&machine.step(at(3), look())).is_some());
    }

    #[test]
    fn a_silent_modem_keeps_its_line() {
        let mut machine = machine();
        machine.step(at(1), Event::Observed(Ok(observation(true, session()))));
        machine.step(at(40), Event::Observed(Ok(observation(true, Modem::Silent))));
        assert_eq!(machine.active(), Some("cellular"));
        assert!(machine.modem_is_silent());
        // The kernel took the interface: the line is gone whatever anybody says.
        machine.step(at(45), Event::Observed(Ok(observation(false, Modem::Silent))));
        assert_eq!(machine.active(), Some("wired"));
    }

    #[test]
    fn no_line_is_offline_since_the_first_look_that_saw_none() {
        let mut machine = machine();
        let nothing = || {
            let mut observation = observation(false, Modem::Known(None));
            observation.facts.routes.clear();
            Event::Observed(Ok(observation))
        };
        machine.step(at(1), nothing());
        machine.step(at(6), nothing());
        assert_eq!(machine.offline_for(at(11)), Some(Duration::from_secs(10)));
        machine.step(at(12), Event::Observed(Ok(observation(false, Modem::Known(None)))));
        assert_eq!(machine.offline_for(at(13)), None);
    }

    #[test]
    fn a_failed_look_is_repeated_and_reported() {
        let mut machine = machine();
        assert!(machine.step(at(1), Event::Observed(Err("no answer".to_owned()))).is_empty());
        assert_eq!(machine.route_failure(), Some("no answer"));
        assert!(machine.next_look() > at(1));
        machine.step(at(6), Event::Observed(Ok(observation(false, Modem::Known(None)))));
        assert_eq!(machine.route_failure(), None);
    }
}
