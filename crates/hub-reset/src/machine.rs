//! The upper rungs of the ladder: when to reset, power-cycle, reboot (pure).
//!
//! ```text
//!             trouble                       solved
//! watching ───────────▶ rung 4, 5, 6 ─────────────────▶ watching
//!                         │      ▲
//!           round is over ▼      │ cool-down is over (ever longer, at most an hour)
//!                       cooling ─┘
//! ```
//! Nothing latches: after the last rung it begins again, slower. Whatever was switched off is switched
//! on before anything else is tried.

mod answers;
mod ladder;
mod moves;
mod types;

pub use ladder::{COOL_DOWN, CYCLES, OFF_TIMES};
pub use types::{Action, Event, Progress, Stick, Stuck, Verb, View};

use std::time::Duration;

use sysio::Monotonic;

use crate::incidents::Incident;
use crate::ledger::Ledger;
use crate::worker::{Answer, Job};
use ladder::{Ladder, Means, Next};
use types::Cause;

/// systemd's own watchdog over the dialer (`WatchdogSec`, 15 s) kills and starts it again within 25 s of
/// its last heartbeat (10 s apart); whoever is silent for longer was not helped by it.
pub const SILENT: Duration = Duration::from_secs(30);
/// A stick that resets itself is back in 15 s; the dialer waits 25 s before it calls it absent.
pub const GONE: Duration = Duration::from_secs(20);
/// The dialer switches the mode in 9 s, and tries that several times.
pub const CD_ROM: Duration = Duration::from_secs(45);
/// How long the dialer has to show that a rung helped: a reset leaves the ports, so four questions of
/// 3 s answer it; after a power cycle the stick boots (15 s) and is switched and probed; a boot of the
/// box takes a minute.
const AFTER_RESTART: Duration = Duration::from_secs(15);
const AFTER_RESET: Duration = Duration::from_secs(13);
const AFTER_CYCLE: Duration = Duration::from_secs(45);
/// See above.
pub const AFTER_REBOOT: Duration = Duration::from_secs(90);
/// A stick that is back and not called stuck is left to the dialer after so much more.
const PATIENCE: Duration = Duration::from_secs(60);
/// How soon power that could not be restored is tried again.
const POWER_RETRY: Duration = Duration::from_secs(2);
/// At first; then ever less often, but at least so often.
const POWER_RETRY_MOST: Duration = Duration::from_secs(60);
/// For so long; then the hub itself is stuck, and a reboot gives power back (`hub_activate` in the
/// kernel's drivers/usb/core/hub.c), within its budget.
const POWER_FAILS: Duration = Duration::from_secs(120);
/// Somebody else is switching: not for long.
const BUSY: Duration = Duration::from_secs(5);
/// A stick that fails again so soon was not cured: the ladder goes on where it was.
const RELAPSE: Duration = Duration::from_secs(600);
/// A stopped dialer is asked after again: it may have been started and have hung at once.
const LEFT_ALONE: Duration = Duration::from_secs(3600);
/// Online for so long: cured, as the dialer sees it, too (its `HELD`). A stick that fails after it
/// begins a new climb; that resets are at least a minute apart still takes it to the power cycle.
const STEADY: Duration = Duration::from_secs(10);
/// A worker's answer is overdue so long after its own limit.
const OVERDUE: Duration = Duration::from_secs(5);
/// systemd reboots in seconds, and its own watchdog forces it after minutes.
const REBOOT_TAKES: Duration = Duration::from_secs(300);

/// What is going on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is wrong.
    Watching,
    /// A worker is busy.
    Working {
        /// With what.
        job: Job,
        /// Its answer is due.
        by: Monotonic,
    },
    /// The port is off.
    Off {
        /// Until then.
        until: Monotonic,
    },
    /// A rung was taken; the dialer has to show whether it helped.
    Verifying {
        /// Which rung.
        rung: u8,
        /// Since when.
        since: Monotonic,
        /// How long it has.
        until: Monotonic,
        /// That time is over, and nothing is wrong but that the stick has not answered yet.
        patient: bool,
    },
    /// Waiting before the next try.
    Cooling {
        /// Until then.
        until: Monotonic,
    },
    /// The reboot is under way.
    Rebooting {
        /// Unless it is not.
        until: Monotonic,
    },
}

/// Whether rung 5 works here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usable {
    /// Known to work, known not to, or not known yet.
    pub usable: Option<bool>,
    /// In words.
    pub reason: String,
    /// Found out by trying: worth remembering.
    pub tried: bool,
}

impl Usable {
    fn yes() -> Self {
        Self { usable: Some(true), ..Self::default() }
    }

    fn no(reason: String, tried: bool) -> Self {
        Self { usable: Some(false), reason, tried }
    }

    fn unknown(reason: String) -> Self {
        Self { reason, ..Self::default() }
    }
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine {
    state: State,
    view: View,
    ladder: Ladder,
    /// What it is about, if anything is wrong.
    cause: Option<Cause>,
    target: Option<Stick>,
    /// Something is off, or may be.
    owed: bool,
    /// Since when that fails, and how often it did.
    power_fails: Option<(Monotonic, u32)>,
    /// When the last incident was over.
    closed: Option<Monotonic>,
    /// When the dialer was found stopped.
    left_alone: Option<Monotonic>,
    stopping: bool,
    incident: Option<Incident>,
    /// Rung 4.
    pub usb_reset: Usable,
    /// Rung 5.
    pub power_cycle: Usable,
    ledger: Ledger,
    /// Why rung 6 was wanted and not taken.
    denied: Option<String>,
}

impl Machine {
    /// Watches; `target` is where the stick was seen last, `owed` says that a process before this one
    /// left a port off, `open` is the incident that had not ended.
    pub fn new(
        now: Monotonic,
        ledger: Ledger,
        target: Option<Stick>,
        owed: bool,
        open: Option<Incident>,
    ) -> Self {
        let state = match &open {
            // The box has just started, or this process has: the dialer gets its time first.
            Some(_) => State::Verifying { rung: 6, since: now, until: now + AFTER_REBOOT, patient: false },
            None => State::Watching,
        };
        let mut ladder = Ladder::default();
        if let Some(incident) = &open {
            ladder.resume(incident);
        }
        let cause = open.as_ref().map(|incident| Cause::from_words(&incident.cause));
        Self {
            state,
            view: View::default(),
            ladder,
            cause,
            target,
            owed,
            power_fails: None,
            closed: None,
            left_alone: None,
            stopping: false,
            incident: open,
            usb_reset: Usable::default(),
            power_cycle: Usable::default(),
            ledger,
            denied: None,
        }
    }

    /// What is going on.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Its name in the snapshot.
    pub fn name(&self) -> &'static str {
        match &self.state {
            State::Working { job: Job::Ping(_) | Job::Reset(_) | Job::RestartDialer, .. } => "resetting",
            State::Working { job: Job::PowerOff(_) | Job::PowerOn, .. } | State::Off { .. } => {
                "power-cycling"
            }
            State::Working { job: Job::Reboot, .. } | State::Rebooting { .. } => "rebooting",
            State::Verifying { .. } | State::Cooling { .. } => "waiting",
            State::Working { .. } | State::Watching => "watching",
        }
    }

    /// The stick, where it was seen last.
    pub fn target(&self) -> Option<&Stick> {
        self.target.as_ref()
    }

    /// The open incident.
    pub fn incident(&self) -> Option<&Incident> {
        self.incident.as_ref()
    }

    /// The reboots so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Why rung 6 is not taken although it is its turn.
    pub fn denied(&self) -> Option<&str> {
        self.denied.as_deref()
    }

    /// What was seen last.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Nothing is off because of us.
    pub fn is_quiet(&self) -> bool {
        !self.owed && !matches!(self.state, State::Working { .. })
    }

    /// When to step without an event.
    pub fn next_deadline(&self) -> Option<Monotonic> {
        match self.state {
            State::Watching => None,
            State::Working { by, .. } => Some(by),
            State::Off { until }
            | State::Verifying { until, .. }
            | State::Cooling { until }
            | State::Rebooting { until } => Some(until),
        }
    }

    /// Takes in what happened, and says what to do.
    pub fn step(&mut self, now: Monotonic, event: Event) -> Vec<Action> {
        match event {
            Event::Seen(view) => {
                self.view = view;
                let again = self.left_alone.is_some_and(|at| now >= at + LEFT_ALONE);
                if again || self.view.silent_for < SILENT {
                    self.left_alone = None;
                }
                // While it is cut off, whoever else is on the bus is not the one.
                if let Some(stick) = self.view.best_stick()
                    && self.incident.is_none()
                {
                    self.target = Some(stick.clone());
                }
                if self.incident.is_none() && self.view.is_steady(STEADY) {
                    self.ladder = self.ladder.fresh();
                }
                self.turn(now)
            }
            Event::Done(job, answer) => self.done(now, &job, answer),
            Event::Asked(verb) => self.asked(now, verb),
            Event::DialerDid(steps) => {
                let boot = self.ledger.boots;
                if let Some(incident) = &mut self.incident {
                    incident.merge(boot, &steps);
                }
                Vec::new()
            }
            Event::Stop => {
                self.stopping = true;
                if matches!(self.state, State::Working { .. }) { Vec::new() } else { self.restore(now) }
            }
        }
    }

    fn asked(&mut self, now: Monotonic, verb: Verb) -> Vec<Action> {
        if self.state == State::Watching && !self.stopping && !self.owed {
            self.work(now, Job::Manual(verb.word().to_owned()))
        } else {
            Vec::new()
        }
    }

    fn turn(&mut self, now: Monotonic) -> Vec<Action> {
        if self.stopping {
            let busy = match self.state {
                State::Working { by, .. } => now < by,
                State::Cooling { until } => now < until,
                _ => false,
            };
            return if busy { Vec::new() } else { self.restore(now) };
        }
        match self.state.clone() {
            State::Watching if self.owed => self.restore(now),
            State::Watching => match self.trouble() {
                Some(cause) => self.open(now, cause),
                None if self.wants_to_know() => self.assess(now),
                None => Vec::new(),
            },
            State::Working { job, by } if now >= by => {
                self.done(now, &job, Answer::Failed("its worker never answered".to_owned()))
            }
            State::Off { until } if now >= until => self.restore(now),
            State::Verifying { rung, since, until, patient } => self.verify(now, rung, since, until, patient),
            State::Cooling { until } => {
                if self.owed {
                    if now >= until { self.restore(now) } else { Vec::new() }
                } else if self.solved() {
                    self.close(now, "the stick is back")
                } else if self.is_held() {
                    self.leave(now)
                } else if now >= until {
                    self.next(now)
                } else {
                    Vec::new()
                }
            }
            State::Rebooting { until } if now >= until => {
                self.finish(now, "the system did not reboot");
                self.cool(now)
            }
            _ => Vec::new(),
        }
    }

    /// Whether a port can be switched is found out before it has to be.
    fn wants_to_know(&self) -> bool {
        self.view.present && self.power_cycle.usable.is_none() && self.power_cycle.reason.is_empty()
    }

    fn assess(&mut self, now: Monotonic) -> Vec<Action> {
        match self.target.clone() {
            Some(stick) => self.work(now, Job::Assess(stick.port)),
            None => Vec::new(),
        }
    }

    fn open(&mut self, now: Monotonic, cause: Cause) -> Vec<Action> {
        if let Some(stuck) = &self.view.stuck {
            self.target = Some(stuck.stick.clone());
        }
        if self.closed.is_none_or(|at| now >= at + RELAPSE) {
            self.ladder = self.ladder.fresh();
        }
        self.ladder.restart_again();
        // Refused by what was plugged in then; only a trial is remembered.
        if self.power_cycle.usable == Some(false) && !self.power_cycle.tried {
            self.forget_power();
        }
        self.incident = Some(Incident {
            cause: cause.words(&self.view),
            stick: self.target.as_ref().map(|stick| format!("{} {}", stick.port, stick.id)),
            boot: self.ledger.boots,
            since_ms: now.as_millis(),
            wall: self.view.wall.clone(),
            ..Incident::default()
        });
        self.cause = Some(cause);
        let mut actions = vec![Action::Record];
        actions.extend(self.next(now));
        actions
    }

    fn close(&mut self, now: Monotonic, outcome: &str) -> Vec<Action> {
        self.state = State::Watching;
        self.cause = None;
        self.denied = None;
        self.closed = Some(now);
        let Some(mut incident) = self.incident.take() else { return Vec::new() };
        incident.finish(now.as_millis(), "helped");
        incident.ended = Some((self.ledger.boots, now.as_millis()));
        outcome.clone_into(&mut incident.outcome);
        vec![Action::Close(incident)]
    }

    fn solved(&self) -> bool {
        self.trouble().is_none()
            && (self.view.progress.is_good() || matches!(self.cause, Some(Cause::Silent)))
    }

    fn verify(
        &mut self,
        now: Monotonic,
        rung: u8,
        since: Monotonic,
        until: Monotonic,
        patient: bool,
    ) -> Vec<Action> {
        if self.owed {
            return self.restore(now);
        }
        if rung == 5 && self.view.present && self.power_cycle.usable != Some(true) {
            // Gone when it was off, and there again: the proof of rung 5.
            self.power_cycle = Usable::yes();
        }
        if self.solved() {
            return self.close(now, "the stick is back");
        }
        if self.is_held() {
            return self.leave(now);
        }
        let again = self.view.stuck.as_ref().is_some_and(|stuck| stuck.since > since);
        let trouble = self.trouble();
        let over = now >= until;
        if again || ((over || patient) && trouble.is_some()) {
            self.finish(now, if self.view.present { "did not help" } else { "the device did not come back" });
            // It may have become another trouble: a silent dialer that now calls its stick stuck.
            self.cause = trouble.or(self.cause.take());
            return self.next(now);
        }
        if over && patient {
            return self.close(now, "no trouble is left; the dialer goes on");
        }
        if over {
            self.state = State::Verifying { rung, since, until: now + PATIENCE, patient: true };
        }
        Vec::new()
    }

    /// The next rung of this round, or a pause.
    fn next(&mut self, now: Monotonic) -> Vec<Action> {
        if self.owed {
            return self.restore(now);
        }
        // A dialer that has been stopped meanwhile leaves its last call for help behind.
        self.cause = self.trouble().or(self.cause);
        if self.is_held() {
            return self.leave(now);
        }
        let cause = self.cause.unwrap_or(Cause::Silent);
        let held = self.view.held;
        let means = Means {
            reset: self.view.present && self.usb_reset.usable != Some(false) && !held,
            power: self.target.is_some() && self.power_cycle.usable != Some(false) && !held,
            proven: self.power_cycle.usable == Some(true),
        };
        let port = self.target.as_ref().map(|stick| stick.port.clone()).unwrap_or_default();
        match self.ladder.next(now, cause, means) {
            Next::Restart => self.rung_work(now, 4, "restart the dialer", Job::RestartDialer),
            Next::Reset => self.rung_work(now, 4, "USB reset", Job::Ping(port)),
            Next::Cycle => {
                let off = self.ladder.off_time().as_secs();
                self.rung_work(now, 5, &format!("power cycle, {off} s off"), Job::PowerOff(port))
            }
            Next::Wait(until) => {
                self.state = State::Cooling { until };
                Vec::new()
            }
            Next::Reboot => self.reboot(now),
            Next::Over => self.cool(now),
        }
    }

    /// A person's wish ends everything but a silent dialer.
    /// A port was left off by somebody who is not there any more.
    pub fn owe(&mut self) {
        self.owed = true;
    }

    /// Forgets what was learned about a port: the stick is in another one, or it is time to try again.
    pub fn forget_power(&mut self) {
        self.power_cycle = Usable::default();
    }

    /// Takes over what was learned earlier.
    pub fn learn_useless(&mut self, reason: String) {
        self.power_cycle = Usable::no(reason, true);
    }

    /// Takes the service clock's count of boots along.
    pub fn ledger_mut(&mut self) -> &mut Ledger {
        &mut self.ledger
    }
}

#[cfg(test)]
mod tests;
