//! One USB device as sysfs shows it, with the interfaces of the configuration in use.
//!
//! Only attributes that the kernel gives out without the device's lock are read here, in the loop:
//! a USB reset of a stick that hangs holds that lock for tens of seconds, longer than the watchdog
//! waits. Ids and interface numbers are copies of descriptors; `bConfigurationValue`, `product` and
//! the other strings take the lock (`usb_descriptor_attr`, `usb_actconfig_show` and
//! `usb_string_attr` in drivers/usb/core/sysfs.c).

use std::fs;
use std::path::Path;

use modem_proto::machine::Port;

/// Names the kernel gives to the ports of modems: usb-serial's and CDC ACM's. The unit allows these.
const TTYS: [&str; 2] = ["ttyUSB", "ttyACM"];

/// A device.
#[derive(Debug)]
pub(super) struct Device {
    /// `vendor:product`.
    pub(super) id: String,
    /// In the order of their numbers.
    pub(super) interfaces: Vec<Interface>,
}

/// An interface.
#[derive(Debug, Default)]
pub(super) struct Interface {
    /// Its number in the device.
    pub(super) number: u8,
    /// Class, subclass and protocol: `ff/02/01`.
    pub(super) function: String,
    /// Endpoints besides the control endpoint.
    pub(super) endpoints: u8,
    /// The driver bound to it.
    pub(super) driver: Option<String>,
    tty: Option<String>,
    /// The network interface it made.
    pub(super) net: Option<String>,
}

impl Device {
    /// Reads the device at `path`; `None` for what has no ids (a device that is just vanishing).
    pub(super) fn read(path: &Path, name: &str) -> Option<Self> {
        let text = |attribute: &str| read(path, attribute);
        let id = format!("{}:{}", text("idVendor")?, text("idProduct")?);
        let prefix = format!("{name}:");
        // In sysfs an interface lies below its device, and beside it as a link on the bus.
        let mut interfaces = interfaces(path, &prefix);
        if interfaces.is_empty() {
            interfaces = path.parent().map(|bus| self::interfaces(bus, &prefix)).unwrap_or_default();
        }
        Some(Self { id, interfaces })
    }

    /// Whether it has interfaces, and all of this class.
    pub(super) fn is_all(&self, class: &str) -> bool {
        !self.interfaces.is_empty() && self.interfaces.iter().all(|interface| interface.class() == class)
    }

    /// The vendor's four digits.
    pub(super) fn vendor(&self) -> &str {
        self.id.split(':').next().unwrap_or_default()
    }
}

impl Interface {
    /// The class code.
    pub(super) fn class(&self) -> &str {
        self.function.split('/').next().unwrap_or_default()
    }

    /// Its serial port, if it has one.
    pub(super) fn port(&self) -> Option<Port> {
        Some(Port { name: self.tty.clone()?, interface: self.number })
    }

    fn read(path: &Path, number: u8) -> Self {
        let code = |attribute| read(path, attribute).unwrap_or_default();
        let driver = fs::read_link(path.join("driver"))
            .ok()
            .and_then(|target| Some(target.file_name()?.to_string_lossy().into_owned()));
        // usb-serial has its port below the interface, CDC ACM below `tty/`.
        let tty = children(path).or_else(|| children(&path.join("tty")));
        let mut net: Vec<String> = names(&path.join("net"));
        net.sort();
        Self {
            number,
            function: format!(
                "{}/{}/{}",
                code("bInterfaceClass"),
                code("bInterfaceSubClass"),
                code("bInterfaceProtocol")
            ),
            endpoints: u8::from_str_radix(&code("bNumEndpoints"), 16).unwrap_or_default(),
            driver,
            tty,
            net: net.into_iter().next(),
        }
    }
}

fn interfaces(folder: &Path, prefix: &str) -> Vec<Interface> {
    let mut found: Vec<Interface> = names(folder)
        .iter()
        .filter_map(|name| {
            // Configuration and interface, decimal (usb_set_configuration in drivers/usb/core/message.c).
            // Only the interfaces of the configuration in use exist, whichever that is: nearly all
            // modems have one, a few (Alcatel X602D) are modems in their second.
            let (configuration, number) = name.strip_prefix(prefix)?.split_once('.')?;
            let number = configuration.parse::<u8>().and(number.parse()).ok()?;
            Some(Interface::read(&folder.join(name), number))
        })
        .collect();
    found.sort_by_key(|interface| interface.number);
    found
}

fn children(path: &Path) -> Option<String> {
    names(path).into_iter().find(|name| TTYS.iter().any(|tty| is_numbered(name, tty)))
}

fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default()
}

fn read(path: &Path, attribute: &str) -> Option<String> {
    Some(fs::read_to_string(path.join(attribute)).ok()?.trim().to_owned())
}
