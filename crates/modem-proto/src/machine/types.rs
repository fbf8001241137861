//! The machine's vocabulary.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::{Apn, Bus, Pin, Port, Reach, Spent};
use crate::codec::Response;
use crate::command::Command;
use crate::parse::Registration;

/// What the user wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Access point name; without one it is looked up by the SIM, or the stick's own is used.
    pub apn: Option<Apn>,
    /// What kind of addresses to ask the network for.
    pub pdp_type: PdpType,
    /// The SIM's PIN.
    pub pin: Option<Pin>,
    /// Whether foreign networks are allowed.
    pub roaming: bool,
    /// What to dial.
    pub dial_number: String,
    /// When to dial.
    pub dial: Dial,
    /// Use only the stick that is plugged in here.
    pub usb_path: Option<String>,
    /// Use only the stick with this IMEI.
    pub imei: Option<String>,
    /// The SIMs an earlier process sent this very PIN to and which did not accept it, as far as it
    /// knew.
    pub pins_spent: Vec<Spent>,
    /// What is known to be odd about models, by `vendor:product`.
    pub oddities: BTreeMap<String, Oddities>,
}

/// What is odd about a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// It shows no registration before the first call.
    pub registers_by_calling: bool,
    /// Commands to send after the usual ones.
    pub commands: Vec<String>,
    /// How long after plugging in it may stay silent.
    pub slow_start: Duration,
    /// What it wants dialled where the user configured nothing else.
    pub dial_number: Option<String>,
}

/// Addresses of a PDP context (3GPP TS 27.007 section 10.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PdpType {
    /// IPv4 alone.
    #[default]
    Ipv4,
    /// IPv6 alone.
    Ipv6,
    /// Both (3GPP release 9 and later; older sticks refuse it).
    Ipv4v6,
}

impl PdpType {
    /// As `AT+CGDCONT` wants it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Ipv4 => "IP",
            Self::Ipv6 => "IPV6",
            Self::Ipv4v6 => "IPV4V6",
        }
    }
}

/// When to dial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dial {
    /// Always.
    #[default]
    Always,
    /// When the wired line is down, or on request.
    OnDemand {
        /// How long the wired line must be back before the call ends.
        idle_hangup: Duration,
    },
}

/// How the wired line stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wired {
    /// It carries traffic.
    Up,
    /// It does not.
    Down,
    /// Nobody says.
    #[default]
    Unknown,
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
    /// Its country and network code, digits.
    pub operator_code: Option<String>,
    /// The radio technology: `GSM`, `UMTS`, `HSPA`, `LTE` and so on.
    pub technology: Option<&'static str>,
    /// Signal strength.
    pub signal_dbm: Option<i16>,
    /// When it was measured, in milliseconds of the boot clock.
    pub measured_ms: Option<u64>,
}

/// What carries the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkKind {
    /// PPP over a serial port.
    #[default]
    Ppp,
    /// The stick's own network card.
    NetworkCard,
}

/// An IP link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// `ppp0`.
    pub interface: String,
    /// What carries it.
    pub kind: LinkKind,
    /// Our IPv4 address.
    pub local: Option<Ipv4Addr>,
    /// The peer's, or the gateway.
    pub remote: Option<Ipv4Addr>,
    /// Our and the peer's link-local IPv6 address.
    pub ipv6: Option<(Ipv6Addr, Ipv6Addr)>,
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
    /// The network card is of no use any more.
    Card {
        /// Why.
        why: String,
        /// It is there and does not answer: it hangs.
        silent: bool,
    },
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
    /// The link is down and pppd is about to end; its end says why.
    LinkDown,
    /// pppd ended.
    SessionEnded(SessionEnd),
    /// While the link is up: the stick's second port, which answered before, fell silent.
    SecondPortSilent,
    /// The second port told how the stick stands with the network.
    Measured(Network),
    /// The access point for the SIM that was asked for, if one is known.
    AccessPoint(Option<Apn>),
    /// How the wired line stands.
    Wired(Wired),
    /// Whether the call that is up leads anywhere.
    Reach(Reach),
    /// Somebody asked for a fresh call.
    Redial,
    /// Somebody asked for a call, whatever the wired line does.
    Dial,
    /// Somebody asked to end the call.
    HangUp,
    /// Somebody asked to forget that the PIN was sent.
    ForgetPin,
    /// The configuration was read again.
    Reconfigured {
        /// What it says.
        settings: Settings,
        /// Whether something else changed that only a fresh call takes up.
        fresh_call: bool,
    },
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
    /// The SIM said that the PIN is wrong: the written-down try says so from here on.
    RefusePin,
    /// A person wants what is written down about the PIN forgotten.
    ForgetPin,
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
    /// End pppd without a goodbye: the peer hears nothing any more.
    KillSession,
    /// Look up the access point for the SIM with this identity (IMSI) and report
    /// [`Event::AccessPoint`].
    LookUpApn {
        /// The SIM's identity. Not for logs.
        imsi: String,
    },
}
