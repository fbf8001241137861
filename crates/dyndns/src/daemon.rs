//! The daemon: follows `uplink`, asks the machines, sends children, keeps what they learned.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use courier::{Courier, Office};
use daemonkit::{Event, Interest};
use snapshot::Report;
use sysio::{Monotonic, Root, clock};

use crate::deliver::{self, Heard, Job};
use crate::lines::{Lines, Source};
use crate::machine::{Action, Machine, View};
use crate::settings::{Settings, Wanted};
use crate::socket::Way;
use crate::store::{Kept, Records, Store, recall};
use crate::talk::{Order, Verdict};

/// The daemon whose snapshot tells of the lines.
const LINES: &str = "uplink";
/// The request to forget that a provider said to stop.
pub const RETRY: &str = "retry";
/// Without any news it is looked so often; a look at nothing new costs nothing.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Never closer, whatever a machine's deadline says: what it waits for may not be its own to bring.
const LOOK_LEAST: Duration = Duration::from_secs(1);
/// Children at once: a provider that hangs must not hold up the others, and each takes megabytes.
const MOST_FLIGHTS: usize = 3;
/// So long a wrong clock holds back what TLS would refuse; then it is tried all the same.
pub const CLOCK_PATIENCE: Duration = Duration::from_secs(600);
/// Whether the clock is set is looked up so often while that holds something back.
const CLOCK_LOOK: Duration = Duration::from_secs(2);
/// A router's address is asked for anew so often: nobody tells when the provider changes it.
const ASK_EVERY: Duration = Duration::from_secs(300);
/// After a failure sooner, at first; doubling.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// One record and what is known of it.
#[derive(Debug)]
pub struct Record {
    /// As it is wanted.
    pub wanted: Wanted,
    /// What decides.
    pub machine: Machine,
    account: String,
}

/// What somebody outside said of a line's address.
#[derive(Debug, Default)]
pub struct Asked {
    /// The line's interface and own addresses when it was asked: others make it worthless.
    line: Option<crate::lines::Line>,
    /// What was said.
    pub address: Option<IpAddr>,
    next: Monotonic,
    failures: u32,
    /// Why nothing was said, the last time.
    pub last_error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Purpose {
    Record(usize, Action),
    Line(String),
}

#[derive(Debug)]
struct Flight {
    purpose: Purpose,
    courier: Courier,
}

/// The daemon.
#[derive(Debug)]
pub struct Dyndns {
    pub(crate) records: Vec<Record>,
    pub(crate) asked: BTreeMap<String, Asked>,
    pub(crate) lines: Option<Lines>,
    /// Why what was kept could not be read.
    pub(crate) lost: Option<String>,
    /// Why what is to be kept could not be written.
    pub(crate) unsaved: Option<String>,
    pub(crate) started: Monotonic,
    root: Root,
    boot_id: String,
    ask: String,
    office: Office,
    flights: Vec<Flight>,
    store: Store,
    saved: Records,
    next_look: Monotonic,
}

impl Dyndns {
    /// For the system below `root`; children are started of `program`, this binary.
    ///
    /// # Errors
    /// If the kernel does not say which boot this is.
    pub fn new(root: &Root, settings: Settings, program: impl Into<PathBuf>) -> io::Result<Self> {
        let (now, boot_id) = (clock::now(), snapshot::boot_id(root)?);
        let store = Store::new(root);
        let found = store.load();
        if let Some(why) = &found.lost {
            log::error!("read what providers were told: {why}; asking the DNS instead");
        }
        let records = settings.records.into_iter().map(|wanted| {
            let account = wanted.fingerprint();
            let memory = recall(&found.records, &wanted.id(), &account);
            Record { machine: Machine::new(memory, wanted.check, now), account, wanted }
        });
        Ok(Self {
            records: records.collect(),
            asked: BTreeMap::new(),
            lines: None,
            lost: found.lost,
            unsaved: None,
            started: now,
            root: root.clone(),
            boot_id,
            ask: settings.ask,
            office: Office::new(program, deliver::WORD, root, deliver::LIMIT),
            flights: Vec::new(),
            store,
            saved: found.records,
            next_look: now,
        })
    }

    /// Whether TLS and signatures must still wait for the right time.
    pub(crate) fn waits_for_clock(&self, now: Monotonic) -> bool {
        !clock::is_set(&self.root) && now.since(self.started) < CLOCK_PATIENCE
    }

    fn read_lines(&mut self, now: Monotonic) {
        let read = snapshot::read(&self.root, LINES, &self.boot_id, now);
        // What an unheard daemon said last is still the best that is known.
        let Some(lines) = read.fresh().map(Lines::read) else { return };
        if self.lines.as_ref() == Some(&lines) {
            return;
        }
        // A switch or another interface: the router behind it may be another, too.
        for (name, asked) in &mut self.asked {
            let changed = lines.links.get(name) != asked.line.as_ref();
            let switched = self.lines.as_ref().is_some_and(|before| before.active != lines.active);
            if changed || switched {
                (asked.next, asked.failures) = (now, 0);
            }
            if changed {
                asked.address = None;
            }
        }
        self.lines = Some(lines);
    }

    /// One look at everything, and children for what is to be done.
    fn look(&mut self, now: Monotonic) {
        self.read_lines(now);
        let lines = self.lines.clone().unwrap_or_default();
        self.ask_outside(now, &lines);
        for index in 0..self.records.len() {
            if self.flights.len() >= MOST_FLIGHTS {
                break;
            }
            let view = self.view(index, now, &lines);
            if let Some(action) = self.records[index].machine.look(now, &view) {
                self.send(now, index, action, &lines);
            }
        }
        self.keep();
        let next = self.records.iter().filter_map(|record| record.machine.deadline());
        let ask = self.asked.values().map(|asked| asked.next);
        let next = next.chain(ask).min().unwrap_or(now + LOOK_EVERY);
        let most = if self.waits_for_clock(now) { CLOCK_LOOK } else { LOOK_EVERY };
        self.next_look = next.clamp(now + LOOK_LEAST, now + most);
    }

    fn view(&self, index: usize, now: Monotonic, lines: &Lines) -> View {
        let wanted = &self.records[index].wanted;
        let name = lines.meant(wanted.link);
        let address = name.and_then(|name| match lines.source(name, wanted.family) {
            Source::Nowhere => None,
            Source::Interface(own) => Some(own),
            Source::Outside => self.asked.get(name).and_then(|asked| asked.address),
        });
        let clock = !(wanted.account.needs_clock() && self.waits_for_clock(now));
        let line = if wanted.account.sees_the_sender() {
            name.is_some_and(|name| lines.way(name).is_some())
        } else {
            lines.any()
        };
        View { address, unix: clock::unix(), ready: clock && line }
    }

    /// Asks for the addresses of lines behind routers that some name leads to.
    fn ask_outside(&mut self, now: Monotonic, lines: &Lines) {
        let meant = self.records.iter().filter_map(|record| {
            let name = lines.meant(record.wanted.link)?;
            (lines.source(name, record.wanted.family) == Source::Outside).then(|| name.to_owned())
        });
        let names: std::collections::BTreeSet<String> = meant.collect();
        self.asked.retain(|name, _| names.contains(name));
        for name in names {
            let waits = self.ask.starts_with("https:") && self.waits_for_clock(now);
            let under_way = self.flights.iter().any(|f| f.purpose == Purpose::Line(name.clone()));
            let asked = self.asked.entry(name.clone()).or_default();
            let Some(way) = lines.way(&name).filter(|_| !under_way && !waits && now >= asked.next) else {
                continue;
            };
            asked.line = lines.links.get(&name).cloned();
            asked.next = now + ASK_EVERY;
            let job = Job::Ask { url: self.ask.clone(), way };
            self.start(now, Purpose::Line(name), &job);
        }
    }

    fn send(&mut self, now: Monotonic, index: usize, action: Action, lines: &Lines) {
        let wanted = &self.records[index].wanted;
        let job = match action {
            Action::Tell(address) => {
                log::info!("telling {}: {} is {address}", wanted.account.protocol(), wanted.name);
                let seen = wanted.account.sees_the_sender();
                let way: Option<Way> =
                    lines.meant(wanted.link).filter(|_| seen).and_then(|name| lines.way(name));
                let order = Order { name: wanted.name.clone(), address, ttl: wanted.ttl };
                Job::Tell { account: wanted.account.clone(), order, way }
            }
            Action::Resolve => Job::Resolve { name: wanted.name.clone(), family: wanted.family },
        };
        self.start(now, Purpose::Record(index, action), &job);
    }

    fn start(&mut self, now: Monotonic, purpose: Purpose, job: &Job) {
        match self.office.send(job, now) {
            Ok(courier) => self.flights.push(Flight { purpose, courier }),
            Err(error) => {
                let why = format!("start {}: {error}", self.office.program().display());
                self.landed(now, &purpose, Heard::Failed { why });
            }
        }
    }

    fn hear(&mut self, now: Monotonic) {
        let mut index = 0;
        while index < self.flights.len() {
            match self.flights[index].courier.poll(now) {
                None => index += 1,
                Some(heard) => {
                    let flight = self.flights.swap_remove(index);
                    let heard = heard.unwrap_or_else(|lost| Heard::Failed { why: lost.to_string() });
                    self.landed(now, &flight.purpose, heard);
                }
            }
        }
    }

    fn landed(&mut self, now: Monotonic, purpose: &Purpose, heard: Heard) {
        match (purpose, heard) {
            (Purpose::Record(index, Action::Tell(_)), heard) => {
                let verdict = match heard {
                    Heard::Told { verdict } => verdict,
                    Heard::Failed { why } => Verdict::later(why, Duration::ZERO),
                    Heard::Found { .. } => {
                        Verdict::later("the sending process answered nonsense", Duration::ZERO)
                    }
                };
                let record = &mut self.records[*index];
                say(&record.wanted, &verdict, record.machine.last_error());
                record.machine.told(now, clock::unix(), &verdict, daemonkit::jitter());
                // At once: an update that is forgotten is one too many after a power cut.
                self.keep();
            }
            (Purpose::Record(index, Action::Resolve), heard) => {
                let found = match &heard {
                    Heard::Found { addresses } => Ok(&addresses[..]),
                    _ => Err(()),
                };
                self.records[*index].machine.resolved(now, clock::unix(), found);
            }
            (Purpose::Line(name), heard) => {
                let Some(asked) = self.asked.get_mut(name) else { return };
                match heard {
                    Heard::Found { addresses } => {
                        (asked.address, asked.failures, asked.last_error) =
                            (addresses.first().copied(), 0, None);
                    }
                    Heard::Failed { why } => {
                        asked.next = now + (ASK_AGAIN * (1 << asked.failures.min(6))).min(ASK_EVERY);
                        asked.failures = asked.failures.saturating_add(1);
                        asked.last_error = Some(why);
                    }
                    Heard::Told { .. } => {}
                }
            }
        }
        self.next_look = now;
    }

    /// What a person asks for.
    fn asked_for(&mut self, now: Monotonic, request: &str) {
        if request != RETRY {
            log::warn!("request {request}: unknown, known is {RETRY}");
            return;
        }
        let forgotten =
            self.records.iter_mut().map(|record| u32::from(record.machine.forget(now))).sum::<u32>();
        log::info!("asked to try again: {forgotten} of {} records had stopped or failed", self.records.len());
        self.next_look = now;
    }

    /// Writes what has changed; what cannot be written is tried again with the next look.
    fn keep(&mut self) {
        let records: Records = self
            .records
            .iter()
            .map(|record| {
                let memory = record.machine.memory().clone();
                (record.wanted.id(), Kept { account: record.account.clone(), memory })
            })
            .collect();
        if records == self.saved {
            return;
        }
        match self.store.save(&records) {
            Ok(()) => {
                self.saved = records;
                self.unsaved = None;
            }
            Err(error) => {
                if self.unsaved.is_none() {
                    log::error!("keep what providers were told: {error}; trying again");
                }
                self.unsaved = Some(error.to_string());
            }
        }
    }
}

/// Logs what is new.
fn say(wanted: &Wanted, verdict: &Verdict, before: Option<&str>) {
    let name = format!("{} at {}", wanted.name, wanted.account.protocol());
    match verdict {
        Verdict::Changed { address } => log::info!("{name} is {address} now"),
        Verdict::Same { address } => log::info!("{name} was {address} already"),
        Verdict::Later { why, .. } if before == Some(why.as_str()) => {}
        Verdict::Later { why, .. } => log::warn!("{name}: {why}; trying again later"),
        Verdict::Stop { code, why } => log::error!("{name}: {code}: {why}; stopped until that is changed"),
    }
}

impl daemonkit::Daemon for Dyndns {
    /// Nothing ends this daemon but the loop itself.
    type Error = Infallible;

    fn interests(&self) -> Vec<Interest<'_>> {
        let flights = self.flights.iter().enumerate();
        flights.map(|(token, flight)| Interest::read(flight.courier.fd(), token)).collect()
    }

    fn handle(&mut self, now: Monotonic, event: Event) -> Result<(), Infallible> {
        match event {
            Event::Terminate => {
                // What a child under way achieves is found out by asking the DNS.
                self.flights.clear();
                self.keep();
                return Ok(());
            }
            Event::SnapshotChanged(_) => {
                let before = self.lines.clone();
                self.read_lines(now);
                if self.lines != before {
                    self.next_look = now;
                }
            }
            Event::Request(name) | Event::RequestWith { name, .. } => self.asked_for(now, &name),
            _ => {}
        }
        self.hear(now);
        if now >= self.next_look {
            self.look(now);
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        let flights = self.flights.iter().map(|flight| flight.courier.deadline());
        flights.chain([self.next_look]).min()
    }

    fn report(&self, now: Monotonic) -> Report {
        crate::status::report(self, now)
    }

    fn follows(&self) -> &[&str] {
        &[LINES]
    }
}
