//! Rules that go away again unless somebody confirms them, so that nobody locks themselves out.

use ruleset::Policy;
use std::time::Duration;
use sysio::Monotonic;

/// How long the outcome is told.
const TOLD: Duration = Duration::from_secs(600);

/// How a trial stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// In force until then; this was before.
    Waiting {
        until: Monotonic,
        before: Box<Policy>,
    },
    Confirmed,
    RolledBack,
    Refused(String),
}

/// The last trial.
#[derive(Debug, Default)]
pub(crate) struct Trial {
    id: String,
    last: Option<(Monotonic, State)>,
}

impl Trial {
    /// New rules are in force; `before` comes back at `until`. A trial within a trial goes back to what
    /// was confirmed.
    pub(crate) fn begin(&mut self, now: Monotonic, id: String, until: Monotonic, before: Policy) {
        let before = match self.last.take() {
            Some((_, State::Waiting { before, .. })) => before,
            _ => Box::new(before),
        };
        self.id = id;
        self.last = Some((now, State::Waiting { until, before }));
    }

    /// New rules were refused and changed nothing. A trial that waits goes on waiting.
    pub(crate) fn refused(&mut self, now: Monotonic, id: String, why: String) {
        if self.deadline().is_none() {
            self.id = id;
            self.last = Some((now, State::Refused(why)));
        }
    }

    /// Somebody is still able to say so. Whether anything waited for it.
    pub(crate) fn confirm(&mut self, now: Monotonic) -> bool {
        let waited = self.deadline().is_some();
        if waited {
            self.last = Some((now, State::Confirmed));
        }
        waited
    }

    /// What is to come back, when nobody confirmed in time.
    pub(crate) fn expire(&mut self, now: Monotonic) -> Option<Policy> {
        if self.deadline().is_none_or(|until| now < until) {
            return None;
        }
        match self.last.replace((now, State::RolledBack)) {
            Some((_, State::Waiting { before, .. })) => Some(*before),
            _ => None,
        }
    }

    /// What comes back at the end has to follow what is learned meanwhile, such as the quota.
    pub(crate) fn before(&mut self) -> Option<&mut Policy> {
        match &mut self.last {
            Some((_, State::Waiting { before, .. })) => Some(before),
            _ => None,
        }
    }

    pub(crate) fn deadline(&self) -> Option<Monotonic> {
        match &self.last {
            Some((_, State::Waiting { until, .. })) => Some(*until),
            _ => None,
        }
    }

    pub(crate) fn was_rolled_back(&self, now: Monotonic) -> bool {
        matches!(&self.last, Some((at, State::RolledBack)) if now.since(*at) < TOLD)
    }

    /// Its id, one word, and why it was refused.
    pub(crate) fn words(&self) -> Option<(&str, &'static str, Option<&str>)> {
        let (_, state) = self.last.as_ref()?;
        let (word, why) = match state {
            State::Waiting { .. } => ("waiting", None),
            State::Confirmed => ("confirmed", None),
            State::RolledBack => ("rolled-back", None),
            State::Refused(why) => ("refused", Some(why.as_str())),
        };
        Some((&self.id, word, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(port: u16) -> Policy {
        let mut policy = Policy::standard("eth0".parse().unwrap());
        policy.open_ports[0].port = port;
        policy
    }

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_secs(seconds)
    }

    #[test]
    fn what_nobody_confirms_goes_back_once() {
        let mut trial = Trial::default();
        trial.begin(at(1), "a".to_owned(), at(31), policy(1));
        assert_eq!(trial.expire(at(30)), None);
        assert_eq!(trial.expire(at(31)), Some(policy(1)));
        assert_eq!(trial.expire(at(32)), None);
        assert!(!trial.confirm(at(33)));
        assert!(trial.was_rolled_back(at(33)) && !trial.was_rolled_back(at(31) + TOLD));
    }

    #[test]
    fn what_is_confirmed_stays() {
        let mut trial = Trial::default();
        trial.begin(at(1), "a".to_owned(), at(31), policy(1));
        assert!(trial.confirm(at(30)));
        assert_eq!((trial.expire(at(99)), trial.deadline()), (None, None));
    }

    #[test]
    fn a_second_trial_goes_back_to_what_was_confirmed() {
        let mut trial = Trial::default();
        trial.begin(at(1), "a".to_owned(), at(31), policy(1));
        trial.begin(at(5), "b".to_owned(), at(35), policy(2));
        // A refused one in between takes nobody's time to confirm.
        trial.refused(at(6), "c".to_owned(), "no".to_owned());
        assert_eq!(trial.words(), Some(("b", "waiting", None)));
        assert_eq!(trial.expire(at(35)), Some(policy(1)));
    }
}
