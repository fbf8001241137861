//! The stick's second port: carries out what [`modem_proto::monitor`] decides.
//!
//! The driver asks it four things: what to poll, when to wake, which port to follow, and what came
//! of it ([`Monitor::take_news`]). It never touches the dialer's port, and gives up its own as soon
//! as the dialer wants that one.

mod answers;

use std::fs;
use std::os::fd::AsFd;
use std::time::Duration;

use daemonkit::Interest;
use modem_proto::codec::{Codec, Heard};
use modem_proto::machine::{Port, Stick};
use modem_proto::maintenance;
use modem_proto::monitor::{self, Action, Event, Measurement, Order, Purpose};
use sysio::{Monotonic, Root};

use crate::ports::{opening::Opening, serial::Serial};
use crate::quirks::{AtCommand, Quirk, Sourced};
use answers::Answers;

/// The token of the open port in the loop.
pub const PORT: usize = 20;
/// The token of a port being opened.
pub const OPENING: usize = 21;
/// Requests: `at-<token>` with the command as content.
const AT: &str = "at-";
/// Request for the persistent switch, the answer's token as content.
const DISABLE_CD_ROM: &str = "disable-cdrom";
/// And back.
const ENABLE_CD_ROM: &str = "enable-cdrom";
const SYS_NET: &str = "/sys/class/net";

/// Each new number is a new snapshot, which wakes everybody who follows it.
const COUNT_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
struct Traffic {
    received: Option<u64>,
    sent: Option<u64>,
    next: Option<Monotonic>,
}

/// What came of it since it was last asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The stick fell silent during the call.
    Silent,
    /// New values.
    Measured(Measurement),
}

/// How far the dialer is, as far as the second port is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No stick, or every port of it is being tried.
    Busy,
    /// It talks on its port; others are free.
    Talking,
    /// Its port is closed for a while.
    Resting,
    /// The link is up.
    Connected,
}

impl Phase {
    /// From the state's name in the snapshot.
    pub fn of(state: &str) -> Self {
        match state {
            "connected" => Self::Connected,
            "registering" | "dialling" | "standby" => Self::Talking,
            "waiting" | "blocked" => Self::Resting,
            _ => Self::Busy,
        }
    }
}

/// The second port.
#[derive(Debug)]
pub struct Monitor {
    root: Root,
    machine: monitor::Monitor,
    codec: Codec,
    serial: Option<(Port, Serial)>,
    opening: Option<(Port, Opening)>,
    /// USB path and id of the stick the values are of.
    stick: Option<(String, String)>,
    interface: Option<String>,
    traffic: Traffic,
    answers: Answers,
    silent: bool,
    told: Measurement,
}

impl Monitor {
    /// With nothing to follow yet.
    pub fn new(root: &Root) -> Self {
        Self {
            root: root.clone(),
            machine: monitor::Monitor::default(),
            codec: Codec::default(),
            serial: None,
            opening: None,
            stick: None,
            interface: None,
            traffic: Traffic::default(),
            answers: Answers::new(root),
            silent: false,
            told: Measurement::default(),
        }
    }

    /// What to poll.
    pub fn interests(&self) -> impl Iterator<Item = Interest<'_>> {
        let port = self.serial.iter().map(|(_, serial)| Interest::read(serial.as_fd(), PORT));
        port.chain(self.opening.iter().map(|(_, opening)| Interest::read(opening.as_fd(), OPENING)))
    }

    /// When to call [`Monitor::tick`].
    pub fn deadline(&self) -> Option<Monotonic> {
        self.machine.next_deadline()
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Monotonic) {
        if self.deadline().is_some_and(|at| now >= at) {
            let received = self.interface.as_ref().and_then(|name| self.counter(name, "rx_bytes"));
            self.step(now, Event::Tick { received });
        }
    }

    /// One of its descriptors is ready.
    pub fn ready(&mut self, now: Monotonic, token: usize) {
        match token {
            OPENING => self.on_opened(now),
            PORT => self.on_bytes(now),
            _ => {}
        }
    }

    /// How the dialer stands; cheap, so the driver says it after every turn.
    pub fn follow(
        &mut self,
        now: Monotonic,
        stick: Option<&Stick>,
        primary: Option<&Port>,
        phase: Phase,
        interface: Option<&str>,
    ) {
        if self.interface.as_deref() != interface {
            self.interface = interface.map(str::to_owned);
            self.traffic = Traffic::default();
        }
        self.count(now);
        let identity = stick.map(|stick| (stick.usb_path.clone(), stick.id.clone()));
        if identity != self.stick {
            self.stick = identity;
            self.machine.forget();
        }
        let target = stick.and_then(|stick| target(stick.ports(), primary, phase));
        self.step(now, Event::Follow(target));
    }

    /// The dialer opens this port now.
    pub fn give_up(&mut self, now: Monotonic, port: &Port) {
        if self.machine.port().is_some_and(|own| own.name == port.name) {
            self.step(now, Event::Follow(None));
        }
    }

    /// What is new.
    pub fn take_news(&mut self) -> Vec<News> {
        let mut news = Vec::new();
        if std::mem::take(&mut self.silent) {
            news.push(News::Silent);
        }
        if *self.machine.measurement() != self.told {
            self.told = self.machine.measurement().clone();
            news.push(News::Measured(self.told.clone()));
        }
        news
    }

    /// Bytes received and sent over the link so far, up to ten seconds old.
    pub fn bytes(&self) -> (Option<u64>, Option<u64>) {
        (self.traffic.received, self.traffic.sent)
    }

    fn count(&mut self, now: Monotonic) {
        let Some(interface) = &self.interface else { return };
        if self.traffic.next.is_none_or(|next| now >= next) {
            let (received, sent) = (self.counter(interface, "rx_bytes"), self.counter(interface, "tx_bytes"));
            self.traffic = Traffic { received, sent, next: Some(now + COUNT_EVERY) };
        }
    }

    /// Takes a request with content; whether it was one of its own.
    pub fn request(&mut self, now: Monotonic, name: &str, content: &str, quirks: &[Quirk]) -> bool {
        let (token, commands) = match (name.strip_prefix(AT), name) {
            (Some(token), _) => {
                (token, maintenance::command(content).map(|c| vec![c]).map_err(|e| e.to_string()))
            }
            (_, DISABLE_CD_ROM) => (content, self.switch(quirks, |quirk| &quirk.quirks.disable_cdrom)),
            (_, ENABLE_CD_ROM) => (content, self.switch(quirks, |quirk| &quirk.quirks.enable_cdrom)),
            _ => return false,
        };
        if !answers::is_token(token) {
            log::warn!("request {name:?}: not a token of small letters and digits");
            return true;
        }
        match commands {
            Ok(commands) => {
                log::info!("{name}: {} on request", text(&commands));
                self.step(now, Event::Order(Order { token: token.to_owned(), commands }));
            }
            Err(why) => self.answers.refuse(token, &why),
        }
        true
    }

    /// The commands of a persistent switch, for models whose file says that they know it.
    fn switch(
        &self,
        quirks: &[Quirk],
        of: impl Fn(&Quirk) -> &Option<Sourced<Vec<AtCommand>>>,
    ) -> Result<Vec<modem_proto::Command>, String> {
        let (_, id) = self.stick.as_ref().ok_or("no stick is there; plug it in")?;
        let quirk = quirks.iter().find(|quirk| quirk.knows(id));
        let quirk = quirk.ok_or_else(|| format!("no file in hardware/modems knows {id}"))?;
        let Some(commands) = of(quirk) else {
            return Err(format!("{} ({id}): its file in hardware/modems names no such switch", quirk.model));
        };
        let commands = commands.value.iter().map(|command| maintenance::command_of_quirk(command.as_str()));
        commands.collect::<Result<_, _>>().map_err(|refusal| refusal.to_string())
    }

    fn counter(&self, interface: &str, name: &str) -> Option<u64> {
        let path = self.root.path(SYS_NET).join(interface).join("statistics").join(name);
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    fn step(&mut self, now: Monotonic, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            for action in self.machine.step(now, event) {
                events.extend(self.carry_out(action));
            }
        }
    }

    fn carry_out(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Open(port) => {
                let path = self.root.path("/dev").join(&port.name);
                match Opening::begin(path) {
                    Ok(opening) => self.opening = Some((port, opening)),
                    Err(error) => return Some(Event::Opened(Err(format!("open {}: {error}", port.name)))),
                }
            }
            Action::Close => {
                self.opening = None;
                self.serial = None;
                self.codec.reset();
            }
            Action::Send(command) => {
                let Some((port, serial)) = &mut self.serial else {
                    return Some(Event::Lost("the port is not open".to_owned()));
                };
                log::trace!("{} < {command}", port.name);
                self.codec.sent(&command);
                if let Err(error) = serial.write(&command.wire()) {
                    return Some(Event::Lost(format!("write {}: {error}", port.name)));
                }
            }
            Action::Silent => {
                log::warn!("the stick fell silent on its second port, and nothing comes in over the call");
                self.silent = true;
            }
            Action::Done { token, answers, error } => {
                let port = self.machine.port().map(|port| port.name.as_str());
                self.answers.give(&token, port, &answers, error.as_deref());
            }
        }
        None
    }

    fn on_opened(&mut self, now: Monotonic) {
        let Some((port, opening)) = &self.opening else { return };
        let Some(result) = opening.take() else { return };
        let port = port.clone();
        self.opening = None;
        let result = match result {
            Ok(serial) => {
                self.codec.reset();
                self.serial = Some((port, serial));
                Ok(())
            }
            Err(error) => Err(format!("open {}: {error}", port.name)),
        };
        self.step(now, Event::Opened(result));
    }

    fn on_bytes(&mut self, now: Monotonic) {
        let Some((port, serial)) = &mut self.serial else { return };
        let bytes = match serial.read() {
            Ok(bytes) => bytes,
            Err(error) => {
                let reason = format!("read {}: {error}", port.name);
                return self.step(now, Event::Lost(reason));
            }
        };
        for heard in self.codec.push(&bytes) {
            let event = match heard {
                Heard::Answer(response) => Event::Answer(response),
                Heard::Unsolicited(line) => Event::Unsolicited(line),
            };
            self.step(now, event);
        }
    }
}

/// Which port is free, and for what.
fn target(ports: &[Port], primary: Option<&Port>, phase: Phase) -> Option<(Port, Purpose)> {
    let second = ports.iter().find(|port| primary.is_none_or(|primary| primary.name != port.name));
    match phase {
        Phase::Busy => None,
        Phase::Connected => second.cloned().map(|port| (port, Purpose::Call)),
        Phase::Talking => second.cloned().map(|port| (port, Purpose::Watch)),
        Phase::Resting => second.or(primary).cloned().map(|port| (port, Purpose::Orders)),
    }
}

fn text(commands: &[modem_proto::Command]) -> String {
    commands.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
