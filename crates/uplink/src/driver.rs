//! Look, decide, act, and tell the machine how it went.

use crate::advertise::Advertisement;
use crate::machine::{Action, Event, Machine, Observation};
use crate::plan::Change;
use ruleset::marks::Line;
use std::collections::VecDeque;
use sysio::Monotonic;

/// The system as far as `uplink` touches it.
pub trait System {
    /// Reads everything that matters. `lan` is the wired interface.
    ///
    /// # Errors
    /// What could not be read, in words.
    fn observe(&mut self, now: Monotonic, lan: &str) -> Result<Observation, String>;

    /// Makes one change.
    ///
    /// # Errors
    /// What was refused, in words.
    fn change(&mut self, change: &Change) -> Result<(), String>;

    /// Deletes the connection entries of what left by a line and came in by none; how many there were.
    ///
    /// # Errors
    /// What was refused, in words.
    fn forget(&mut self, line: Line) -> Result<u32, String>;

    /// Sends a router advertisement to everybody on a link.
    ///
    /// # Errors
    /// What was refused, in words.
    fn advertise(&mut self, link: u32, message: &Advertisement) -> Result<(), String>;

    /// Replaces the list of DNS upstreams.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn write_resolv(&mut self, content: &str) -> Result<(), String>;
}

/// Carries out what the machine wants.
#[derive(Debug)]
pub struct Driver<S> {
    /// The system.
    pub system: S,
}

/// What a turn did; for tests and the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Changes that were made.
    pub changes: usize,
    /// Whether the DNS upstreams were written.
    pub resolv_written: bool,
    /// Connections that were let go.
    pub forgotten: u32,
}

impl<S: System> Driver<S> {
    /// One look and what follows from it.
    pub fn turn(&mut self, now: Monotonic, machine: &mut Machine) -> Outcome {
        let mut outcome = Outcome::default();
        let observation = self.system.observe(now, machine.lan());
        let mut queue = VecDeque::from(machine.step(now, Event::Observed(observation)));
        while let Some(action) = queue.pop_front() {
            let event = match action {
                Action::Change(changes) => Event::Changed(self.apply(&changes, &mut outcome)),
                Action::WriteResolv(content) => {
                    let result = self.system.write_resolv(&content);
                    outcome.resolv_written = result.is_ok();
                    Event::ResolvWritten(result)
                }
                Action::Forget(line) => {
                    let result = self.system.forget(line);
                    outcome.forgotten += result.as_ref().copied().unwrap_or(0);
                    Event::Forgotten(line, result)
                }
                Action::Advertise { link, message } => {
                    Event::Advertised(self.system.advertise(link, &message))
                }
            };
            // What follows from it comes behind what was wanted before.
            queue.extend(machine.step(now, event));
        }
        outcome
    }

    /// Makes what can be made; a refused change does not keep the others waiting.
    fn apply(&mut self, changes: &[Change], outcome: &mut Outcome) -> Result<(), String> {
        let mut first = Ok(());
        for change in changes {
            match self.system.change(change) {
                Ok(()) => {
                    outcome.changes += 1;
                    log::info!("{change}");
                }
                Err(error) if first.is_ok() => first = Err(error),
                Err(_) => {}
            }
        }
        first
    }
}
