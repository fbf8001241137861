//! Where the faults of the firmware and the card act. What each of them is, cures and comes from is
//! in [`crate::fault::catalogue`].

use std::time::Duration;

use super::at::Op;
use crate::fault::{Faults, Kind};

/// Between two lines of a flood: with 12 bytes each more than a 9600 baud line takes, and few
/// enough that answers still come through.
pub(super) const FLOOD_EVERY: Duration = Duration::from_millis(10);
/// The line a flood repeats: message waiting (`ModemManager`'s ZTE plugin swallows it).
pub(super) const FLOOD: &str = "+ZUSIMR:2";
/// PIN of the card when a fault makes it ask for one.
pub(super) const PIN: &str = "1234";

/// Error codes of TS 27.007 section 9.2.
mod cme {
    pub(super) const SIM_NOT_INSERTED: u16 = 10;
    pub(super) const SIM_FAILURE: u16 = 13;
    pub(super) const SIM_BUSY: u16 = 14;
    pub(super) const NO_SERVICE: u16 = 30;
    pub(super) const INCORRECT_PARAMETERS: u16 = 50;
    pub(super) const PS_NOT_ALLOWED: u16 = 107;
}

/// Registration denied (TS 27.007 section 7.2).
const DENIED: u8 = 3;
const SEARCHING: u8 = 2;
const ROAMING: u8 = 5;

/// Whether the AT task is dead: nothing typed has an effect, not even an echo.
pub(super) fn is_deaf(faults: &Faults) -> bool {
    faults.has(Kind::NoAnswer) || faults.has(Kind::UrcsOnly)
}

/// Whether the firmware finds no usable card.
pub(super) fn is_without_card(faults: &Faults) -> bool {
    [Kind::SimMissing, Kind::SimFailure].into_iter().any(|kind| faults.has(kind))
}

/// The error a command gets because of a fault.
pub(super) fn refusal(faults: &Faults, name: &str, op: &Op) -> Option<u16> {
    let needs_card =
        ["+CPIN", "+CIMI", "+CSIM", "+CCID", "+ICCID", "^ICCID", "+CRSM", "+CPMS", "+COPS", "+CGATT"];
    let set = matches!(op, Op::Set(_));
    match name {
        _ if needs_card.contains(&name) && faults.has(Kind::SimMissing) => Some(cme::SIM_NOT_INSERTED),
        _ if needs_card.contains(&name) && faults.has(Kind::SimFailure) => Some(cme::SIM_FAILURE),
        _ if needs_card.contains(&name) && faults.has(Kind::SimBusy) => Some(cme::SIM_BUSY),
        "+CGATT" | "+COPS" if set && faults.has(Kind::NoService) => Some(cme::NO_SERVICE),
        "+CGATT" if *op == Op::Set("1".into()) && faults.has(Kind::PsNotAllowed) => Some(cme::PS_NOT_ALLOWED),
        "+CGDCONT" if set && faults.has(Kind::BadParameters) => Some(cme::INCORRECT_PARAMETERS),
        _ => None,
    }
}

/// What the radio network is like for the firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cell {
    /// What registration is instead of home: anything but roaming keeps the stick out.
    pub(super) status: Option<u8>,
    /// The same for packet service alone.
    pub(super) packet_status: Option<u8>,
    /// Whether `+CSQ` knows nothing.
    pub(super) signal_unknown: bool,
}

impl Cell {
    /// The network with these faults.
    pub(super) fn with(faults: &Faults) -> Self {
        let lost = faults.get(Kind::RegistrationLost).map(|fault| fault.code.unwrap_or(SEARCHING));
        let none = faults.has(Kind::NoService).then_some(SEARCHING);
        let roaming = faults.has(Kind::Roaming).then_some(ROAMING);
        Self {
            status: lost.or(none).or(roaming),
            packet_status: faults.has(Kind::PsNotAllowed).then_some(DENIED),
            signal_unknown: faults.has(Kind::SignalUnknown),
        }
    }

    /// Whether nobody can register.
    pub(super) fn is_closed(self) -> bool {
        self.status.is_some_and(|status| status != ROAMING)
    }
}
