//! The sequence from the kernel's start of `/init` to systemd.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::cmdline::Slot;
use crate::ports::{Access, Machine, Mount};
use crate::{data, disk, modules};

/// Where the new root is put together.
pub const ROOT: &str = "/newroot";
/// Time to read the console before the reboot.
pub const PAUSE: Duration = Duration::from_secs(10);

/// The slot, below the overlay.
const LOWER: &str = "/slot";
/// The overlay's writable part.
const UPPER: &str = "/overlay";
/// A quarter of the memory for everything that is written outside `/run`, `/tmp` and `/data`: enough for
/// mistakes, too little to starve the daemons.
const UPPER_OPTIONS: &str = "size=25%,mode=0755";
/// systemd on a merged-/usr Debian.
const INIT: &str = "/usr/lib/systemd/systemd";
/// Kernel file systems, needed both before and after the change of roots.
const KERNEL: [Mount<'static>; 3] = [
    Mount { source: "proc", target: "/proc", kind: "proc", access: Access::Write, options: "" },
    Mount { source: "sysfs", target: "/sys", kind: "sysfs", access: Access::Write, options: "" },
    Mount {
        source: "devtmpfs",
        target: "/dev",
        kind: "devtmpfs",
        access: Access::Write,
        options: "mode=0755",
    },
];

/// Why the system cannot be started.
#[derive(Debug, Error)]
pub enum BootError {
    /// A step failed.
    #[error("{action} {operand}: {source}")]
    Step {
        /// What was tried.
        action: &'static str,
        /// With what.
        operand: String,
        /// The cause.
        source: io::Error,
    },
    /// The command line names no slot of ours.
    #[error("read kernel command line: failberry.slot is {0:?}, expected a or b")]
    Slot(String),
    /// The list of modules is damaged.
    #[error("read {list}: {0:?} is not an absolute path", list = modules::LIST)]
    ModuleList(String),
    /// No card.
    #[error(
        "find disk with signature {signature:08x}: not there after {seconds} s; disks seen: {seen}; \
         is the card seated, and was the whole image written to it?",
        signature = crate::mbr::SIGNATURE, seconds = disk::WAIT.as_secs()
    )]
    NoDisk {
        /// The disks there are.
        seen: String,
    },
    /// The card has no such slot.
    #[error("find slot {slot}: the partition table of {disk} has no partition {number}")]
    NoSlot {
        /// The slot's name.
        slot: &'static str,
        /// The card.
        disk: String,
        /// The missing partition.
        number: u8,
    },
}

/// Boots; when that fails, says why and reboots after a pause. Returns only when the reboot failed, too.
pub fn run(machine: &mut dyn Machine) {
    let error = boot(machine);
    machine.say(&format!("early-init: error: {error}"));
    machine.say(&format!("early-init: rebooting in {} s", PAUSE.as_secs()));
    machine.pause(PAUSE);
    machine.reboot();
}

/// Boots, and returns why it could not.
fn boot(machine: &mut dyn Machine) -> BootError {
    if let Err(error) = prepare(machine) {
        return error;
    }
    stage(machine, "switch");
    BootError::Step { action: "start", operand: INIT.to_owned(), source: machine.enter(ROOT, INIT) }
}

/// Everything up to a complete root at [`ROOT`].
fn prepare(machine: &mut dyn Machine) -> Result<(), BootError> {
    for mount in KERNEL {
        mount_at(machine, &mount)?;
    }
    stage(machine, "start");
    let cmdline = machine.read("/proc/cmdline").map_err(failed("read", "/proc/cmdline"))?;
    let slot = Slot::of_cmdline(&cmdline).map_err(BootError::Slot)?;
    load_modules(machine)?;
    stage(machine, "modules");
    let Some(card) = disk::wait_for(machine) else {
        return Err(BootError::NoDisk { seen: disk::names(machine).join(" ") });
    };
    stage(machine, "disk");
    let Some(device) = card.device(slot.partition()) else {
        let (slot, disk, number) = (slot.name(), card.name, slot.partition());
        return Err(BootError::NoSlot { slot, disk, number });
    };
    mount_root(machine, &device)?;
    stage(machine, "slot");
    data::bring_up(machine, &card).map_err(|(operand, source)| BootError::Step {
        action: "set up",
        operand,
        source,
    })?;
    stage(machine, "data");
    Ok(())
}

/// A module that does not load is reported and left: whether it was needed shows when the card is looked for.
fn load_modules(machine: &mut dyn Machine) -> Result<(), BootError> {
    let list = machine.read(modules::LIST).map_err(failed("read", modules::LIST))?;
    for module in modules::parse(&list).map_err(BootError::ModuleList)? {
        if let Err(error) = machine.load_module(module) {
            machine.say(&format!("early-init: warning: load {module}: {error}"));
        }
    }
    Ok(())
}

/// The slot under the overlay, with the kernel's file systems and a fresh /run in it.
fn mount_root(machine: &mut dyn Machine, device: &str) -> Result<(), BootError> {
    let read_only = Access::ReadOnly;
    mount_at(
        machine,
        &Mount { source: device, target: LOWER, kind: "squashfs", access: read_only, options: "" },
    )?;
    mount_at(
        machine,
        &Mount {
            source: "overlay",
            target: UPPER,
            kind: "tmpfs",
            access: Access::Write,
            options: UPPER_OPTIONS,
        },
    )?;
    let (upper, work) = (format!("{UPPER}/upper"), format!("{UPPER}/work"));
    for folder in [&upper, &work] {
        machine.make_folder(folder, 0o755).map_err(failed("make", folder))?;
    }
    let options = format!("lowerdir={LOWER},upperdir={upper},workdir={work}");
    mount_at(
        machine,
        &Mount { source: "overlay", target: ROOT, kind: "overlay", access: Access::Write, options: &options },
    )?;
    for mount in KERNEL {
        mount_at(machine, &Mount { target: &format!("{ROOT}{}", mount.target), ..mount })?;
    }
    // systemd.exec(5) and file-hierarchy(7): /run is a tmpfs for files, small.
    let run = format!("{ROOT}/run");
    mount_at(
        machine,
        &Mount {
            source: "tmpfs",
            target: &run,
            kind: "tmpfs",
            access: Access::Files,
            options: "size=20%,mode=0755",
        },
    )
}

fn mount_at(machine: &mut dyn Machine, mount: &Mount<'_>) -> Result<(), BootError> {
    machine.make_folder(mount.target, 0o755).map_err(failed("make", mount.target))?;
    machine.mount(mount).map_err(failed("mount", &format!("{} on {}", mount.source, mount.target)))
}

/// One line for people and for the lab, which reads these from the serial console.
fn stage(machine: &mut dyn Machine, name: &str) {
    let milliseconds = machine.uptime().as_millis();
    machine.say(&format!("early-init: {name} {milliseconds}"));
}

fn failed(action: &'static str, operand: &str) -> impl FnOnce(io::Error) -> BootError {
    let operand = operand.to_owned();
    move |source| BootError::Step { action, operand, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Fake, Fault};

    #[test]
    fn a_good_card_ends_in_systemd_with_slot_overlay_and_data_in_place() {
        let mut machine = Fake::card();
        run(&mut machine);
        assert_eq!(
            machine.entered.as_deref(),
            Some("/newroot /usr/lib/systemd/systemd"),
            "{:#?}",
            machine.console
        );
        assert_eq!(machine.mounted("/slot"), Some("/dev/vda2"));
        assert_eq!(machine.mounted("/newroot/data"), Some("/dev/vda4"));
        let stages: Vec<&str> = machine
            .console
            .iter()
            .filter_map(|l| l.strip_prefix("early-init: ")?.split(' ').next())
            .collect();
        assert_eq!(stages[..6], ["start", "modules", "disk", "slot", "data", "switch"]);
    }

    #[test]
    fn the_command_line_picks_the_slot() {
        let mut machine = Fake::card();
        machine.set_file("/proc/cmdline", "quiet failberry.slot=b\n");
        run(&mut machine);
        assert_eq!(machine.mounted("/slot"), Some("/dev/vda3"));
    }

    #[test]
    fn waits_for_a_card_that_comes_late() {
        let mut machine = Fake::card();
        machine.appears_at = Duration::from_secs(25);
        run(&mut machine);
        assert!(machine.entered.is_some() && machine.now >= machine.appears_at, "{:#?}", machine.console);
    }

    #[test]
    fn a_card_that_never_comes_is_named_and_ends_in_a_reboot() {
        let mut machine = Fake::card();
        machine.appears_at = Duration::MAX;
        run(&mut machine);
        assert!(machine.said("signature fa11be77: not there after 60 s"), "{:#?}", machine.console);
        assert_eq!(machine.reboots, 1);
        assert!(machine.now < disk::WAIT + PAUSE + Duration::from_secs(1));
    }

    #[test]
    fn a_module_that_does_not_load_is_reported_and_the_boot_goes_on() {
        let mut machine = Fake::card();
        machine.fault = Some(Fault::Module("/m/sdhci.ko"));
        run(&mut machine);
        assert!(machine.said("warning: load /m/sdhci.ko"), "{:#?}", machine.console);
        assert!(machine.entered.is_some());
    }

    #[test]
    fn whatever_call_fails_it_ends_in_systemd_or_in_a_reboot_and_says_why() {
        let calls = {
            let mut machine = Fake::card();
            run(&mut machine);
            machine.calls
        };
        assert!(calls > 30, "the fake counts every call: {calls}");
        for number in 1..=calls {
            let mut machine = Fake::card();
            machine.fault = Some(Fault::Call(number));
            run(&mut machine);
            // A call may fail without harm, as a disk that is read again; otherwise there is one reboot.
            let expected = u32::from(machine.entered.is_none());
            assert_eq!(machine.reboots, expected, "call {number}: {:#?}", machine.console);
            if machine.entered.is_none() {
                assert!(
                    machine.said("early-init: error: ") && machine.said("rebooting in 10 s"),
                    "call {number}"
                );
            }
        }
    }

    #[test]
    fn an_unknown_slot_ends_in_a_reboot() {
        let mut machine = Fake::card();
        machine.set_file("/proc/cmdline", "failberry.slot=c\n");
        run(&mut machine);
        assert!(machine.said("failberry.slot is \"c\"") && machine.reboots == 1, "{:#?}", machine.console);
    }
}
