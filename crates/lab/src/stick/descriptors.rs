//! USB descriptors (USB 2.0 chapter 9) of the stick's two faces, and the standard requests every
//! device answers.

use super::Personality;
use crate::usbredir::Plug;
use crate::usbredir::packet::{Control, Endpoint, EndpointKind};

/// ZTE's vendor id.
pub(crate) const VENDOR: u16 = 0x19d2;
/// The MF180 as a CD-ROM (usb-modeswitch-data, file `19d2:2000`).
pub(crate) const CDROM: u16 = 0x2000;
/// The MF180 as a modem (same file, first of its targets).
pub(crate) const MODEM: u16 = 0x0031;

/// The MF180 as a modem, another of the targets: the same interfaces, AT ports at the same places
/// (`ModemManager`'s `77-mm-zte-port-types.rules`).
pub(crate) const OTHER_MODEM: u16 = 0x2003;

/// Serial interfaces of the modem.
pub(crate) const INTERFACES: u8 = 4;
/// Interfaces with an interrupt endpoint for modem status: primary and secondary AT port.
pub(crate) const WITH_STATUS: [u8; 2] = [3, 1];

/// Full speed: at most 64 bytes in a bulk packet (USB 2.0 section 5.8.3).
const BULK_PACKET: u16 = 64;
/// A `SERIAL_STATE` notification is 10 bytes (USB CDC PSTN 1.2 section 6.5.4).
const STATUS_PACKET: u16 = 16;
/// Milliseconds between polls of the status endpoint at full speed.
const STATUS_INTERVAL: u8 = 32;

/// Bulk IN endpoint of an interface.
pub(crate) fn bulk_in(interface: u8) -> u8 {
    0x81 + interface
}

/// Bulk OUT endpoint of an interface.
pub(crate) fn bulk_out(interface: u8) -> u8 {
    0x01 + interface
}

/// Interrupt IN endpoint of an interface that has one.
pub(crate) fn status_in(interface: u8) -> u8 {
    0x81 + INTERFACES + interface
}

/// What is plugged in; `None` for nothing.
pub(crate) fn plug(personality: Personality) -> Option<Plug> {
    let product = match personality {
        Personality::Absent => return None,
        Personality::CdRom => CDROM,
        Personality::Modem => MODEM,
        Personality::OtherModem => OTHER_MODEM,
    };
    let interfaces = interfaces(personality);
    Some(Plug {
        vendor: VENDOR,
        product,
        version: 0,
        endpoints: (0..).zip(&interfaces).flat_map(|(number, _)| endpoints(personality, number)).collect(),
        interfaces,
    })
}

/// The answer to a standard request, `None` where the device stalls.
pub(crate) fn standard(personality: Personality, control: &Control) -> Option<Vec<u8>> {
    const GET_STATUS: u8 = 0;
    const CLEAR_FEATURE: u8 = 1;
    const SET_FEATURE: u8 = 3;
    const GET_DESCRIPTOR: u8 = 6;
    match (control.request_type, control.request) {
        (0x80..=0x82, GET_STATUS) => Some(vec![0, 0]),
        (0x00..=0x02, CLEAR_FEATURE | SET_FEATURE) => Some(Vec::new()),
        (0x80, GET_DESCRIPTOR) => {
            let [index, kind] = control.value.to_le_bytes();
            descriptor(personality, kind, index)
        }
        _ => None,
    }
}

fn descriptor(personality: Personality, kind: u8, index: u8) -> Option<Vec<u8>> {
    match (kind, index) {
        (1, 0) => plug(personality).map(|plug| device(&plug)),
        (2, 0) => Some(configuration(personality)),
        (3, 0) => Some(vec![4, 3, 0x09, 0x04]), // languages: US English
        (3, index) => string(index),
        // No device qualifier: a full-speed-only device stalls it (USB 2.0 section 9.6.2).
        _ => None,
    }
}

fn device(plug: &Plug) -> Vec<u8> {
    let mut bytes = vec![18, 1, 0x10, 0x01, 0, 0, 0, 64];
    for field in [plug.vendor, plug.product, plug.version] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend([1, 2, 3, 1]); // strings: manufacturer, product, serial; one configuration
    bytes
}

fn configuration(personality: Personality) -> Vec<u8> {
    let interfaces = interfaces(personality);
    let mut body = Vec::new();
    for (number, class) in (0..).zip(&interfaces) {
        let endpoints = endpoints(personality, number);
        let count = u8::try_from(endpoints.len()).unwrap_or(u8::MAX);
        body.extend([9, 4, number, 0, count, class[0], class[1], class[2], 0]);
        for endpoint in endpoints {
            body.extend([7, 5, endpoint.address, endpoint.kind as u8]);
            body.extend(endpoint.max_packet.to_le_bytes());
            body.push(endpoint.interval);
        }
    }
    let total = u16::try_from(9 + body.len()).unwrap_or(u16::MAX).to_le_bytes();
    let count = u8::try_from(interfaces.len()).unwrap_or(u8::MAX);
    // Bus powered, remote wakeup, 500 mA: what makes these sticks overload a Pi's ports.
    let mut bytes = vec![9, 2, total[0], total[1], count, 1, 0, 0xa0, 250];
    bytes.extend(body);
    bytes
}

fn interfaces(personality: Personality) -> Vec<[u8; 3]> {
    match personality {
        Personality::Absent => Vec::new(),
        // Mass storage, SCSI transparent, bulk-only.
        Personality::CdRom => vec![[0x08, 0x06, 0x50]],
        Personality::Modem | Personality::OtherModem => vec![[0xff; 3]; usize::from(INTERFACES)],
    }
}

fn endpoints(personality: Personality, interface: u8) -> Vec<Endpoint> {
    let bulk = |address| Endpoint {
        address,
        kind: EndpointKind::Bulk,
        interval: 0,
        interface,
        max_packet: BULK_PACKET,
    };
    let mut endpoints = vec![bulk(bulk_in(interface)), bulk(bulk_out(interface))];
    if personality != Personality::CdRom && WITH_STATUS.contains(&interface) {
        endpoints.push(Endpoint {
            address: status_in(interface),
            kind: EndpointKind::Interrupt,
            interval: STATUS_INTERVAL,
            interface,
            max_packet: STATUS_PACKET,
        });
    }
    endpoints
}

fn string(index: u8) -> Option<Vec<u8>> {
    let text = match index {
        1 => "ZTE,Incorporated",
        2 => "ZTE WCDMA Technologies MSM",
        3 => "P680A1ZTED010000",
        _ => return None,
    };
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut bytes = vec![u8::try_from(2 + utf16.len()).ok()?, 3];
    bytes.extend(utf16);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modem_has_four_vendor_interfaces_and_status_on_the_at_ports() {
        let plug = plug(Personality::Modem).unwrap();
        assert_eq!(plug.interfaces, vec![[0xff; 3]; 4]);
        let status: Vec<u8> = plug
            .endpoints
            .iter()
            .filter(|e| e.kind == EndpointKind::Interrupt)
            .map(|e| e.interface)
            .collect();
        assert_eq!(status, [1, 3]);
        let mut addresses: Vec<u8> = plug.endpoints.iter().map(|e| e.address).collect();
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), 10, "an endpoint address is used twice");
    }

    #[test]
    fn configuration_descriptor_states_its_own_length() {
        for personality in [Personality::CdRom, Personality::Modem] {
            let bytes = configuration(personality);
            assert_eq!(usize::from(u16::from_le_bytes([bytes[2], bytes[3]])), bytes.len());
        }
    }
}
