//! Which rung comes next: redial, detach and attach, reopen and probe; and when the dialer says
//! that its own rungs are exhausted and the stick needs a reset from outside.

use std::time::Duration;

use sysio::Monotonic;

use super::{Action, Machine, Recovery, State, Trouble, pace};

/// What the next try does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Rung 1: a fresh call.
    Redial,
    /// Rung 2: leave the packet network and join it again (`+CGATT`).
    Detach,
    /// Rung 2: the radio off and on (`+CFUN`).
    Radio,
    /// Rung 3: look at the bus, open every port anew and probe it.
    Reopen,
}

impl Plan {
    pub(super) fn rung(self) -> u8 {
        match self {
            Self::Redial => 1,
            Self::Detach | Self::Radio => 2,
            Self::Reopen => 3,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Redial => "redial",
            Self::Detach => "detach and attach (AT+CGATT)",
            Self::Radio => "radio off and on (AT+CFUN)",
            Self::Reopen => "reopen and probe every port",
        }
    }
}

/// "This stick needs a reset from outside."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// Which stick.
    pub usb_path: String,
    /// Its `vendor:product`.
    pub id: String,
    /// Since when it is said.
    pub since: Monotonic,
    /// Why.
    pub reason: String,
    /// When it is taken back although nothing changed: failing calls alone are no reason to go on
    /// resetting for the length of a provider's outage. `None`: not before the stick answers.
    pub(super) until: Option<Monotonic>,
}

/// Failures since a call last held.
#[derive(Debug, Default)]
pub(super) struct Ladder {
    /// Failed tries while the stick answered.
    answering: u32,
    /// When the first of them was.
    since: Option<Monotonic>,
    /// Whether the radio was switched off and on since.
    radio: bool,
    /// How often failing calls were called stuck without a call that held.
    hopeless: u32,
}

/// Calls that fail this often although the stick answers: leave the network and join it again.
/// Three redials are some seconds; `+CGATT` costs as much and drops nothing that still works.
const DETACH_AT: u32 = 3;
/// And if that did not help for as many more: the radio. Then it begins again.
const RADIO_AT: u32 = 6;
/// Every rung failed for so long: a reset from outside may help. The next time it is longer,
/// because by then the provider is the likelier cause.
const HOPELESS_AFTER: [Duration; 4] = [
    Duration::from_secs(180),
    Duration::from_secs(600),
    Duration::from_secs(1800),
    Duration::from_secs(3600),
];
/// How long failing calls stand as "stuck": the resetting daemon looks every second or so.
pub(super) const HOPELESS_STANDS: Duration = Duration::from_secs(60);

impl Ladder {
    /// A call held: everything before is settled.
    pub(super) fn settle(&mut self) {
        *self = Self::default();
    }

    /// Plans after a failure.
    fn plan(&mut self, now: Monotonic, trouble: &Trouble) -> Plan {
        if trouble.needs_a_person() {
            return Plan::Redial;
        }
        self.since.get_or_insert(now);
        if matches!(trouble, Trouble::NoAnswer(_)) {
            return Plan::Reopen;
        }
        self.answering = self.answering.saturating_add(1);
        let plan = match trouble {
            // Each of these took minutes of asking before: the radio at once, every other time.
            Trouble::NotRegistered(_) | Trouble::RegistrationDenied | Trouble::SimFailed(_) => {
                if self.answering % 2 == 1 { Plan::Radio } else { Plan::Reopen }
            }
            _ => match self.answering % RADIO_AT {
                DETACH_AT => Plan::Detach,
                0 => Plan::Radio,
                _ => Plan::Redial,
            },
        };
        self.radio |= plan == Plan::Radio;
        plan
    }

    /// Whether every rung failed for long. A network that refuses the SIM is not impressed by a
    /// reset of the stick.
    fn hopeless(&mut self, now: Monotonic, trouble: &Trouble) -> bool {
        let patience = HOPELESS_AFTER[(self.hopeless as usize).min(HOPELESS_AFTER.len() - 1)];
        // A card that still fails after the radio was off needs its power taken; why wait.
        let card = matches!(trouble, Trouble::SimFailed(_)) && self.answering > 1 && self.hopeless == 0;
        let patience = if card { Duration::ZERO } else { patience };
        let tried = self.radio || matches!(trouble, Trouble::NoAnswer(_));
        let resettable = !trouble.needs_a_person() && *trouble != Trouble::RegistrationDenied;
        let long = self.since.is_some_and(|since| now.since(since) >= patience);
        if !(tried && resettable && long) {
            return false;
        }
        *self = Self { hopeless: self.hopeless.saturating_add(1), ..Self::default() };
        true
    }
}

impl Machine {
    /// Gives up this try and plans the next one.
    pub(super) fn fail(&mut self, now: Monotonic, trouble: Trouble) -> Vec<Action> {
        let plan = self.ladder.plan(now, &trouble);
        self.fail_with(now, trouble, plan)
    }

    /// As [`Machine::fail`], with the rung already known.
    pub(super) fn fail_with(&mut self, now: Monotonic, trouble: Trouble, plan: Plan) -> Vec<Action> {
        self.attempt = self.attempt.saturating_add(1);
        self.note_failure(now, &trouble);
        if self.ladder.hopeless(now, &trouble) {
            let reason = format!("every rung failed for minutes: {trouble}");
            self.set_stuck(now, reason, Some(now + HOPELESS_STANDS));
        }
        let mut wait = self.wait_before(plan, &trouble);
        if self.session {
            // pppd says goodbye first; its end cuts this short.
            wait = wait.max(pace::SESSION_END);
        }
        self.plan = Some(plan);
        self.trouble = Some(trouble);
        self.state = State::Waiting { until: now + wait };
        let mut actions = self.release();
        if plan == Plan::Reopen {
            // A port that does not answer may be a stick that is gone, and nobody told.
            actions.push(Action::Scan);
        }
        actions
    }

    /// The first failure of a stick that worked is looked into at once; the rest is paced.
    fn wait_before(&self, plan: Plan, trouble: &Trouble) -> Duration {
        if plan == Plan::Reopen && self.answered && self.stuck.is_none() {
            return pace::REOPEN;
        }
        pace::backoff(self.attempt, self.jitter).max(pace::least_wait(trouble))
    }

    /// Stops until a person has acted, or something changed by itself.
    pub(super) fn block(&mut self, now: Monotonic, trouble: Trouble) -> Vec<Action> {
        if let Some(recovery) = &mut self.recovery {
            recovery.close(now, &trouble.to_string());
        }
        self.ladder.settle();
        self.plan = None;
        self.trouble = Some(trouble);
        self.state = State::Blocked { until: now + pace::BLOCKED_RECHECK };
        self.release()
    }

    /// The link was there and is gone.
    pub(super) fn note_loss(&mut self, now: Monotonic, cause: &str) {
        if self.recovery.as_ref().is_none_or(|recovery| recovery.ended.is_some()) {
            self.recovery = Some(Recovery::begin(now, cause.to_owned()));
        }
    }

    fn note_failure(&mut self, now: Monotonic, trouble: &Trouble) {
        let words = trouble.to_string();
        self.note_loss(now, &words);
        if let Some(recovery) = &mut self.recovery {
            recovery.close(now, &words);
        }
    }

    /// What was aimed at is reached.
    pub(super) fn note_success(&mut self, now: Monotonic, outcome: &str) {
        if let Some(recovery) = self.recovery.as_mut().filter(|recovery| recovery.ended.is_none()) {
            recovery.end(now, outcome);
        }
    }

    pub(super) fn set_stuck(&mut self, now: Monotonic, reason: String, until: Option<Monotonic>) {
        if self.stuck.is_some() {
            return;
        }
        let Some(stick) = self.chosen() else { return };
        let (usb_path, id) = (stick.usb_path.clone(), stick.id.clone());
        self.stuck = Some(Stuck { usb_path, id, since: now, reason, until });
    }

    /// The stick answered: what was said for its silence is taken back.
    pub(super) fn answered(&mut self) {
        self.answered = true;
        self.stuck = self.stuck.take().filter(|stuck| stuck.until.is_some());
    }

    /// A whole round over every port brought no sane answer.
    pub(super) fn round_failed(&mut self, now: Monotonic, detail: String) -> Vec<Action> {
        let patience = self.oddities().map_or(pace::STICK_BOOTS, |odd| odd.slow_start.max(pace::STICK_BOOTS));
        let booted = now.since(self.appeared) >= patience;
        if self.answered || booted {
            self.set_stuck(now, detail.clone(), None);
        }
        let other = self.stuck.as_ref().is_some_and(|stuck| now.since(stuck.since) >= pace::USE_ANOTHER);
        if other && let Some(actions) = self.use_another(now) {
            return actions;
        }
        self.fail_with(now, Trouble::NoAnswer(detail), Plan::Reopen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call_failed() -> Trouble {
        Trouble::CallFailed("NO CARRIER".into())
    }

    #[test]
    fn climbs_from_redials_to_detach_to_the_radio_and_begins_again() {
        let mut ladder = Ladder::default();
        let plans: Vec<Plan> = (0..9).map(|s| ladder.plan(Monotonic::from_secs(s), &call_failed())).collect();
        assert_eq!(
            plans[..6],
            [Plan::Redial, Plan::Redial, Plan::Detach, Plan::Redial, Plan::Redial, Plan::Radio]
        );
        assert_eq!(plans[6..], plans[..3]);
    }

    #[test]
    fn a_reset_is_asked_for_after_minutes_and_each_time_later() {
        let mut ladder = Ladder::default();
        let mut asked = Vec::new();
        for second in (0..7200).step_by(4) {
            let now = Monotonic::from_secs(second);
            ladder.plan(now, &call_failed());
            if ladder.hopeless(now, &call_failed()) {
                asked.push(second);
            }
        }
        assert_eq!(asked.len(), 4, "{asked:?}");
        assert!((180..200).contains(&asked[0]), "{asked:?}");
        assert!(asked[2] - asked[1] > 2 * (asked[1] - asked[0]), "{asked:?}");
    }

    #[test]
    fn a_card_that_fails_after_the_radio_was_off_asks_for_a_reset_at_once() {
        let mut ladder = Ladder::default();
        let failed = Trouble::SimFailed("SIM failure".into());
        let asked = [0, 20, 40].map(|second| {
            let now = Monotonic::from_secs(second);
            let plan = ladder.plan(now, &failed);
            (plan, ladder.hopeless(now, &failed))
        });
        assert_eq!(asked[..2], [(Plan::Radio, false), (Plan::Reopen, true)]);
        assert!(!asked[2].1, "the next time it is patient");
    }

    #[test]
    fn no_reset_is_asked_for_what_a_person_or_the_network_decides() {
        for trouble in [Trouble::AuthRefused("no".into()), Trouble::RegistrationDenied, Trouble::RoamingOff] {
            let mut ladder = Ladder::default();
            for second in 0..10_000 {
                let now = Monotonic::from_secs(second);
                ladder.plan(now, &trouble);
                assert!(!ladder.hopeless(now, &trouble), "{trouble:?}");
            }
        }
    }
}
