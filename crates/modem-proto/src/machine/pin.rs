//! The PIN, kept out of logs, and the memory that keeps it from being sent twice to one SIM.

use std::fmt;

use super::Iccid;

/// A SIM PIN of 4 to 8 digits (ETSI TS 102 221 section 9.5.1).
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(String);

impl Pin {
    /// Takes 4 to 8 digits.
    pub fn new(digits: &str) -> Option<Self> {
        let fits = (4..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| Self(digits.to_owned()))
    }

    /// The digits. Not for logs.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(…)")
    }
}

/// What became of the PIN at one SIM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Not sent yet.
    Untried,
    /// Sent; the SIM has not said `READY` since.
    Sent,
    /// Sent, and what became of it is not known: the power went, or the stick never said. Sent again
    /// only to a SIM whose counter shows that no wrong one was counted.
    Open,
    /// The SIM said `READY` after it: it is right, and may be sent after the SIM lost power.
    Accepted,
    /// Wrong, said the SIM. For good: only a new configuration brings a new PIN.
    Refused,
}

/// A SIM the PIN was sent to, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// Its number; `None` is one without a number, which may be any.
    pub sim: Option<Iccid>,
    /// Whether it said that the PIN is wrong. If not, nobody knows what it thought of it.
    pub refused: bool,
}

/// What became of the PIN at each SIM that was seen.
#[derive(Debug)]
pub(super) struct PinMemory {
    /// At the SIM in the stick.
    pub(super) fate: Fate,
    /// Whether its counter was asked for in vain since it was last asked who it is.
    pub(super) counter_refused: bool,
    /// As it was before the try under way.
    before: Fate,
    /// That SIM, if it said its number.
    sim: Option<Iccid>,
    /// SIMs that did not accept it, as far as is known.
    spent: Vec<Spent>,
}

impl PinMemory {
    pub(super) fn new(spent: Vec<Spent>) -> Self {
        let mut memory =
            Self { fate: Fate::Untried, before: Fate::Untried, counter_refused: false, sim: None, spent };
        memory.fate = memory.fate_at(None);
        memory
    }

    pub(super) fn sim(&self) -> Option<&Iccid> {
        self.sim.as_ref()
    }

    pub(super) fn may_send(&self) -> bool {
        matches!(self.fate, Fate::Untried | Fate::Accepted)
    }

    /// Whether it may be sent if the SIM has all its tries.
    pub(super) fn may_send_to_a_full_counter(&self) -> bool {
        self.may_send() || self.fate == Fate::Open
    }

    pub(super) fn sent(&mut self) {
        self.before = std::mem::replace(&mut self.fate, Fate::Sent);
    }

    /// It was not sent after all.
    pub(super) fn not_sent(&mut self) {
        if self.fate == Fate::Sent {
            self.fate = self.before;
        }
    }

    /// The stick left the bus. A SIM that is `READY` after that need not be so by this PIN.
    pub(super) fn power_lost(&mut self) {
        if self.fate == Fate::Sent {
            self.fate = Fate::Open;
        }
    }

    /// A person says that it may be sent again. Not while it is under way.
    pub(super) fn forget(&mut self) -> bool {
        if self.fate == Fate::Sent {
            return false;
        }
        self.spent.clear();
        if matches!(self.fate, Fate::Open | Fate::Refused) {
            self.fate = Fate::Untried;
        }
        true
    }

    /// The SIM in the stick said its number, or has none to say. A SIM without a number may be the
    /// one before, so only a *different* number makes the PIN untried again.
    pub(super) fn see(&mut self, sim: Option<Iccid>) {
        if sim == self.sim {
            return;
        }
        let open = matches!(self.fate, Fate::Sent | Fate::Open | Fate::Refused);
        let refused = self.fate == Fate::Refused;
        match (&self.sim, &sim) {
            // It fell silent about its number; it may be the same one.
            (Some(_), None) if self.fate != Fate::Untried => return,
            // It was sent to a SIM without a number: that may have been this one.
            (None, Some(_)) if open && !self.known_only() => self.spent.push(Spent { sim: None, refused }),
            (Some(_), Some(_)) if open => self.spent.push(Spent { sim: self.sim.clone(), refused }),
            _ => {}
        }
        self.counter_refused = false;
        self.fate = self.fate_at(sim.as_ref());
        self.sim = sim;
    }

    /// Whether "refused" stands for SIMs with numbers alone, none of which was in the stick yet.
    fn known_only(&self) -> bool {
        let kept = matches!(self.fate, Fate::Open | Fate::Refused);
        kept && !self.spent.is_empty() && self.spent.iter().all(|spent| spent.sim.is_some())
    }

    fn fate_at(&self, sim: Option<&Iccid>) -> Fate {
        let may_be = |spent: &&Spent| match (&spent.sim, sim) {
            (Some(spent), Some(sim)) => spent == sim,
            _ => true,
        };
        match self.spent.iter().filter(may_be).map(|spent| spent.refused).max() {
            Some(true) => Fate::Refused,
            Some(false) => Fate::Open,
            None => Fate::Untried,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sim(last: u8) -> Option<Iccid> {
        Iccid::of(&format!("+CCID: 894901234567890123{last}4"))
    }

    fn other() -> Option<Iccid> {
        Iccid::of("+CCID: 89430122345678901234")
    }

    #[test]
    fn another_sim_may_get_the_pin_and_the_first_may_not_again() {
        let mut memory = PinMemory::new(Vec::new());
        memory.see(sim(1));
        memory.fate = Fate::Refused;
        memory.see(other());
        assert!(memory.may_send());
        memory.fate = Fate::Accepted;
        memory.see(sim(1));
        assert!(!memory.may_send());
    }

    #[test]
    fn a_sim_that_says_no_number_may_be_any_that_was_tried() {
        let mut memory = PinMemory::new(vec![Spent { sim: sim(1), refused: true }]);
        memory.see(None);
        assert!(!memory.may_send());
        memory.see(other());
        assert!(memory.may_send(), "this one is surely another");
        let mut unknown = PinMemory::new(vec![Spent { sim: None, refused: true }]);
        unknown.see(other());
        assert!(!unknown.may_send());
    }

    #[test]
    fn a_sim_tried_without_a_number_is_not_tried_again_when_it_says_one() {
        for fate in [Fate::Sent, Fate::Open, Fate::Refused] {
            let mut memory = PinMemory::new(Vec::new());
            memory.see(None);
            memory.fate = fate;
            memory.see(sim(1));
            assert!(!memory.may_send());
        }
    }
}
