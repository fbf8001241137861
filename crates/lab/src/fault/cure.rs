//! What heals a fault: the other half of its truth.

use std::time::Duration;

use super::{Kind, Room};

/// What cures a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cure {
    /// It passes.
    Time,
    /// The right command, or what the host does anyway when it finds the stick like that.
    Command,
    /// Another call: each call that was spoilt counts.
    Redial,
    /// Detaching from the packet network and attaching again (`+CGATT`), or more.
    Reattach,
    /// Switching the radio and the card off and on (`+CFUN=4` or `0`, then `1`), or more.
    Radio,
    /// A reset on the bus, or more.
    UsbReset,
    /// Losing power.
    Power,
    /// A person: another card, another contract, another place.
    Person,
}

/// What happens to the stick and may heal it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// `+CGATT=0`.
    Reattach,
    /// `+CFUN` away from full functionality.
    Radio,
    /// A reset on the bus.
    UsbReset,
    /// The firmware starts again (`+CFUN=1,1`, a crash) with its power on.
    Restart,
    /// The power goes.
    Power,
}

impl Cure {
    /// Whether an event is what a fault living in `room` waits for. [`Cure::Redial`] is not here:
    /// only the call that was spoilt counts, see `carrier/fault.rs`.
    pub fn comes_with(self, event: Event, room: Room) -> bool {
        let in_stick = room.is_in_stick();
        match (self, event) {
            (Self::Person, _) => false,
            (Self::Power, event) => event == Event::Power,
            // Nothing in RAM outlives the power, and no firmware its own restart.
            (_, Event::Power) if in_stick => true,
            (_, Event::Restart) if room == Room::Firmware => true,
            // A card is reset with its reader, and a new attach is a new attach.
            (Self::Reattach, Event::Reattach | Event::Radio | Event::Restart | Event::Power)
            | (Self::Radio, Event::Radio | Event::Restart | Event::Power)
            | (Self::UsbReset, Event::UsbReset) => true,
            _ => false,
        }
    }
}

/// How soon the appliance must be online again after a fault of this kind, by the rung that cures
/// it. The design promises 5 s for a dropped call and 60 s for a hard hang; between them lie
/// noticing (three lost LCP echoes, a probe without answer) and the rungs below that do not help.
pub fn bound(kind: Kind, cure: Cure) -> Duration {
    Duration::from_secs(match cure {
        // The promise for a hard hang that one power cycle ends.
        Cure::Power if kind == Kind::Hang => 60,
        Cure::Time | Cure::Command => 45,
        Cure::Redial | Cure::Person => 60,
        Cure::UsbReset => 90,
        Cure::Reattach | Cure::Radio | Cure::Power => 120,
    })
}

/// How much longer each further curing event may take: rungs cool down between two tries.
pub fn again(kind: Kind, cure: Cure) -> Duration {
    Duration::from_secs(match cure {
        // Nothing says that these calls are lost; each of them is waited for.
        _ if [Kind::DialSilence, Kind::LcpSilence, Kind::ConnectGarbage, Kind::EchoDead].contains(&kind) => {
            60
        }
        Cure::Redial => 30,
        Cure::Power => 180,
        _ => 60,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Fault;
    use super::*;

    #[test]
    fn power_heals_what_is_in_the_stick_and_not_what_is_in_the_network() {
        assert!(Cure::UsbReset.comes_with(Event::Power, Room::Firmware));
        assert!(Cure::Time.comes_with(Event::Power, Room::Device));
        assert!(!Cure::Time.comes_with(Event::Power, Room::Cell));
        assert!(!Cure::Redial.comes_with(Event::Power, Room::Carrier));
        assert!(!Cure::Person.comes_with(Event::Power, Room::Card));
    }

    #[test]
    fn a_hard_hang_has_a_minute_for_its_first_power_cycle() {
        assert_eq!(Fault::from(Kind::Hang).bound(), Duration::from_secs(60));
        let twice = Fault { cycles: 2, ..Kind::Hang.into() };
        assert_eq!(twice.bound(), Duration::from_secs(60) + again(Kind::Hang, Cure::Power));
    }

    #[test]
    fn a_weaker_event_does_not_heal() {
        assert!(!Cure::Power.comes_with(Event::UsbReset, Room::Device));
        assert!(!Cure::Power.comes_with(Event::Restart, Room::Firmware));
        assert!(!Cure::Radio.comes_with(Event::Reattach, Room::Cell));
        assert!(!Cure::UsbReset.comes_with(Event::Radio, Room::Firmware));
        assert!(Cure::Reattach.comes_with(Event::Radio, Room::Carrier));
    }
}
