//! The machine's vocabulary.

use std::net::Ipv4Addr;

use super::Pin;
use crate::codec::Response;
use crate::command::Command;
use crate::parse::Registration;

/// What the user wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Access point name; without one the stick's own is used.
    pub apn: Option<String>,
    /// The SIM's PIN.
    pub pin: Option<Pin>,
    /// Whether foreign networks are allowed.
    pub roaming: bool,
    /// What to dial.
    pub dial_number: String,
    /// Whether this very PIN was sent by an earlier process and not accepted.
    pub pin_refused_before: bool,
}

/// A serial port of the stick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// `ttyUSB2`; changes at every plugging in.
    pub name: String,
    /// Its USB interface number, which does not.
    pub interface: u8,
}

/// A stick on the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stick {
    /// Where it is plugged in, such as `1-1.2`.
    pub usb_path: String,
    /// `vendor:product` in hexadecimal.
    pub id: String,
    /// The model, from its quirk file.
    pub model: String,
    /// What it shows itself as.
    pub form: Form,
}

/// What a stick shows itself as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// The CD-ROM with its drivers: it has to be switched.
    CdRom,
    /// A modem; its ports may still be appearing.
    Serial {
        /// Ports that may answer AT commands, the one for PPP first.
        ports: Vec<Port>,
    },
    /// A network card that dials by itself (HiLink, ECM, NCM, RNDIS).
    NetworkCard {
        /// The kernel's name for it (`usb0`, `wwan0`), once it is there.
        interface: Option<String>,
        /// Ports that may answer AT commands beside it.
        ports: Vec<Port>,
    },
}

impl Stick {
    /// Ports that may answer AT commands, the best first.
    pub fn ports(&self) -> &[Port] {
        match &self.form {
            Form::CdRom => &[],
            Form::Serial { ports } | Form::NetworkCard { ports, .. } => ports,
        }
    }

    /// Whether what it takes to dial has appeared.
    pub(super) fn is_ready(&self) -> bool {
        match &self.form {
            Form::CdRom => false,
            Form::Serial { ports } => !ports.is_empty(),
            Form::NetworkCard { interface, .. } => interface.is_some(),
        }
    }

    /// Whether it is the same stick in the same form, whatever became of its ports.
    pub fn is_same(&self, other: &Self) -> bool {
        self.usb_path == other.usb_path
            && self.id == other.id
            && std::mem::discriminant(&self.form) == std::mem::discriminant(&other.form)
    }
}

/// What is on the bus: every stick a quirk file knows, and those that look like one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bus {
    /// In the order of their USB paths.
    pub sticks: Vec<Stick>,
}

/// What the stick says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// `+CGMI`.
    pub manufacturer: Option<String>,
    /// `+CGMM`.
    pub model: Option<String>,
    /// `+CGSN`, the IMEI.
    pub imei: Option<String>,
}

/// What is known of the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// How the stick stands with it.
    pub registration: Option<Registration>,
    /// Its name.
    pub operator: Option<String>,
    /// Signal strength, measured before dialling.
    pub signal_dbm: Option<i16>,
}

/// An IP link over PPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// `ppp0`.
    pub interface: String,
    /// Our address.
    pub local: Ipv4Addr,
    /// The peer's.
    pub remote: Ipv4Addr,
    /// Name servers the peer offered.
    pub dns: Vec<Ipv4Addr>,
    /// Largest packet.
    pub mtu: u32,
}

/// How pppd ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It could not be started.
    NotStarted(String),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The moment of [`super::Machine::next_deadline`] may have come.
    Tick,
    /// The bus was looked at.
    Bus(Bus),
    /// The port asked for is open, or not.
    Opened(Result<(), String>),
    /// The pending command is answered.
    Answer(Response),
    /// The modem said something by itself.
    Unsolicited(String),
    /// The open port is gone.
    PortLost(String),
    /// The PIN was not sent because the try could not be written down first.
    PinNotRecorded,
    /// pppd has addresses.
    SessionUp(Link),
    /// pppd ended.
    SessionEnded(SessionEnd),
    /// Somebody asked for a fresh call.
    Redial,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Look at the bus and report it.
    Scan,
    /// Switch the CD-ROM at this USB path into a modem.
    SwitchMode {
        /// Where it is plugged in.
        usb_path: String,
        /// `vendor:product`.
        id: String,
    },
    /// Open this port and report [`Event::Opened`].
    Open(Port),
    /// Send this; a command that carries the PIN only after the try was written down.
    Send(Command),
    /// The SIM accepted the PIN: the written-down try is settled.
    SettlePin,
    /// Close the port, which hangs up.
    Close,
    /// Take an address on this network card and report [`Event::SessionUp`]; [`Action::EndSession`]
    /// ends it as it ends pppd.
    StartCard {
        /// The kernel's name for it.
        interface: String,
    },
    /// Run pppd on the open port, which carries data now.
    StartSession,
    /// End pppd.
    EndSession,
}

/// Why a PIN was not accepted or not even sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinRefusal {
    /// The SIM said it is wrong.
    Wrong,
    /// So few tries are left that a wrong one could be costly.
    FewTries(u8),
    /// It was sent before, and not accepted.
    SentBefore,
    /// The try could not be written down first.
    NotRecorded,
}

/// What stands between the user and the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No stick.
    Absent,
    /// It does not answer.
    NoAnswer(String),
    /// No usable SIM.
    NoSim(String),
    /// The stick asks for an unlock code that is not the SIM's PIN.
    Locked(String),
    /// The SIM asks for a PIN and none is configured.
    PinRequired,
    /// The PIN does not help.
    PinRefused(PinRefusal),
    /// The SIM asks for its PUK.
    PukRequired,
    /// No registration in time.
    NotRegistered(Option<Registration>),
    /// Only a foreign network is there, and they are not allowed.
    RoamingOff,
    /// The network refuses this SIM.
    RegistrationDenied,
    /// The provider refuses user and password.
    AuthRefused(String),
    /// The call could not be made or held.
    CallFailed(String),
}
