//! Ties the machine to the loop: actions go out to the ports, what comes back becomes events.

mod control;
mod discreet;
mod doubt;
mod port;

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use daemonkit::{Daemon, Event as LoopEvent, Interest};
use modem_proto::Command;
use modem_proto::codec::{Codec, Heard};
use modem_proto::machine::{
    Action, Event, Iccid, Machine, Network, Oddities, Pin, Port, SessionEnd, Settings, State,
};
use modem_proto::monitor::Measurement;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use snapshot::Report;
use sysio::{Monotonic, Root, clock};

use crate::config::{Credentials, ModemConfig};
use crate::monitor::{self, Monitor, News, Phase};
use crate::pin_record::PinRecord;
use crate::ports::{bus, opening::Opening, ppp, serial::Serial, uevents::Uevents};
use crate::quirks::Quirk;
use discreet::discreet;
use doubt::Doubt;

use crate::{Error, RUN_DIRECTORY, apn, card, ip_up, status, wired};

/// Requests without content: a fresh call, a call on demand, its end.
const REDIAL: &str = "redial";
const DIAL: &str = "dial";
const HANG_UP: &str = "hangup";
/// A person entered the right PIN elsewhere, or knows that it is right.
const FORGET_PIN: &str = "forget-pin";
/// How often the wired line's snapshot is looked at for having become too old to count.
const WIRED_LOOK: Duration = Duration::from_secs(10);
/// How often it is asked whether the call leads anywhere.
const REACH_LOOK: Duration = Duration::from_secs(2);
/// Plugging in one stick makes some dozen kernel events; one look answers all of them.
const SETTLE: Duration = Duration::from_millis(100);
/// A chain of actions without waiting is shorter; more is a fault in the machine, and logged.
const LONGEST_CHAIN: usize = 64;

const SERIAL: usize = 0;
const UEVENTS: usize = 1;
const LINK: usize = 2;
const OPENING: usize = 3;

/// The daemon.
#[derive(Debug)]
pub struct Driver {
    root: Root,
    quirks: Vec<Quirk>,
    config_path: PathBuf,
    settings: Settings,
    credentials: Credentials,
    complaints: status::Complaints,
    /// What is known of the provider of a SIM without a configured access point.
    provider: Option<apn::Access>,
    machine: Machine,
    codec: Codec,
    serial: Option<(Port, Serial)>,
    opening: Option<(Port, Opening)>,
    /// Killed and not yet gone.
    abandoned: Vec<ppp::Abandoned>,
    session: Option<ppp::Session>,
    card: Option<card::Session>,
    files: ppp::Files,
    uevents: Option<Uevents>,
    links: Inotify,
    second: Monitor,
    doubt: Doubt,
    scan_at: Option<Monotonic>,
    wired_at: Monotonic,
    reach_at: Monotonic,
    pin_record: PinRecord,
    stopping: bool,
}

impl Driver {
    /// Prepares everything; the first look at the bus comes with the loop's start.
    ///
    /// # Errors
    /// If the folder that pppd's addresses arrive in cannot be watched.
    pub fn new(root: Root, config: ModemConfig, quirks: Vec<Quirk>) -> Result<Self, Error> {
        let ModemConfig { path, mut settings, credentials } = config;
        let pin_record = PinRecord::new(&root);
        settings.pins_spent = settings.pin.as_ref().map(|pin| pin_record.spent(pin)).unwrap_or_default();
        settings.oddities = Self::oddities(&quirks);
        let uevents = Uevents::listen()
            .inspect_err(|error| log::info!("listen for kernel events: {error}; looking from time to time"))
            .ok();
        Ok(Self {
            links: watch(&root)?,
            files: ppp::Files::new(&root),
            machine: Machine::new(settings.clone(), clock::now()),
            config_path: path,
            settings,
            complaints: status::Complaints::default(),
            provider: None,
            second: Monitor::new(&root),
            doubt: Doubt::default(),
            root,
            quirks,
            credentials,
            codec: Codec::default(),
            serial: None,
            opening: None,
            abandoned: Vec::new(),
            session: None,
            card: None,
            uevents,
            scan_at: None,
            wired_at: clock::now(),
            reach_at: clock::now(),
            pin_record,
            stopping: false,
        })
    }

    /// What is odd about each model, for the machine.
    fn oddities(quirks: &[Quirk]) -> BTreeMap<String, Oddities> {
        // Users' own files come first and have the last word.
        quirks.iter().rev().flat_map(Quirk::oddities).collect()
    }

    /// Files of `hardware/modems` that could not be used, for the status.
    pub fn complain_of_quirks(&mut self, problems: Vec<String>) {
        self.complaints.quirks = problems;
    }

    fn step(&mut self, now: Monotonic, event: Event) {
        if self.stopping {
            return;
        }
        let before = self.machine.attempt();
        let mut actions: VecDeque<Action> = self.machine.step(now, jitter(), event).into();
        for _ in 0..LONGEST_CHAIN {
            let Some(action) = actions.pop_front() else {
                self.log_failure(before, now);
                return;
            };
            if let Some(event) = self.carry_out(now, action) {
                actions.extend(self.machine.step(now, jitter(), event));
            }
        }
        log::error!(
            "dialer machine: more than {LONGEST_CHAIN} actions in a row in state {}",
            self.machine.name()
        );
    }

    /// The loop logs states; why a try failed is known here.
    fn log_failure(&self, attempts_before: u32, now: Monotonic) {
        if self.machine.attempt() > attempts_before
            && let Some(trouble) = self.machine.trouble(now)
        {
            log::info!("try {} failed: {}", self.machine.attempt(), trouble);
        }
    }

    fn carry_out(&mut self, now: Monotonic, action: Action) -> Option<Event> {
        match action {
            Action::Scan => return Some(Event::Bus(bus::scan(&self.root, &self.quirks, self.doubt.ids()))),
            Action::SwitchMode { usb_path, id } => {
                log::info!("{usb_path} {id}: still a CD-ROM: switching it");
                self.switch_mode(usb_path, id);
            }
            Action::Open(port) => return self.open(port).err().map(|why| Event::Opened(Err(why))),
            Action::Send(command) => return self.send(&command),
            Action::SettlePin => self.change_pin_record(PinRecord::settle),
            Action::RefusePin => self.change_pin_record(PinRecord::refuse),
            Action::ForgetPin => self.change_pin_record(|record, pin, _| record.forget(pin)),
            Action::Close => self.close(),
            Action::StartCard { interface } => return self.start_card(now, &interface),
            Action::StartSession => return self.start_session(),
            Action::KillSession => self.kill_session(),
            Action::LookUpApn { imsi } => return Some(Event::AccessPoint(self.look_up(&imsi))),
            Action::EndSession => match (&mut self.session, self.card.take()) {
                (Some(session), _) => session.end(now),
                (None, Some(_)) => return Some(Event::SessionEnded(card::ended_on_request())),
                (None, None) => return Some(Event::SessionEnded(SessionEnd::Code(0))),
            },
        }
        None
    }

    fn change_pin_record(&self, change: impl Fn(&PinRecord, &Pin, Option<&Iccid>) -> io::Result<()>) {
        let Some(pin) = &self.settings.pin else { return };
        if let Err(error) = change(&self.pin_record, pin, self.machine.sim()) {
            log::warn!("change {}: {error}", self.pin_record.path().display());
        }
    }

    fn start_card(&mut self, now: Monotonic, interface: &str) -> Option<Event> {
        self.kill_session();
        match card::Session::start(&self.root, now, interface) {
            Ok(card) => {
                self.card = Some(card);
                None
            }
            Err(why) => Some(Event::SessionEnded(SessionEnd::Card { why, silent: false })),
        }
    }

    fn look_at_card(&mut self, now: Monotonic) {
        match self.card.as_mut().and_then(|card| card.look(now)) {
            Some(card::News::Up(link)) => self.step(now, Event::SessionUp(link)),
            Some(card::News::Ended(end)) => {
                log::info!("network card: {end:?}");
                self.card = None;
                self.step(now, Event::SessionEnded(end));
            }
            None => {}
        }
    }

    fn send(&mut self, command: &Command) -> Option<Event> {
        if command.carries_pin()
            && let Err(error) = self.record_pin()
        {
            log::error!("write {}: {error}; the PIN is not sent", self.pin_record.path().display());
            return Some(Event::PinNotRecorded);
        }
        let Some((port, serial)) = &mut self.serial else {
            return Some(Event::PortLost("the port is not open".to_owned()));
        };
        log::debug!("{} < {command}", port.name);
        self.codec.sent(command);
        serial
            .write(&command.wire())
            .err()
            .map(|error| Event::PortLost(format!("write {}: {error}", port.name)))
    }

    fn record_pin(&self) -> io::Result<()> {
        match &self.settings.pin {
            Some(pin) => self.pin_record.add(pin, self.machine.sim()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn on_serial(&mut self, now: Monotonic) {
        let Some((port, serial)) = &mut self.serial else { return };
        let bytes = match serial.read() {
            Ok(bytes) => bytes,
            Err(error) => {
                let reason = format!("read {}: {error}", port.name);
                return self.step(now, Event::PortLost(reason));
            }
        };
        let name = port.name.clone();
        let pin = self.settings.pin.clone();
        let pin = pin.as_ref().map(Pin::digits);
        for heard in self.codec.push(&bytes) {
            let event = match heard {
                Heard::Answer(response) => {
                    let lines: Vec<String> = response.lines.iter().map(|line| discreet(line, pin)).collect();
                    log::debug!("{name} > {lines:?} {}", response.outcome);
                    Event::Answer(response)
                }
                Heard::Unsolicited(line) => {
                    log::debug!("{name} > unsolicited {:?}", discreet(&line, pin));
                    Event::Unsolicited(line)
                }
            };
            self.step(now, event);
        }
    }

    fn on_link(&mut self, now: Monotonic) {
        while self.links.read_events().is_ok_and(|events| !events.is_empty()) {}
        let Some(session) = &self.session else { return };
        match ip_up::read(&self.files.directory, session.pid()) {
            ip_up::Said::Nothing => {}
            ip_up::Said::Up(link) => self.step(now, Event::SessionUp(link)),
            ip_up::Said::Down => self.step(now, Event::LinkDown),
        }
    }

    fn on_child(&mut self, now: Monotonic) {
        self.abandoned.retain(|pppd| !pppd.is_gone());
        if let Some(end) = self.session.as_mut().and_then(ppp::Session::ended) {
            log::info!("pppd ended: {end:?}");
            self.session = None;
            self.step(now, Event::SessionEnded(end));
        }
    }

    fn on_deadline(&mut self, now: Monotonic) {
        if let Some(session) = &mut self.session {
            session.enforce(now);
        }
        self.on_child(now);
        self.second.tick(now);
        self.look_at_card(now);
        if self.scan_at.is_some_and(|at| now >= at) {
            self.scan_at = None;
            self.scan(now);
        }
        if self.on_demand() && now >= self.wired_at {
            self.look_at_wired(now);
        }
        self.look_beyond(now);
        if now >= self.machine.next_deadline() {
            self.step(now, Event::Tick);
        }
    }

    fn scan(&mut self, now: Monotonic) {
        let bus = bus::scan(&self.root, &self.quirks, self.doubt.ids());
        self.step(now, Event::Bus(bus));
    }

    /// Tells the second port how the dialer stands, and the dialer what came of it.
    fn attend_second(&mut self, now: Monotonic) {
        self.complaints.card_overlap = self.card.as_ref().and_then(|card| card.overlap()).map(str::to_owned);
        if self.doubt.follow(&self.machine, now) {
            self.scan_at.get_or_insert(now);
        }
        let phase = if self.stopping { Phase::Busy } else { Phase::of(self.machine.name()) };
        let interface = match self.machine.state() {
            State::Connected { link, .. } => Some(link.interface.as_str()),
            _ => None,
        };
        self.second.follow(now, self.machine.modem(), self.machine.port(), phase, interface);
        for news in self.second.take_news() {
            match news {
                News::Silent => self.step(now, Event::SecondPortSilent),
                News::Measured(measured) => self.step(now, Event::Measured(network(measured))),
            }
        }
    }

    fn stop(&mut self, now: Monotonic) {
        for action in self.machine.stop() {
            self.carry_out(now, action);
        }
        self.stopping = true;
    }
}

impl Daemon for Driver {
    type Error = Infallible;

    fn interests(&self) -> Vec<Interest<'_>> {
        let mut interests = vec![Interest::read(self.links.as_fd(), LINK)];
        interests.extend(self.uevents.iter().map(|uevents| Interest::read(uevents.as_fd(), UEVENTS)));
        // During a session the bytes on the port are pppd's.
        if self.session.is_none() {
            interests.extend(self.serial.iter().map(|(_, serial)| Interest::read(serial.as_fd(), SERIAL)));
        }
        interests.extend(self.opening.iter().map(|(_, opening)| Interest::read(opening.as_fd(), OPENING)));
        interests.extend(self.second.interests());
        interests
    }

    fn handle(&mut self, now: Monotonic, event: LoopEvent) -> Result<(), Infallible> {
        match event {
            LoopEvent::Start => {
                ppp::end_stale(&self.files);
                if self.on_demand() {
                    self.look_at_wired(now);
                }
                self.scan(now);
            }
            LoopEvent::Ready { token: SERIAL, .. } if self.session.is_none() => self.on_serial(now),
            LoopEvent::Ready { token: UEVENTS, .. } => {
                if self.uevents.as_ref().is_some_and(Uevents::take) {
                    self.scan_at.get_or_insert(now + SETTLE);
                }
            }
            LoopEvent::Ready { token: OPENING, .. } => self.on_opened(now),
            LoopEvent::Ready { token: LINK, .. } => self.on_link(now),
            LoopEvent::Ready { token: token @ (monitor::PORT | monitor::OPENING), .. } => {
                self.second.ready(now, token);
            }
            LoopEvent::SnapshotChanged(_) if self.on_demand() => self.look_at_wired(now),
            LoopEvent::Ready { .. } | LoopEvent::SnapshotChanged(_) => {}
            LoopEvent::Deadline => self.on_deadline(now),
            LoopEvent::Request(name) => self.on_request(now, &name),
            LoopEvent::RequestWith { name, content } => {
                if !self.second.request(now, &name, &content, &self.quirks) {
                    log::warn!("request {name:?}: unknown, or it takes no content");
                }
            }
            LoopEvent::ChildEnded => self.on_child(now),
            LoopEvent::Reload => self.reload(now),
            LoopEvent::Terminate => self.stop(now),
        }
        self.attend_second(now);
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        let kill_at = self.session.as_ref().and_then(ppp::Session::kill_at);
        let machine = (!self.stopping).then(|| self.machine.next_deadline());
        let scan = self.scan_at.filter(|_| !self.stopping);
        let wired = self.on_demand().then_some(self.wired_at);
        let card = self.card.as_ref().map(card::Session::deadline);
        let reach = matches!(self.machine.state(), State::Connected { .. }).then_some(self.reach_at);
        [machine, kill_at, card, self.second.deadline(), scan, wired, reach].into_iter().flatten().min()
    }

    fn report(&self, now: Monotonic) -> Report {
        let traffic = self.second.bytes();
        status::report(&self.machine, traffic, &self.complaints, now)
    }

    fn follows(&self) -> &[&str] {
        &[wired::UPLINK]
    }

    fn finished(&self) -> bool {
        self.session.is_none()
    }
}

fn network(measured: Measurement) -> Network {
    Network {
        registration: measured.registration,
        operator: measured.operator,
        operator_code: measured.operator_code,
        technology: measured.technology,
        signal_dbm: measured.signal_dbm,
        measured_ms: measured.measured.map(Monotonic::as_millis),
    }
}

fn watch(root: &Root) -> Result<Inotify, Error> {
    let directory = root.path(RUN_DIRECTORY);
    let open = || {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        inotify.add_watch(&directory, AddWatchFlags::IN_MOVED_TO)?;
        Ok(inotify)
    };
    open().map_err(|errno: nix::errno::Errno| Error::Watch {
        path: directory.display().to_string(),
        source: errno.into(),
    })
}

/// 0 to 100, from the randomness the standard library seeds its hash maps with.
fn jitter() -> u8 {
    u8::try_from(RandomState::new().build_hasher().finish() % 101).unwrap_or_default()
}
