//! Packets of the redirection protocol: bytes to types and back, pure and bounded.
//!
//! All integers are little endian; layouts are those of `usb-redirection-protocol.md`.

use super::packet::{Control, Endpoint, EndpointKind, FromGuest, Status, ToGuest};

/// Capability bits of the hello packet.
pub mod cap {
    /// `device_connect` carries the device's version.
    pub const CONNECT_DEVICE_VERSION: u32 = 1 << 1;
    /// `ep_info` carries maximum packet sizes.
    pub const EP_INFO_MAX_PACKET_SIZE: u32 = 1 << 4;
    /// Packet ids have 64 bits: a longer header.
    pub const IDS_64: u32 = 1 << 5;
    /// Bulk packets carry the upper 16 bits of their length.
    pub const BULK_LENGTH_32: u32 = 1 << 6;
}

/// What we offer; QEMU's xHCI refuses devices without the last three (`usbredir_do_attach`).
pub const OUR_CAPS: u32 =
    cap::CONNECT_DEVICE_VERSION | cap::EP_INFO_MAX_PACKET_SIZE | cap::IDS_64 | cap::BULK_LENGTH_32;

/// Longest packet body we take: QEMU's largest transfer is far below; a peer that claims more is
/// broken (the reference parser's own limit is 128 MiB of bulk data).
pub const BODY_MAX: usize = 1 << 20;

/// Number of endpoint slots: 16 OUT, then 16 IN.
pub const ENDPOINTS: usize = 32;

/// Why the peer's bytes make no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The length field exceeds [`BODY_MAX`].
    #[error("packet of type {kind} claims {length} bytes, more than {BODY_MAX}")]
    TooLong {
        /// Packet type.
        kind: u32,
        /// Length field.
        length: usize,
    },
    /// The body is shorter than its type needs.
    #[error("packet of type {kind} has {length} bytes, too few")]
    TooShort {
        /// Packet type.
        kind: u32,
        /// Bytes it has.
        length: usize,
    },
}

mod kind {
    pub(super) const HELLO: u32 = 0;
    pub(super) const DEVICE_CONNECT: u32 = 1;
    pub(super) const DEVICE_DISCONNECT: u32 = 2;
    pub(super) const RESET: u32 = 3;
    pub(super) const INTERFACE_INFO: u32 = 4;
    pub(super) const EP_INFO: u32 = 5;
    pub(super) const SET_CONFIGURATION: u32 = 6;
    pub(super) const GET_CONFIGURATION: u32 = 7;
    pub(super) const CONFIGURATION_STATUS: u32 = 8;
    pub(super) const SET_ALT: u32 = 9;
    pub(super) const GET_ALT: u32 = 10;
    pub(super) const ALT_STATUS: u32 = 11;
    pub(super) const START_INTERRUPT: u32 = 15;
    pub(super) const STOP_INTERRUPT: u32 = 16;
    pub(super) const INTERRUPT_STATUS: u32 = 17;
    pub(super) const CANCEL: u32 = 21;
    pub(super) const CONTROL: u32 = 100;
    pub(super) const BULK: u32 = 101;
    pub(super) const INTERRUPT: u32 = 103;
}

/// Gathers bytes into packets and writes packets as bytes; knows what both sides agreed on.
#[derive(Debug, Default)]
pub struct Codec {
    buffer: Vec<u8>,
    agreed: u32,
}

impl Codec {
    /// Takes bytes as they come from the socket.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole packet with its id, if there is one. Capabilities take effect with the
    /// peer's hello.
    ///
    /// # Errors
    /// When the peer breaks the protocol; the stream cannot be followed any further.
    pub fn next_packet(&mut self) -> Result<Option<(u64, FromGuest)>, PacketError> {
        let header = self.header_len();
        if self.buffer.len() < header {
            return Ok(None);
        }
        let kind = u32_at(&self.buffer, 0);
        let length = u32_at(&self.buffer, 4) as usize;
        if length > BODY_MAX {
            return Err(PacketError::TooLong { kind, length });
        }
        if self.buffer.len() < header + length {
            return Ok(None);
        }
        let low = u64::from(u32_at(&self.buffer, 8));
        let id = if header == 16 { low | u64::from(u32_at(&self.buffer, 12)) << 32 } else { low };
        let body: Vec<u8> = self.buffer.drain(..header + length).skip(header).collect();
        let packet = parse(kind, &body, self.agreed).ok_or(PacketError::TooShort { kind, length })?;
        if let FromGuest::Hello { caps } = packet {
            self.agreed = caps & OUR_CAPS;
        }
        Ok(Some((id, packet)))
    }

    /// The bytes of a packet.
    pub fn encode(&self, id: u64, packet: &ToGuest) -> Vec<u8> {
        let (kind, body) = write(packet, self.agreed);
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(16 + body.len());
        out.extend(kind.to_le_bytes());
        out.extend(length.to_le_bytes());
        out.extend(&id.to_le_bytes()[..self.header_len() - 8]);
        out.extend(body);
        out
    }

    fn header_len(&self) -> usize {
        if self.agreed & cap::IDS_64 == 0 { 12 } else { 16 }
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

/// `None` when the body is too short for its type.
fn parse(kind: u32, body: &[u8], agreed: u32) -> Option<FromGuest> {
    let byte = |at: usize| body.get(at).copied();
    Some(match kind {
        // Version text of 64 bytes, then capability words; old peers send none.
        kind::HELLO => FromGuest::Hello {
            caps: match body.len() {
                0..64 => return None,
                64..68 => 0,
                _ => u32_at(body, 64),
            },
        },
        kind::RESET => FromGuest::Reset,
        kind::SET_CONFIGURATION => FromGuest::SetConfiguration(byte(0)?),
        kind::GET_CONFIGURATION => FromGuest::GetConfiguration,
        kind::SET_ALT => FromGuest::SetAlt { interface: byte(0)?, alt: byte(1)? },
        kind::GET_ALT => FromGuest::GetAlt(byte(0)?),
        kind::START_INTERRUPT => FromGuest::StartInterrupt(byte(0)?),
        kind::STOP_INTERRUPT => FromGuest::StopInterrupt(byte(0)?),
        kind::CANCEL => FromGuest::Cancel,
        kind::CONTROL => {
            let (header, data) = body.split_at_checked(10)?;
            FromGuest::Control(Control {
                request: header[1],
                request_type: header[2],
                value: u16_at(header, 4),
                index: u16_at(header, 6),
                length: u16_at(header, 8),
                data: data.to_vec(),
            })
        }
        kind::BULK => parse_bulk(body, agreed)?,
        other => FromGuest::Other(other),
    })
}

fn parse_bulk(body: &[u8], agreed: u32) -> Option<FromGuest> {
    let wide = agreed & cap::BULK_LENGTH_32 != 0;
    let (header, data) = body.split_at_checked(if wide { 10 } else { 8 })?;
    let endpoint = header[0];
    if endpoint & 0x80 == 0 {
        return Some(FromGuest::BulkOut { endpoint, data: data.to_vec() });
    }
    let high = if wide { usize::from(u16_at(header, 8)) << 16 } else { 0 };
    // A buffer is memory we may fill: no larger than what we would take ourselves.
    let length = (high | usize::from(u16_at(header, 2))).min(BODY_MAX);
    Some(FromGuest::BulkIn { endpoint, length })
}

fn write(packet: &ToGuest, agreed: u32) -> (u32, Vec<u8>) {
    match packet {
        ToGuest::Hello => {
            let mut body = concat!("failberry lab ", env!("CARGO_PKG_VERSION")).as_bytes().to_vec();
            body.resize(64, 0);
            body.extend(OUR_CAPS.to_le_bytes());
            (kind::HELLO, body)
        }
        ToGuest::EpInfo(endpoints) => (kind::EP_INFO, ep_info(endpoints, agreed)),
        ToGuest::InterfaceInfo(classes) => (kind::INTERFACE_INFO, interface_info(classes)),
        ToGuest::Connect { vendor, product, version } => {
            // Speed 1 is full speed; class 0: see the interfaces.
            let mut body = vec![1, 0, 0, 0];
            body.extend(vendor.to_le_bytes());
            body.extend(product.to_le_bytes());
            if agreed & cap::CONNECT_DEVICE_VERSION != 0 {
                body.extend(version.to_le_bytes());
            }
            (kind::DEVICE_CONNECT, body)
        }
        ToGuest::Disconnect => (kind::DEVICE_DISCONNECT, Vec::new()),
        ToGuest::ConfigurationStatus(status, value) => {
            (kind::CONFIGURATION_STATUS, vec![status.code(), *value])
        }
        ToGuest::AltStatus(status, interface, alt) => {
            (kind::ALT_STATUS, vec![status.code(), *interface, *alt])
        }
        ToGuest::InterruptStatus(status, endpoint) => {
            (kind::INTERRUPT_STATUS, vec![status.code(), *endpoint])
        }
        ToGuest::Control(status, control) => (kind::CONTROL, control_body(*status, control)),
        ToGuest::BulkOut(status, endpoint, length) => {
            (kind::BULK, bulk_header(*status, *endpoint, *length, agreed))
        }
        ToGuest::BulkIn(status, endpoint, data) => {
            let mut body = bulk_header(*status, *endpoint, data.len(), agreed);
            body.extend(data);
            (kind::BULK, body)
        }
        ToGuest::Interrupt(endpoint, data) => {
            let mut body = vec![*endpoint, Status::Success.code()];
            body.extend(low16(data.len()).to_le_bytes());
            body.extend(data);
            (kind::INTERRUPT, body)
        }
    }
}

/// The low 16 bits of a length.
fn low16(length: usize) -> u16 {
    u16::try_from(length & 0xffff).unwrap_or(u16::MAX)
}

fn control_body(status: Status, control: &Control) -> Vec<u8> {
    // In an answer the length is that of the data stage that took place.
    let length = if control.is_in() { low16(control.data.len()) } else { control.length };
    let mut body = vec![control.request_type & 0x80, control.request, control.request_type, status.code()];
    for field in [control.value, control.index, length] {
        body.extend(field.to_le_bytes());
    }
    if control.is_in() {
        body.extend(&control.data);
    }
    body
}

fn bulk_header(status: Status, endpoint: u8, length: usize, agreed: u32) -> Vec<u8> {
    let mut body = vec![endpoint, status.code()];
    body.extend(low16(length).to_le_bytes());
    body.extend([0; 4]); // stream
    if agreed & cap::BULK_LENGTH_32 != 0 {
        body.extend(low16(length >> 16).to_le_bytes());
    }
    body
}

/// Four tables with one entry per endpoint slot; 255 marks an absent endpoint.
fn ep_info(endpoints: &[Endpoint], agreed: u32) -> Vec<u8> {
    let (mut kinds, mut intervals, mut interfaces) =
        ([255_u8; ENDPOINTS], [0_u8; ENDPOINTS], [0_u8; ENDPOINTS]);
    let mut sizes = [0_u16; ENDPOINTS];
    let control = |address| Endpoint {
        address,
        kind: EndpointKind::Control,
        interval: 0,
        interface: 0,
        max_packet: 64,
    };
    for endpoint in [control(0), control(0x80)].iter().chain(endpoints) {
        let slot = slot(endpoint.address);
        kinds[slot] = endpoint.kind as u8;
        intervals[slot] = endpoint.interval;
        interfaces[slot] = endpoint.interface;
        sizes[slot] = endpoint.max_packet;
    }
    let mut body = [kinds, intervals, interfaces].concat();
    if agreed & cap::EP_INFO_MAX_PACKET_SIZE != 0 {
        body.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
    }
    body
}

fn interface_info(classes: &[[u8; 3]]) -> Vec<u8> {
    let count = classes.len().min(ENDPOINTS);
    let mut body = u32::try_from(count).unwrap_or(0).to_le_bytes().to_vec();
    let mut tables = [[0_u8; ENDPOINTS]; 4];
    for (number, class) in classes.iter().take(count).enumerate() {
        tables[0][number] = u8::try_from(number).unwrap_or(u8::MAX);
        for part in 0..3 {
            tables[part + 1][number] = class[part];
        }
    }
    body.extend(tables.concat());
    body
}

/// Index of an endpoint address in the tables: OUT first, then IN.
fn slot(address: u8) -> usize {
    usize::from(address & 0x0f) | usize::from(address & 0x80) >> 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(kind: u32, id: &[u8], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap();
        [&kind.to_le_bytes()[..], &length.to_le_bytes(), id, body].concat()
    }

    fn hello(caps: u32) -> Vec<u8> {
        bytes(0, &[0; 4], &[&[0; 64][..], &caps.to_le_bytes()].concat())
    }

    #[test]
    fn headers_grow_once_both_sides_have_said_hello() {
        let mut codec = Codec::default();
        assert_eq!(codec.encode(0, &ToGuest::Hello).len(), 12 + 68);
        codec.push(&hello(u32::MAX));
        assert_eq!(codec.next_packet(), Ok(Some((0, FromGuest::Hello { caps: u32::MAX }))));
        assert_eq!(codec.encode(1 << 40, &ToGuest::Disconnect), bytes(2, &[0, 0, 0, 0, 0, 1, 0, 0], &[]));
        codec.push(&bytes(101, &[7, 0, 0, 0, 0, 0, 0, 0], &[0x81, 0, 0, 0, 0, 0, 0, 0, 1, 0]));
        let expected = FromGuest::BulkIn { endpoint: 0x81, length: 0x1_0000 };
        assert_eq!(codec.next_packet(), Ok(Some((7, expected))));
    }

    #[test]
    fn an_old_peer_keeps_the_short_forms() {
        let mut codec = Codec::default();
        codec.push(&hello(0));
        codec.next_packet().unwrap();
        codec.push(&bytes(101, &[9, 0, 0, 0], &[1, 0, 2, 0, 0, 0, 0, 0, b'h', b'i']));
        let expected = FromGuest::BulkOut { endpoint: 1, data: b"hi".to_vec() };
        assert_eq!(codec.next_packet(), Ok(Some((9, expected))));
        let (vendor, product, version) = (1, 2, 3);
        assert_eq!(codec.encode(0, &ToGuest::Connect { vendor, product, version }).len(), 12 + 8);
    }

    #[test]
    fn packets_may_come_byte_by_byte() {
        let mut codec = Codec::default();
        let wire = hello(0);
        for byte in &wire[..wire.len() - 1] {
            codec.push(&[*byte]);
            assert_eq!(codec.next_packet(), Ok(None));
        }
        codec.push(&wire[wire.len() - 1..]);
        assert!(matches!(codec.next_packet(), Ok(Some(_))));
    }

    #[test]
    fn impossible_lengths_are_errors_and_not_allocations() {
        let mut codec = Codec::default();
        codec.push(&[[101_u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat(), vec![0; 4]].concat());
        assert!(matches!(codec.next_packet(), Err(PacketError::TooLong { kind: 101, .. })));
        for kind in [0, 6, 9, 10, 15, 16, 100, 101] {
            let mut codec = Codec::default();
            codec.push(&bytes(kind, &[0; 4], &[]));
            assert_eq!(codec.next_packet(), Err(PacketError::TooShort { kind, length: 0 }));
        }
    }
}
