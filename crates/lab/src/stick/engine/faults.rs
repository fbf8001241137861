//! Faults of the whole stick: what they do at once, what the USB device is like while they are on,
//! and what may heal them.

use std::time::Duration;

use super::super::firmware::FwEvent;
use super::super::{Personality, fault};
use super::{Life, Stick};
use crate::carrier::CarrierCommand;
use crate::fault::{Event, Fault, Kind, Room, active};
use crate::usbredir::Stalls;

/// Between two reads answered with STALL. A real device does it in every frame of 1 ms for as long
/// as the driver asks again; a little slower leaves the emulated machine time for anything else.
const STALL_EVERY: Duration = Duration::from_millis(8);
/// How long a stick is gone that drops off the bus and comes right back: shorter than programs
/// take to let go of its ports.
const BLINK: Duration = Duration::from_millis(20);

impl Stick {
    /// Switches a fault on; what it does at once, it does here.
    pub(super) fn fault(&mut self, now: Duration, fault: Fault) {
        self.faults_seen += 1;
        let away = fault.seconds.unwrap_or_default();
        match fault.kind {
            Kind::Renumbered => {
                let other = if self.face == Personality::OtherModem {
                    Personality::Modem
                } else {
                    Personality::OtherModem
                };
                return self.crash(now + BLINK, other);
            }
            Kind::BackAsCdrom => return self.crash(now + self.timing.mode_switch, Personality::CdRom),
            Kind::Vanish => return self.crash(now + away, self.first_face()),
            Kind::SimPin | Kind::PinTriesHidden => self.persistent.sim.demand_pin(fault::PIN, u8::MAX),
            Kind::PinTries => self.persistent.sim.demand_pin(fault::PIN, fault.code.unwrap_or(1)),
            Kind::SimPuk => self.persistent.sim.demand_pin(fault::PIN, 0),
            // A new network: what was attached to the old one ends.
            Kind::Roaming => {
                let actions = self.network.command(CarrierCommand::DropCall);
                self.network_actions(now, actions);
            }
            _ => {}
        }
        if fault.kind.row().room == Room::Carrier {
            let actions = self.network.fault(now, fault);
            self.network_actions(now, actions);
        } else {
            self.persistent.faults.add(now, fault);
            self.follow_faults(now);
            self.firmware(now, FwEvent::Tick);
        }
    }

    pub(super) fn clear(&mut self, now: Duration, kind: Kind) {
        self.network.clear(kind);
        if self.persistent.faults.clear(kind)
            && matches!(kind, Kind::SimPin | Kind::SimPuk | Kind::PinTries | Kind::PinTriesHidden)
        {
            self.persistent.sim.unlock();
        }
        self.follow_faults(now);
        self.firmware(now, FwEvent::Tick);
    }

    /// The firmware dies and something else comes up.
    fn crash(&mut self, until: Duration, face: Personality) {
        if self.has_power() {
            self.happened(Event::Restart);
            self.restart(until, face);
        }
    }

    pub(super) fn happened(&mut self, event: Event) {
        self.persistent.faults.event(event);
        self.network.happened(event);
    }

    pub(super) fn is_hung(&self) -> bool {
        let hang = active::bit(Kind::Hang) | active::bit(Kind::SoftHang);
        self.persistent.faults.bits() & hang != 0
    }

    /// What faults do to the USB device.
    pub(super) fn follow_faults(&mut self, now: Duration) {
        if !matches!(self.life, Life::Cdrom { .. } | Life::Modem(_)) {
            return;
        }
        let faults = &self.persistent.faults;
        let stalls = match (faults.has(Kind::StallAll), faults.has(Kind::Stall)) {
            (true, _) => Stalls::Everything,
            (false, true) => Stalls::Bulk,
            (false, false) => Stalls::Nothing,
        };
        self.port.stall(stalls);
        self.port.silence(self.is_hung());
        if self.stall_at.is_some_and(|at| now >= at) {
            self.port.stall_reads();
            self.stall_at = None;
        }
        if self.stall_at.is_none() && self.port.has_reads_to_stall() {
            self.stall_at = Some(now + STALL_EVERY);
        }
    }
}
