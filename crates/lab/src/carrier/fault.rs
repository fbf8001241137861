//! Where the faults of the carrier act: how a call begins, what becomes of its bytes, and when the
//! network ends it. What each fault is and comes from is in [`crate::fault::catalogue`].

use std::time::Duration;

use super::ppp::hdlc::Framing;
use super::ppp::option::{Packet, code};
use super::ppp::protocol;
use crate::fault::{Cure, Faults, Kind};

/// Between two pieces of garbage, and between two Terminate-Requests.
pub(super) const EVERY: Duration = Duration::from_millis(300);

/// How a call begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// As it should.
    Answered,
    /// The network says no.
    Refused,
    /// The network says it is busy.
    Busy,
    /// Nobody says anything.
    Silence,
    /// It is connected, and nobody is there.
    Nobody,
    /// It is connected to noise.
    Noise,
}

/// How the next call begins, and the fault it is because of.
pub(super) fn beginning(faults: &Faults) -> (Beginning, Option<Kind>) {
    let ways = [
        (Kind::DailyCut, Beginning::Refused),
        (Kind::NoCarrier, Beginning::Refused),
        (Kind::Busy, Beginning::Busy),
        (Kind::DialSilence, Beginning::Silence),
        (Kind::LcpSilence, Beginning::Nobody),
        (Kind::ConnectGarbage, Beginning::Noise),
    ];
    let found = ways.into_iter().find(|(kind, _)| faults.has(*kind));
    found.map_or((Beginning::Answered, None), |(kind, beginning)| (beginning, Some(kind)))
}

/// The faults that spoil a call which began well.
pub(super) fn spoilers(faults: &Faults) -> impl Iterator<Item = Kind> {
    let kinds = [Kind::EchoDead, Kind::TerminateStorm, Kind::NoTraffic];
    kinds.into_iter().filter(|kind| faults.get(*kind).is_some_and(|fault| fault.cure == Cure::Redial))
}

/// Noise as a line without clock or with lost bytes has it: flags, escapes and text among it.
pub(super) fn noise(random: u64) -> Vec<u8> {
    let mut bytes = random.to_le_bytes().repeat(5);
    bytes.extend(b"~\x7d\x7e\xff\x03\r\nERROR\r\n");
    bytes
}

/// A Terminate-Request (RFC 1661 section 5.5), framed as every LCP packet is.
pub(super) fn terminate_request(id: u8) -> Vec<u8> {
    let packet = Packet::new(code::TERMINATE_REQUEST, id, Vec::new());
    Framing::PLAIN.frame(protocol::LCP, &packet.bytes())
}
