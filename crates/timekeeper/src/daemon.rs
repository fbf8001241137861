//! The daemon: follows `uplink`, looks for timesyncd's word, does what the machine says.

use std::convert::Infallible;
use std::fs;
use std::io;
use std::time::Duration;

use daemonkit::{Daemon, Event, Interest};
use inquiry::Way;
use ruleset::marks::Line;
use snapshot::Report;
use sysio::{Monotonic, Root, clock};

use crate::ask::Asker;
use crate::lines::Lines;
use crate::machine::{self, Action, Machine, Now};
use crate::ports::WallClock;
use crate::status;
use crate::utc::Utc;

/// The daemon whose snapshot tells of the lines.
const LINES: &str = "uplink";
/// Whether timesyncd has synchronised is looked up so often; a look is one system call.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Its time is the image's (systemd-timesyncd.service(8)).
const EPOCH: &str = "/usr/lib/clock-epoch";

/// The daemon.
#[derive(Debug)]
pub struct Timekeeper<C> {
    machine: Machine,
    asker: Asker,
    clock: C,
    root: Root,
    boot_id: String,
    lines: Lines,
    next_look: Monotonic,
}

impl<C: WallClock> Timekeeper<C> {
    /// For the system below `root`, whose clock is `clock`.
    ///
    /// # Errors
    /// If the kernel does not say which boot this is.
    pub fn new(root: &Root, clock: C) -> io::Result<Self> {
        let epoch = fs::metadata(root.path(EPOCH)).and_then(|meta| meta.modified());
        // Nobody's image is older than what the whole product calls plausible.
        let built = epoch.map_or(Utc(0), Utc::of).max(Utc::of(clock::plausible_since()));
        Ok(Self {
            machine: Machine::new(built),
            asker: Asker::new(built),
            clock,
            root: root.clone(),
            boot_id: snapshot::boot_id(root)?,
            lines: Lines::default(),
            next_look: Monotonic::default(),
        })
    }

    /// The clock it sets.
    pub fn clock(&self) -> &C {
        &self.clock
    }

    fn look(&mut self, now: Monotonic) {
        self.next_look = now + LOOK_EVERY;
        if clock::synchronised(&self.root) {
            self.feed(now, machine::Event::Synchronised);
        }
        self.read_lines(now);
    }

    fn read_lines(&mut self, now: Monotonic) {
        let read = snapshot::read(&self.root, LINES, &self.boot_id, now);
        let lines = read.fresh().map(Lines::read).unwrap_or_default();
        let before = std::mem::replace(&mut self.lines, lines);
        if before.usable != self.lines.usable {
            self.feed(now, machine::Event::Lines(self.lines.usable.clone()));
        }
    }

    fn feed(&mut self, now: Monotonic, event: machine::Event) {
        let wall = self.clock.now();
        for action in self.machine.step(Now { boot: now, wall }, event) {
            match action {
                Action::Ask { ask, line, question, deadline } => {
                    let way = self.way(line);
                    self.asker.start(now, ask, &way, &question, &self.lines.dns, deadline);
                }
                Action::Abandon => self.asker.abandon(),
                Action::Set(booted_at) => {
                    let result = self.set(booted_at.at(clock::now()));
                    self.feed(now, machine::Event::WasSet(result));
                }
                Action::Believe => self.believe(),
            }
        }
    }

    fn way(&self, line: Line) -> Way {
        let usable = self.lines.usable.iter().find(|usable| usable.way.line == line);
        // Without an interface asking fails, and says so.
        usable.map_or_else(|| Way { line, interface: String::new() }, |usable| usable.way.clone())
    }

    fn set(&mut self, utc: Utc) -> Result<(), String> {
        let before = self.clock.now();
        let result = self.clock.set(utc);
        match &result {
            Ok(()) => log::info!("the clock was {} and is {} now", before.words(), utc.words()),
            Err(why) => log::error!("{why}; trying again"),
        }
        result
    }

    /// Those who wait for the time look at this, and are woken by the snapshot that follows.
    fn believe(&self) {
        if let Err(error) = clock::mark_set(&self.root) {
            log::error!("say that the clock is set: {error}");
        }
    }
}

impl<C: WallClock> Daemon for Timekeeper<C> {
    type Error = Infallible;

    fn interests(&self) -> Vec<Interest<'_>> {
        self.asker.interests()
    }

    fn handle(&mut self, now: Monotonic, event: Event) -> Result<(), Infallible> {
        match event {
            Event::Start => self.look(now),
            Event::SnapshotChanged(_) => self.read_lines(now),
            Event::Ready { token, .. } => self.asker.ready(now, token),
            Event::Terminate => {
                self.asker.abandon();
                return Ok(());
            }
            _ => {}
        }
        self.asker.tick(now);
        for event in self.asker.take() {
            self.feed(now, event);
        }
        if now >= self.next_look {
            self.look(now);
        }
        if self.machine.deadline().is_some_and(|at| now >= at) {
            self.feed(now, machine::Event::Deadline);
            // What could not even be sent is known at once.
            for event in self.asker.take() {
                self.feed(now, event);
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        (!self.machine.synchronised()).then_some(())?;
        let all = [self.machine.deadline(), self.asker.deadline(), Some(self.next_look)];
        all.into_iter().flatten().min()
    }

    fn report(&self, now: Monotonic) -> Report {
        status::report(&self.machine, now, self.asker.bytes())
    }

    fn follows(&self) -> &[&str] {
        &[LINES]
    }

    fn done(&self) -> bool {
        self.machine.synchronised()
    }
}
