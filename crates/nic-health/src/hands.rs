//! What is done to a card, and undone whatever happens: before an interface goes down, a note in /run
//! says what hangs on it. The note goes when all is back; a process that finds one (the next daemon,
//! or `nic-health restore` after a kill) brings it back first.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use netlink::{Belongings, Card, Connection};
use serde::{Deserialize, Serialize};
use sysio::{Root, file};

use crate::stall::{Outcome, Rung};

/// The daemon's own folder in memory: a reboot switches everything on anyway.
pub const DIRECTORY: &str = "/run/failberry-nic-health";
const NOTES: &str = "down";
/// A note holds some dozens of routes.
const LARGEST: u64 = 1024 * 1024;
const MODE: u32 = 0o600;
/// Interfaces of a kind whose other end is a program or another namespace: what they receive may
/// stop, too. What is stacked on a card (bridge, VLAN, bond) is not helped by being switched.
const WITH_A_DRIVER: [&str; 2] = ["veth", "tun"];

/// What must be brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    name: String,
    index: u32,
    mac: Option<String>,
    /// The driver's folder and the device's name on its bus, if the driver is to be bound again.
    #[serde(default)]
    bind: Option<(PathBuf, String)>,
    addresses: Vec<String>,
    routes: Vec<String>,
}

/// Why a card could not be treated.
#[derive(Debug, thiserror::Error)]
pub enum HandsError {
    /// The kernel refused.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// A file of the kernel's or of ours.
    #[error("{operation} {path}: {source}")]
    File {
        /// What was being done.
        operation: &'static str,
        /// With what.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Treats cards.
#[derive(Debug)]
pub struct Hands {
    root: Root,
    folder: PathBuf,
}

impl Hands {
    /// For the system below `root`.
    pub fn new(root: &Root) -> Self {
        Self { root: root.clone(), folder: root.path(DIRECTORY).join(NOTES) }
    }

    /// Tries a rung on a card.
    pub fn apply(&self, kernel: &mut Connection, card: &Card, rung: Rung) -> Outcome {
        if let Some(kind) = card.kind.as_ref().filter(|kind| !WITH_A_DRIVER.contains(&kind.as_str())) {
            return Outcome::Unsupported(format!("a {kind} has no receiver of its own"));
        }
        match rung {
            Rung::EeeOff => eee_off(&card.name),
            Rung::Bounce => match self.bounce(kernel, card) {
                Ok(()) => Outcome::Applied,
                Err(error) => Outcome::Failed(error.to_string()),
            },
            Rung::Rebind => self.rebind(kernel, card),
        }
    }

    /// Down and up at once: `ndo_stop` and `ndo_open` have run when the kernel answers.
    fn bounce(&self, kernel: &mut Connection, card: &Card) -> Result<(), HandsError> {
        let note = note(kernel, card, None)?;
        self.write(&note)?;
        log::warn!("{}: switching it off and on", card.name);
        let down = kernel.set_link(card.index, false);
        let up = kernel.set_link(card.index, true);
        if up.is_ok() {
            give_back(kernel, card.index, &note);
            self.remove(&note);
        }
        down.and(up).map_err(HandsError::from)
    }

    fn rebind(&self, kernel: &mut Connection, card: &Card) -> Outcome {
        let Some((driver, device)) = self.bus(&card.name) else {
            return Outcome::Unsupported("no device with a driver".to_owned());
        };
        let unbound = note(kernel, card, Some((driver.clone(), device.clone())))
            .map_err(HandsError::from)
            .and_then(|note| self.write(&note))
            .and_then(|()| {
                log::warn!("{}: binding {device} to {} anew", card.name, driver.display());
                poke("unbind", &driver.join("unbind"), &device)
            });
        // Whatever unbinding said: a device without its driver is no card at all.
        let bound = poke("bind", &driver.join("bind"), &device);
        match (unbound, bound) {
            (Err(error), _) => {
                self.forget(&card.name);
                Outcome::Failed(error.to_string())
            }
            (_, Err(error)) => Outcome::Failed(error.to_string()),
            // Its addresses follow when the card is there again, see `restore`.
            _ => Outcome::Applied,
        }
    }

    /// Driver folder and device name of a card in /sys; none of what has no device (bridges, VLANs).
    fn bus(&self, name: &str) -> Option<(PathBuf, String)> {
        let device = self.root.path("/sys/class/net").join(name).join("device");
        let driver = fs::canonicalize(device.join("driver")).ok()?;
        let device = fs::canonicalize(device).ok()?.file_name()?.to_str()?.to_owned();
        driver.join("unbind").exists().then_some((driver, device))
    }

    /// Brings back what notes speak of; the names of cards that are not there yet.
    pub fn restore(&self, kernel: &mut Connection) -> Vec<String> {
        let mut waiting = Vec::new();
        let notes = self.notes();
        if notes.is_empty() {
            return waiting;
        }
        let cards = kernel.cards().unwrap_or_default();
        for note in notes {
            let same = |card: &&Card| {
                let mac = card.mac.map(|mac| mac.to_string());
                card.ethernet && card.kind.is_none() && note.mac.is_some() && mac == note.mac
            };
            // The same number is the same card under whatever name. A bridge or VLAN on it has its
            // hardware address, too.
            let found = cards
                .iter()
                .find(|card| card.index == note.index && note.bind.is_none())
                .or_else(|| cards.iter().find(|card| card.name == note.name))
                .or_else(|| cards.iter().find(same));
            let Some(card) = found else {
                if self.comes_back(&note) {
                    waiting.push(note.name);
                }
                continue;
            };
            match kernel.set_link(card.index, true) {
                Ok(()) => {
                    give_back(kernel, card.index, &note);
                    self.remove(&note);
                    log::info!("{}: on again, with its addresses and routes", card.name);
                }
                Err(error) => {
                    log::error!("{}: {error}; trying again", note.name);
                    waiting.push(note.name);
                }
            }
        }
        waiting
    }

    /// Whether a card that is not there will be. One that was unplugged meanwhile is whoever's who
    /// plugs it in again; its note would be news for ever.
    fn comes_back(&self, note: &Note) -> bool {
        let there = note.bind.as_ref().filter(|(driver, device)| on_bus(driver, device));
        if let Some((driver, device)) = there {
            // Bound already: EBUSY or ENODEV, and it will be there soon.
            let _ = poke("bind", &driver.join("bind"), device);
        } else {
            log::warn!("{}: unplugged while it was off; nothing to switch on", note.name);
            self.forget(&note.name);
        }
        there.is_some()
    }

    fn write(&self, note: &Note) -> Result<(), HandsError> {
        let path = self.folder.join(format!("{}.json", note.name));
        let error = |source| HandsError::File { operation: "note", path: path.display().to_string(), source };
        fs::create_dir_all(&self.folder).map_err(error)?;
        let text = serde_json::to_vec(note).map_err(|e| error(e.into()))?;
        file::write_atomic(&path, &text, MODE).map_err(error)
    }

    fn remove(&self, note: &Note) {
        self.forget(&note.name);
    }

    fn forget(&self, name: &str) {
        let path = self.folder.join(format!("{name}.json"));
        if let Err(error) = fs::remove_file(&path)
            && error.kind() != io::ErrorKind::NotFound
        {
            log::warn!("remove {}: {error}", path.display());
        }
    }

    fn notes(&self) -> Vec<Note> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let paths = entries.flatten().map(|entry| entry.path());
        paths.filter(|path| path.extension().is_some_and(|e| e == "json")).filter_map(|p| read(&p)).collect()
    }
}

/// One that makes no sense would be read for ever.
fn read(path: &Path) -> Option<Note> {
    let read = file::read_bounded(path, LARGEST).and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    read.inspect_err(|error: &io::Error| {
        log::error!("read {}: {error}; it is dropped", path.display());
        let _ = fs::remove_file(path);
    })
    .ok()
}

fn eee_off(name: &str) -> Outcome {
    match ioctl::ethtool::energy_efficient(name) {
        Ok(false) => Outcome::Unsupported("off already".to_owned()),
        Ok(true) => match ioctl::ethtool::set_energy_efficient(name, false) {
            Ok(()) => Outcome::Applied,
            Err(error) => Outcome::Failed(error.to_string()),
        },
        Err(error) => Outcome::Unsupported(error.to_string()),
    }
}

/// `/sys/bus/<bus>/drivers/<driver>` beside `/sys/bus/<bus>/devices/<device>`.
fn on_bus(driver: &Path, device: &str) -> bool {
    driver.ancestors().nth(2).is_some_and(|bus| bus.join("devices").join(device).exists())
}

fn poke(operation: &'static str, path: &Path, word: &str) -> Result<(), HandsError> {
    fs::write(path, word).map_err(|source| HandsError::File {
        operation,
        path: path.display().to_string(),
        source,
    })
}

fn note(
    kernel: &mut Connection,
    card: &Card,
    bind: Option<(PathBuf, String)>,
) -> Result<Note, netlink::Error> {
    let belongings = kernel.belongings(card.index)?;
    Ok(Note {
        name: card.name.clone(),
        index: card.index,
        mac: card.mac.map(|mac| mac.to_string()),
        bind,
        addresses: belongings.addresses.iter().map(|bytes| hex(bytes)).collect(),
        routes: belongings.routes.iter().map(|bytes| hex(bytes)).collect(),
    })
}

fn give_back(kernel: &mut Connection, index: u32, note: &Note) {
    let bytes = |list: &[String]| list.iter().filter_map(|text| unhex(text)).collect();
    let belongings = Belongings { addresses: bytes(&note.addresses), routes: bytes(&note.routes) };
    for problem in kernel.give_back(index, &belongings) {
        log::warn!("{}: {problem}", note.name);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let (pairs, rest) = digits.as_ref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_as_text_and_nonsense_does_not() {
        assert_eq!(unhex(&hex(&[0, 1, 0xab, 0xff])), Some(vec![0, 1, 0xab, 0xff]));
        assert_eq!(unhex("abc"), None);
        assert_eq!(unhex("zz"), None);
    }

    #[test]
    fn a_driver_is_found_by_its_device_and_a_card_without_one_has_none() {
        let top = tempfile::tempdir().unwrap();
        let sys = top.path().join("sys");
        fs::create_dir_all(sys.join("bus/usb/drivers/lan78xx")).unwrap();
        fs::write(sys.join("bus/usb/drivers/lan78xx/unbind"), "").unwrap();
        fs::create_dir_all(sys.join("devices/1-1.1.1:1.0/net/eth0")).unwrap();
        let link = |to: &str, from: &str| std::os::unix::fs::symlink(sys.join(to), sys.join(from)).unwrap();
        link("bus/usb/drivers/lan78xx", "devices/1-1.1.1:1.0/driver");
        link("devices/1-1.1.1:1.0", "devices/1-1.1.1:1.0/net/eth0/device");
        fs::create_dir_all(sys.join("class/net/br0")).unwrap();
        link("devices/1-1.1.1:1.0/net/eth0", "class/net/eth0");
        let hands = Hands::new(&Root::at(top.path()));
        let (driver, device) = hands.bus("eth0").unwrap();
        assert!(driver.ends_with("drivers/lan78xx"), "{driver:?}");
        assert_eq!(device, "1-1.1.1:1.0");
        assert_eq!(hands.bus("br0"), None);
    }

    #[test]
    fn a_driver_is_bound_anew_and_the_card_waited_for_unless_it_was_unplugged() {
        let top = tempfile::tempdir().unwrap();
        let sys = top.path().join("sys");
        let driver = sys.join("bus/usb/drivers/lan78xx");
        fs::create_dir_all(&driver).unwrap();
        fs::write(driver.join("unbind"), "").unwrap();
        fs::create_dir_all(sys.join("devices/1-1:1.0")).unwrap();
        fs::create_dir_all(sys.join("bus/usb/devices/1-1:1.0")).unwrap();
        fs::create_dir_all(sys.join("class/net/no-card")).unwrap();
        std::os::unix::fs::symlink(&driver, sys.join("devices/1-1:1.0/driver")).unwrap();
        std::os::unix::fs::symlink(sys.join("devices/1-1:1.0"), sys.join("class/net/no-card/device"))
            .unwrap();
        let hands = Hands::new(&Root::at(top.path()));
        let card = Card {
            index: u32::MAX >> 1,
            name: "no-card".to_owned(),
            kind: None,
            mac: None,
            ethernet: true,
            up: true,
            carrier: true,
            received: 0,
            sent: 0,
        };
        let mut kernel = Connection::open().unwrap();
        assert_eq!(hands.apply(&mut kernel, &card, Rung::Rebind), Outcome::Applied);
        for file in ["unbind", "bind"] {
            assert_eq!(fs::read_to_string(driver.join(file)).unwrap(), "1-1:1.0", "{file}");
        }
        // It is not there yet: bound once more, and waited for.
        fs::write(driver.join("bind"), "").unwrap();
        assert_eq!(hands.restore(&mut kernel), ["no-card"]);
        assert_eq!(fs::read_to_string(driver.join("bind")).unwrap(), "1-1:1.0");
        // Unplugged: nobody's any more.
        fs::remove_dir(sys.join("bus/usb/devices/1-1:1.0")).unwrap();
        assert!(hands.restore(&mut kernel).is_empty() && hands.notes().is_empty());
        // A bridge has no receiver; it is not touched.
        let bridge = Card { kind: Some("bridge".to_owned()), ..card };
        assert!(matches!(hands.apply(&mut kernel, &bridge, Rung::Bounce), Outcome::Unsupported(_)));
    }

    #[test]
    fn a_note_that_makes_no_sense_is_dropped() {
        let top = tempfile::tempdir().unwrap();
        let hands = Hands::new(&Root::at(top.path()));
        fs::create_dir_all(&hands.folder).unwrap();
        fs::write(hands.folder.join("eth0.json"), "{").unwrap();
        assert_eq!(hands.notes(), []);
        assert_eq!(fs::read_dir(&hands.folder).unwrap().count(), 0);
    }
}
