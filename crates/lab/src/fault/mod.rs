//! Faults as data: every way the stick and its carrier can fail, what cures it, and where it is
//! known from.
//!
//! A fault is one variant of [`Kind`], its row in [`catalogue`] (name, room, cure, source) and the
//! arm where it acts: `stick/fault.rs` for the firmware, the card and the USB device,
//! `carrier/fault.rs` for the network behind them. What heals a fault is part of its truth
//! ([`cure`]): a lab whose faults go away by themselves proves nothing.

pub mod active;
pub mod catalogue;
pub mod cure;
mod written;

use std::time::Duration;

pub use active::Faults;
pub use catalogue::Row;
pub use cure::{Cure, Event};

/// A way to fail. The order is the catalogue's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(try_from = "String")]
pub enum Kind {
    /// The AT ports answer nothing.
    NoAnswer,
    /// The AT ports say unsolicited lines and answer nothing.
    UrcsOnly,
    /// Unsolicited lines without end, between the answers.
    UrcFlood,
    /// `ERROR` to every command.
    ErrorToAll,
    /// No SIM: `+CME ERROR: 10`.
    SimMissing,
    /// The card asks for its PIN again: `+CME ERROR: 11`.
    SimPin,
    /// The card asks for its PUK: `+CME ERROR: 12`.
    SimPuk,
    /// `+CME ERROR: 13`.
    SimFailure,
    /// `+CME ERROR: 14`.
    SimBusy,
    /// `+CME ERROR: 30`.
    NoService,
    /// `+CME ERROR: 50` to the context's definition.
    BadParameters,
    /// Packet service is not allowed: `+CME ERROR: 107`.
    PsNotAllowed,
    /// The card asks for its PIN and has fewer tries left than it should.
    PinTries,
    /// The card asks for its PIN and the number of tries cannot be read.
    PinTriesHidden,
    /// Dialling ends with `NO CARRIER`.
    NoCarrier,
    /// Dialling ends with `BUSY`.
    Busy,
    /// Dialling ends in silence.
    DialSilence,
    /// `CONNECT`, then bytes that are not PPP.
    ConnectGarbage,
    /// `CONNECT`, then nothing answers LCP.
    LcpSilence,
    /// The carrier refuses name and password.
    AuthRefused,
    /// The call is dead while carrier detect stays.
    EchoDead,
    /// Terminate-Requests as soon as the call is up.
    TerminateStorm,
    /// The call is up and carries no packets.
    NoTraffic,
    /// The carrier ends the call, and the first redials as well.
    DailyCut,
    /// Registration is lost (`code`: 0, 2, 3 or 4).
    RegistrationLost,
    /// Registered abroad.
    Roaming,
    /// The signal is unknown.
    SignalUnknown,
    /// Drops off the bus and is back at once, with another product id.
    Renumbered,
    /// Crashes and comes back as a CD-ROM.
    BackAsCdrom,
    /// Drops off the bus for a while.
    Vanish,
    /// Bulk endpoints answer STALL.
    Stall,
    /// Bulk endpoints and endpoint zero answer STALL.
    StallAll,
    /// Nothing on the bus is answered, until a bus reset.
    SoftHang,
    /// Nothing on the bus is answered, until the power goes.
    Hang,
}

/// Where a fault lives: what forgets it when the stick restarts or loses power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// In the firmware's memory.
    Firmware,
    /// In the stick's USB device.
    Device,
    /// In the SIM card.
    Card,
    /// In the radio network, as the firmware sees it.
    Cell,
    /// In the carrier's packet network.
    Carrier,
}

impl Room {
    /// Whether it is memory of the stick, which the loss of power empties.
    pub fn is_in_stick(self) -> bool {
        matches!(self, Self::Firmware | Self::Device)
    }
}

/// A fault to come: its kind and how it is cured here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "written::Written")]
pub struct Fault {
    /// Which one.
    pub kind: Kind,
    /// What cures it.
    pub cure: Cure,
    /// How many of the curing events it takes: calls that fail, resets that do not help and the
    /// one that does.
    pub cycles: u32,
    /// How long it lasts when time cures it, or how long the stick is away.
    pub seconds: Option<Duration>,
    /// A number the kind knows what to do with: registration status, PIN tries left.
    pub code: Option<u8>,
}

impl From<Kind> for Fault {
    /// As the catalogue has it.
    fn from(kind: Kind) -> Self {
        let row = kind.row();
        let seconds = (row.seconds > 0).then(|| Duration::from_secs(row.seconds));
        Self { kind, cure: row.cure, cycles: row.cycles, seconds, code: row.code }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.row().name)
    }
}

impl Fault {
    /// The time in which a fully working appliance must be online again.
    pub fn bound(&self) -> Duration {
        let lasts = if self.cure == Cure::Time { self.seconds.unwrap_or_default() } else { Duration::ZERO };
        lasts
            + cure::bound(self.kind, self.cure)
            + cure::again(self.kind, self.cure) * self.cycles.saturating_sub(1)
    }
}
