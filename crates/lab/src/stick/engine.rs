//! The stick as a whole, pure: power, its two faces, the port they are plugged into, and the
//! network behind the modem. Bytes, packets, commands and time go in; [`Stick::take_output`] and
//! [`Stick::take_packets`] hand out what came of it.

mod faults;

use std::time::Duration;

use super::cdrom::{Cdrom, Outcome};
use super::firmware::{Call, Firmware, FwAction, FwEvent, Persistent};
use super::sim::Sim;
use super::{Personality, StickCommand, StickConfig, StickState, Timing, descriptors};
use crate::carrier::network::{NetAction, Network};
use crate::fault::{Event, Faults};
use crate::usbredir::codec::PacketError;
use crate::usbredir::packet::Control;
use crate::usbredir::{Port, UsbEvent};

/// Text the firmware holds back for a port nobody reads: a 4 KiB buffer, then it is lost.
const TEXT_MAX: usize = 4096;
/// Bytes of a call held back for a slow host: two tenths of a second at 7.2 Mbit/s.
const DATA_MAX: usize = 180_000;

/// What the stick is doing.
#[derive(Debug)]
enum Life {
    Off,
    Starting { until: Duration, face: Personality },
    Cdrom { drive: Cdrom, eject_at: Option<Duration> },
    Modem(Box<Firmware>),
}

/// One stick and its network.
#[derive(Debug)]
pub(crate) struct Stick {
    timing: Timing,
    persistent: Persistent,
    network: Network,
    port: Port,
    attached: bool,
    port_power: bool,
    plugged: bool,
    life: Life,
    face: Personality,
    stall_at: Option<Duration>,
    mode_switches: u64,
    faults_seen: u64,
    bus_resets: u64,
    power_losses: u64,
    packets: Vec<Vec<u8>>,
}

impl Stick {
    /// A stick in a port with power, as soon as a guest is attached.
    pub(crate) fn new(config: &StickConfig, seed: u64) -> Self {
        Self {
            timing: config.timing,
            persistent: Persistent {
                sim: Sim::new(config.sim.clone()),
                cdrom_off: false,
                faults: Faults::default(),
            },
            network: Network::new(config.carrier.clone(), seed),
            port: Port::default(),
            attached: false,
            port_power: true,
            plugged: true,
            life: Life::Off,
            face: Personality::Absent,
            stall_at: None,
            mode_switches: 0,
            faults_seen: 0,
            bus_resets: 0,
            power_losses: 0,
            packets: Vec::new(),
        }
    }

    /// What can be seen.
    pub(crate) fn state(&self) -> StickState {
        let (personality, registration) = match &self.life {
            Life::Off | Life::Starting { .. } => (Personality::Absent, 0),
            Life::Cdrom { .. } => (Personality::CdRom, 0),
            Life::Modem(firmware) => (self.face, firmware.registration(false)),
        };
        StickState {
            attached: self.attached,
            powered: self.has_power(),
            personality,
            configured: self.port.configuration() != 0,
            hung: self.is_hung(),
            mode_switches: self.mode_switches,
            pin_retries: self.persistent.sim.pin_tries(),
            registration,
            faults: self.persistent.faults.bits() | self.network.faults().bits(),
            faults_seen: self.faults_seen,
            bus_resets: self.bus_resets,
            power_losses: self.power_losses,
            carrier: self.network.stats(),
        }
    }

    /// Bytes for the guest.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        self.port.take_output()
    }

    /// IP packets for the internet.
    pub(crate) fn take_packets(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.packets)
    }

    /// A guest's machine is there.
    pub(crate) fn attach(&mut self, now: Duration) {
        self.attached = true;
        self.port.open();
        self.port_power = true;
        self.follow_power(now);
    }

    /// It has gone, and the power with it.
    pub(crate) fn detach(&mut self, now: Duration) {
        self.attached = false;
        self.follow_power(now);
        self.port.take_output();
    }

    /// What a test wants; `Stop` is the edge's.
    pub(crate) fn command(&mut self, now: Duration, command: StickCommand) {
        match command {
            StickCommand::PowerLost => self.port_power = false,
            StickCommand::PowerRestored => self.port_power = true,
            StickCommand::Unplug => self.plugged = false,
            StickCommand::Replug => self.plugged = true,
            StickCommand::Fault(fault) => self.fault(now, fault),
            StickCommand::Clear(kind) => self.clear(now, kind),
            StickCommand::Carrier(command) => {
                let actions = self.network.command(command);
                self.network_actions(now, actions);
            }
            StickCommand::Stop => {}
        }
        self.follow_power(now);
    }

    /// Bytes from the guest.
    ///
    /// # Errors
    /// When the guest's side breaks the redirection protocol.
    pub(crate) fn input(&mut self, now: Duration, bytes: &[u8]) -> Result<(), PacketError> {
        for event in self.port.input(bytes)? {
            match event {
                UsbEvent::Reset => self.bus_reset(now),
                UsbEvent::Configured(_) => {}
                UsbEvent::Control(id, control) => {
                    let answer = self.control(now, &control);
                    self.port.answer(id, answer);
                }
                UsbEvent::BulkOut(endpoint, data) => self.bulk_out(now, endpoint, &data),
            }
        }
        Ok(())
    }

    /// A packet from the internet.
    pub(crate) fn packet(&mut self, now: Duration, packet: &[u8]) {
        let actions = self.network.packet(now, packet);
        self.network_actions(now, actions);
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let life = match &self.life {
            Life::Starting { until, .. } => Some(*until),
            Life::Cdrom { eject_at, .. } => eject_at.filter(|_| !self.is_hung()),
            Life::Modem(firmware) if !self.is_hung() => Some(firmware.next_deadline()),
            Life::Off | Life::Modem(_) => None,
        };
        let faults = self.persistent.faults.next_deadline();
        [life, self.stall_at, faults, self.network.next_deadline()].into_iter().flatten().min()
    }

    /// Runs the timers.
    pub(crate) fn tick(&mut self, now: Duration) {
        self.persistent.faults.tick(now);
        self.follow_faults(now);
        match &self.life {
            Life::Starting { until, face } if now >= *until => {
                let face = *face;
                self.appear(now, face);
            }
            Life::Cdrom { eject_at: Some(at), .. } if now >= *at && !self.is_hung() => {
                self.mode_switches += 1;
                self.restart(now + self.timing.mode_switch, Personality::Modem);
            }
            Life::Modem(_) => self.firmware(now, FwEvent::Tick),
            _ => {}
        }
        let actions = self.network.tick(now);
        self.network_actions(now, actions);
    }

    fn has_power(&self) -> bool {
        self.attached && self.port_power && self.plugged
    }

    fn follow_power(&mut self, now: Duration) {
        match (self.has_power(), matches!(self.life, Life::Off)) {
            (true, true) => self.restart(now + self.timing.power_up, self.first_face()),
            (false, false) => {
                self.power_losses += 1;
                self.happened(Event::Power);
                self.restart(now, Personality::Absent);
                self.life = Life::Off;
            }
            _ => {}
        }
    }

    fn first_face(&self) -> Personality {
        if self.persistent.cdrom_off { Personality::Modem } else { Personality::CdRom }
    }

    /// Forgets everything and comes back later.
    fn restart(&mut self, until: Duration, face: Personality) {
        self.port.unplug();
        self.network.hang_up();
        self.persistent.sim.power_off();
        self.stall_at = None;
        self.life = Life::Starting { until, face };
    }

    fn appear(&mut self, now: Duration, face: Personality) {
        self.face = face;
        self.life = match face {
            Personality::Modem | Personality::OtherModem => {
                Life::Modem(Box::new(Firmware::new(now, self.timing)))
            }
            _ => Life::Cdrom { drive: Cdrom::default(), eject_at: None },
        };
        if let Some(plug) = descriptors::plug(face) {
            self.port.plug(plug);
        }
        self.follow_faults(now);
    }

    /// The device is back in its default state: no driver holds DTR any more.
    fn bus_reset(&mut self, now: Duration) {
        if matches!(self.life, Life::Modem(_)) {
            self.bus_resets += 1;
            self.happened(Event::UsbReset);
            self.follow_faults(now);
        }
        match &mut self.life {
            Life::Cdrom { drive, .. } => drive.reset(),
            Life::Modem(_) => {
                for port in descriptors::WITH_STATUS {
                    self.firmware(now, FwEvent::Dtr(port, false));
                }
            }
            Life::Off | Life::Starting { .. } => {}
        }
    }

    fn control(&mut self, now: Duration, control: &Control) -> Option<Vec<u8>> {
        const GET_MAX_LUN: (u8, u8) = (0xa1, 0xfe);
        const BULK_ONLY_RESET: (u8, u8) = (0x21, 0xff);
        const SET_LINE_CODING: (u8, u8) = (0x21, 0x20);
        const SET_CONTROL_LINE_STATE: (u8, u8) = (0x21, 0x22);
        const DTR: u16 = 1;
        let request = (control.request_type, control.request);
        match (&mut self.life, request) {
            (Life::Cdrom { .. }, GET_MAX_LUN) => Some(vec![0]),
            (Life::Cdrom { drive, .. }, BULK_ONLY_RESET) => {
                drive.reset();
                Some(Vec::new())
            }
            (Life::Modem(_), SET_CONTROL_LINE_STATE) => {
                let port = u8::try_from(control.index).ok()?;
                self.firmware(now, FwEvent::Dtr(port, control.value & DTR != 0));
                Some(Vec::new())
            }
            (Life::Modem(_), SET_LINE_CODING) => Some(Vec::new()),
            _ => descriptors::standard(self.state().personality, control),
        }
    }

    fn bulk_out(&mut self, now: Duration, endpoint: u8, data: &[u8]) {
        match &mut self.life {
            Life::Cdrom { drive, eject_at } => {
                let transfers = match drive.bulk_out(data) {
                    Outcome::Nothing => return,
                    Outcome::Transfers(transfers) => transfers,
                    Outcome::Switch(transfers) => {
                        eject_at.get_or_insert(now + self.timing.eject);
                        transfers
                    }
                };
                for transfer in transfers {
                    self.port.bulk_in(descriptors::bulk_in(0), transfer, usize::MAX);
                }
            }
            Life::Modem(_) => {
                if let Some(port) = endpoint.checked_sub(descriptors::bulk_out(0)) {
                    self.firmware(now, FwEvent::Bytes(port, data));
                }
            }
            Life::Off | Life::Starting { .. } => {}
        }
    }

    fn firmware(&mut self, now: Duration, event: FwEvent<'_>) {
        if self.is_hung() {
            return;
        }
        let Life::Modem(firmware) = &mut self.life else { return };
        for action in firmware.step(now, event, &mut self.persistent) {
            match action {
                FwAction::Say(port, text) => self.port.bulk_in(descriptors::bulk_in(port), text, TEXT_MAX),
                FwAction::Dcd(port, on) => {
                    self.port.interrupt_in(descriptors::status_in(port), serial_state(port, on));
                }
                FwAction::Dial(ipv6) => self.network.dial(now, ipv6),
                FwAction::HangUp => self.network.hang_up(),
                FwAction::Data(bytes) => {
                    let actions = self.network.line(now, &bytes);
                    self.network_actions(now, actions);
                }
                FwAction::Restart => {
                    self.happened(Event::Restart);
                    self.restart(now + self.timing.mode_switch, self.first_face());
                }
                FwAction::Happened(event) => self.happened(event),
            }
        }
    }

    fn network_actions(&mut self, now: Duration, actions: Vec<NetAction>) {
        for action in actions {
            match action {
                NetAction::Connected => self.firmware(now, FwEvent::Connected),
                NetAction::Ended => self.firmware(now, FwEvent::Ended),
                NetAction::Busy => self.firmware(now, FwEvent::Busy),
                NetAction::Packet(packet) => self.packets.push(packet),
                NetAction::Line(bytes) => {
                    if let Life::Modem(firmware) = &self.life
                        && let Call::Online { port } = firmware.call
                    {
                        self.port.bulk_in(descriptors::bulk_in(port), bytes, DATA_MAX);
                    }
                }
            }
        }
    }
}

/// A `SERIAL_STATE` notification (USB CDC PSTN 1.2 section 6.5.4); Linux reads its DCD bit in
/// `option_instat_callback`.
fn serial_state(interface: u8, carrier: bool) -> Vec<u8> {
    const DCD: u8 = 0x01;
    const DSR: u8 = 0x02;
    vec![0xa1, 0x20, 0, 0, interface, 0, 2, 0, DSR | if carrier { DCD } else { 0 }, 0]
}
