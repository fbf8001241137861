//! The daemon: follows `uplink`, asks the machine, sends children, keeps the record.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use courier::{Courier, Office};
use daemonkit::{Event, Interest};
use history::{Asked, Place, Ring, Store};
use snapshot::Report;
use sysio::{Monotonic, Root, clock};

use crate::ask::{self, Finding, Job};
use crate::lines::Lines;
use crate::machine::{self, Action, Machine, State};
use crate::settings::{Page, line_word};

/// The daemon whose snapshot tells of the lines.
const LINES: &str = "uplink";
/// Where the record of the last day lies.
pub const PLACE: Place =
    Place { shown: "/run/failberry-prober/history.json", kept: "/data/failberry/prober/history" };
/// So long a wrong clock holds back what TLS would refuse; then it is tried all the same.
pub const CLOCK_PATIENCE: Duration = Duration::from_secs(600);
/// While the clock is not set it is looked at so often.
const CLOCK_EVERY: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Flight {
    page: usize,
    courier: Courier,
}

/// The daemon.
#[derive(Debug)]
pub struct Prober {
    pub(crate) machine: Machine,
    started: Monotonic,
    root: Root,
    boot_id: String,
    office: Office,
    flights: Vec<Flight>,
    ring: Ring,
    store: Store,
    history_at: Monotonic,
    /// A moment, not a span from whenever it is asked for: that would never come.
    look_at: Option<Monotonic>,
}

impl Prober {
    /// For the system below `root`; children are started of `program`, this binary.
    ///
    /// # Errors
    /// If the kernel does not say which boot this is.
    pub fn new(root: &Root, pages: Vec<Page>, program: impl Into<PathBuf>) -> io::Result<Self> {
        let (now, boot_id) = (clock::now(), snapshot::boot_id(root)?);
        let store = Store::new(root, &boot_id, PLACE);
        // Without pages there is no record to hold in memory.
        let ring = if pages.is_empty() { Ring::default() } else { store.load() };
        Ok(Self {
            machine: Machine::new(pages, now, daemonkit::jitter),
            started: now,
            root: root.clone(),
            boot_id,
            office: Office::new(program, ask::WORD, root, ask::LIMIT),
            flights: Vec::new(),
            ring,
            store,
            history_at: now,
            look_at: Some(now),
        })
    }

    /// Whether certificates must still wait for the right time.
    pub(crate) fn waits_for_clock(&self, now: Monotonic) -> bool {
        let wanted = self.machine.tracks().iter().any(|track| track.page.needs_clock());
        wanted && !clock::is_set(&self.root) && now.since(self.started) < CLOCK_PATIENCE
    }

    fn read_lines(&mut self, now: Monotonic) {
        let read = snapshot::read(&self.root, LINES, &self.boot_id, now);
        // What an unheard daemon said last is still the best that is known.
        let Some(lines) = read.fresh().map(Lines::read) else { return };
        if self.machine.lines() != &lines {
            self.step(now, machine::Event::Lines(lines));
        }
    }

    fn step(&mut self, now: Monotonic, event: machine::Event) {
        let mut events = vec![event];
        // A child that cannot be started lands at once, which is an event of its own.
        while let Some(event) = events.pop() {
            for action in self.machine.step(now, event) {
                match action {
                    Action::Ask(page) => events.extend(self.send(now, page)),
                    Action::Changed(page) => self.say(page),
                }
            }
        }
    }

    fn send(&mut self, now: Monotonic, at: usize) -> Option<machine::Event> {
        let page = &self.machine.tracks()[at].page;
        let lines = self.machine.lines();
        let (way, servers) = lines.way(page.line);
        let frugal = lines.meant(page.line).is_none_or(|(_, line)| line.metered);
        let job = Job { url: page.url.clone(), way, servers, word: page.word.clone(), frugal };
        match self.office.send(&job, now) {
            Ok(courier) => {
                self.flights.push(Flight { page: at, courier });
                None
            }
            Err(error) => {
                let why = format!("start {}: {error}", self.office.program().display());
                Some(machine::Event::Landed(at, Finding::failed(why), daemonkit::jitter()))
            }
        }
    }

    fn hear(&mut self, now: Monotonic) {
        let mut index = 0;
        while index < self.flights.len() {
            match self.flights[index].courier.poll::<Finding>(now) {
                None => index += 1,
                Some(heard) => {
                    let page = self.flights.swap_remove(index).page;
                    let finding = heard.unwrap_or_else(|lost| Finding::failed(lost.to_string()));
                    self.step(now, machine::Event::Landed(page, finding, daemonkit::jitter()));
                    self.note(now, page);
                }
            }
        }
    }

    /// What the machine took in goes into the record, too.
    fn note(&mut self, now: Monotonic, page: usize) {
        let track = &self.machine.tracks()[page];
        let Some(last) = track.last.as_ref().filter(|last| last.at == now) else { return };
        let (line, name) = (line_word(track.page.line), track.page.shown.as_str());
        let asked = Asked { line, name, operator: "", kind: "page" };
        let total = last.finding.total_ms.filter(|_| last.finding.well());
        let latency = total.and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
        self.ring.note(now, &asked, latency, last.finding.status);
    }

    fn say(&self, page: usize) {
        let track = &self.machine.tracks()[page];
        let name = format!("{} ({})", track.page.shown, line_word(track.page.line));
        let why = track.last.as_ref().and_then(|last| last.finding.why.as_deref());
        match track.state {
            State::Ok(..) => log::info!("{name} is well"),
            _ => log::warn!("{name} fails: {}; asking on", why.unwrap_or("unknown")),
        }
    }

    fn keep(&mut self, now: Monotonic, end: bool) {
        if self.machine.tracks().is_empty() {
            return;
        }
        self.ring.turn(now, clock::unix());
        self.store.write(now, clock::wall(), &self.ring, end);
        self.history_at = Ring::deadline(now);
    }
}

impl daemonkit::Daemon for Prober {
    /// Nothing ends this daemon but the loop itself.
    type Error = Infallible;

    fn interests(&self) -> Vec<Interest<'_>> {
        let flights = self.flights.iter().enumerate();
        flights.map(|(token, flight)| Interest::read(flight.courier.fd(), token)).collect()
    }

    fn handle(&mut self, now: Monotonic, event: Event) -> Result<(), Infallible> {
        match event {
            Event::Terminate => {
                self.flights.clear();
                self.keep(now, true);
                return Ok(());
            }
            Event::Start | Event::SnapshotChanged(_) => self.read_lines(now),
            _ => {}
        }
        self.hear(now);
        let dated = !self.waits_for_clock(now);
        self.step(now, machine::Event::Clock(dated));
        if now >= self.history_at {
            self.keep(now, false);
        }
        let clock_at = (!dated).then(|| now + CLOCK_EVERY);
        self.look_at = self.machine.next_deadline(now).map(|next| clock_at.map_or(next, |at| next.min(at)));
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        let flights = self.flights.iter().map(|flight| flight.courier.deadline()).min();
        [Some(self.look_at?), Some(self.history_at), flights].into_iter().flatten().min()
    }

    fn report(&self, now: Monotonic) -> Report {
        crate::status::report(self, now)
    }

    fn follows(&self) -> &[&str] {
        &[LINES]
    }
}
