//! USB requests through libusb, each with a time limit.
//!
//! Every error is an error: uhubctl tests for −1 alone and takes other negative results for status
//! bits (facts in its `get_port_status`), which is how a refused permission looks like success.

use std::time::Duration;

use crate::topology::Device;

/// A hub answers in milliseconds; USB 2.0 9.2.6.4 allows a device 5 s at the very worst, which is
/// longer than anything that waits here can spare.
const REQUEST: Duration = Duration::from_secs(1);
/// Class request to the hub (USB 2.0, table 11-16).
const GET_HUB_DESCRIPTOR: (u8, u8) = (0xa0, 6);
const GET_PORT_STATUS: (u8, u8) = (0xa3, 0);
const SET_PORT_FEATURE: (u8, u8) = (0x23, 3);
const CLEAR_PORT_FEATURE: (u8, u8) = (0x23, 1);
const PORT_POWER: u16 = 8;
const DESCRIPTOR_USB2: u16 = 0x2900;
const DESCRIPTOR_USB3: u16 = 0x2a00;
/// Port status: USB 2.0 table 11-21, USB 3.2 table 10-13.
const CONNECTION: u32 = 0x1;
const POWER_USB2: u32 = 0x100;
const POWER_USB3: u32 = 0x200;

/// What a port says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortStatus {
    /// It is powered.
    pub power: bool,
    /// Something is plugged in.
    pub connected: bool,
}

impl PortStatus {
    /// From the four bytes on the wire.
    pub fn from_bits(bits: u32, superspeed: bool) -> Self {
        let power = if superspeed { POWER_USB3 } else { POWER_USB2 };
        Self { power: bits & power != 0, connected: bits & CONNECTION != 0 }
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsbError {
    /// It is not on the bus.
    #[error("{0} is not on the bus")]
    Gone(String),
    /// libusb's word.
    #[error("{what} {device}: {error}{}", hint(*.error))]
    Request {
        /// What was asked.
        what: &'static str,
        /// Of which device.
        device: String,
        /// What came back.
        error: rusb::Error,
    },
    /// The answer was too short.
    #[error("{what} {device}: {got} bytes only")]
    Short {
        /// What was asked.
        what: &'static str,
        /// Of which device.
        device: String,
        /// How many bytes came.
        got: usize,
    },
}

fn hint(error: rusb::Error) -> &'static str {
    if error == rusb::Error::Access { "; only root may" } else { "" }
}

/// What is asked of devices.
pub trait Usb {
    /// `wHubCharacteristics`.
    ///
    /// # Errors
    /// If the hub does not answer.
    fn characteristics(&self, hub: &Device) -> Result<u16, UsbError>;
    /// What a port says.
    ///
    /// # Errors
    /// If the hub does not answer.
    fn port_status(&self, hub: &Device, port: u8) -> Result<PortStatus, UsbError>;
    /// Switches a port.
    ///
    /// # Errors
    /// If the hub does not obey.
    fn set_power(&self, hub: &Device, port: u8, on: bool) -> Result<(), UsbError>;
    /// Asks for the device's status: whether its firmware serves endpoint 0 at all.
    ///
    /// # Errors
    /// If it does not answer.
    fn ping(&self, device: &Device) -> Result<(), UsbError>;
    /// Resets the device.
    ///
    /// # Errors
    /// If the kernel could not bring it back.
    fn reset(&self, device: &Device) -> Result<(), UsbError>;
}

/// libusb.
#[derive(Clone, Copy, Debug, Default)]
pub struct LibUsb;

type Handle = rusb::DeviceHandle<rusb::GlobalContext>;

fn open(device: &Device) -> Result<Handle, UsbError> {
    let failed = |error| UsbError::Request { what: "open", device: device.name.clone(), error };
    let list = rusb::devices().map_err(failed)?;
    let found = list.iter().find(|d| (d.bus_number(), d.address()) == device.address);
    found.ok_or_else(|| UsbError::Gone(device.name.clone()))?.open().map_err(failed)
}

fn read(
    device: &Device,
    what: &'static str,
    request: (u8, u8),
    value: u16,
    index: u16,
    least: usize,
) -> Result<[u8; 16], UsbError> {
    let mut buffer = [0; 16];
    let wanted = if least == 4 { 4 } else { buffer.len() };
    let failed = |error| UsbError::Request { what, device: device.name.clone(), error };
    let got = open(device)?
        .read_control(request.0, request.1, value, index, &mut buffer[..wanted], REQUEST)
        .map_err(failed)?;
    if got < least { Err(UsbError::Short { what, device: device.name.clone(), got }) } else { Ok(buffer) }
}

impl Usb for LibUsb {
    fn characteristics(&self, hub: &Device) -> Result<u16, UsbError> {
        let value = if hub.superspeed { DESCRIPTOR_USB3 } else { DESCRIPTOR_USB2 };
        let bytes = read(hub, "read the descriptor of hub", GET_HUB_DESCRIPTOR, value, 0, 7)?;
        Ok(u16::from_le_bytes([bytes[3], bytes[4]]))
    }

    fn port_status(&self, hub: &Device, port: u8) -> Result<PortStatus, UsbError> {
        let bytes = read(hub, "read a port's status of hub", GET_PORT_STATUS, 0, port.into(), 4)?;
        let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        Ok(PortStatus::from_bits(bits, hub.superspeed))
    }

    fn set_power(&self, hub: &Device, port: u8, on: bool) -> Result<(), UsbError> {
        let (kind, request) = if on { SET_PORT_FEATURE } else { CLEAR_PORT_FEATURE };
        let what = "switch a port of hub";
        open(hub)?
            .write_control(kind, request, PORT_POWER, port.into(), &[], REQUEST)
            .map(drop)
            .map_err(|error| UsbError::Request { what, device: hub.name.clone(), error })
    }

    fn ping(&self, device: &Device) -> Result<(), UsbError> {
        let mut status = [0; 2];
        // GET_STATUS of the device (USB 2.0, 9.4.5): every device must answer it in any state.
        let got = open(device)?.read_control(0x80, 0, 0, 0, &mut status, REQUEST).map_err(|error| {
            UsbError::Request { what: "ask for the status of", device: device.name.clone(), error }
        })?;
        let short = || UsbError::Short { what: "ask for the status of", device: device.name.clone(), got };
        if got == status.len() { Ok(()) } else { Err(short()) }
    }

    fn reset(&self, device: &Device) -> Result<(), UsbError> {
        match open(device)?.reset() {
            // NotFound: it came back as another device, which is a reset that worked.
            Ok(()) | Err(rusb::Error::NotFound) => Ok(()),
            Err(error) => Err(UsbError::Request { what: "reset", device: device.name.clone(), error }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn power_has_another_bit_at_usb_3() {
        assert_eq!(PortStatus::from_bits(0x0103, false), PortStatus { power: true, connected: true });
        assert_eq!(PortStatus::from_bits(0x02a0, true), PortStatus { power: true, connected: false });
        assert!(!PortStatus::from_bits(0x0200, false).power);
    }
}
