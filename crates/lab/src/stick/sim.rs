//! The SIM card: what survives everything but a new card (ETSI TS 102 221, 3GPP TS 31.102).

use super::SimConfig;

/// Tries for the PIN and for the PUK (TS 102 221 sections 9.5.1 and 9.5.2: 3 and 10).
const PIN_TRIES: u8 = 3;
const PUK_TRIES: u8 = 10;

/// What the card waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    /// Nothing.
    Open,
    /// Its PIN.
    Pin,
    /// Its PUK: the PIN was wrong three times.
    Puk,
    /// Nothing helps any more.
    Dead,
}

/// A SIM card.
#[derive(Debug, Clone)]
pub(crate) struct Sim {
    config: SimConfig,
    pin_tries: u8,
    puk_tries: u8,
    verified: bool,
}

impl Sim {
    /// A fresh card.
    pub(crate) fn new(config: SimConfig) -> Self {
        Self { config, pin_tries: PIN_TRIES, puk_tries: PUK_TRIES, verified: false }
    }

    /// From now on it wants this PIN and has that many tries left; with none left, its PUK.
    pub(crate) fn demand_pin(&mut self, pin: &str, tries: u8) {
        self.config.pin = Some(pin.into());
        (self.pin_tries, self.verified) = (tries.min(PIN_TRIES), false);
    }

    /// A person unblocked it and switched its PIN off.
    pub(crate) fn unlock(&mut self) {
        self.config.pin = None;
        (self.pin_tries, self.puk_tries, self.verified) = (PIN_TRIES, PUK_TRIES, false);
    }

    /// Without power it forgets that the PIN was given, and nothing else.
    pub(crate) fn power_off(&mut self) {
        self.verified = false;
    }

    pub(crate) fn imsi(&self) -> &str {
        &self.config.imsi
    }

    pub(crate) fn pin_tries(&self) -> u8 {
        self.pin_tries
    }

    pub(crate) fn lock(&self) -> Lock {
        match &self.config.pin {
            _ if self.puk_tries == 0 => Lock::Dead,
            _ if self.pin_tries == 0 => Lock::Puk,
            Some(_) if !self.verified => Lock::Pin,
            _ => Lock::Open,
        }
    }

    /// Tries a PIN; false when it was wrong.
    pub(crate) fn verify(&mut self, pin: &str) -> bool {
        if self.pin_tries == 0 {
            return false;
        }
        self.verified = self.config.pin.as_deref().is_none_or(|right| right == pin);
        self.pin_tries = if self.verified { PIN_TRIES } else { self.pin_tries - 1 };
        self.verified
    }

    /// Tries the PUK, which sets a new PIN; false when it was wrong.
    pub(crate) fn unblock(&mut self, puk: &str, new_pin: &str) -> bool {
        if self.puk_tries == 0 {
            return false;
        }
        if self.config.puk != puk {
            self.puk_tries -= 1;
            return false;
        }
        self.config.pin = Some(new_pin.into());
        (self.pin_tries, self.puk_tries, self.verified) = (PIN_TRIES, PUK_TRIES, true);
        true
    }

    /// Status word of a VERIFY PIN without data, which asks for the tries left (TS 102 221
    /// section 11.1.9).
    pub(crate) fn pin_status(&self) -> String {
        match (&self.config.pin, self.pin_tries) {
            (_, 0) => "6983".into(),
            (None, _) => "9000".into(),
            (Some(_), tries) => format!("63C{tries}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked() -> Sim {
        Sim::new(SimConfig { pin: Some("1234".into()), ..SimConfig::default() })
    }

    #[test]
    fn three_wrong_pins_need_the_puk_and_power_does_not_help() {
        let mut sim = locked();
        for left in ["63C2", "63C1", "6983"] {
            assert!(!sim.verify("0000"));
            assert_eq!(sim.pin_status(), left);
        }
        sim.power_off();
        assert!(!sim.verify("1234"));
        assert_eq!(sim.lock(), Lock::Puk);
        assert!(!sim.unblock("00000000", "1111"));
        assert!(sim.unblock("12345678", "1111"));
        assert_eq!((sim.lock(), sim.pin_tries()), (Lock::Open, 3));
    }

    #[test]
    fn power_loss_locks_it_again_and_keeps_the_counter() {
        let mut sim = locked();
        assert!(!sim.verify("0000"));
        sim.power_off();
        assert_eq!((sim.lock(), sim.pin_tries()), (Lock::Pin, 2));
        assert!(sim.verify("1234"));
        sim.power_off();
        assert_eq!((sim.lock(), sim.pin_tries()), (Lock::Pin, 3));
    }

    #[test]
    fn ten_wrong_puks_kill_it() {
        let mut sim = locked();
        (0..3).for_each(|_| assert!(!sim.verify("0")));
        (0..10).for_each(|_| assert!(!sim.unblock("0", "1111")));
        assert_eq!(sim.lock(), Lock::Dead);
        assert!(!sim.unblock("12345678", "1111"));
    }
}
