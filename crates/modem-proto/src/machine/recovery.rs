//! What the dialer did since the link was lost: the record a person reads afterwards.

use sysio::Monotonic;

use super::ladder::Plan;

/// So many steps are kept; a day of failures must not fill the snapshot.
const MOST_STEPS: usize = 32;

/// One recovery, under way or the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// When the link was lost, or the first try failed.
    pub since: Monotonic,
    /// Why, in words.
    pub cause: String,
    /// What was done, the first ones.
    pub steps: Vec<Step>,
    /// Steps that found no place.
    pub dropped: u32,
    /// When it was over.
    pub ended: Option<Monotonic>,
}

/// One thing the dialer did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which rung of the ladder: 1 redial, 2 detach and attach, 3 reopen and probe.
    pub rung: u8,
    /// What it was, in words.
    pub action: &'static str,
    /// When it began.
    pub started: Monotonic,
    /// When it ended.
    pub ended: Option<Monotonic>,
    /// What came of it.
    pub outcome: String,
}

impl Recovery {
    pub(super) fn begin(now: Monotonic, cause: String) -> Self {
        Self { since: now, cause, steps: Vec::new(), dropped: 0, ended: None }
    }

    pub(super) fn step(&mut self, now: Monotonic, plan: Plan) {
        self.close(now, "broken off");
        if self.steps.len() >= MOST_STEPS {
            self.dropped = self.dropped.saturating_add(1);
            return;
        }
        let (rung, action) = (plan.rung(), plan.words());
        self.steps.push(Step { rung, action, started: now, ended: None, outcome: String::new() });
    }

    /// Ends the step under way.
    pub(super) fn close(&mut self, now: Monotonic, outcome: &str) {
        if let Some(step) = self.steps.last_mut().filter(|step| step.ended.is_none()) {
            step.ended = Some(now);
            outcome.clone_into(&mut step.outcome);
        }
    }

    pub(super) fn end(&mut self, now: Monotonic, outcome: &str) {
        self.close(now, outcome);
        self.ended = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_recovery_keeps_its_first_steps_and_counts_the_rest() {
        let start = Monotonic::from_secs(1);
        let mut recovery = Recovery::begin(start, "the provider ended the call".into());
        for _ in 0..40 {
            recovery.step(start, Plan::Redial);
            recovery.close(start, "failed");
        }
        recovery.end(start, "connected");
        assert_eq!((recovery.steps.len(), recovery.dropped), (32, 8));
        assert_eq!(recovery.steps[31].outcome, "failed");
    }
}
