//! Packets of the redirection protocol as types: what the guest's side says, and what we say.

/// Outcome of a transfer (`usb_redir_status`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Success,
    /// Taken back with `cancel_data_packet`.
    Cancelled,
    /// No such thing.
    Invalid,
    /// The device refuses: STALL on the bus.
    Stall,
}

impl Status {
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Cancelled => 1,
            Self::Invalid => 2,
            Self::Stall => 4,
        }
    }
}

/// A SETUP packet (USB 2.0 section 9.3) with its OUT data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// `bmRequestType`.
    pub request_type: u8,
    /// `bRequest`.
    pub request: u8,
    /// `wValue`.
    pub value: u16,
    /// `wIndex`.
    pub index: u16,
    /// `wLength`.
    pub length: u16,
    /// Data stage of an OUT request.
    pub data: Vec<u8>,
}

impl Control {
    /// Whether the data stage goes from the device to the host.
    pub fn is_in(&self) -> bool {
        self.request_type & 0x80 != 0
    }
}

/// What the guest's side says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromGuest {
    /// First packet of all, with the peer's capabilities.
    Hello {
        /// Capability bits.
        caps: u32,
    },
    /// Bus reset; there is no answer.
    Reset,
    /// `SET_CONFIGURATION`.
    SetConfiguration(u8),
    /// `GET_CONFIGURATION`.
    GetConfiguration,
    /// `SET_INTERFACE`.
    SetAlt {
        /// Interface number.
        interface: u8,
        /// Alternate setting.
        alt: u8,
    },
    /// `GET_INTERFACE`.
    GetAlt(u8),
    /// Poll an interrupt endpoint from now on.
    StartInterrupt(u8),
    /// Stop polling it.
    StopInterrupt(u8),
    /// Take back the transfer with this packet's id.
    Cancel,
    /// Any other control request.
    Control(Control),
    /// A bulk transfer to the device.
    BulkOut {
        /// Endpoint address.
        endpoint: u8,
        /// What is sent.
        data: Vec<u8>,
    },
    /// A bulk transfer from the device.
    BulkIn {
        /// Endpoint address, with the direction bit.
        endpoint: u8,
        /// Size of the guest's buffer.
        length: usize,
    },
    /// A packet type that has no meaning for our devices (streams, isochronous, filters).
    Other(u32),
}

/// An endpoint of the connected device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Address with the direction bit.
    pub address: u8,
    /// Transfer type.
    pub kind: EndpointKind,
    /// Polling interval (`bInterval`).
    pub interval: u8,
    /// Interface it belongs to.
    pub interface: u8,
    /// Maximum packet size.
    pub max_packet: u16,
}

/// Transfer type, with its value in descriptors (USB 2.0 table 9-13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointKind {
    /// Control.
    Control = 0,
    /// Bulk.
    Bulk = 2,
    /// Interrupt.
    Interrupt = 3,
}

/// What we say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToGuest {
    /// First packet of all.
    Hello,
    /// The endpoints of the active configuration.
    EpInfo(Vec<Endpoint>),
    /// Class, subclass and protocol of each interface, by number.
    InterfaceInfo(Vec<[u8; 3]>),
    /// A full-speed device has been plugged in.
    Connect {
        /// `idVendor`.
        vendor: u16,
        /// `idProduct`.
        product: u16,
        /// `bcdDevice`.
        version: u16,
    },
    /// It has gone.
    Disconnect,
    /// Answer to SET_ and `GET_CONFIGURATION`.
    ConfigurationStatus(Status, u8),
    /// Answer to SET_ and `GET_INTERFACE`: status, interface, alternate setting.
    AltStatus(Status, u8, u8),
    /// Answer to start and stop of interrupt polling.
    InterruptStatus(Status, u8),
    /// Answer to a control request; `data` for IN.
    Control(Status, Control),
    /// Answer to a bulk OUT transfer of that length.
    BulkOut(Status, u8, usize),
    /// Answer to a bulk IN transfer.
    BulkIn(Status, u8, Vec<u8>),
    /// Data from an interrupt endpoint.
    Interrupt(u8, Vec<u8>),
}
