//! From what is known to the verdict.

use sysio::Monotonic;

use crate::classify::{Finding, classify, is_good};
use crate::flight::Fate;
use crate::pace::{BLIND, LOSSY_FROM, LOSSY_UNTIL};
use crate::track::{Life, Track};
use crate::watch::{Scope, Watch};
use crate::{Action, Part, State, words};

/// How bad a state is: what is worse is said at once, what is better has to hold.
fn badness(state: State) -> u8 {
    match state {
        State::Up => 0,
        State::Partial(Part::Ipv6) => 1,
        State::Lossy => 2,
        State::Partial(_) => 3,
        State::Down => 4,
        State::Unknown => 5,
    }
}

/// After everybody was asked, this long nobody is asked again for the same reason.
const CALM: std::time::Duration = std::time::Duration::from_secs(3);

impl Watch {
    pub(crate) fn judge(&mut self, actions: &mut Vec<Action>) {
        if !self.link {
            return;
        }
        if self.tracks.is_empty() {
            return self.say(State::Unknown, words::NO_TARGETS.to_owned(), actions);
        }
        if let (Some(why), true) = (&self.unsent, self.now.since(self.told) >= BLIND) {
            let reason = words::blind(why);
            (self.better, self.doubt) = (None, None);
            return self.say(State::Unknown, reason, actions);
        }
        if self.verdict.state != State::Down && self.is_dead_silence() {
            return self.fall(actions);
        }
        self.widen_doubt();
        self.settle_doubt();
        if self.doubt.is_none() {
            self.conclude(actions);
        }
    }

    /// Nothing comes back, though somebody who should have answered was asked.
    pub(crate) fn is_silent(&self) -> bool {
        let unanswered = |place: usize| self.tracks.get(place).is_some_and(|t| !t.accounted);
        self.alarmed || self.flight.since(self.life).any(|s| s.fate == Fate::Failed && unanswered(s.track))
    }

    /// Long enough, and from every operator and kind that answered before.
    fn is_dead_silence(&self) -> bool {
        let pace = self.pace();
        if self.now.since(self.life) < pace.silence {
            return false;
        }
        let counts = |t: &Track| !t.accounted && (t.sort.is_cheap() || !self.is_metered());
        let asked: Vec<_> = self.flight.since(self.life).filter(|s| counts(&self.tracks[s.track])).collect();
        let silent = asked.iter().filter(|s| s.is_silent(self.now, pace.unanswered)).count();
        let heard = |matches: &dyn Fn(&Track) -> bool| {
            let mut of = asked.iter().filter(|s| matches(&self.tracks[s.track])).peekable();
            // What could not be asked (no name, refused by our own kernel) does not hold up the others.
            of.peek().is_some() && of.any(|s| s.fate == Fate::Void || s.is_silent(self.now, pace.unanswered))
        };
        silent >= pace.needed
            && self.tracks.iter().filter(|t| counts(t)).all(|t| {
                heard(&|other| other.target.operator == t.target.operator)
                    && heard(&|other| other.sort == t.sort)
            })
    }

    fn fall(&mut self, actions: &mut Vec<Action>) {
        self.tracks.iter_mut().for_each(Track::kill);
        self.say(State::Down, self.down_reason(), actions);
        self.recount();
        self.doubt = None;
        self.down_gap = self.pace().down_first;
        self.down_due = self.now + self.down_gap;
    }

    fn down_reason(&self) -> String {
        /// A few packets may be strays.
        const STRAYS: u64 = 5;
        let mut reason = words::down(&self.tracks);
        if self.passive.unasked > STRAYS {
            reason += &words::asymmetric(self.passive.unasked);
        }
        reason
    }

    /// One operator in trouble is his; a second makes everybody worth a question.
    fn widen_doubt(&mut self) {
        /// A single lost packet is nothing.
        const TWICE: u32 = 2;
        let all = |d: crate::watch::Doubt| matches!(d.scope, Scope::All | Scope::Cheap);
        if self.doubt.is_some_and(all) {
            return;
        }
        let down = self.verdict.state == State::Down;
        let healing = self.tracks.iter().any(|t| t.life == Life::Dead && t.wins > 0)
            && matches!(self.verdict.state, State::Down | State::Partial(_));
        if healing && (down || self.now >= self.calm_until) {
            return self.look_everywhere();
        }
        if down || self.now < self.calm_until {
            return;
        }
        let in_trouble = |t: &&Track| t.life == Life::Dead || t.fails >= TWICE;
        let mut operators: Vec<&str> =
            self.tracks.iter().filter(in_trouble).map(|t| t.target.operator.as_str()).collect();
        operators.sort_unstable();
        operators.dedup();
        let news = self.tracks.iter().filter(in_trouble).any(|t| !t.accounted);
        // While nothing at all comes back, the waves ask.
        if operators.len() >= 2 && news && !self.is_silent() {
            self.look_everywhere();
        }
    }

    fn settle_doubt(&mut self) {
        let Some(doubt) = self.doubt else { return };
        let scope = |t: &Track| doubt.scope.includes(t);
        let settled = self.tracks.iter().filter(|t| scope(t)).all(|t| t.settled(doubt.since));
        let late = self.now >= doubt.since + self.pace().doubt_longest;
        let fresh = self.verdict.state == State::Unknown && is_good(&self.tracks, scope);
        if settled || late || fresh {
            self.doubt = None;
            if doubt.scope == Scope::All {
                self.calm_until = self.now + CALM;
            }
        }
    }

    fn conclude(&mut self, actions: &mut Vec<Action>) {
        let finding = self.finding();
        if !self.is_silent() {
            self.tracks.iter_mut().filter(|t| t.life == Life::Dead).for_each(|t| t.accounted = true);
        }
        let (old, new) = (self.verdict.state, finding.state);
        if new == old {
            self.better = None;
            // The state's words may change with its particulars; that is not worth a message.
            if old != State::Down {
                self.verdict.reason = finding.reason;
            }
        } else if new == State::Down {
            self.fall(actions);
        } else if badness(new) > badness(old) || old == State::Unknown || self.has_held(new) {
            self.say(new, finding.reason, actions);
        }
    }

    fn finding(&mut self) -> Finding {
        let finding = self.finding.get_or_insert_with(|| classify(&self.tracks)).clone();
        if finding.state == State::Down {
            return Finding { reason: self.down_reason(), ..finding };
        }
        let Some(loss) = self.loss_percent() else {
            return self.still_lossy(finding);
        };
        let limit = if self.verdict.state == State::Lossy { LOSSY_UNTIL } else { LOSSY_FROM };
        if loss >= limit && badness(finding.state) < badness(State::Lossy) {
            let reason = words::lossy(loss, self.pace().loss_window.as_secs());
            return Finding { state: State::Lossy, reason };
        }
        finding
    }

    /// Too few probes to tell: a lossy line stays so until it was asked enough, or until a whole window
    /// has passed.
    fn still_lossy(&self, finding: Finding) -> Finding {
        let judged = self.verdict.state == State::Lossy && badness(finding.state) < badness(State::Lossy);
        if judged && self.now.since(self.verdict.since) < self.pace().loss_window {
            return Finding { state: State::Lossy, reason: self.verdict.reason.clone() };
        }
        finding
    }

    /// `state` has been better than what is said for long enough.
    fn has_held(&mut self, state: State) -> bool {
        match self.better {
            Some((candidate, since)) if candidate == state => self.now.since(since) >= self.pace().hold,
            _ => {
                self.better = Some((state, self.now));
                false
            }
        }
    }

    pub(crate) fn better_deadline(&self) -> Option<Monotonic> {
        self.better.filter(|_| self.doubt.is_none()).map(|(_, since)| since + self.pace().hold)
    }

    pub(crate) fn say(&mut self, state: State, reason: String, actions: &mut Vec<Action>) {
        self.better = None;
        if self.verdict.state == state && self.verdict.reason == reason {
            return;
        }
        let news = self.verdict.state != state || self.verdict.since == Monotonic::default();
        if news {
            self.verdict.since = self.now;
        }
        self.verdict.state = state;
        self.verdict.reason = reason;
        actions.push(Action::Changed(self.verdict.clone()));
    }

    /// When a silence may have to be judged.
    pub(crate) fn silence_deadline(&self) -> Option<Monotonic> {
        (self.verdict.state != State::Down && self.is_silent()).then(|| self.life + self.pace().silence)
    }
}
