//! Look, decide, act, and tell the machine how it went.

use crate::machine::{Action, Event, Machine, Observation};
use crate::plan::Change;
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
}

impl<S: System> Driver<S> {
    /// One look and what follows from it.
    pub fn turn(&mut self, now: Monotonic, machine: &mut Machine) -> Outcome {
        let mut outcome = Outcome::default();
        let observation = self.system.observe(now, machine.lan());
        for action in machine.step(now, Event::Observed(observation)) {
            let event = match action {
                Action::Change(changes) => Event::Changed(self.apply(&changes, &mut outcome)),
                Action::WriteResolv(content) => {
                    let result = self.system.write_resolv(&content);
                    outcome.resolv_written = result.is_ok();
                    Event::ResolvWritten(result)
                }
            };
            machine.step(now, event);
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
