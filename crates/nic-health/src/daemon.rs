//! The daemon: two machines, one prober, the kernel.

mod cards;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use daemonkit::{Daemon, Interest};
use netlink::{Connection, HardwareAddress, Monitor, NeighbourChange, NeighbourMonitor};
use sysio::{Monotonic, Root};

use crate::drivers::{Driven, Host, Known};
use crate::entry::Key;
use crate::hands::{self, Hands};
use crate::network::Network;
use crate::prober::{Prober, Purpose};
use crate::settings::Settings;
use crate::stall::{self, Past};
use crate::{neighbours, rights, status};

/// Counters are read so often: twice in the time that makes a doubt.
const LOOK: Duration = Duration::from_secs(2);
/// While a card is in doubt, its counters are read once a question.
const LOOK_BUSY: Duration = Duration::from_secs(1);
/// What a lost message about addresses or routes may leave wrong for at most.
const READ_ROUTES: Duration = Duration::from_secs(60);
/// All entries are read so often, for their ages, and in case a change was missed.
const READ_ENTRIES: Duration = Duration::from_secs(60);
/// Routes that change all the time (a routing daemon) are read at most so often.
const ROUTES_PAUSE: Duration = Duration::from_secs(1);
/// Entries for `nic-health neigh` are written at most so often.
const WRITE_ENTRIES: Duration = Duration::from_secs(30);
/// What may go wrong.
const READ: &str = "read";
const ASK: &str = "ask";
const MEND: &str = "mend";
const NOTE: &str = "note";

const MONITOR: usize = 0;
const CHANGES: usize = 1;
const SOCKETS: usize = 2;

/// `nic-health`.
#[derive(Debug)]
pub struct NicHealth {
    pub(crate) root: Root,
    pub(crate) settings: Settings,
    kernel: Connection,
    monitor: NeighbourMonitor,
    changes: Monitor,
    prober: Prober,
    hands: Hands,
    pub(crate) network: Network,
    pub(crate) neighbours: neighbours::Machine,
    pub(crate) stalls: stall::Machine,
    pub(crate) host: Host,
    pub(crate) known: Known,
    /// By interface name.
    pub(crate) drivers: BTreeMap<String, Driven>,
    /// Rights this process lacks.
    pub(crate) missing: Vec<&'static str>,
    /// What went wrong, by what was being done, until that goes right.
    pub(crate) troubles: BTreeMap<&'static str, String>,
    /// Cards that are off because of us and not yet back.
    pub(crate) off: Vec<String>,
    pub(crate) resyncs: u64,
    past: BTreeMap<String, Past>,
    next_look: Monotonic,
    next_routes: Monotonic,
    routes_read: Monotonic,
    next_entries: Monotonic,
    entries_written: Option<Monotonic>,
    entries_changed: bool,
    revision: u64,
}

impl NicHealth {
    /// For the system below `root`, in this thread's network namespace.
    ///
    /// # Errors
    /// If the kernel gives no netlink sockets.
    pub fn new(root: &Root, settings: Settings) -> Result<Self, netlink::Error> {
        // The image's tmpfiles make them; on any other host nobody has.
        for folder in [snapshot::DIRECTORY, hands::DIRECTORY] {
            if let Err(error) = std::fs::create_dir_all(root.path(folder)) {
                log::warn!("make {folder}: {error}");
            }
        }
        let past = cards::read_past(root);
        Ok(Self {
            root: root.clone(),
            neighbours: neighbours::Machine::new(settings.repair),
            stalls: stall::Machine::new(settings.repair, past.clone()),
            settings,
            kernel: Connection::open()?,
            monitor: NeighbourMonitor::open()?,
            changes: Monitor::open()?,
            prober: Prober::default(),
            hands: Hands::new(root),
            network: Network::default(),
            host: Host::read(root),
            known: Known::load(root),
            drivers: BTreeMap::new(),
            missing: rights::missing(root),
            troubles: BTreeMap::new(),
            off: Vec::new(),
            resyncs: 0,
            past,
            next_look: Monotonic::default(),
            next_routes: Monotonic::default(),
            routes_read: Monotonic::default(),
            next_entries: Monotonic::default(),
            entries_written: None,
            entries_changed: true,
            revision: 0,
        })
    }

    fn start(&mut self, now: Monotonic) {
        for problem in &self.known.problems {
            log::warn!("{problem}");
        }
        for right in &self.missing {
            log::error!("{}", rights::words(right));
        }
        self.look(now);
    }

    /// Looks at cards, and at what has come or gone around them.
    fn look(&mut self, now: Monotonic) {
        self.off = self.hands.restore(&mut self.kernel);
        let looked = self.network.look(&mut self.kernel);
        let Some(other) = self.tell(looked) else {
            self.next_look = now + LOOK;
            return;
        };
        if other {
            self.read_drivers();
        }
        if other || now >= self.next_routes {
            self.read_routes(now);
        }
        if now >= self.next_entries {
            self.resync(now);
        }
        let samples = self.samples(now);
        let before = self.stalls.busy();
        let actions = self.stalls.step(now, stall::Event::Samples(samples));
        self.revision += u64::from(before || self.stalls.busy());
        self.do_stalls(now, actions);
        self.next_look = now + if self.stalls.busy() { LOOK_BUSY } else { LOOK };
        self.write_entries(now);
    }

    fn read_drivers(&mut self) {
        let old = std::mem::take(&mut self.drivers);
        for card in self.network.cards.values() {
            if let Ok(driver) = ioctl::ethtool::driver(&card.name) {
                let driven = Driven::new(driver, &self.host);
                if old.get(&card.name) != Some(&driven) {
                    log::info!("{}: driver {}, {}", card.name, driven.name, driven.version_words(&self.host));
                }
                self.drivers.insert(card.name.clone(), driven);
            }
        }
        self.revision += 1;
    }

    fn read_routes(&mut self, now: Monotonic) {
        let read = self.network.read_routes(&mut self.kernel);
        (self.next_routes, self.routes_read) = (now + READ_ROUTES, now);
        if self.tell(read).is_none() {
            return;
        }
        let watched = self.network.watched(&self.settings.peers);
        let own = self.network.own();
        for event in [neighbours::Event::Watch(watched), neighbours::Event::Own(own)] {
            self.step_neighbours(now, event);
        }
    }

    fn resync(&mut self, now: Monotonic) {
        self.next_entries = now + READ_ENTRIES;
        let all = self.kernel.neighbours();
        if let Some(all) = self.tell(all) {
            let ours = all.into_iter().filter(|n| self.network.cards.contains_key(&n.link)).collect();
            self.step_neighbours(now, neighbours::Event::Synced(ours));
        }
    }

    fn hear(&mut self, now: Monotonic) {
        let heard = self.monitor.take();
        let Some((changes, lost)) = self.tell(heard) else { return };
        for change in changes {
            let link = match &change {
                NeighbourChange::Set(entry) => entry.link,
                NeighbourChange::Gone { link, .. } => *link,
            };
            if self.network.cards.contains_key(&link) {
                self.step_neighbours(now, neighbours::Event::Changed(change));
            }
        }
        if lost {
            self.resyncs += 1;
            log::info!("neighbour changes came too fast and were lost; reading all entries anew");
            self.resync(now);
        }
    }

    fn step_neighbours(&mut self, now: Monotonic, event: neighbours::Event) {
        let shown = |n: &neighbours::Machine| (n.counts().repaired, n.findings().len(), n.mending_any());
        let before = shown(&self.neighbours);
        let mut work = self.neighbours.step(now, event);
        self.entries_changed = true;
        self.revision += u64::from(shown(&self.neighbours) != before);
        while let Some(action) = work.pop() {
            let (what, done) = match action {
                neighbours::Action::Check(key) => (ASK, self.ask(now, Purpose::Entry, key)),
                neighbours::Action::CheckOwn(link, address) => {
                    (ASK, self.ask(now, Purpose::Own, Key { link, address: address.into() }))
                }
                neighbours::Action::Probe(key) => {
                    log::warn!(
                        "{} on {}: the entry is proven wrong; the kernel is to ask anew",
                        key.address,
                        self.network.name(key.link)
                    );
                    let probed = self.kernel.probe_neighbour(key.link, key.address).map(drop);
                    (MEND, probed.map_err(|e| e.to_string()))
                }
                neighbours::Action::Delete(key) => {
                    log::warn!("{} on {}: deleting the entry", key.address, self.network.name(key.link));
                    let deleted = self.kernel.delete_neighbour(key.link, key.address);
                    (MEND, deleted.map_err(|e| e.to_string()))
                }
            };
            match done {
                Ok(()) => self.right(what),
                Err(error) => self.trouble(what, error),
            }
        }
    }

    /// A question that cannot be sent is one nobody answers.
    fn ask(&mut self, now: Monotonic, purpose: Purpose, key: Key) -> Result<(), String> {
        let Some(sender) = self.network.sender(key, purpose == Purpose::Own) else { return Ok(()) };
        let before = match purpose {
            Purpose::Entry => self.kernel.neighbour(key.link, key.address).ok().flatten(),
            _ => None,
        };
        let name = self.network.name(key.link);
        self.prober.ask(now, purpose, key, sender, before).or_else(|error| match error.kind() {
            // The card is off, or went: no news.
            io::ErrorKind::NetworkDown | io::ErrorKind::NotFound => Ok(()),
            _ if error.raw_os_error() == Some(nix::libc::ENODEV) => Ok(()),
            _ if error.raw_os_error() == Some(nix::libc::EADDRNOTAVAIL) => Ok(()),
            _ => Err(format!("ask for {} on {name}: {error}", key.address)),
        })
    }

    fn answers(&mut self, now: Monotonic) {
        let own: Vec<HardwareAddress> = self.network.macs();
        let mut links = self.prober.read(&own);
        links.sort_unstable();
        links.dedup();
        for link in links {
            let answered = stall::Event::Answered(self.network.name(link));
            let actions = self.stalls.step(now, answered);
            self.do_stalls(now, actions);
        }
    }

    fn finish(&mut self, now: Monotonic) {
        for question in self.prober.finish(now) {
            let key = question.key;
            match (question.purpose, key.address) {
                (Purpose::Entry, _) => {
                    let after = self.kernel.neighbour(key.link, key.address).ok().flatten();
                    let (before, answers) = (question.before, question.answers);
                    self.step_neighbours(now, neighbours::Event::Checked { key, before, answers, after });
                }
                (Purpose::Own, IpAddr::V4(address)) => {
                    let others = question.answers;
                    self.step_neighbours(
                        now,
                        neighbours::Event::OwnChecked { link: key.link, address, others },
                    );
                }
                _ => {}
            }
            self.revision += 1;
        }
    }

    fn trouble(&mut self, kind: &'static str, text: String) {
        if self.troubles.get(kind) != Some(&text) {
            log::error!("{text}");
            self.troubles.insert(kind, text);
            self.revision += 1;
        }
    }

    fn right(&mut self, kind: &'static str) {
        if self.troubles.remove(kind).is_some() {
            self.revision += 1;
        }
    }

    /// The answer of a kernel that was only asked.
    fn tell<T>(&mut self, result: Result<T, netlink::Error>) -> Option<T> {
        match result {
            Ok(value) => {
                self.right(READ);
                Some(value)
            }
            Err(error) => {
                self.trouble(READ, error.to_string());
                None
            }
        }
    }

    fn write_entries(&mut self, now: Monotonic) {
        let due = self.entries_written.is_none_or(|at| now.since(at) >= WRITE_ENTRIES);
        if !due || !self.entries_changed {
            return;
        }
        (self.entries_written, self.entries_changed) = (Some(now), false);
        if let Err(error) = status::write_entries(self, now) {
            log::debug!("write neighbour entries: {error}");
        }
    }
}

impl Daemon for NicHealth {
    type Error = std::convert::Infallible;

    fn interests(&self) -> Vec<Interest<'_>> {
        let own = [(self.monitor.as_fd(), MONITOR), (self.changes.as_fd(), CHANGES)];
        let sockets = self.prober.sockets().map(|fd| (fd, SOCKETS));
        own.into_iter().chain(sockets).map(|(fd, token)| Interest::read(fd, token)).collect()
    }

    fn handle(&mut self, now: Monotonic, event: daemonkit::Event) -> Result<(), Self::Error> {
        match event {
            daemonkit::Event::Start => self.start(now),
            daemonkit::Event::Ready { token: MONITOR, .. } => self.hear(now),
            daemonkit::Event::Ready { token: CHANGES, .. } => {
                let changed = self.changes.drain();
                if self.tell(changed) == Some(true) {
                    self.next_routes = self.next_routes.min(self.routes_read + ROUTES_PAUSE);
                    if now >= self.next_routes {
                        self.look(now);
                    }
                }
            }
            daemonkit::Event::Ready { .. } => self.answers(now),
            daemonkit::Event::Deadline => {
                self.finish(now);
                if now >= self.next_look.min(self.next_routes) {
                    self.look(now);
                }
                let actions = self.stalls.step(now, stall::Event::Tick);
                self.do_stalls(now, actions);
                self.step_neighbours(now, neighbours::Event::Tick);
            }
            _ => {}
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        let machines = [self.neighbours.next_deadline(), self.stalls.next_deadline()];
        machines
            .into_iter()
            .flatten()
            .chain(self.prober.next_deadline())
            .chain([self.next_look.min(self.next_routes)])
            .min()
    }

    fn report(&self, now: Monotonic) -> snapshot::Report {
        status::report(self, now)
    }

    fn revision(&self) -> Option<u64> {
        Some(self.revision)
    }
}
