//! Chooses the line to the internet, and nothing else: default routes, routes by source address so
//! that an answer leaves by the line its question came in on, and the DNS servers of that line.
//!
//! Level-triggered: whenever anything about links, addresses, routes, rules or the modem changes, it
//! reads everything again, plans from scratch and applies the difference. A crash, a lost message or
//! a foreign `ip route del` is healed by the next look.

pub mod advertise;
mod dns;
mod driver;
mod history;
mod line;
mod machine;
mod memory;
mod modem;
mod plan;
mod ports;
mod probe;
mod settings;
mod status;
mod switch;
mod targets;
mod ula;
pub mod usage;
mod watching;

pub use driver::{Driver, Outcome, System};
pub use line::LineNow;
pub use machine::{Action, Event, Machine, Observation};
pub use memory::Memory;
pub use modem::{Cellular, Kind, Modem};
pub use plan::{Change, Facts, Intent, PROTOCOL, Plan, difference, in_place, plan};
pub use ports::Kernel;
pub use probe::{Finding, Prober, TOKENS};
pub use settings::{Settings, load_settings};
pub use switch::{Candidate, Switch, Switched};
pub use targets::{Asked, targets};

use ::history::{Ring, Store};
use daemonkit::{Daemon, Interest};
use netlink::Monitor;
use ruleset::marks::Line;
use std::os::fd::AsFd;
use std::time::Duration;
use sysio::{Monotonic, Root, clock};
use usage::Usage;
use watching::LineWatch;

/// The daemon whose snapshot says whether there is a cellular line.
const MODEM: &str = "modem-dialer";
/// This daemon, in its own snapshot.
const NAME: &str = "uplink";
const MONITOR: usize = 0;
/// Tokens of the lines' probes: this far apart, the first line's behind the monitor's.
const TOKENS_A_LINE: usize = TOKENS + 1;
/// Latencies and losses in the snapshot are this old at most. They change with every probe; verdicts,
/// which matter, are published at once.
const NUMBERS: Duration = Duration::from_millis(7500);
/// A metered line is watched by its counters first; more often than this they say no more.
const COUNTERS: Duration = Duration::from_secs(1);
/// A line whose interface our own kernel refuses to send by is looked at again, at most so often at
/// first…
const UNSENT_LOOK: Duration = Duration::from_millis(500);
/// …and so often while that goes on: the kernel tells of what changes by itself.
const UNSENT_LOOK_LONGEST: Duration = Duration::from_secs(5);
/// Verdicts may change routes, and routes what can be probed; then it has to settle.
const ROUNDS: usize = 4;

/// Why the daemon cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket for changes.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// The kernel does not say which boot this is.
    #[error("read the boot id: {0}")]
    BootId(std::io::Error),
    /// Nobody counts what the metered line carries.
    #[error(transparent)]
    Usage(#[from] usage::Error),
}

/// The daemon: machine, driver and watches in the loop.
#[derive(Debug)]
pub struct Uplink {
    machine: Machine,
    driver: Driver<Kernel>,
    monitor: Monitor,
    watches: [LineWatch; 2],
    history: Ring,
    store: Store,
    usage: Option<Usage>,
    numbers: status::Numbers,
    numbers_at: Monotonic,
    counters_at: Monotonic,
    history_at: Monotonic,
    /// Not to look again because of a refused probe before this.
    calm_until: Monotonic,
    calm: Duration,
    revision: u64,
}

impl Uplink {
    /// For the system below `root`, and the network namespace of this thread.
    ///
    /// # Errors
    /// If the kernel gives no netlink socket.
    pub fn new(root: &Root, settings: Settings) -> Result<Self, Error> {
        let boot_id = snapshot::boot_id(root).map_err(Error::BootId)?;
        let targets = targets(&settings.targets);
        let wired = link_health::Settings::wired();
        let mut cellular = link_health::Settings::cellular();
        if !settings.metered {
            cellular = cellular.with_tempo(link_health::Tempo::Brisk);
        }
        let store = Store::new(root, &boot_id, history::PLACE);
        let usage = Usage::open(root, &boot_id, &settings.costs)?;
        let now = clock::now();
        let memory = Memory::of(&snapshot::read(root, NAME, &boot_id, now));
        Ok(Self {
            machine: Machine::new(settings).remembering(memory),
            watches: [
                LineWatch::new(Line::Wired, wired, targets.clone()),
                LineWatch::new(Line::Cellular, cellular, targets),
            ],
            history: store.load(),
            store,
            usage,
            driver: Driver { system: Kernel::open(root, boot_id)? },
            monitor: Monitor::open()?,
            numbers: status::Numbers::default(),
            numbers_at: now,
            counters_at: now,
            history_at: now,
            calm_until: now,
            calm: UNSENT_LOOK,
            revision: 0,
        })
    }

    /// Looks at the system, does what follows, and tells the watches how their lines are.
    fn look(&mut self, now: Monotonic) {
        self.driver.turn(now, &mut self.machine);
        let active = self.machine.active();
        for watch in &mut self.watches {
            let line = self.machine.lines().iter().find(|l| l.line == watch.line());
            if let Some(line) = line {
                watch.see(now, line, self.machine.servers(line.line), &mut self.history);
                watch.active(now, active == Some(line.line), &mut self.history);
            }
        }
        self.revision += 1;
    }

    /// Acts on what watches have found: verdicts change routes, refused probes ask for another look.
    fn settle(&mut self, now: Monotonic) {
        for _ in 0..ROUNDS {
            let mut again = false;
            for watch in &mut self.watches {
                if let Some(verdict) = watch.take_verdict() {
                    let line = watch.line();
                    self.machine.step(now, Event::Health { line, verdict });
                    again = true;
                }
                if watch.take_unsent() && now >= self.calm_until {
                    let again_soon = now.since(self.calm_until) < UNSENT_LOOK_LONGEST;
                    let longer = (self.calm * 2).min(UNSENT_LOOK_LONGEST);
                    self.calm = if again_soon { longer } else { UNSENT_LOOK };
                    self.calm_until = now + self.calm;
                    again = true;
                }
            }
            if !again {
                return;
            }
            self.look(now);
            self.refresh(now);
        }
    }

    /// What time asks for, besides a look.
    fn tick(&mut self, now: Monotonic) {
        for watch in &mut self.watches {
            watch.tick(now, &mut self.history);
        }
        if now >= self.counters_at {
            self.counters_at = now + COUNTERS;
            self.count(now);
        }
        if now >= self.numbers_at {
            self.refresh(now);
        }
        if now >= self.history_at {
            let wall = clock::wall();
            let since = wall.and_then(|wall| wall.duration_since(std::time::UNIX_EPOCH).ok());
            self.history.turn(now, since.map(|since| since.as_secs()));
            self.store.write(now, wall, &self.history, false);
            self.history_at = Ring::deadline(now);
        }
    }

    /// Counters of the cellular interface, which carries nothing but its line.
    fn count(&mut self, now: Monotonic) {
        let [_, cellular] = &mut self.watches;
        if let Some(index) = cellular.interface()
            && let Ok(Some(counters)) = self.driver.system.counters(index)
        {
            let (sent, received) = (counters.sent_packets, counters.received_packets);
            cellular.traffic(now, sent, received, &mut self.history);
        }
    }

    /// Counts what the metered line carries; `changed` when links may have come or gone.
    fn account(&mut self, now: Monotonic, changed: bool) {
        let cellular = self.machine.lines().iter().find(|line| line.line == Line::Cellular);
        let interface = cellular.and_then(|line| line.interface.as_deref());
        let Some(usage) = &mut self.usage else { return };
        let cut_before = usage.cut();
        let says = usage.tick(now, interface, changed);
        if !cut_before && usage.cut() {
            self.machine.cut(now);
        }
        self.revision += u64::from(says);
    }

    fn refresh(&mut self, now: Monotonic) {
        self.numbers = status::Numbers::of(now, &self.watches);
        self.numbers_at = now + NUMBERS;
        self.revision += 1;
    }
}

impl Daemon for Uplink {
    type Error = Error;

    fn interests(&self) -> Vec<Interest<'_>> {
        let mut list = vec![Interest::read(self.monitor.as_fd(), MONITOR)];
        for (n, watch) in self.watches.iter().enumerate() {
            list.extend(watch.interests(MONITOR + 1 + n * TOKENS_A_LINE));
        }
        list
    }

    fn handle(&mut self, now: Monotonic, event: daemonkit::Event) -> Result<(), Error> {
        let mut changed = false;
        match event {
            daemonkit::Event::Ready { token: MONITOR, .. } => {
                changed = self.monitor.drain()?;
                if changed {
                    self.look(now);
                }
            }
            daemonkit::Event::Ready { token, .. } => {
                let place = token - MONITOR - 1;
                if let Some(watch) = self.watches.get_mut(place / TOKENS_A_LINE) {
                    watch.ready(now, place % TOKENS_A_LINE, &mut self.history);
                }
            }
            daemonkit::Event::Deadline => {
                if now >= self.machine.next_look() {
                    self.look(now);
                }
                self.tick(now);
            }
            daemonkit::Event::Start | daemonkit::Event::SnapshotChanged(_) => self.look(now),
            daemonkit::Event::Terminate => {
                self.store.write(now, clock::wall(), &self.history, true);
                self.usage.iter_mut().for_each(|usage| usage.end(now));
            }
            daemonkit::Event::RequestWith { name, content } => {
                self.usage.iter_mut().for_each(|usage| usage.request(&name, &content));
            }
            _ => {}
        }
        self.settle(now);
        self.account(now, changed);
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        let counters = self.watches[1].interface().map(|_| self.counters_at);
        let watches = self.watches.iter().filter_map(LineWatch::deadline);
        let own = [self.machine.next_look(), self.numbers_at, self.history_at];
        let usage = self.usage.as_ref().map(Usage::deadline);
        watches.chain(own).chain(counters).chain(usage).min()
    }

    fn report(&self, now: Monotonic) -> snapshot::Report {
        let report = status::report(&self.machine, &self.numbers, now);
        match &self.usage {
            Some(usage) => usage.report(report),
            None => report.field("usage", serde_json::Value::Null),
        }
    }

    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }

    fn follows(&self) -> &[&str] {
        &[MODEM]
    }
}
