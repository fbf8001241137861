//! When a card is up, and when it is not any more; pure.

use std::time::Duration;

use modem_proto::machine::Link;
use sysio::Monotonic;

/// From plugging it in to a lease: `HiLink` sticks boot an operating system and begin to answer DHCP
/// while they still register (`ModemManager` and `OpenWrt`'s `ncm` wait 10 to 30 s likewise).
const LEASE: Duration = Duration::from_secs(30);
/// Looks in a row at which its router did not answer. The kernel itself has asked three times, 1 s apart,
/// before it says so (`mcast_solicit` and `retrans_time`, arp(7)).
const SILENT_LOOKS: u8 = 2;
/// After it was plugged in anew.
const AFTER_REPLUG: Duration = Duration::from_secs(6);
/// A lost carrier or lease that comes back within this was a hiccup.
const HICCUP: Duration = Duration::from_secs(3);

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Observation {
    /// The interface exists.
    pub(super) present: bool,
    /// The stick says that its network is connected.
    pub(super) carrier: bool,
    /// The address, the gateway and so on, once there is a lease.
    pub(super) link: Option<Link>,
    /// Whether the gateway answers; `None` while nobody knows.
    pub(super) answers: Option<bool>,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A link, or another one than before.
    Up(Link),
    /// Take it down and up again.
    Replug,
    /// It has no address (any more).
    Lost(String),
    /// It is there and says nothing: it hangs.
    Silent(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Starting { until: Monotonic },
    Up { link: Link, unanswered: u8, gone_since: Option<Monotonic>, replugged: Option<Monotonic> },
    Over,
}

#[derive(Debug)]
pub(super) struct Machine {
    state: State,
}

impl Machine {
    pub(super) fn new(now: Monotonic) -> Self {
        Self { state: State::Starting { until: now + LEASE } }
    }

    pub(super) fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    pub(super) fn step(&mut self, now: Monotonic, seen: Observation) -> Option<Outcome> {
        if self.state == State::Over {
            return None;
        }
        if !seen.present {
            return Some(self.over(Outcome::Lost("the stick's network card is gone".to_owned())));
        }
        match self.state {
            State::Starting { until } => self.starting(now, until, seen),
            _ => self.up(now, seen),
        }
    }

    fn starting(&mut self, now: Monotonic, until: Monotonic, seen: Observation) -> Option<Outcome> {
        if let Some(link) = seen.link.filter(|_| seen.carrier) {
            self.state = State::Up { link: link.clone(), unanswered: 0, gone_since: None, replugged: None };
            return Some(Outcome::Up(link));
        }
        if now < until {
            return None;
        }
        let why = if seen.carrier {
            format!("no address from the stick within {} s", LEASE.as_secs())
        } else {
            format!("the stick did not connect its network card within {} s", LEASE.as_secs())
        };
        // A stick that is alive answers DHCP, network or not.
        Some(self.over(if seen.carrier { Outcome::Silent(why) } else { Outcome::Lost(why) }))
    }

    fn up(&mut self, now: Monotonic, seen: Observation) -> Option<Outcome> {
        let State::Up { link, unanswered, gone_since, replugged } = &mut self.state else { return None };
        let settling = replugged.is_some_and(|at| now.since(at) < AFTER_REPLUG);
        let Some(new) = seen.link.filter(|_| seen.carrier) else {
            let since = *gone_since.get_or_insert(now);
            if settling || now.since(since) < HICCUP {
                return None;
            }
            let hangs = replugged.is_some();
            let why =
                if seen.carrier { "the lease ended" } else { "the stick disconnected its network card" };
            let why = why.to_owned();
            return Some(self.over(if hangs { Outcome::Silent(why) } else { Outcome::Lost(why) }));
        };
        *gone_since = None;
        match seen.answers {
            Some(true) => (*unanswered, *replugged) = (0, None),
            Some(false) => *unanswered = unanswered.saturating_add(1),
            None => {}
        }
        if *unanswered >= SILENT_LOOKS && !settling {
            if replugged.is_some() {
                return Some(self.over(Outcome::Silent("the stick's router does not answer".to_owned())));
            }
            (*unanswered, *replugged) = (0, Some(now));
            return Some(Outcome::Replug);
        }
        if *link == new {
            return None;
        }
        link.clone_from(&new);
        Some(Outcome::Up(new))
    }

    fn over(&mut self, outcome: Outcome) -> Outcome {
        self.state = State::Over;
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_secs(seconds)
    }

    fn link(last: u8) -> Link {
        Link { interface: "wwan0".into(), local: Some([192, 168, 8, last].into()), ..Link::default() }
    }

    fn good() -> Observation {
        Observation { present: true, carrier: true, link: Some(link(2)), answers: Some(true) }
    }

    fn up() -> Machine {
        let mut machine = Machine::new(at(0));
        let nothing = Observation { present: true, carrier: true, link: None, answers: None };
        assert_eq!(machine.step(at(1), nothing), None);
        assert_eq!(machine.step(at(2), good()), Some(Outcome::Up(link(2))));
        machine
    }

    /// Looks every two seconds until something follows; when and what.
    fn until(machine: &mut Machine, from: u64, seen: &Observation) -> (u64, Outcome) {
        for second in (from..from + 200).step_by(2) {
            if let Some(outcome) = machine.step(at(second), seen.clone()) {
                return (second, outcome);
            }
        }
        panic!("nothing follows from {seen:?}");
    }

    #[test]
    fn a_lease_is_a_link_and_another_lease_another_link() {
        let mut machine = up();
        assert_eq!(machine.step(at(4), good()), None);
        let other = Observation { link: Some(link(3)), ..good() };
        assert_eq!(machine.step(at(6), other), Some(Outcome::Up(link(3))));
    }

    #[test]
    fn a_router_that_falls_silent_is_replugged_once_and_then_called_hung() {
        let mut machine = up();
        let silent = Observation { answers: Some(false), ..good() };
        let (first, outcome) = until(&mut machine, 4, &silent);
        assert_eq!((first, outcome), (6, Outcome::Replug));
        let (second, outcome) = until(&mut machine, 8, &silent);
        assert!(matches!(outcome, Outcome::Silent(_)) && second <= first + 8, "{second} {outcome:?}");
        assert_eq!(machine.step(at(100), silent), None, "over is over");
    }

    #[test]
    fn a_router_that_answers_after_the_replug_is_fine_again() {
        let mut machine = up();
        let silent = Observation { answers: Some(false), ..good() };
        assert_eq!(until(&mut machine, 4, &silent).1, Outcome::Replug);
        let renewing = Observation { link: None, ..silent };
        assert_eq!(machine.step(at(10), renewing), None);
        assert_eq!(machine.step(at(12), good()), None);
        assert!(machine.is_up());
    }

    #[test]
    fn a_moment_without_carrier_is_no_loss_and_longer_is() {
        let mut machine = up();
        let gone = Observation { carrier: false, ..good() };
        assert_eq!(machine.step(at(4), gone.clone()), None);
        assert_eq!(machine.step(at(6), good()), None);
        assert_eq!(machine.step(at(8), gone.clone()), None);
        let (second, outcome) = until(&mut machine, 10, &gone);
        assert!(matches!(outcome, Outcome::Lost(_)) && second <= 12);
    }

    #[test]
    fn a_card_without_an_address_is_given_up_in_time() {
        let mut machine = Machine::new(at(0));
        let deaf = Observation { present: true, carrier: true, link: None, answers: None };
        assert!(matches!(until(&mut machine, 0, &deaf), (30, Outcome::Silent(_))));
        let mut machine = Machine::new(at(0));
        assert!(matches!(
            until(&mut machine, 0, &Observation { carrier: false, ..deaf }),
            (30, Outcome::Lost(_))
        ));
        assert!(matches!(up().step(at(9), Observation::default()), Some(Outcome::Lost(_))));
    }
}
