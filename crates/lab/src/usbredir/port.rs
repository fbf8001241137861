//! The host controller's part: holds the guest's pending transfers and the device's data until
//! they meet, and answers what a controller answers by itself. Pure: bytes in, events out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::codec::{Codec, PacketError};
use super::packet::{Control, Endpoint, FromGuest, Status, ToGuest};

/// What is plugged in.
#[derive(Debug, Clone)]
pub struct Plug {
    /// `idVendor`.
    pub vendor: u16,
    /// `idProduct`.
    pub product: u16,
    /// `bcdDevice`.
    pub version: u16,
    /// Class, subclass, protocol of each interface.
    pub interfaces: Vec<[u8; 3]>,
    /// Endpoints beside endpoint zero.
    pub endpoints: Vec<Endpoint>,
}

/// What a device's endpoints answer with STALL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stalls {
    /// Nothing but what it does not know.
    #[default]
    Nothing,
    /// Bulk transfers.
    Bulk,
    /// Control requests, too.
    Everything,
}

/// What reaches the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsbEvent {
    /// Bus reset.
    Reset,
    /// A configuration was chosen; 0 is none.
    Configured(u8),
    /// A control request: answer with [`Port::answer`].
    Control(u64, Control),
    /// Data for an endpoint; already acknowledged.
    BulkOut(u8, Vec<u8>),
}

/// A transfer the guest waits for.
#[derive(Debug)]
enum Pending {
    Control(Control),
    BulkIn(u8, usize),
    BulkOut(u8),
    Configuration(u8),
    Alt(u8, u8),
}

/// The port the device is plugged into, and the wire to the guest.
#[derive(Debug, Default)]
pub struct Port {
    codec: Codec,
    out: Vec<u8>,
    greeted: bool,
    plugged: Option<Plug>,
    connected: bool,
    configuration: u8,
    silent: bool,
    stalls: Stalls,
    pending: BTreeMap<u64, Pending>,
    waiting: BTreeMap<u8, VecDeque<u64>>,
    queues: BTreeMap<u8, VecDeque<Vec<u8>>>,
    polled: BTreeSet<u8>,
    interrupts: u64,
}

impl Port {
    /// A fresh connection to the guest; what is plugged in stays.
    pub fn open(&mut self) {
        let (silent, stalls) = (self.silent, self.stalls);
        *self = Self { plugged: self.plugged.take(), silent, stalls, ..Self::default() };
        self.send(0, &ToGuest::Hello);
    }

    /// Bytes for the socket.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Plugs a device in.
    pub fn plug(&mut self, plug: Plug) {
        self.unplug();
        self.plugged = Some(plug);
        self.announce();
    }

    /// Takes it out. The guest's side forgets every transfer with it.
    pub fn unplug(&mut self) {
        if std::mem::take(&mut self.connected) {
            self.send(0, &ToGuest::Disconnect);
        }
        self.plugged = None;
        (self.silent, self.stalls) = (false, Stalls::Nothing);
        self.configuration = 0;
        self.pending.clear();
        self.waiting.clear();
        self.queues.clear();
        self.polled.clear();
    }

    /// A silent device stays on the bus and answers nothing; transfers time out on the guest's
    /// side. Lasts until it is unplugged or told otherwise.
    pub fn silence(&mut self, silent: bool) {
        self.silent = silent;
    }

    /// What it answers with STALL from now on, until it is unplugged.
    pub fn stall(&mut self, stalls: Stalls) {
        self.stalls = stalls;
    }

    /// Whether reads wait for [`Self::stall_reads`].
    pub fn has_reads_to_stall(&self) -> bool {
        self.stalls != Stalls::Nothing && self.waiting.values().any(|waiting| !waiting.is_empty())
    }

    /// Answers the reads that wait with STALL.
    pub fn stall_reads(&mut self) {
        let waiting: Vec<u64> = self.waiting.values_mut().flat_map(std::mem::take).collect();
        for id in waiting {
            if let Some(Pending::BulkIn(endpoint, _)) = self.pending.remove(&id) {
                self.send(id, &ToGuest::BulkIn(Status::Stall, endpoint, Vec::new()));
            }
        }
    }

    /// The chosen configuration, 0 for none.
    pub fn configuration(&self) -> u8 {
        self.configuration
    }

    /// Takes bytes from the socket.
    ///
    /// # Errors
    /// When the peer breaks the protocol: close the connection.
    pub fn input(&mut self, bytes: &[u8]) -> Result<Vec<UsbEvent>, PacketError> {
        self.codec.push(bytes);
        let mut events = Vec::new();
        while let Some((id, packet)) = self.codec.next_packet()? {
            events.extend(self.packet(id, packet));
        }
        Ok(events)
    }

    /// Answers a control request: data for IN, nothing for OUT, `None` refuses it.
    pub fn answer(&mut self, id: u64, data: Option<Vec<u8>>) {
        let Some(Pending::Control(mut control)) = self.pending.remove(&id) else { return };
        let status = if data.is_some() { Status::Success } else { Status::Stall };
        control.data = data.unwrap_or_default();
        control.data.truncate(usize::from(control.length));
        self.send(id, &ToGuest::Control(status, control));
    }

    /// Data from the device on a bulk IN endpoint. One call is one USB transfer: its end is a
    /// short packet, unless the guest's buffer is smaller. Dropped when the device would hold back
    /// more than `limit` bytes for a guest that does not read.
    pub fn bulk_in(&mut self, endpoint: u8, data: Vec<u8>, limit: usize) {
        let queue = self.queues.entry(endpoint).or_default();
        let held: usize = queue.iter().map(Vec::len).sum();
        if !self.silent && self.stalls == Stalls::Nothing && held + data.len() <= limit {
            queue.push_back(data);
            self.deliver(endpoint);
        }
    }

    /// Data from the device on an interrupt endpoint; lost when the guest does not poll it.
    pub fn interrupt_in(&mut self, endpoint: u8, data: Vec<u8>) {
        if !self.silent && self.polled.contains(&endpoint) {
            let id = self.interrupts;
            self.interrupts += 1;
            self.send(id, &ToGuest::Interrupt(endpoint, data));
        }
    }

    fn send(&mut self, id: u64, packet: &ToGuest) {
        self.out.extend(self.codec.encode(id, packet));
    }

    /// Tells the guest what is plugged in, once both hellos are exchanged.
    fn announce(&mut self) {
        let Some(plug) = self.plugged.clone().filter(|_| self.greeted && !self.connected) else { return };
        self.connected = true;
        self.send(0, &ToGuest::EpInfo(plug.endpoints));
        self.send(0, &ToGuest::InterfaceInfo(plug.interfaces));
        let (vendor, product, version) = (plug.vendor, plug.product, plug.version);
        self.send(0, &ToGuest::Connect { vendor, product, version });
    }

    fn packet(&mut self, id: u64, packet: FromGuest) -> Option<UsbEvent> {
        match packet {
            FromGuest::Hello { .. } => {
                self.greeted = true;
                self.announce();
                return None;
            }
            FromGuest::Cancel => {
                self.cancel(id);
                return None;
            }
            // Late words of the guest about a device it has not yet seen leaving.
            _ if !self.connected => return None,
            FromGuest::StartInterrupt(endpoint) => {
                self.polled.insert(endpoint);
                self.send(id, &ToGuest::InterruptStatus(Status::Success, endpoint));
                return None;
            }
            FromGuest::StopInterrupt(endpoint) => {
                self.polled.remove(&endpoint);
                self.send(id, &ToGuest::InterruptStatus(Status::Success, endpoint));
                return None;
            }
            FromGuest::BulkIn { endpoint, length } => {
                self.pending.insert(id, Pending::BulkIn(endpoint, length));
                self.waiting.entry(endpoint).or_default().push_back(id);
                self.deliver(endpoint);
                return None;
            }
            _ => {}
        }
        // Reset is a level on the bus: the device sees it whatever its firmware does.
        if packet == FromGuest::Reset {
            self.configuration = 0;
            self.queues.clear();
            return Some(UsbEvent::Reset);
        }
        if self.silent {
            return self.never_answer(id, packet);
        }
        match (self.stalls, packet) {
            (Stalls::Nothing, packet) => self.for_device(id, packet),
            (_, FromGuest::BulkOut { endpoint, .. }) => {
                self.send(id, &ToGuest::BulkOut(Status::Stall, endpoint, 0));
                None
            }
            (Stalls::Bulk, packet) => self.for_device(id, packet),
            (Stalls::Everything, packet) => self.refuse(id, packet),
        }
    }

    /// Keeps a request so that its cancellation can be answered: that is the controller's work
    /// and not the hanging device's.
    fn never_answer(&mut self, id: u64, packet: FromGuest) -> Option<UsbEvent> {
        let pending = match packet {
            FromGuest::Control(control) => Pending::Control(control),
            FromGuest::BulkOut { endpoint, .. } => Pending::BulkOut(endpoint),
            FromGuest::SetConfiguration(value) => Pending::Configuration(value),
            FromGuest::GetConfiguration => Pending::Configuration(0),
            FromGuest::SetAlt { interface, alt } => Pending::Alt(interface, alt),
            FromGuest::GetAlt(interface) => Pending::Alt(interface, 0),
            _ => return None,
        };
        self.pending.insert(id, pending);
        None
    }

    /// STALL to every request.
    fn refuse(&mut self, id: u64, packet: FromGuest) -> Option<UsbEvent> {
        let answer = match packet {
            FromGuest::Control(control) => {
                ToGuest::Control(Status::Stall, Control { data: Vec::new(), ..control })
            }
            FromGuest::SetConfiguration(_) | FromGuest::GetConfiguration => {
                ToGuest::ConfigurationStatus(Status::Stall, self.configuration)
            }
            FromGuest::SetAlt { interface, alt } => ToGuest::AltStatus(Status::Stall, interface, alt),
            FromGuest::GetAlt(interface) => ToGuest::AltStatus(Status::Stall, interface, 0),
            _ => return None,
        };
        self.send(id, &answer);
        None
    }

    fn for_device(&mut self, id: u64, packet: FromGuest) -> Option<UsbEvent> {
        match packet {
            FromGuest::SetConfiguration(value) => {
                self.configuration = value;
                self.send(id, &ToGuest::ConfigurationStatus(Status::Success, value));
                Some(UsbEvent::Configured(value))
            }
            FromGuest::GetConfiguration => {
                self.send(id, &ToGuest::ConfigurationStatus(Status::Success, self.configuration));
                None
            }
            // Our interfaces have one alternate setting each.
            FromGuest::SetAlt { interface, alt } => {
                let status = if alt == 0 { Status::Success } else { Status::Stall };
                self.send(id, &ToGuest::AltStatus(status, interface, alt));
                None
            }
            FromGuest::GetAlt(interface) => {
                self.send(id, &ToGuest::AltStatus(Status::Success, interface, 0));
                None
            }
            FromGuest::Control(control) => {
                self.pending.insert(id, Pending::Control(control.clone()));
                Some(UsbEvent::Control(id, control))
            }
            FromGuest::BulkOut { endpoint, data } => {
                self.send(id, &ToGuest::BulkOut(Status::Success, endpoint, data.len()));
                Some(UsbEvent::BulkOut(endpoint, data))
            }
            _ => None,
        }
    }

    fn deliver(&mut self, endpoint: u8) {
        let (Some(queue), Some(waiting)) = (self.queues.get_mut(&endpoint), self.waiting.get_mut(&endpoint))
        else {
            return;
        };
        let mut answers = Vec::new();
        while let Some(data) = queue.front_mut()
            && let Some(id) = waiting.pop_front()
        {
            let Some(Pending::BulkIn(_, length)) = self.pending.remove(&id) else { continue };
            let part = if data.len() <= length {
                queue.pop_front().unwrap_or_default()
            } else {
                data.drain(..length).collect()
            };
            answers.push((id, part));
        }
        for (id, part) in answers {
            self.send(id, &ToGuest::BulkIn(Status::Success, endpoint, part));
        }
    }

    fn cancel(&mut self, id: u64) {
        let answer = match self.pending.remove(&id) {
            Some(Pending::Control(mut control)) => {
                control.data.clear();
                ToGuest::Control(Status::Cancelled, control)
            }
            Some(Pending::BulkIn(endpoint, _)) => {
                self.waiting.entry(endpoint).or_default().retain(|waiting| *waiting != id);
                ToGuest::BulkIn(Status::Cancelled, endpoint, Vec::new())
            }
            Some(Pending::BulkOut(endpoint)) => ToGuest::BulkOut(Status::Cancelled, endpoint, 0),
            Some(Pending::Configuration(value)) => ToGuest::ConfigurationStatus(Status::Cancelled, value),
            Some(Pending::Alt(interface, alt)) => ToGuest::AltStatus(Status::Cancelled, interface, alt),
            // Already answered: the answer and the cancellation crossed.
            None => return,
        };
        self.send(id, &answer);
    }
}
