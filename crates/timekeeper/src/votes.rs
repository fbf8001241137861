//! Which time is believed, of several that were told. Pure.

use ruleset::marks::Line;

use crate::utc::BootedAt;

/// So many operators must agree; one alone may be wrong, or be somebody on the way.
pub const OPERATORS_LEAST: usize = 2;

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Whose.
    pub operator: &'static str,
    /// Over which line.
    pub line: Line,
    /// What it says.
    pub booted_at: BootedAt,
}

/// What several say together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// That.
    Agreed(BootedAt),
    /// Fewer than [`OPERATORS_LEAST`] operators said anything.
    TooFew,
    /// No majority of votes with enough operators in it.
    Disagreed,
}

/// Judges votes that may differ by `tolerance` milliseconds. A majority counts over all lines: a router
/// that answers for everybody on one line wins no vote against another line.
pub fn judge(votes: &[Vote], tolerance: i64) -> Verdict {
    if operators(votes) < OPERATORS_LEAST {
        return Verdict::TooFew;
    }
    let mut sorted = votes.to_vec();
    sorted.sort_by_key(|vote| vote.booted_at);
    let window = |first: usize| {
        let limit = sorted[first].booted_at.0.saturating_add(tolerance);
        let length = sorted[first..].iter().take_while(|vote| vote.booted_at.0 <= limit).count();
        &sorted[first..first + length]
    };
    let most =
        (0..sorted.len()).map(window).filter(|w| operators(w) >= OPERATORS_LEAST).max_by_key(|w| w.len());
    match most {
        Some(window) if window.len() * 2 > votes.len() => Verdict::Agreed(window[window.len() / 2].booted_at),
        _ => Verdict::Disagreed,
    }
}

fn operators(votes: &[Vote]) -> usize {
    let first = |n: usize| votes[..n].iter().all(|other| other.operator != votes[n].operator);
    (0..votes.len()).filter(|n| first(*n)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vote(operator: &'static str, line: Line, ms: i64) -> Vote {
        Vote { operator, line, booted_at: BootedAt(ms) }
    }

    #[test]
    fn two_operators_of_three_are_believed() {
        let votes = [("a", 1_000), ("b", 900_000), ("c", 1_500)].map(|(o, ms)| vote(o, Line::Wired, ms));
        assert!(matches!(judge(&votes, 3_000), Verdict::Agreed(BootedAt(1_000 | 1_500))));
    }

    #[test]
    fn one_operator_is_none_however_often_it_is_heard() {
        let votes = [vote("a", Line::Wired, 1), vote("a", Line::Cellular, 1)];
        assert_eq!(judge(&votes, 3_000), Verdict::TooFew);
        assert_eq!(judge(&[], 3_000), Verdict::TooFew);
    }

    #[test]
    fn a_router_that_answers_for_everybody_wins_no_vote_against_the_other_line() {
        let all = ["a", "b", "c"];
        let mut votes: Vec<Vote> = all.iter().map(|o| vote(o, Line::Wired, 0)).collect();
        votes.extend(all.iter().map(|o| vote(o, Line::Cellular, 80_000)));
        assert_eq!(judge(&votes, 3_000), Verdict::Disagreed);
    }

    #[test]
    fn two_who_differ_are_no_majority() {
        assert_eq!(
            judge(&[vote("a", Line::Wired, 0), vote("b", Line::Wired, 4_000)], 3_000),
            Verdict::Disagreed
        );
    }

    proptest! {
        #[test]
        fn what_is_believed_is_near_a_majority_of_two_operators(
            times in proptest::collection::vec((0_usize..4, any::<bool>(), -9_000_i64..9_000), 0..9),
        ) {
            let votes: Vec<Vote> = times
                .iter()
                .map(|(o, wired, ms)| vote(["a", "b", "c", "d"][*o], if *wired { Line::Wired } else { Line::Cellular }, *ms))
                .collect();
            if let Verdict::Agreed(BootedAt(agreed)) = judge(&votes, 3_000) {
                let near: Vec<Vote> =
                    votes.iter().copied().filter(|v| v.booted_at.0.abs_diff(agreed) <= 3_000).collect();
                prop_assert!(near.len() * 2 > votes.len() && operators(&near) >= 2);
            }
        }

        #[test]
        fn any_times_are_judged(times in proptest::collection::vec(any::<i64>(), 0..6)) {
            let votes: Vec<Vote> =
                times.iter().enumerate().map(|(n, ms)| vote(["a", "b"][n % 2], Line::Wired, *ms)).collect();
            let _ = judge(&votes, 3_000);
        }
    }
}
