//! Ties the machine to the loop: actions go out to the ports, what comes back becomes events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use daemonkit::{Daemon, Event as LoopEvent, Interest};
use modem_proto::Command;
use modem_proto::codec::{Codec, Heard};
use modem_proto::machine::{Action, Event, Machine, Port, SessionEnd, State};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use snapshot::Report;
use sysio::{Monotonic, Root, clock, file};

use crate::config::{Credentials, ModemConfig};
use crate::monitor::{self, Monitor, News, Phase};
use crate::ports::{bus, ppp, serial::Serial, uevents::Uevents};
use crate::quirks::Quirk;
use crate::{Error, RUN_DIRECTORY, ip_up, status};

/// The PIN that was sent and not yet accepted; on disk, so that no crash and no power cut makes
/// the SIM lose a second try.
const PIN_RECORD: &str = "/data/failberry/modem-dialer/pin-sent";
/// The request that asks for a fresh call.
const REDIAL: &str = "redial";
/// Plugging in one stick makes some dozen kernel events; one look answers all of them.
const SETTLE: Duration = Duration::from_millis(100);
/// A chain of actions without waiting is shorter; more is a fault in the machine, and logged.
const LONGEST_CHAIN: usize = 64;

const SERIAL: usize = 0;
const UEVENTS: usize = 1;
const LINK: usize = 2;

/// The daemon.
#[derive(Debug)]
pub struct Driver {
    root: Root,
    quirks: Vec<Quirk>,
    credentials: Credentials,
    pin: Option<modem_proto::machine::Pin>,
    machine: Machine,
    codec: Codec,
    serial: Option<(Port, Serial)>,
    session: Option<ppp::Session>,
    files: ppp::Files,
    uevents: Option<Uevents>,
    links: Inotify,
    second: Monitor,
    scan_at: Option<Monotonic>,
    pin_record: PathBuf,
    stopping: bool,
}

impl Driver {
    /// Prepares everything; the first look at the bus comes with the loop's start.
    ///
    /// # Errors
    /// If the folder that pppd's addresses arrive in cannot be watched.
    pub fn new(root: Root, config: ModemConfig, quirks: Vec<Quirk>) -> Result<Self, Error> {
        let ModemConfig { mut settings, credentials } = config;
        let pin_record = root.path(PIN_RECORD);
        settings.pin_refused_before =
            settings.pin.as_ref().is_some_and(|pin| match fs::read_to_string(&pin_record) {
                Ok(sent) => sent.trim() == pin.digits(),
                // A record that cannot be read may be of this very PIN: not at the SIM's cost.
                Err(error) => error.kind() != io::ErrorKind::NotFound,
            });
        let uevents = Uevents::listen()
            .inspect_err(|error| log::info!("listen for kernel events: {error}; looking from time to time"))
            .ok();
        Ok(Self {
            links: watch(&root)?,
            files: ppp::Files::new(&root),
            pin: settings.pin.clone(),
            machine: Machine::new(settings, clock::now()),
            second: Monitor::new(&root),
            root,
            quirks,
            credentials,
            codec: Codec::default(),
            serial: None,
            session: None,
            uevents,
            scan_at: None,
            pin_record,
            stopping: false,
        })
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
            log::info!("try {} failed: {}", self.machine.attempt(), status::words(&trouble));
        }
    }

    fn carry_out(&mut self, now: Monotonic, action: Action) -> Option<Event> {
        match action {
            Action::Scan => return Some(Event::Bus(bus::scan(&self.root, &self.quirks))),
            Action::SwitchMode { usb_path, id } => {
                log::info!("{usb_path} {id}: still a CD-ROM: switching it");
                if let Err(error) = bus::switch_mode(&self.root, &self.quirks, &id) {
                    log::warn!("switch {usb_path} {id}: {error}");
                }
            }
            Action::Open(port) => return Some(Event::Opened(self.open(port))),
            Action::Send(command) => return self.send(&command),
            Action::SettlePin => self.settle_pin(),
            Action::Close => self.close(),
            Action::StartCard { interface } => {
                let why = format!("{interface}: network cards are not supported yet");
                return Some(Event::SessionEnded(SessionEnd::NotStarted(why)));
            }
            Action::StartSession => return self.start_session(),
            Action::EndSession => match &mut self.session {
                Some(session) => session.end(now),
                None => return Some(Event::SessionEnded(SessionEnd::Code(0))),
            },
        }
        None
    }

    /// Gone for good, also after a power cut in the next moment.
    fn settle_pin(&self) {
        let gone = fs::remove_file(&self.pin_record)
            .and_then(|()| fs::File::open(self.pin_record.parent().unwrap_or(Path::new("/")))?.sync_all());
        if let Err(error) = gone
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("remove {}: {error}", self.pin_record.display());
        }
    }

    fn open(&mut self, port: Port) -> Result<(), String> {
        // A pppd that is still saying goodbye would talk into the dialogue.
        self.session = None;
        self.close();
        self.second.give_up(clock::now(), &port);
        let path = self.root.path("/dev").join(&port.name);
        let serial = Serial::open(&path).map_err(|error| format!("open {}: {error}", path.display()))?;
        self.codec.reset();
        self.serial = Some((port, serial));
        Ok(())
    }

    fn close(&mut self) {
        self.serial = None;
        self.codec.reset();
    }

    fn send(&mut self, command: &Command) -> Option<Event> {
        if command.carries_pin()
            && let Err(error) = self.record_pin()
        {
            log::error!("write {}: {error}; the PIN is not sent", self.pin_record.display());
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
        let digits = self.pin.as_ref().map(modem_proto::machine::Pin::digits).unwrap_or_default();
        file::write_durable(&self.pin_record, digits.as_bytes(), 0o600)
    }

    fn start_session(&mut self) -> Option<Event> {
        let Some((port, serial)) = &self.serial else {
            return Some(Event::SessionEnded(SessionEnd::NotStarted("the port is not open".to_owned())));
        };
        let started = serial.share().and_then(|fd| ppp::Session::start(&self.files, fd, &self.credentials));
        match started {
            Ok(session) => {
                log::info!("pppd {} on {}", session.pid(), port.name);
                self.session = Some(session);
                None
            }
            Err(error) => Some(Event::SessionEnded(SessionEnd::NotStarted(error.to_string()))),
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
        for heard in self.codec.push(&bytes) {
            let event = match heard {
                Heard::Answer(response) => {
                    log::debug!("{name} > {:?} {}", response.lines, response.outcome);
                    Event::Answer(response)
                }
                Heard::Unsolicited(line) => {
                    log::debug!("{name} > unsolicited {line:?}");
                    Event::Unsolicited(line)
                }
            };
            self.step(now, event);
        }
    }

    fn on_link(&mut self, now: Monotonic) {
        while self.links.read_events().is_ok_and(|events| !events.is_empty()) {}
        let link = self.session.as_ref().and_then(|session| ip_up::read(&self.files.link, session.pid()));
        if let Some(link) = link {
            self.step(now, Event::SessionUp(link));
        }
    }

    fn on_child(&mut self, now: Monotonic) {
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
        if self.scan_at.is_some_and(|at| now >= at) {
            self.scan_at = None;
            self.scan(now);
        }
        if now >= self.machine.next_deadline() {
            self.step(now, Event::Tick);
        }
    }

    fn scan(&mut self, now: Monotonic) {
        let bus = bus::scan(&self.root, &self.quirks);
        self.step(now, Event::Bus(bus));
    }

    /// Tells the second port how the dialer stands, and the dialer what came of it.
    fn attend_second(&mut self, now: Monotonic) {
        let phase = if self.stopping { Phase::Busy } else { Phase::of(self.machine.name()) };
        let interface = match self.machine.state() {
            State::Connected { link, .. } => Some(link.interface.as_str()),
            _ => None,
        };
        self.second.follow(now, self.machine.modem(), self.machine.port(), phase, interface);
        for news in self.second.take_news() {
            match news {
                News::Silent => {}
                News::Measured(_) => {}
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
        interests.extend(self.second.interests());
        interests
    }

    fn handle(&mut self, now: Monotonic, event: LoopEvent) -> Result<(), Infallible> {
        match event {
            LoopEvent::Start => {
                ppp::end_stale(&self.files);
                self.scan(now);
            }
            LoopEvent::Ready { token: SERIAL, .. } if self.session.is_none() => self.on_serial(now),
            LoopEvent::Ready { token: UEVENTS, .. } => {
                if self.uevents.as_ref().is_some_and(Uevents::take) {
                    self.scan_at.get_or_insert(now + SETTLE);
                }
            }
            LoopEvent::Ready { token: LINK, .. } => self.on_link(now),
            LoopEvent::Ready { token: token @ (monitor::PORT | monitor::OPENING), .. } => {
                self.second.ready(now, token);
            }
            LoopEvent::Ready { .. } | LoopEvent::SnapshotChanged(_) => {}
            LoopEvent::Deadline => self.on_deadline(now),
            LoopEvent::Request(name) if name == REDIAL => {
                log::info!("redial requested");
                self.step(now, Event::Redial);
            }
            LoopEvent::Request(name) => log::warn!("request {name:?}: unknown; {REDIAL} is known"),
            LoopEvent::RequestWith { name, content } => {
                if !self.second.request(now, &name, &content, &self.quirks) {
                    log::warn!("request {name:?}: unknown, or it takes no content");
                }
            }
            LoopEvent::ChildEnded => self.on_child(now),
            LoopEvent::Reload => log::info!("reload: restart the unit to take a new configuration"),
            LoopEvent::Terminate => self.stop(now),
        }
        self.attend_second(now);
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        let kill_at = self.session.as_ref().and_then(ppp::Session::kill_at);
        let machine = (!self.stopping).then(|| self.machine.next_deadline());
        [machine, kill_at, self.second.deadline(), self.scan_at.filter(|_| !self.stopping)]
            .into_iter()
            .flatten()
            .min()
    }

    fn report(&self, now: Monotonic) -> Report {
        status::report(&self.machine, now)
    }

    fn finished(&self) -> bool {
        self.session.is_none()
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
