//! The longest silence, pure.

use std::time::{Duration, Instant};

/// When something last came, and the longest time nothing did.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gaps {
    last: Option<Instant>,
    longest: Duration,
}

impl Gaps {
    /// Something came. Silence before the first time is no gap: nothing was there to break.
    pub fn came(&mut self, now: Instant) {
        self.longest = self.longest(now);
        self.last = Some(now);
    }

    /// The longest silence, the present one included.
    pub fn longest(&self, now: Instant) -> Duration {
        self.longest.max(self.last.map_or(Duration::ZERO, |last| now.saturating_duration_since(last)))
    }

    /// Whether anything ever came.
    pub fn any(&self) -> bool {
        self.last.is_some()
    }

    /// Silences until now do not count.
    pub fn forget(&mut self, now: Instant) {
        self.longest = Duration::ZERO;
        self.last = self.last.map(|_| now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_silence_counts_the_present_one_too() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut gaps = Gaps::default();
        assert_eq!((gaps.longest(at(9)), gaps.any()), (Duration::ZERO, false));
        for second in [10, 11, 15, 16] {
            gaps.came(at(second));
        }
        assert_eq!(gaps.longest(at(17)), Duration::from_secs(4));
        assert_eq!(gaps.longest(at(22)), Duration::from_secs(6));
        gaps.forget(at(22));
        assert_eq!(gaps.longest(at(23)), Duration::from_secs(1));
    }
}
