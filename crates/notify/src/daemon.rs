//! The daemon: looks at every snapshot, keeps what is to be told, sends it by children.

mod numbers;
mod sending;

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use daemonkit::{Event, Interest};
use overview::Overview;
use snapshot::Report;
use sysio::{Monotonic, Root, clock};

use crate::NAME;
use crate::alerts::{Alerts, Says, Seen, Told};
use crate::events::{Happening, Lines};
use crate::hooks::Spool;
use crate::notice::{Channel, Kind, Notice, Stamp};
use crate::outbox::Outbox;
use crate::outgoing::{Sender, severity};
use crate::settings::Settings;
use crate::store::{Memory, Store};
use crate::trial::Trials;
use courier::Office;
use numbers::Numbers;
use sending::Flight;

/// Snapshots come every ten seconds; a look reads some small files.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// So long a wrong clock holds back what TLS would refuse; then it is tried all the same, because a
/// house without any time server must hear of it too.
pub const CLOCK_PATIENCE: Duration = Duration::from_secs(600);
/// The daemon whose snapshot tells of the lines.
const LINES: &str = "uplink";
const COURIER: usize = 0;

/// The daemon.
#[derive(Debug)]
pub struct Notify {
    pub(crate) root: Root,
    pub(crate) settings: Settings,
    pub(crate) sender: Sender,
    pub(crate) alerts: Alerts,
    pub(crate) outbox: Outbox,
    pub(crate) trials: Trials,
    pub(crate) spool: Spool,
    pub(crate) numbers: Numbers,
    /// Why what was kept could not be read.
    pub(crate) lost: Option<String>,
    /// Why what is to be kept could not be written.
    pub(crate) unsaved: Option<String>,
    pub(crate) started: Monotonic,
    office: Office,
    flight: Option<Flight>,
    store: Store,
    saved: Memory,
    lines: Option<Lines>,
    next_look: Monotonic,
}

impl Notify {
    /// For the system below `root`; children are started of `program`, this binary.
    ///
    /// # Errors
    /// If the kernel does not say which boot this is, or gives no UUID.
    pub fn new(root: &Root, settings: Settings, program: impl Into<PathBuf>) -> io::Result<Self> {
        let (now, boot_id) = (clock::now(), snapshot::boot_id(root)?);
        let store = Store::new(root);
        let found = store.load();
        if let Some(why) = &found.lost {
            log::error!("read what was to be told: {why}; starting afresh");
        }
        for gap in &settings.gaps {
            log::warn!("{gap}");
        }
        let memory = found.memory;
        let channels: Vec<_> = settings.targets.iter().map(crate::settings::Target::channel).collect();
        let told = heard_of(&memory, &channels);
        let alerts = Alerts::new(settings.policy.clone(), now, clock::unix(), told, memory.held.clone());
        let outbox = Outbox::new(&channels, memory.messages.clone(), store.instance()?);
        let sender = Sender {
            name: settings.name.clone().unwrap_or_default(),
            hostname: String::new(),
            pages: settings.pages.clone(),
            boot_id,
        };
        Ok(Self {
            root: root.clone(),
            sender,
            alerts,
            outbox,
            trials: Trials::new(root),
            spool: Spool::new(root),
            numbers: Numbers::new(settings.graphite.clone(), now),
            lost: found.lost,
            unsaved: None,
            started: now,
            office: crate::courier::office(program, root),
            flight: None,
            store,
            saved: memory,
            lines: None,
            next_look: now,
            settings,
        })
    }

    /// Reads everything, decides what is to be told, and keeps it before anything is sent.
    fn look(&mut self, now: Monotonic) {
        self.next_look = now + LOOK_EVERY;
        self.trials.finish(now);
        match Overview::gather(&self.root) {
            Ok(overview) => {
                self.name_after(&overview);
                self.follow_lines(now, &overview);
                let seen: Vec<Seen> = overview.parts.iter().filter(|p| p.daemon != NAME).map(seen).collect();
                let notices = self.alerts.look(now, clock::unix(), &seen);
                self.tell(now, notices);
            }
            Err(error) => log::error!("read the state of this boot: {error}"),
        }
        self.keep();
    }

    fn name_after(&mut self, overview: &Overview) {
        if self.sender.hostname != overview.hostname {
            self.sender.hostname.clone_from(&overview.hostname);
        }
        if self.settings.name.is_none() {
            self.sender.name.clone_from(&self.sender.hostname);
        }
    }

    /// What happened to the lines: hooks, and another try for what could not be sent.
    fn follow_lines(&mut self, now: Monotonic, overview: &Overview) {
        let part = overview.parts.iter().find(|part| part.daemon == LINES);
        // What an unheard daemon says is not known to have changed.
        let Some(document) = part.and_then(|part| part.known.as_ref().ok()) else { return };
        let lines = Lines::after(self.lines.as_ref(), document);
        if let Some(before) = &self.lines {
            let happenings = lines.since(before);
            if lines.active != before.active {
                self.line_left(now);
            }
            if !happenings.is_empty() {
                self.outbox.kick(now);
                self.spool.leave(now.as_millis(), &self.common(), &happenings);
            }
        }
        self.lines = Some(lines);
    }

    fn tell(&mut self, now: Monotonic, notices: Vec<Notice>) {
        let stamp = Stamp {
            boot_id: self.sender.boot_id.clone(),
            monotonic_ms: now.as_millis(),
            unix: clock::unix(),
        };
        for notice in notices {
            log::info!("telling: {}: {}", notice.kind.as_str(), notice.title);
            self.spool.leave(now.as_millis(), &self.common(), &[happening(&notice)]);
            self.outbox.push(stamp.clone(), notice);
        }
    }

    fn common(&self) -> Vec<(&'static str, String)> {
        vec![
            ("FAILBERRY_NAME", self.sender.name.clone()),
            ("FAILBERRY_HOSTNAME", self.sender.hostname.clone()),
            ("FAILBERRY_TIME", clock::unix().map(crate::outgoing::rfc3339).unwrap_or_default()),
        ]
    }

    /// Writes what has changed; what cannot be written is tried again with the next look.
    pub(crate) fn keep(&mut self) {
        let memory = Memory {
            told: self.alerts.told(),
            held: self.alerts.held().clone(),
            messages: self.outbox.messages().to_vec(),
            channels: self.outbox.lanes().keys().copied().collect(),
            ..self.saved.clone()
        };
        if memory == self.saved {
            return;
        }
        match self.store.save(&memory) {
            Ok(()) => {
                self.saved = memory;
                if self.unsaved.take().is_some() {
                    log::info!("what is to be told is kept on data again");
                }
            }
            Err(error) => {
                if self.unsaved.is_none() {
                    log::error!("keep what is to be told: {error}; trying again");
                }
                self.unsaved = Some(error.to_string());
            }
        }
    }
}

/// What was told to somebody who is still to be told: whoever is named first, or in another's place,
/// is told of all that stands.
fn heard_of(memory: &Memory, channels: &[Channel]) -> Vec<Told> {
    if channels.is_empty() || memory.channels.iter().any(|channel| channels.contains(channel)) {
        return memory.told.clone();
    }
    if !memory.told.is_empty() {
        log::info!("{} alerts stand that nobody was told of; telling them", memory.told.len());
    }
    Vec::new()
}

fn seen(part: &overview::Part) -> Seen {
    let says = match &part.known {
        Ok(document) => Says::Heard(document.conditions.clone()),
        Err(doubt) => Says::Nothing(doubt.reason.clone()),
    };
    Seen { daemon: part.daemon.clone(), says }
}

fn happening(notice: &Notice) -> Happening {
    let event = match notice.kind {
        Kind::Alert | Kind::Test => "alert",
        Kind::Recovery => "recovery",
        Kind::Reminder => "reminder",
        Kind::Summary => "summary",
    };
    let environment = vec![
        ("FAILBERRY_CONDITION", notice.condition.clone()),
        ("FAILBERRY_SEVERITY", severity(notice.severity).to_owned()),
        ("FAILBERRY_DAEMON", notice.daemon.clone()),
        ("FAILBERRY_TITLE", notice.title.clone()),
        ("FAILBERRY_TEXT", notice.text.clone()),
    ];
    Happening { event, environment }
}

impl daemonkit::Daemon for Notify {
    /// Nothing ends this daemon but the loop itself.
    type Error = Infallible;

    fn interests(&self) -> Vec<Interest<'_>> {
        self.flight.iter().map(|flight| Interest::read(flight.courier.fd(), COURIER)).collect()
    }

    fn handle(&mut self, now: Monotonic, event: Event) -> Result<(), Infallible> {
        match event {
            Event::Terminate => {
                // A child under way is ended with us; its message is in the queue.
                self.flight = None;
                self.keep();
                return Ok(());
            }
            Event::Request(name) | Event::RequestWith { name, .. } => {
                self.trials.ask(now, &name, &self.settings.targets);
            }
            Event::SnapshotChanged(_) => {
                if self.lines_changed() {
                    self.look(now);
                }
            }
            Event::Start | Event::Deadline | Event::Ready { .. } | Event::ChildEnded | Event::Reload => {}
        }
        if now >= self.next_look {
            self.look(now);
        }
        self.send(now);
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        let sending = match &self.flight {
            Some(flight) => Some(flight.courier.deadline()),
            None => self.next_send(),
        };
        [Some(self.next_look), sending].into_iter().flatten().min()
    }

    fn report(&self, now: Monotonic) -> Report {
        crate::status::report(self, now)
    }

    fn follows(&self) -> &[&str] {
        &[LINES]
    }
}

impl Notify {
    /// Whether `uplink` says something new of the lines: its heartbeat is no reason for a look.
    fn lines_changed(&self) -> bool {
        let read = snapshot::read(&self.root, LINES, &self.sender.boot_id, clock::now());
        read.fresh()
            .is_some_and(|document| self.lines.as_ref() != Some(&Lines::after(self.lines.as_ref(), document)))
    }

    /// Whether the line in use is paid by volume, or unknown.
    fn on_metered(&self) -> bool {
        self.lines.as_ref().is_none_or(Lines::on_metered)
    }
}
