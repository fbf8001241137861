//! How often something may be done: so many times in a span of time, however often it seems needed.

use std::collections::VecDeque;
use std::time::Duration;

use sysio::Monotonic;

/// An allowance.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    most: usize,
    span: Duration,
    times: VecDeque<Monotonic>,
}

impl Limit {
    pub(crate) fn new(most: usize, span: Duration) -> Self {
        Self { most, span, times: VecDeque::new() }
    }

    /// As [`Limit::new`] with what was done before, by an earlier process.
    pub(crate) fn resumed(most: usize, span: Duration, times: impl IntoIterator<Item = Monotonic>) -> Self {
        let mut limit = Self::new(most, span);
        limit.times.extend(times);
        while limit.times.len() > most {
            limit.times.pop_front();
        }
        limit
    }

    /// Whether `reserve` more than one could be done now.
    pub(crate) fn allows(&mut self, now: Monotonic, reserve: usize) -> bool {
        while self.times.front().is_some_and(|at| now.since(*at) >= self.span) {
            self.times.pop_front();
        }
        self.times.len() + reserve < self.most
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Monotonic) -> bool {
        let allowed = self.allows(now, 0);
        if allowed {
            self.times.push_back(now);
        }
        allowed
    }

    /// When the oldest one is forgotten.
    pub(crate) fn next(&self) -> Option<Monotonic> {
        self.times.front().map(|at| *at + self.span)
    }

    pub(crate) fn times(&self) -> impl Iterator<Item = Monotonic> {
        self.times.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_comes_back_when_its_time_is_over() {
        let mut limit = Limit::new(2, Duration::from_secs(60));
        let at = Monotonic::from_secs;
        assert!(limit.take(at(0)) && limit.take(at(10)) && !limit.take(at(59)));
        assert!(!limit.allows(at(60), 1));
        assert!(limit.take(at(60)) && !limit.take(at(61)));
        assert_eq!(limit.next(), Some(at(70)));
    }
}
