//! Which known stick is on the USB bus, read from sysfs.
//!
//! Ports are found by USB interface number (`1-1:1.3/ttyUSB2`), which belongs to the stick; the
//! number of a ttyUSB depends on what was plugged in before.

use std::fs;
use std::path::Path;
use std::time::Duration;

use modem_proto::machine::{Bus, Form, Port, Stick};
use sysio::Root;
use sysio::command::Runner;

use crate::quirks::{ModeSwitch, Quirk, Serial, UsbId};

const DEVICES: &str = "/sys/bus/usb/devices";
const USB_MODESWITCH: &str = "/usr/sbin/usb_modeswitch";
/// Below a third of the watchdog's 30 s; `usb_modeswitch` needs about 2 s.
const SWITCH_LIMIT: Duration = Duration::from_secs(9);

/// Looks at the bus: every known stick, in the order of the USB paths.
pub fn scan(root: &Root, quirks: &[Quirk]) -> Bus {
    let directory = root.path(DEVICES);
    let mut names: Vec<String> = fs::read_dir(&directory)
        .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    // Interfaces have a colon in their name.
    names.retain(|name| !name.contains(':'));
    names.sort();
    Bus { sticks: names.iter().filter_map(|name| stick(&directory, name, quirks)).collect() }
}

fn stick(directory: &Path, usb_path: &str, quirks: &[Quirk]) -> Option<Stick> {
    let id = usb_id(&directory.join(usb_path))?;
    quirks.iter().find_map(|quirk| {
        let form = if let Some(serial) = quirk.serial.iter().find(|serial| has(&serial.ids, &id)) {
            Form::Serial { ports: ports(directory, usb_path, serial) }
        } else if has(&quirk.cd_rom, &id) {
            Form::CdRom
        } else {
            return None;
        };
        Some(Stick { usb_path: usb_path.to_owned(), id: id.clone(), model: quirk.model.clone(), form })
    })
}

fn has(ids: &[UsbId], id: &str) -> bool {
    ids.iter().any(|known| known.as_str() == id)
}

fn usb_id(device: &Path) -> Option<String> {
    let read = |name| fs::read_to_string(device.join(name)).ok();
    Some(format!("{}:{}", read("idVendor")?.trim(), read("idProduct")?.trim()))
}

/// The ports that exist of those the quirk file names, in its order; configuration 1, as all have.
fn ports(directory: &Path, device: &str, serial: &Serial) -> Vec<Port> {
    let tty = |interface: &u8| {
        let entries = fs::read_dir(directory.join(format!("{device}:1.{interface}"))).ok()?;
        let mut names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        let name = names.find(|name| name.starts_with("ttyUSB"))?;
        Some(Port { name, interface: *interface })
    };
    serial.at_interfaces.iter().filter_map(tty).collect()
}

/// Switches a CD-ROM into a modem with `usb_modeswitch`.
///
/// # Errors
/// What went wrong, in words.
pub fn switch_mode(root: &Root, quirks: &[Quirk], id: &str) -> Result<(), String> {
    let known = |quirk: &&Quirk| has(&quirk.cd_rom, id);
    let quirk = quirks.iter().find(known).ok_or_else(|| format!("no quirk file knows {id}"))?;
    let switch = quirk.mode_switch.as_ref().ok_or_else(|| format!("{}: no way to switch it", quirk.model))?;
    let program = root.path(USB_MODESWITCH);
    Runner::new(&program.to_string_lossy(), switch_arguments(id, switch), SWITCH_LIMIT)
        .run()
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Its arguments: `usb_modeswitch`(1).
fn switch_arguments(id: &str, switch: &ModeSwitch) -> Vec<String> {
    let (vendor, product) = id.split_once(':').unwrap_or((id, ""));
    let mut arguments = vec!["-v".to_owned(), vendor.to_owned(), "-p".to_owned(), product.to_owned()];
    if switch.standard_eject {
        arguments.push("-K".to_owned());
    }
    if let Some(message) = &switch.message {
        arguments.extend(["-M".to_owned(), message.as_str().to_owned()]);
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quirks() -> Vec<Quirk> {
        vec![toml::from_str(include_str!("../../../../hardware/modems/zte-mf180.toml")).unwrap()]
    }

    fn device(root: &Path, name: &str, id: &str, ttys: &[(u8, &str)]) {
        let devices = root.join("sys/bus/usb/devices");
        let (vendor, product) = id.split_once(':').unwrap();
        fs::create_dir_all(devices.join(name)).unwrap();
        fs::write(devices.join(name).join("idVendor"), format!("{vendor}\n")).unwrap();
        fs::write(devices.join(name).join("idProduct"), format!("{product}\n")).unwrap();
        for (interface, tty) in ttys {
            fs::create_dir_all(devices.join(format!("{name}:1.{interface}")).join(tty)).unwrap();
        }
    }

    #[test]
    fn finds_ports_by_interface_whatever_their_numbers() {
        let root = tempfile::tempdir().unwrap();
        device(
            root.path(),
            "1-1.2",
            "19d2:0031",
            &[(0, "ttyUSB7"), (1, "ttyUSB3"), (2, "ttyUSB0"), (3, "ttyUSB9")],
        );
        let bus = scan(&Root::at(root.path()), &quirks());
        let [modem] = bus.sticks.as_slice() else { panic!("{bus:?}") };
        let ports: Vec<_> = modem.ports().iter().map(|port| (port.name.as_str(), port.interface)).collect();
        assert_eq!(ports, [("ttyUSB9", 3), ("ttyUSB3", 1)]);
        assert_eq!((modem.usb_path.as_str(), modem.model.as_str()), ("1-1.2", "ZTE MF180"));
    }

    #[test]
    fn tells_cd_rom_nothing_and_strangers_apart() {
        let root = tempfile::tempdir().unwrap();
        let at = Root::at(root.path());
        assert_eq!(scan(&at, &quirks()), Bus::default());
        device(root.path(), "usb1", "1d6b:0002", &[]);
        device(root.path(), "1-2", "0403:6001", &[(0, "ttyUSB0")]);
        assert_eq!(scan(&at, &quirks()), Bus::default());
        device(root.path(), "1-1", "19d2:2000", &[]);
        let sticks = scan(&at, &quirks()).sticks;
        assert_eq!(sticks.len(), 1);
        assert_eq!((sticks[0].usb_path.as_str(), &sticks[0].form), ("1-1", &Form::CdRom));
    }

    #[test]
    fn switches_as_the_quirk_file_says() {
        let arguments = switch_arguments("19d2:2000", quirks()[0].mode_switch.as_ref().unwrap());
        assert_eq!(arguments[..5], ["-v", "19d2", "-p", "2000", "-K"]);
        assert_eq!(arguments[5], "-M");
    }
}
