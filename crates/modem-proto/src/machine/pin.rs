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
    /// The SIM said `READY` after it: it is right, and may be sent after the SIM lost power.
    Accepted,
    /// Not accepted. For good: only a new configuration brings a new PIN.
    Refused,
}

/// What became of the PIN at each SIM that was seen.
#[derive(Debug)]
pub(super) struct PinMemory {
    /// At the SIM in the stick.
    pub(super) fate: Fate,
    /// That SIM, if it said its number.
    sim: Option<Iccid>,
    /// SIMs that did not accept it; `None` is one without a number, which may be any.
    spent: Vec<Option<Iccid>>,
}

impl PinMemory {
    pub(super) fn new(spent: Vec<Option<Iccid>>) -> Self {
        let mut memory = Self { fate: Fate::Untried, sim: None, spent };
        memory.fate = memory.fate_at(None);
        memory
    }

    pub(super) fn sim(&self) -> Option<&Iccid> {
        self.sim.as_ref()
    }

    pub(super) fn may_send(&self) -> bool {
        matches!(self.fate, Fate::Untried | Fate::Accepted)
    }

    /// The SIM in the stick said its number, or has none to say. A SIM without a number may be the
    /// one before, so only a *different* number makes the PIN untried again.
    pub(super) fn see(&mut self, sim: Option<Iccid>) {
        if sim == self.sim {
            return;
        }
        let open = matches!(self.fate, Fate::Sent | Fate::Refused);
        match (&self.sim, &sim) {
            // It fell silent about its number; it may be the same one.
            (Some(_), None) => return,
            // It was sent to a SIM without a number: that may have been this one.
            (None, Some(_)) if open && !self.known_only() => self.spent.push(None),
            (Some(_), Some(_)) if open => self.spent.push(self.sim.clone()),
            _ => {}
        }
        self.fate = self.fate_at(sim.as_ref());
        self.sim = sim;
    }

    /// Whether "refused" stands for SIMs with numbers alone, none of which was in the stick yet.
    fn known_only(&self) -> bool {
        self.fate == Fate::Refused && !self.spent.is_empty() && !self.spent.contains(&None)
    }

    fn fate_at(&self, sim: Option<&Iccid>) -> Fate {
        let spent = match sim {
            Some(_) => self.spent.iter().any(|spent| spent.is_none() || spent.as_ref() == sim),
            None => !self.spent.is_empty(),
        };
        if spent { Fate::Refused } else { Fate::Untried }
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
        let mut memory = PinMemory::new(vec![sim(1)]);
        memory.see(None);
        assert!(!memory.may_send());
        memory.see(other());
        assert!(memory.may_send(), "this one is surely another");
        let mut unknown = PinMemory::new(vec![None]);
        unknown.see(other());
        assert!(!unknown.may_send());
    }

    #[test]
    fn a_sim_tried_without_a_number_is_not_tried_again_when_it_says_one() {
        for fate in [Fate::Sent, Fate::Refused] {
            let mut memory = PinMemory::new(Vec::new());
            memory.see(None);
            memory.fate = fate;
            memory.see(sim(1));
            assert!(!memory.may_send());
        }
    }
}
