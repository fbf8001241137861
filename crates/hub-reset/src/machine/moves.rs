//! The moves between the states, each with what belongs into the record.

use std::time::Duration;

use sysio::Monotonic;

use super::types::{Action, Cause};
use super::{Machine, OVERDUE, POWER_RETRY_MOST, State};
use crate::incidents::Step;
use crate::worker::Job;

impl Machine {
    pub(super) fn trouble(&self) -> Option<Cause> {
        if self.left_alone.is_some() { None } else { self.view.trouble() }
    }

    pub(super) fn is_held(&self) -> bool {
        self.view.held && self.cause != Some(Cause::Silent)
    }

    pub(super) fn leave(&mut self, now: Monotonic) -> Vec<Action> {
        self.finish(now, "given up: a person switched the port off");
        self.close(now, "a person switched the port off")
    }

    pub(super) fn reboot(&mut self, now: Monotonic) -> Vec<Action> {
        let service_s = self.view.service_s;
        let next = self.ledger.next(service_s);
        self.denied = if !self.view.durable {
            Some("the data partition is not there: reboots could not be counted".to_owned())
        } else if next > service_s {
            let today = self.ledger.today(service_s);
            let minutes = (next - service_s).div_ceil(60);
            Some(format!("{today} reboots in the last day; the next one is allowed in {minutes} min"))
        } else {
            None
        };
        if self.denied.is_some() {
            return self.cool(now);
        }
        self.ledger.count(service_s);
        self.ladder.rebooted();
        self.begin(now, 6, "reboot");
        self.state = State::Working { job: Job::Reboot, by: now + Job::Reboot.limit() + OVERDUE };
        // On disk first: a reboot that is not counted has no end.
        vec![Action::SaveLedger(self.ledger.clone()), Action::Record, Action::Work(Job::Reboot)]
    }

    pub(super) fn cool(&mut self, now: Monotonic) -> Vec<Action> {
        let pause = if self.owed { POWER_RETRY_MOST } else { self.ladder.round_over() };
        self.state = State::Cooling { until: now + pause };
        vec![Action::Record]
    }

    pub(super) fn rung_work(&mut self, now: Monotonic, rung: u8, action: &str, job: Job) -> Vec<Action> {
        self.begin(now, rung, action);
        let mut actions = vec![Action::Record];
        actions.extend(self.work(now, job));
        actions
    }

    pub(super) fn work(&mut self, now: Monotonic, job: Job) -> Vec<Action> {
        self.owed |= matches!(job, Job::PowerOff(_));
        self.state = State::Working { by: now + job.limit() + OVERDUE, job: job.clone() };
        vec![Action::Work(job)]
    }

    /// Power back, if any is owed.
    pub(super) fn restore(&mut self, now: Monotonic) -> Vec<Action> {
        if self.owed { self.work(now, Job::PowerOn) } else { Vec::new() }
    }

    pub(super) fn begin(&mut self, now: Monotonic, rung: u8, action: &str) {
        let boot = self.ledger.boots;
        if let Some(incident) = &mut self.incident {
            let action = action.to_owned();
            incident.begin(Step { rung, action, boot, started_ms: now.as_millis(), ..Step::default() });
        }
    }

    pub(super) fn finish(&mut self, now: Monotonic, outcome: &str) {
        if let Some(incident) = &mut self.incident {
            incident.finish(now.as_millis(), outcome);
        }
    }

    pub(super) fn verify_for(&mut self, now: Monotonic, rung: u8, time: Duration) -> Vec<Action> {
        self.state = State::Verifying { rung, since: now, until: now + time, patient: false };
        vec![Action::Record]
    }
}
