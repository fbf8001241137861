//! What is on the USB bus, read from sysfs (Documentation/ABI/testing/sysfs-bus-usb).
//!
//! A port has the name of the device that would be in it: `1-1` is port 1 of root hub `usb1`,
//! `1-1.2` is port 2 of hub `1-1`. The names belong to the socket, not to the stick.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sysio::Root;

/// Where the kernel lists devices and interfaces.
pub const DEVICES: &str = "/sys/bus/usb/devices";
const COMPATIBLE: &str = "/proc/device-tree/compatible";
/// `…:1.0/host0/target0:0:0/0:0:0:0/block` is the deepest place that is looked for.
const DEPTH: u8 = 4;
/// Descriptor type DEVICE CAPABILITY and capability CONTAINER ID (USB 3.2, tables 9-6 and 9-14).
const DEVICE_CAPABILITY: u8 = 0x10;
const CONTAINER_ID: u8 = 0x04;

/// A socket of a hub.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port {
    /// The hub's name: `usb1`, `1-1`.
    pub hub: String,
    /// From 1.
    pub number: u8,
}

impl Port {
    /// From the name of the device in it; none for root hubs and for what is no such name.
    pub fn parse(name: &str) -> Option<Self> {
        let (bus, ports) = name.split_once('-')?;
        bus.parse::<u8>().ok()?;
        let numbers: Option<Vec<u8>> = ports.split('.').map(|n| n.parse().ok().filter(|n| *n > 0)).collect();
        let number = *numbers?.last()?;
        let hub = match name.rsplit_once('.') {
            Some((hub, _)) => hub.to_owned(),
            None => format!("usb{bus}"),
        };
        Some(Self { hub, number })
    }

    /// The name of the device in it.
    pub fn name(&self) -> String {
        match self.hub.strip_prefix("usb") {
            Some(bus) => format!("{bus}-{}", self.number),
            None => format!("{}.{}", self.hub, self.number),
        }
    }

    /// The kernel's own switch for it (drivers/usb/core/port.c, Linux 6.0 and later).
    pub fn disable_attribute(&self, root: &Root) -> PathBuf {
        let bus = self.hub.strip_prefix("usb");
        let interface = bus.map_or_else(|| format!("{}:1.0", self.hub), |bus| format!("{bus}-0:1.0"));
        root.path(DEVICES).join(interface).join(format!("{}-port{}", self.hub, self.number)).join("disable")
    }
}

/// Whether `device` is at `port`, or hangs somewhere below it.
pub fn is_at_or_below(device: &str, port: &str) -> bool {
    device.strip_prefix(port).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// A device; a hub if it has ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Vendor and product, `0424:9514`.
    pub id: String,
    /// What it calls itself.
    pub product: String,
    /// How many ports it has; 0 if it is no hub.
    pub ports: u8,
    /// Where usbfs has it.
    pub address: (u8, u8),
    /// It runs at USB 3 speed.
    pub superspeed: bool,
    /// Network interfaces on it.
    pub networks: Vec<String>,
    /// Disks on it.
    pub disks: Vec<String>,
    /// What the USB 2 and USB 3 halves of one hub have in common.
    pub container: Option<[u8; 16]>,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Devices by name.
    pub devices: BTreeMap<String, Device>,
    /// What the device tree says this board is.
    pub compatible: Vec<String>,
}

impl Topology {
    /// Reads it; what cannot be read is not there.
    pub fn read(root: &Root) -> Self {
        let directory = root.path(DEVICES);
        let names = entries(&directory);
        let mut devices: BTreeMap<String, Device> = names
            .iter()
            .filter(|name| !name.contains(':'))
            .filter_map(|name| Some((name.clone(), device(&directory.join(name), name)?)))
            .collect();
        for interface in names.iter().filter(|name| name.contains(':')) {
            let owner = interface.split(':').next().unwrap_or_default();
            if let Some(device) = devices.get_mut(owner) {
                below(&directory.join(interface), "net", DEPTH, &mut device.networks);
                below(&directory.join(interface), "block", DEPTH, &mut device.disks);
            }
        }
        let compatible = fs::read_to_string(root.path(COMPATIBLE)).unwrap_or_default();
        let compatible = compatible.split('\0').filter(|s| !s.is_empty()).map(str::to_owned).collect();
        Self { devices, compatible }
    }

    /// Only which device is in which port: quick enough for every turn.
    pub fn id_at(root: &Root, name: &str) -> Option<String> {
        usb_id(&root.path(DEVICES).join(name))
    }
}

fn entries(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn text(directory: &Path, name: &str) -> Option<String> {
    fs::read_to_string(directory.join(name)).ok().map(|text| text.trim().to_owned())
}

fn number<T: std::str::FromStr>(directory: &Path, name: &str) -> Option<T> {
    text(directory, name)?.parse().ok()
}

fn usb_id(directory: &Path) -> Option<String> {
    Some(format!("{}:{}", text(directory, "idVendor")?, text(directory, "idProduct")?))
}

fn device(directory: &Path, name: &str) -> Option<Device> {
    Some(Device {
        name: name.to_owned(),
        id: usb_id(directory)?,
        product: text(directory, "product").unwrap_or_default(),
        ports: number(directory, "maxchild").unwrap_or_default(),
        address: (number(directory, "busnum")?, number(directory, "devnum")?),
        superspeed: number::<u32>(directory, "speed").is_some_and(|mbit| mbit >= 5000),
        networks: Vec::new(),
        disks: Vec::new(),
        container: fs::read(directory.join("bos_descriptors")).ok().and_then(|bos| container(&bos)),
    })
}

/// Names of the entries of folders called `kind` below `directory`; symbolic links are not followed.
fn below(directory: &Path, kind: &str, depth: u8, found: &mut Vec<String>) {
    let Ok(list) = fs::read_dir(directory) else { return };
    for entry in list.flatten().filter(|entry| entry.file_type().is_ok_and(|t| t.is_dir())) {
        if entry.file_name() == kind {
            found.extend(entries(&entry.path()));
        } else if depth > 0 {
            below(&entry.path(), kind, depth - 1, found);
        }
    }
}

/// The container id in a BOS descriptor with what follows it.
fn container(mut bos: &[u8]) -> Option<[u8; 16]> {
    while let [length, kind, ..] = *bos {
        let descriptor = bos.get(..usize::from(length)).filter(|d| d.len() >= 2)?;
        if kind == DEVICE_CAPABILITY && descriptor.get(2) == Some(&CONTAINER_ID) {
            let id: [u8; 16] = descriptor.get(4..20)?.try_into().ok()?;
            // All zeros is what lazy firmware says; it would make twins of strangers.
            return Some(id).filter(|id| id.iter().any(|byte| *byte != 0));
        }
        bos = &bos[usize::from(length)..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_has_the_name_of_the_device_in_it() {
        for (name, hub, number) in [("1-1", "usb1", 1), ("1-1.4", "1-1", 4), ("2-3.1.2", "2-3.1", 2)] {
            let port = Port::parse(name).unwrap();
            assert_eq!((port.hub.as_str(), port.number, port.name().as_str()), (hub, number, name));
        }
        for no in ["usb1", "", "1-", "1-0", "1-1.x", "x-1", "1-1.1:1.0"] {
            assert_eq!(Port::parse(no), None, "{no}");
        }
    }

    #[test]
    fn the_kernels_switch_is_where_the_kernel_has_it() {
        let at = |name: &str| Port::parse(name).unwrap().disable_attribute(&Root::system());
        assert_eq!(at("1-2"), Path::new("/sys/bus/usb/devices/1-0:1.0/usb1-port2/disable"));
        assert_eq!(at("1-1.2"), Path::new("/sys/bus/usb/devices/1-1:1.0/1-1-port2/disable"));
    }

    #[test]
    fn below_a_port_is_not_beside_it() {
        assert!(is_at_or_below("1-1.2", "1-1") && is_at_or_below("1-1", "1-1"));
        assert!(!is_at_or_below("1-12", "1-1") && !is_at_or_below("1-2", "1-1"));
    }

    #[test]
    fn the_container_id_is_found_behind_other_capabilities() {
        let mut bos = vec![5, 0x0f, 32, 0, 2, 7, 0x10, 2, 0, 0, 0, 0, 20, 0x10, 4, 0];
        bos.extend(1..=16);
        assert_eq!(container(&bos).unwrap()[..3], [1, 2, 3]);
        assert_eq!(container(&bos[..20]), None);
        assert_eq!(container(&[0, 0, 0]), None);
        assert_eq!(container(&[]), None);
    }

    #[test]
    fn finds_interfaces_and_disks_of_a_device() {
        let dir = tempfile::tempdir().unwrap();
        let devices = dir.path().join("sys/bus/usb/devices");
        let make = |path: &str| fs::create_dir_all(devices.join(path)).unwrap();
        make("1-1.1:1.0/net/eth0");
        make("1-1.1:1.1/host0/target0:0:0/0:0:0:0/block/sda");
        make("1-1.1");
        for (name, value) in [
            ("idVendor", "0424\n"),
            ("idProduct", "ec00"),
            ("busnum", "1"),
            ("devnum", "3"),
            ("speed", "480"),
        ] {
            fs::write(devices.join("1-1.1").join(name), value).unwrap();
        }
        let topology = Topology::read(&Root::at(dir.path()));
        let device = &topology.devices["1-1.1"];
        assert_eq!((device.id.as_str(), device.superspeed), ("0424:ec00", false));
        assert_eq!((&device.networks[..], &device.disks[..]), (&["eth0".into()][..], &["sda".into()][..]));
    }
}
