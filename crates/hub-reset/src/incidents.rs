//! What happened and what each rung did about it; bounded, and it survives a reboot (pure).

use serde::{Deserialize, Serialize};

/// So many are kept, newest last.
pub const MOST: usize = 100;
/// And so many bytes on disk.
pub const MOST_BYTES: usize = 64 * 1024;
/// So many steps of one incident; the rest is counted.
pub const MOST_STEPS: usize = 48;

/// One thing that was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Rung of the ladder, 1 to 6.
    pub rung: u8,
    /// What.
    pub action: String,
    /// In which boot.
    pub boot: u32,
    /// Milliseconds of that boot.
    pub started_ms: u64,
    /// The same; none while it lasts.
    pub ended_ms: Option<u64>,
    /// How it went.
    pub outcome: String,
}

/// From the loss to the return.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// What was wrong.
    pub cause: String,
    /// Port and id of the stick.
    pub stick: Option<String>,
    /// Boot in which it began.
    pub boot: u32,
    /// Milliseconds of that boot.
    pub since_ms: u64,
    /// The same by the wall clock, if that was plausible.
    pub wall: Option<String>,
    /// What was done, in order.
    pub steps: Vec<Step>,
    /// Steps that had no room.
    pub dropped: u32,
    /// The dialer's steps up to this one (boot, milliseconds) had their turn: none is counted twice.
    #[serde(default)]
    pub dropped_until: Option<(u32, u64)>,
    /// Boot and milliseconds of its end; none while it lasts.
    pub ended: Option<(u32, u64)>,
    /// How it ended.
    pub outcome: String,
}

impl Incident {
    /// Adds a step. Where room is short the oldest goes, but not the first: how it began and how it
    /// went last say most.
    pub fn begin(&mut self, step: Step) {
        if self.steps.len() >= MOST_STEPS {
            let ended = self.steps.iter().skip(1).position(|step| step.ended_ms.is_some());
            let old = self.steps.remove(ended.unwrap_or_default() + 1);
            self.dropped += 1;
            if old.rung < 4 {
                self.dropped_until = self.dropped_until.max(Some((old.boot, old.started_ms)));
            }
        }
        self.steps.push(step);
    }

    /// Ends the last step of ours that has not ended; the dialer's are its own to end.
    pub fn finish(&mut self, now_ms: u64, outcome: &str) {
        if let Some(step) = self.steps.iter_mut().rev().find(|step| step.rung >= 4 && step.ended_ms.is_none())
        {
            step.ended_ms = Some(now_ms);
            outcome.clone_into(&mut step.outcome);
        }
    }

    /// Takes over what the dialer did itself; what it said before is replaced.
    pub fn merge(&mut self, boot: u32, dialer: &[Step]) {
        let first = self.since_ms;
        let mut grown = false;
        for step in dialer {
            let same = |own: &&mut Step| {
                own.rung == step.rung && own.boot == boot && own.started_ms == step.started_ms
            };
            match self.steps.iter_mut().find(same) {
                Some(own) => *own = Step { boot, ..step.clone() },
                None if self.dropped_until >= Some((boot, step.started_ms)) => {}
                None if step.ended_ms.is_none_or(|end| end + RECENT_MS >= first) => {
                    grown = true;
                    self.begin(Step { boot, ..step.clone() });
                }
                None => {}
            }
        }
        if grown {
            self.steps.sort_by_key(|step| (step.boot, step.started_ms));
        }
    }

    /// It went as far as the rungs of hub-reset.
    pub fn is_grave(&self) -> bool {
        self.steps.iter().any(|step| step.rung >= 4)
    }
}

/// What the dialer did up to so long before an incident belongs to it.
const RECENT_MS: u64 = 120_000;

/// All that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Oldest first.
    pub incidents: Vec<Incident>,
}

impl History {
    /// From a file.
    ///
    /// # Errors
    /// If it cannot be understood.
    pub fn parse(content: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(content)
    }

    /// Adds one. Where room is short, those that a redial cured go first.
    pub fn push(&mut self, incident: Incident) {
        self.incidents.push(incident);
        while self.incidents.len() > MOST || self.bytes().len() > MOST_BYTES {
            let light = self.incidents.iter().position(|incident| !incident.is_grave());
            // Not the one that was just added, unless it is alone.
            let at = light.filter(|at| at + 1 < self.incidents.len()).unwrap_or(0);
            self.incidents.remove(at);
        }
    }

    /// As it is written.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Takes out the one that had not ended when power or process went.
    pub fn take_open(&mut self) -> Option<Incident> {
        let open = self.incidents.iter().rposition(|incident| incident.ended.is_none())?;
        Some(self.incidents.remove(open))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(rung: u8, started_ms: u64, ended_ms: Option<u64>) -> Step {
        Step { rung, action: "x".repeat(60), started_ms, ended_ms, ..Step::default() }
    }

    #[test]
    fn stays_within_its_bounds_and_keeps_the_grave_ones() {
        let mut history = History::default();
        history.push(Incident { steps: vec![step(5, 1, None)], ..Incident::default() });
        for number in 0..500 {
            let steps = (0..40).map(|i| step(1, i, Some(i))).collect();
            history.push(Incident { since_ms: number, steps, ..Incident::default() });
        }
        assert!(history.bytes().len() <= MOST_BYTES && history.incidents.len() <= MOST);
        assert!(history.incidents[0].is_grave());
        assert_eq!(history.incidents.last().unwrap().since_ms, 499);
        assert_eq!(History::parse(&history.bytes()).unwrap(), history);
    }

    #[test]
    fn steps_of_the_dialer_are_taken_once_and_in_order() {
        let mut incident = Incident { since_ms: 200_000, ..Incident::default() };
        incident.begin(step(5, 210_000, None));
        incident.merge(0, &[step(1, 10, Some(20)), step(3, 195_000, None)]);
        incident.merge(0, &[step(3, 195_000, Some(200_000))]);
        let rungs: Vec<_> = incident.steps.iter().map(|s| (s.rung, s.ended_ms)).collect();
        assert_eq!(rungs, [(3, Some(200_000)), (5, None)]);
    }

    #[test]
    fn a_step_of_the_dialer_does_not_take_the_outcome_of_ours() {
        let mut incident = Incident::default();
        incident.begin(step(5, 10, None));
        incident.merge(0, &[step(3, 20, None)]);
        incident.finish(30, "helped");
        assert_eq!((incident.steps[0].ended_ms, incident.steps[0].outcome.as_str()), (Some(30), "helped"));
        assert_eq!(incident.steps[1].ended_ms, None);
    }

    #[test]
    fn steps_are_bounded_and_the_rest_counted() {
        let mut incident = Incident::default();
        (0..60).for_each(|i| incident.begin(step(4, i, Some(i))));
        assert_eq!((incident.steps.len(), incident.dropped), (MOST_STEPS, 12));
        let kept: Vec<u64> = incident.steps.iter().map(|step| step.started_ms).collect();
        assert_eq!((kept[0], kept[1], kept[MOST_STEPS - 1]), (0, 13, 59), "the first and the newest");
    }

    #[test]
    fn a_step_that_had_no_room_is_counted_once() {
        let mut incident = Incident::default();
        let dialer: Vec<Step> = (0..30).map(|i| step(1, i, Some(i))).collect();
        incident.merge(0, &dialer);
        (100..140).for_each(|i| incident.begin(step(4, i, Some(i))));
        let dropped = incident.dropped;
        assert_eq!(dropped, 22);
        (0..5).for_each(|_| incident.merge(0, &dialer));
        assert_eq!((incident.dropped, incident.steps.len()), (dropped, MOST_STEPS));
    }

    #[test]
    fn the_open_one_is_found_again() {
        let mut history = History::default();
        history.push(Incident { since_ms: 1, ended: Some((0, 2)), ..Incident::default() });
        history.push(Incident { since_ms: 3, ..Incident::default() });
        assert_eq!(history.take_open().unwrap().since_ms, 3);
        assert_eq!(history.take_open(), None);
    }
}
