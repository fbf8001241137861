//! Which sticks are on the USB bus, read from sysfs: known ones by their quirk file, unknown ones by
//! the drivers the kernel bound to them.
//!
//! Ports are found by USB interface (`1-1:1.3/ttyUSB2`), which belongs to the stick; the number of a
//! ttyUSB depends on what was plugged in before.

mod device;
mod guess;

use std::fs;
use std::path::Path;
use std::time::Duration;

use modem_proto::machine::{Bus, Form, Port, Stick};
use sysio::Root;
use sysio::command::Runner;

use crate::quirks::{CdRom, NetworkCard, Quirk, Serial, UsbId};
use device::{Device, Interface};

const DEVICES: &str = "/sys/bus/usb/devices";
const USB_MODESWITCH: &str = "/usr/sbin/usb_modeswitch";
/// Well below the watchdog's 15 s; `usb_modeswitch` needs about 2 s.
const SWITCH_LIMIT: Duration = Duration::from_secs(9);
/// Mass storage (USB-IF class codes): what a stick shows before it is switched.
const STORAGE: &str = "08";

/// Looks at the bus: every stick, in the order of the USB paths.
pub fn scan(root: &Root, quirks: &[Quirk]) -> Bus {
    let directory = root.path(DEVICES);
    let mut names: Vec<String> = fs::read_dir(&directory)
        .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    // Interfaces have a colon in their name; root hubs (`usb1`) are no sticks.
    names.retain(|name| !name.contains(':') && !name.starts_with("usb"));
    names.sort();
    Bus { sticks: names.into_iter().filter_map(|name| stick(&directory.join(&name), name, quirks)).collect() }
}

fn stick(path: &Path, usb_path: String, quirks: &[Quirk]) -> Option<Stick> {
    let device = Device::read(path, &usb_path)?;
    let (model, form) = known(&device, quirks).or_else(|| guess::form(&device))?;
    Some(Stick { usb_path, id: device.id, model, form })
}

/// What the quirk files say. A few models keep their id when they are switched (Huawei E220), and one
/// model's modem can have the id of another's CD-ROM (ZTE 19d2:0031): an id counts as a CD-ROM only
/// while mass storage is all there is.
fn known(device: &Device, quirks: &[Quirk]) -> Option<(String, Form)> {
    let storage_only = device.is_all(STORAGE);
    if storage_only && let Some(quirk) = quirks.iter().find(|quirk| cd_rom(quirk, &device.id).is_some()) {
        return Some((quirk.model.clone(), Form::CdRom));
    }
    for quirk in quirks {
        if let Some(serial) = quirk.serial.iter().find(|serial| has(&serial.ids, &device.id)) {
            return Some((quirk.model.clone(), Form::Serial { ports: serial_ports(device, serial) }));
        }
        if let Some(card) = quirk.network_card.iter().find(|card| has(&card.ids, &device.id)) {
            return Some((quirk.model.clone(), network_card(device, card)));
        }
        // Its interfaces may not be there yet.
        if cd_rom(quirk, &device.id).is_some() {
            return Some((quirk.model.clone(), Form::CdRom));
        }
    }
    None
}

fn has(ids: &[UsbId], id: &str) -> bool {
    ids.iter().any(|known| known.as_str() == id)
}

fn cd_rom<'quirk>(quirk: &'quirk Quirk, id: &str) -> Option<&'quirk CdRom> {
    quirk.cd_rom.iter().find(|cd_rom| has(&cd_rom.ids, id))
}

/// The ports that exist of those the quirk file names, in its order.
fn serial_ports(device: &Device, serial: &Serial) -> Vec<Port> {
    let by_number = ports_of(device, &serial.at_interfaces);
    let by_function = serial.at_functions.iter().flat_map(|function| {
        device.interfaces.iter().filter(move |i| i.function == function.as_str()).filter_map(Interface::port)
    });
    let ports: Vec<Port> = by_number.into_iter().chain(by_function).collect();
    // Where numbers vary, an odd variant may have other functions too; a missing number only means
    // that the port is still appearing.
    if ports.is_empty() && !serial.at_functions.is_empty() { guess::ports(device) } else { ports }
}

fn ports_of(device: &Device, numbers: &[u8]) -> Vec<Port> {
    let find = |number: &u8| device.interfaces.iter().find(|i| i.number == *number)?.port();
    numbers.iter().filter_map(find).collect()
}

fn network_card(device: &Device, card: &NetworkCard) -> Form {
    let interface = device.interfaces.iter().find_map(|interface| interface.net.clone());
    Form::NetworkCard { interface, ports: ports_of(device, &card.at_interfaces) }
}

/// Switches a CD-ROM into a modem with `usb_modeswitch`.
///
/// # Errors
/// What went wrong, in words.
pub fn switch_mode(root: &Root, quirks: &[Quirk], id: &str) -> Result<(), String> {
    let cd_rom = quirks
        .iter()
        .find_map(|quirk| cd_rom(quirk, id))
        .ok_or_else(|| format!("switch {id}: no quirk file knows it; add one to hardware/modems"))?;
    let program = root.path(USB_MODESWITCH);
    Runner::new(&program.to_string_lossy(), switch_arguments(id, cd_rom), SWITCH_LIMIT)
        .run()
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Its arguments: `usb_modeswitch`(1) and the option table in its `usb_modeswitch.c`.
fn switch_arguments(id: &str, switch: &CdRom) -> Vec<String> {
    let (vendor, product) = id.split_once(':').unwrap_or((id, ""));
    let mut arguments = vec!["-v".to_owned(), vendor.to_owned(), "-p".to_owned(), product.to_owned()];
    let flags = [(switch.standard_eject, "-K"), (switch.huawei_mode, "-H"), (switch.huawei_new_mode, "-J")];
    arguments.extend(flags.into_iter().filter(|(wanted, _)| *wanted).map(|(_, flag)| flag.to_owned()));
    if let Some(message) = &switch.message {
        arguments.extend(["-M".to_owned(), message.as_str().to_owned()]);
    }
    arguments
}

#[cfg(test)]
mod tests;
