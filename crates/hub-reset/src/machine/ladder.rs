//! What has been tried, and what comes next.

use std::time::Duration;

use sysio::Monotonic;

use super::types::Cause;
use crate::incidents::Incident;

/// Power cycles of a round.
pub const CYCLES: usize = 3;
/// How long the port is off, ever longer: 3 s empty the capacitors of a small stick; what is fed
/// through signal lines of a powered hub takes longer (openwrt/packages#19794 is cured by hand, by
/// pulling it, which nobody does in less).
pub const OFF_TIMES: [Duration; CYCLES] =
    [Duration::from_secs(3), Duration::from_secs(10), Duration::from_secs(30)];
/// Pauses after each round; the last one from then on.
pub const COOL_DOWN: [Duration; 6] = [
    Duration::from_secs(60),
    Duration::from_secs(120),
    Duration::from_secs(300),
    Duration::from_secs(600),
    Duration::from_secs(1800),
    Duration::from_secs(3600),
];
/// A stick that a reset does not cure is not reset again sooner.
pub(super) const RESET_COOL_DOWN: Duration = Duration::from_secs(60);
/// From power on to the next power off: enumeration and the stick's own boot.
pub(super) const CYCLE_COOL_DOWN: Duration = Duration::from_secs(20);
/// Attempts of a round to cut the power that fail without counting as a cycle: while the kernel tries
/// to enumerate a device that answers nothing it holds the hub for some two minutes (`hub_port_init`
/// in drivers/usb/core/hub.c: several schemes and tries of 5 s each). With the pause between two
/// attempts this outlasts it.
const HELD_HUB: usize = 5;
/// Without rung 5 the reboot comes after so many rounds of rung 4.
const ROUNDS_WITHOUT_POWER: usize = 2;

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Restart,
    Reset,
    Cycle,
    Wait(Monotonic),
    Reboot,
    Over,
}

/// What there is to use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Means {
    /// Rung 4 makes sense.
    pub(super) reset: bool,
    /// Rung 5 does.
    pub(super) power: bool,
    /// And it has worked.
    pub(super) proven: bool,
}

/// The memory of one incident.
#[derive(Clone, Debug, Default)]
pub(super) struct Ladder {
    round: usize,
    /// What a round does once and has done.
    tried: Vec<Next>,
    /// In this round.
    cycles: usize,
    /// In this incident.
    cycles_in_all: usize,
    reboots: usize,
    last_reset: Option<Monotonic>,
    /// The one before, should this one not happen.
    reset_before: Option<Monotonic>,
    last_power_on: Option<Monotonic>,
    /// The power went off as asked.
    off_worked: bool,
    /// Attempts in this round at which it did not, and which are not counted as cycles.
    held: usize,
    /// Rung 4 was left out for rung 5.
    skipped: bool,
}

impl Ladder {
    /// Takes up an incident of an earlier process or boot.
    pub(super) fn resume(&mut self, incident: &Incident) {
        self.reboots = incident.steps.iter().filter(|step| step.rung == 6).count();
        self.cycles_in_all = incident.steps.iter().filter(|step| step.rung == 5).count();
    }

    /// For another incident; the devices' own cool-downs go on.
    pub(super) fn fresh(&self) -> Self {
        Self { last_reset: self.last_reset, last_power_on: self.last_power_on, ..Self::default() }
    }

    /// A dialer that is silent again is started again, whatever else was tried.
    pub(super) fn restart_again(&mut self) {
        self.tried.retain(|what| *what != Next::Restart);
    }

    /// No reset was done, for the better rung's sake.
    pub(super) fn reset_skipped(&mut self) {
        self.skipped = true;
        self.last_reset = self.reset_before;
    }

    /// The better rung turned out to be none.
    pub(super) fn reset_after_all(&mut self) {
        if std::mem::take(&mut self.skipped) {
            self.tried.retain(|what| *what != Next::Reset);
        }
    }

    /// It was not done, and is still to do.
    pub(super) fn reset_undone(&mut self) {
        self.reset_skipped();
        self.reset_after_all();
    }

    pub(super) fn off_time(&self) -> Duration {
        OFF_TIMES[self.cycles.min(CYCLES - 1)]
    }

    /// What comes next in this round.
    pub(super) fn next(&mut self, now: Monotonic, cause: Cause, means: Means) -> Next {
        if cause == Cause::Silent && self.first(Next::Restart) {
            return Next::Restart;
        }
        let rested = self.last_reset.is_none_or(|at| now >= at + RESET_COOL_DOWN);
        if means.reset && self.first(Next::Reset) && rested {
            self.reset_before = self.last_reset;
            self.last_reset = Some(now);
            return Next::Reset;
        }
        if means.power && self.cycles < CYCLES {
            if let Some(at) = self.last_power_on.map(|at| at + CYCLE_COOL_DOWN).filter(|at| *at > now) {
                return Next::Wait(at);
            }
            self.off_worked = true;
            return Next::Cycle;
        }
        if self.is_time_to_reboot(cause, means) && self.first(Next::Reboot) {
            return Next::Reboot;
        }
        Next::Over
    }

    /// Whether this is the first time in this round.
    fn first(&mut self, what: Next) -> bool {
        let first = !self.tried.contains(&what);
        if first {
            self.tried.push(what);
        }
        first
    }

    /// Not for a stick that is simply not there, or nothing but a CD-ROM, more than once: somebody may
    /// have pulled it, and the box has other work. One that is not there although power was cut and
    /// given back was pulled.
    fn is_time_to_reboot(&self, cause: Cause, means: Means) -> bool {
        let again = match cause {
            Cause::Gone => self.reboots == 0 && !means.proven,
            Cause::CdRom => self.reboots == 0,
            Cause::Silent | Cause::Stuck => true,
        };
        again && if means.power { self.cycles_in_all >= CYCLES } else { self.round >= ROUNDS_WITHOUT_POWER }
    }

    pub(super) fn rebooted(&mut self) {
        self.reboots += 1;
    }

    /// The power could not be cut.
    pub(super) fn cycle_failed_early(&mut self) {
        self.off_worked = false;
    }

    /// Power is back; whether it had been cut as asked.
    pub(super) fn cycled(&mut self, now: Monotonic) -> bool {
        if self.off_worked || self.held >= HELD_HUB {
            self.cycles += 1;
            self.cycles_in_all += 1;
        } else {
            self.held += 1;
        }
        self.last_power_on = Some(now);
        self.off_worked
    }

    /// Ends the round; how long to wait before the next.
    pub(super) fn round_over(&mut self) -> Duration {
        let pause = COOL_DOWN[self.round.min(COOL_DOWN.len() - 1)];
        self.round += 1;
        self.tried.clear();
        self.cycles = 0;
        self.held = 0;
        pause
    }
}
