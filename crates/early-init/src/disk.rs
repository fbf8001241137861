//! Finds the card by its signature, never by its name: one slot boots from SD, USB and virtio alike.

use std::time::Duration;

use crate::mbr::{self, Mbr};
use crate::ports::Machine;

/// How long a card may take to appear. USB disks take up to 10 s on a real Pi; an emulated Pi on a busy
/// host is several times slower.
pub const WAIT: Duration = Duration::from_secs(60);
/// How often we look.
const POLL: Duration = Duration::from_millis(20);
/// The kernel's list of disks and partitions.
const BLOCK: &str = "/sys/class/block";

/// The card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The kernel's name of it: `mmcblk0`, `sda`, `vda`.
    pub name: String,
    /// Its partition table.
    pub mbr: Mbr,
    /// Partition numbers with the kernel's names.
    pub partitions: Vec<(u8, String)>,
}

impl Disk {
    /// Device of a partition.
    pub fn device(&self, number: u8) -> Option<String> {
        self.partitions.iter().find(|(n, _)| *n == number).map(|(_, name)| format!("/dev/{name}"))
    }
}

/// Waits until the card and all its partitions are there; `None` when they are not in time.
pub fn wait_for(machine: &mut dyn Machine) -> Option<Disk> {
    let deadline = machine.uptime() + WAIT;
    loop {
        if let Some(disk) = find(machine) {
            return Some(disk);
        }
        if machine.uptime() >= deadline {
            return None;
        }
        machine.pause(POLL);
    }
}

/// The disks there are, for the message when ours is not among them.
pub fn names(machine: &mut dyn Machine) -> Vec<String> {
    let mut names = machine.list(BLOCK).unwrap_or_default();
    names.retain(|name| number_of(machine, name).is_none());
    names
}

/// Sectors of a disk or partition.
pub fn sectors(machine: &mut dyn Machine, name: &str) -> Option<u64> {
    machine.read(&format!("{BLOCK}/{name}/size")).ok()?.trim().parse().ok()
}

fn find(machine: &mut dyn Machine) -> Option<Disk> {
    names(machine).into_iter().find_map(|name| {
        let mut sector = [0; mbr::SIZE];
        // An error is a disk without medium, or one whose node is not made yet: the next round looks again.
        machine.read_device(&format!("/dev/{name}"), 0, &mut sector).ok()?;
        let mbr = Mbr::ours(sector)?;
        let partitions: Vec<(u8, String)> = machine
            .list(&format!("{BLOCK}/{name}"))
            .ok()?
            .into_iter()
            .filter(|entry| entry.starts_with(&name))
            .filter_map(|entry| Some((number_of(machine, &entry)?, entry)))
            .collect();
        // The kernel adds the disk first and its partitions after it.
        let complete = mbr.partitions().all(|number| partitions.iter().any(|(n, _)| *n == number));
        complete.then_some(Disk { name, mbr, partitions })
    })
}

fn number_of(machine: &mut dyn Machine, name: &str) -> Option<u8> {
    machine.read(&format!("{BLOCK}/{name}/partition")).ok()?.trim().parse().ok()
}
