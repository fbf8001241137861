//! Ties the machine to the loop: looks, starts workers, keeps the record.

use std::convert::Infallible;
use std::fs::File;
use std::io;
use std::time::Duration;

use daemonkit::{Daemon, Event as LoopEvent, Interest};
use nix::fcntl::Flock;
use snapshot::Report;
use sysio::{Monotonic, Root, clock, file};

use crate::boards::Boards;
use crate::dialer::{Dialer, Recovery};
use crate::hold::{self, Hold, Off};
use crate::incidents::{History, Incident};
use crate::machine::{Action, Event, Machine, State, Verb, View};
use crate::status;
use crate::store::{INCIDENTS, Memory, Store};
use crate::topology::{Port, Topology};
use crate::worker::{Answer, Job, Worker};

/// The daemon that is watched.
const DIALER: &str = "modem-dialer";
/// How often to look without a reason.
const LOOK: Duration = Duration::from_secs(5);
/// While something is being done.
const LOOK_BUSY: Duration = Duration::from_secs(1);
/// Cards wear out by writing: what only the dialer cured is kept in memory for so long.
const SAVE_LIGHT: Duration = Duration::from_secs(600);
/// How often the service clock is saved; what is lost in a power cut makes reboots rarer.
const SAVE_CLOCK: Duration = Duration::from_secs(3600);
/// A port whose power could not be switched is tried again after so much service.
const RETEST_S: u64 = 7 * 24 * 3600;
/// What was only read of a hub is read again so often.
const ASSESS: Duration = Duration::from_secs(24 * 3600);
/// A port that a person left off is switched on after so long: it may be the way in.
const HELD_AT_MOST: Duration = Duration::from_secs(3600);

/// The daemon.
#[expect(clippy::struct_excessive_bools, reason = "facts from different places, each true by itself")]
#[derive(Debug)]
pub struct Driver {
    root: Root,
    boot_id: String,
    store: Store,
    hold: Hold,
    machine: Machine,
    history: History,
    memory: Memory,
    start: Monotonic,
    /// Service time when this daemon started.
    service_base: u64,
    worker: Option<Worker>,
    /// Workers the kernel does not let die.
    given_up: Vec<Worker>,
    lock: Option<Flock<File>>,
    held: Option<Off>,
    /// Port and hub that `power_cycle` is about.
    power_key: String,
    dialer: Dialer,
    /// When the last of the dialer's own recoveries began that is in the history.
    recorded: Option<u64>,
    unsaved: bool,
    memory_changed: bool,
    memory_saved: Monotonic,
    /// When it was last asked whether the port can be switched.
    assessed: Monotonic,
    saved: Monotonic,
    clock_saved: Monotonic,
    durable: bool,
    looked: Monotonic,
    stopping: bool,
}

impl Driver {
    /// Takes up where the last process or boot left off.
    pub fn new(root: &Root) -> Self {
        let (store, hold, now) = (Store::new(root), Hold::new(root), clock::now());
        let boot_id = snapshot::boot_id(root).unwrap_or_default();
        let (mut ledger, memory, mut history) = (store.ledger(), store.memory(), store.history());
        let durable = store.is_durable();
        if ledger.boot_id != boot_id {
            ledger.boots += 1;
            ledger.boot_id.clone_from(&boot_id);
        }
        let service_base = ledger.service_s;
        if let Err(error) = store.save_ledger(&ledger) {
            log::warn!("save the count of boots: {error}");
        }
        for error in Boards::load(root).1 {
            log::warn!("{error}; what it says is not used");
        }
        let mut open = history.take_open();
        if let Some(incident) = &mut open {
            let outcome = if incident.steps.last().is_some_and(|step| step.boot != ledger.boots) {
                "rebooted"
            } else {
                "interrupted"
            };
            incident.finish(now.as_millis(), outcome);
        }
        let owed = hold.read().is_some_and(|off| !off.held) && hold.lock(Duration::ZERO).is_ok();
        Self {
            machine: Machine::new(now, ledger, memory.stick.clone(), owed, open),
            root: root.clone(),
            boot_id,
            store,
            hold,
            history,
            memory,
            start: now,
            service_base,
            worker: None,
            given_up: Vec::new(),
            lock: None,
            held: None,
            power_key: String::new(),
            dialer: Dialer::default(),
            recorded: None,
            unsaved: false,
            memory_changed: false,
            memory_saved: now,
            assessed: now,
            saved: now,
            clock_saved: now,
            durable,
            looked: now,
            stopping: false,
        }
    }

    fn service_s(&self, now: Monotonic) -> u64 {
        self.service_base + now.since(self.start).as_secs()
    }

    fn look(&mut self, now: Monotonic) {
        self.looked = now;
        self.dialer = Dialer::read(&snapshot::read(&self.root, DIALER, &self.boot_id, now));
        self.follow_notes(now);
        let view = self.view(now);
        let known = view.best_stick().cloned();
        self.step(now, Event::Seen(view));
        if known.is_some() && known != self.memory.stick && self.machine.incident().is_none() {
            // The id changes with each mode switch, and cards wear out by writing.
            let moved = known.as_ref().map(|s| &s.port) != self.memory.stick.as_ref().map(|s| &s.port);
            self.memory.stick = known;
            self.memory_changed = true;
            if moved {
                self.save_memory(now);
            }
        }
        if self.memory_changed && now.since(self.memory_saved) >= SAVE_LIGHT {
            self.save_memory(now);
        }
        self.follow_power(now);
        self.follow_recovery(now);
        self.save_clock(now);
        if self.unsaved && now.since(self.saved) >= SAVE_LIGHT {
            self.save_history(now);
        }
    }

    fn view(&self, now: Monotonic) -> View {
        let port = self.machine.target().map(|stick| stick.port.as_str());
        View {
            silent_for: self.dialer.silent_for(now, self.start),
            progress: self.dialer.progress,
            // A dialer that was started again has looked anew, and so does the wait.
            progress_for: now.since(self.dialer.since.max(self.start)),
            stuck: self.dialer.stuck.clone(),
            stick: self.dialer.stick.clone(),
            ever: self.memory.stick.is_some() || self.machine.target().is_some(),
            present: port.is_some_and(|port| Topology::id_at(&self.root, port).is_some()),
            held: self.held.is_some(),
            service_s: self.service_s(now),
            durable: self.durable,
            wall: clock::wall().map(humantime_seconds),
        }
    }

    /// What others left off: a person's wish for a while, everything else is mended.
    fn follow_notes(&mut self, now: Monotonic) {
        let off = self.hold.read();
        let ours = self.lock.is_some() || self.worker.is_some() || !self.machine.is_quiet();
        self.held = off.clone().filter(|off| off.held);
        let Some(off) = off.filter(|_| !ours) else { return };
        let expired = off.held && now.since(Monotonic::from_millis(off.since_ms)) >= HELD_AT_MOST;
        // Whoever has the lock is in the middle of it.
        if (expired || !off.held) && self.hold.lock(Duration::ZERO).is_ok() {
            log::warn!("{} was left without power: switching it on", off.ports.join(", "));
            self.held = None;
            self.machine.owe();
        }
    }

    /// What was learned of a port holds for that port of that hub, and not for ever.
    fn follow_power(&mut self, now: Monotonic) {
        let Some(stick) = self.machine.target() else { return };
        let hub = Port::parse(&stick.port).map(|port| port.hub).unwrap_or_default();
        let key = format!("{} {}", stick.port, Topology::id_at(&self.root, &hub).unwrap_or_default());
        let service_s = self.service_s(now);
        let known =
            self.memory.useless.clone().filter(|(at, _, since)| *at == key && since + RETEST_S > service_s);
        if key != self.power_key {
            self.power_key.clone_from(&key);
            match known {
                Some((_, reason, _)) => self.machine.learn_useless(reason),
                None => self.machine.forget_power(),
            }
        } else if known.is_none() && self.memory.useless.as_ref().is_some_and(|(at, _, _)| *at == key) {
            // Before anything else: what has expired must not be what confirms itself.
            self.memory.useless = None;
            self.machine.forget_power();
            self.save_memory(now);
        } else if known.is_none() && self.machine.power_cycle.tried {
            self.memory.useless = Some((key, self.machine.power_cycle.reason.clone(), service_s));
            self.save_memory(now);
        } else if now.since(self.assessed) >= ASSESS && !self.machine.power_cycle.tried {
            self.assessed = now;
            if self.machine.power_cycle.usable != Some(true) && self.machine.incident().is_none() {
                self.machine.forget_power();
            }
        }
    }

    /// The dialer's own rungs belong into the same record.
    fn follow_recovery(&mut self, now: Monotonic) {
        let Some(recovery) = self.dialer.recovery.clone() else { return };
        if self.machine.incident().is_some() {
            self.step(now, Event::DialerDid(recovery.steps));
        } else if let Some(ended_ms) = recovery.ended_ms
            && self.recorded != Some(recovery.since_ms)
        {
            self.recorded = Some(recovery.since_ms);
            self.record_light(now, recovery, ended_ms);
        }
    }

    fn record_light(&mut self, now: Monotonic, recovery: Recovery, ended_ms: u64) {
        let boot = self.machine.ledger().boots;
        let same = self.history.incidents.iter_mut().rev().find(|incident| {
            let end = incident.ended.filter(|(at, _)| *at == boot).map(|(_, ms)| ms);
            incident.boot == boot
                && incident.since_ms <= ended_ms
                && end.is_some_and(|ms| ms >= recovery.since_ms)
        });
        if let Some(incident) = same {
            incident.merge(boot, &recovery.steps);
            incident.ended = incident.ended.max(Some((boot, ended_ms)));
        } else {
            let mut incident = Incident {
                cause: recovery.cause,
                stick: self.machine.target().map(|stick| format!("{} {}", stick.port, stick.id)),
                boot,
                since_ms: recovery.since_ms,
                wall: clock::wall().map(humantime_seconds),
                ended: Some((boot, ended_ms)),
                outcome: "the dialer helped itself".to_owned(),
                ..Incident::default()
            };
            incident.merge(boot, &recovery.steps);
            self.history.push(incident);
        }
        self.unsaved = true;
        self.publish_history(now, false);
    }

    fn save_clock(&mut self, now: Monotonic) {
        if now.since(self.clock_saved) >= SAVE_CLOCK {
            self.clock_saved = now;
            self.machine.ledger_mut().service_s = self.service_base + now.since(self.start).as_secs();
            if let Err(error) = self.store.save_ledger(self.machine.ledger()) {
                log::warn!("save the service clock: {error}");
            }
        }
    }

    fn save_memory(&mut self, now: Monotonic) {
        (self.memory_changed, self.memory_saved) = (false, now);
        if let Err(error) = self.store.save_memory(&self.memory) {
            log::warn!("save what was learned about the port: {error}");
        }
    }

    /// Writes the record into memory, where the command line finds it; and to disk if it is `grave`.
    fn publish_history(&mut self, now: Monotonic, grave: bool) {
        let path = self.root.path(hold::DIRECTORY).join(INCIDENTS);
        if let Err(error) = file::write_atomic(&path, &self.with_open().bytes(), 0o644) {
            log::warn!("write {}: {error}", path.display());
        }
        if grave {
            self.save_history(now);
        }
    }

    fn with_open(&self) -> History {
        let mut history = self.history.clone();
        if let Some(open) = self.machine.incident() {
            history.push(open.clone());
        }
        history
    }

    fn save_history(&mut self, now: Monotonic) {
        self.saved = now;
        match self.store.save_history(&self.with_open()) {
            Ok(()) => self.unsaved = false,
            Err(error) => log::warn!("save the incidents: {error}"),
        }
    }

    fn step(&mut self, now: Monotonic, event: Event) {
        let mut actions = self.machine.step(now, event);
        while !actions.is_empty() {
            let mut more = Vec::new();
            for action in actions {
                // What follows a ledger that could not be saved is the reboot it was to count.
                if let Some(event) = self.carry_out(now, action) {
                    let refused = matches!(event, Event::Done(Job::Reboot, _));
                    more.extend(self.machine.step(now, event));
                    if refused {
                        break;
                    }
                }
            }
            actions = more;
        }
        if self.machine.is_quiet() && !matches!(self.machine.state(), State::Off { .. }) {
            self.lock = None;
        }
    }

    fn carry_out(&mut self, now: Monotonic, action: Action) -> Option<Event> {
        match action {
            Action::Work(job) => return self.start_work(now, job),
            Action::SaveLedger(ledger) => {
                if let Err(error) = self.store.save_ledger(&ledger) {
                    let why = format!("not done: the count of reboots cannot be saved: {error}");
                    return Some(Event::Done(Job::Reboot, Answer::Failed(why)));
                }
            }
            Action::Record => {
                if let Some(step) = self.machine.incident().and_then(|incident| incident.steps.last()) {
                    let outcome = step.ended_ms.map_or("", |_| step.outcome.as_str());
                    log::info!("rung {}: {} {outcome}", step.rung, step.action);
                }
                self.publish_history(now, true);
            }
            Action::Close(incident) => {
                let took = now.since(Monotonic::from_millis(incident.since_ms)).as_secs();
                log::info!("over after {took} s: {}: {}", incident.cause, incident.outcome);
                let grave = incident.is_grave();
                self.history.push(incident);
                self.publish_history(now, grave);
                self.unsaved |= !grave;
            }
            Action::Say(Answer::Done(text)) => log::info!("{text}"),
            Action::Say(answer) => log::warn!("{}", answer.why()),
        }
        None
    }

    fn start_work(&mut self, now: Monotonic, job: Job) -> Option<Event> {
        let failed = |job, why: String| Some(Event::Done(job, Answer::Failed(why)));
        if let Some(old) = self.worker.take() {
            self.given_up.push(old);
        }
        if self.lock.is_none() && matches!(job, Job::Reset(_) | Job::PowerOff(_) | Job::PowerOn) {
            match self.hold.lock(Duration::ZERO) {
                Ok(lock) => self.lock = Some(lock),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Some(Event::Done(job, Answer::Busy));
                }
                Err(error) => return failed(job, format!("lock the ports: {error}")),
            }
        }
        match Worker::start(&self.root, job.clone(), now) {
            Ok(worker) => {
                self.worker = Some(worker);
                None
            }
            Err(error) => failed(job, format!("start a worker: {error}")),
        }
    }

    fn poll_worker(&mut self, now: Monotonic) {
        // One that is forgotten before it has ended stays behind as a zombie, and zombies count as tasks.
        self.given_up.retain_mut(|worker| !worker.has_ended());
        let Some(answer) = self.worker.as_mut().and_then(|worker| worker.poll(now)) else { return };
        let Some(worker) = self.worker.take() else { return };
        let job = worker.job.clone();
        log::debug!("{job:?}: {answer:?}");
        if now >= worker.by {
            self.given_up.push(worker);
        }
        self.step(now, Event::Done(job, answer));
    }

    fn request(&mut self, now: Monotonic, name: &str) {
        match Verb::parse(name) {
            Some(verb) if *self.machine.state() == State::Watching => {
                log::info!("{name} requested");
                self.step(now, Event::Asked(verb));
            }
            Some(_) => log::warn!("request {name:?}: not now, the stick is being brought back"),
            None => log::warn!("request {name:?}: unknown; off, on and cycle are known"),
        }
    }

    /// The machine, for the report.
    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    /// What a person switched off.
    pub(crate) fn held(&self) -> Option<&Off> {
        self.held.as_ref()
    }
}

fn humantime_seconds(time: std::time::SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

impl Daemon for Driver {
    type Error = Infallible;

    fn interests(&self) -> Vec<Interest<'_>> {
        Vec::new()
    }

    fn follows(&self) -> &[&str] {
        &[DIALER]
    }

    fn handle(&mut self, now: Monotonic, event: LoopEvent) -> Result<(), Infallible> {
        match event {
            LoopEvent::Start | LoopEvent::SnapshotChanged(_) => self.look(now),
            LoopEvent::Deadline => {
                self.poll_worker(now);
                self.look(now);
            }
            LoopEvent::ChildEnded => self.poll_worker(now),
            LoopEvent::Request(name) | LoopEvent::RequestWith { name, .. } => self.request(now, &name),
            LoopEvent::Terminate => {
                self.stopping = true;
                self.step(now, Event::Stop);
                if self.unsaved || self.machine.incident().is_some() {
                    self.save_history(now);
                }
                self.clock_saved = Monotonic::default();
                self.save_clock(now);
            }
            _ => {}
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        let busy = *self.machine.state() != State::Watching;
        let look = self.looked + if busy { LOOK_BUSY } else { LOOK };
        let worker = self.worker.as_ref().map(|worker| worker.by);
        [Some(look), worker, self.machine.next_deadline()].into_iter().flatten().min()
    }

    fn report(&self, now: Monotonic) -> Report {
        status::report(self, now)
    }

    fn finished(&self) -> bool {
        self.machine.is_quiet()
    }
}
