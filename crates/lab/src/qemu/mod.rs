//! The emulated machines: the bench (QEMU `virt`, the only one with the stick) and the board
//! (`raspi3b`, the whole image through U-Boot).

pub mod console;
mod hub;
mod qmp;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub use console::Console;

use crate::carrier::card::{CARD_MAC, CARD_TAP};
use crate::error::{Context, Error, Result};
use crate::image::Card;
use crate::net::Namespace;
use crate::process::Keep;
use crate::stick::StickHandle;
use crate::world::{APPLIANCE_MAC, TAP};
use hub::HubTrace;

/// How long QEMU may take to end when asked.
const QUIT: Duration = Duration::from_secs(5);
/// Kernel command line of the bench; U-Boot gives the board's. `panic=10`: a kernel that panics
/// reboots, as on a card. The journal goes to the console as well: a run that dies leaves its log.
const BENCH_APPEND: &str = "console=ttyAMA0,115200 failberry.slot=a net.ifnames=0 panic=10 \
                            systemd.journald.forward_to_console=1";
/// The Pi 3's device tree in the slot.
const RPI3B_DTB: &str = "boot/dtbs/broadcom/bcm2837-rpi-3-b.dtb";

/// What the board's boot script is told (`boot.env`). QEMU's watchdog does not count: arming it
/// resets the machine at once (`V_RSTC_RESET` in `hw/misc/bcm2835_powermgt.c`), so systemd must not.
pub const BOARD_ENV: &str = "extra_args=systemd.watchdog_sec=off\n";

/// Which machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// QEMU `virt` with two cores, virtio and a switchable USB hub with the stick.
    Bench,
    /// QEMU `raspi3b`, without stick.
    BoardRpi3b,
}

/// A further device on the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extra {
    /// A USB serial adapter beside the stick (an FTDI, 0403:6001) that answers nothing.
    ForeignSerial,
    /// A USB network card beside the stick ([`crate::carrier::card`]), an ordinary one for all the
    /// appliance knows.
    NetworkCard,
}

impl Extra {
    fn add(self, command: &mut Command) {
        match self {
            Self::ForeignSerial => {
                command.args(["-chardev", "null,id=foreign"]);
                command.args(["-device", "usb-serial,chardev=foreign,bus=xhci.0,port=1.2"]);
            }
            Self::NetworkCard => {
                command.arg("-netdev").arg(format!("tap,id=card,ifname={CARD_TAP},script=no,downscript=no"));
                command.arg("-device").arg(format!("usb-net,netdev=card,mac={CARD_MAC},bus=xhci.0,port=1.3"));
            }
        }
    }
}

/// What a machine is made of.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// Which machine.
    pub model: Model,
    /// Its card.
    pub card: &'a Card,
    /// The namespace with the tap it is attached to.
    pub house: &'a Namespace,
    /// Folder for logs and files taken out of the image.
    pub folder: &'a Path,
    /// Folder with a short path, for sockets (a socket's path has at most 107 bytes: unix(7)).
    pub sockets: &'a Path,
    /// Its serial line.
    pub console: &'a Console,
    /// Whether it may reboot by itself.
    pub reboots: bool,
    /// Further devices on the bench.
    pub extras: &'a [Extra],
    /// The stick in its hub, on the bench.
    pub stick: Option<&'a StickHandle>,
}

/// The socket the bench's `usb-redir` device listens on.
pub fn stick_socket(sockets: &Path) -> PathBuf {
    sockets.join("stick.sock")
}

/// A running machine; it ends with this value, and to the guest that is a power cut.
#[derive(Debug)]
pub struct Machine {
    process: Keep,
    qmp: PathBuf,
    _hub: Option<HubTrace>,
}

impl Machine {
    /// Switches a machine on.
    ///
    /// # Errors
    /// When the image lacks a file or QEMU cannot be started.
    pub fn start(parts: &Parts<'_>) -> Result<Self> {
        let trace = parts.folder.join("usb-hub.trace");
        File::create(&trace).context(format!("create {}", trace.display()))?;
        let qmp = parts.sockets.join("qmp.sock");
        let mut command = parts.house.command("qemu-system-aarch64");
        command.args(["-nodefaults", "-display", "none", "-monitor", "none"]);
        if !parts.reboots {
            // A guest that starts again unasked has failed: QEMU ends, and `check` says so.
            command.arg("-no-reboot");
        }
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", qmp.display()));
        command.args(["-chardev", "stdio,id=serial,signal=off"]);
        command.arg("-netdev").arg(format!("tap,id=lan,ifname={TAP},script=no,downscript=no"));
        match parts.model {
            Model::Bench => bench(&mut command, parts, &trace)?,
            Model::BoardRpi3b => board(&mut command, parts)?,
        }
        let errors = parts.folder.join("qemu.log");
        let errors = File::create(&errors).context(format!("create {}", errors.display()))?;
        let mut process = Keep::new(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors))?;
        if let Some(serial) = process.0.stdout.take() {
            parts.console.attach(serial)?;
        }
        let hub = parts.stick.map(|stick| HubTrace::follow(&trace, stick.clone())).transpose()?;
        Ok(Self { process, qmp, _hub: hub })
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// [`Error::Unexpected`] when it does not, with what QEMU said.
    pub fn check(&mut self, folder: &Path) -> Result<()> {
        match self.process.ended()? {
            None => Ok(()),
            Some(status) => {
                let log = folder.join("qemu.log");
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                Err(Error::Unexpected(format!("qemu ended ({status}): {}", said.trim())))
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // Quit closes the disk image in order; the kill that follows when it does not is Keep's.
        if qmp::execute(&self.qmp, "quit").is_ok() {
            let _ = self.process.wait("qemu quits", QUIT);
        }
    }
}

/// Kernel and initramfs come from the image's own slot; in place of U-Boot QEMU loads them.
fn bench(command: &mut Command, parts: &Parts<'_>, trace: &Path) -> Result<()> {
    let (kernel, initramfs) = (parts.folder.join("vmlinuz"), parts.folder.join("initramfs.img"));
    parts.card.take_from_slot("boot/vmlinuz", &kernel)?;
    parts.card.take_from_slot("boot/initramfs.img", &initramfs)?;
    command.args(["-M", "virt", "-cpu", "cortex-a53", "-smp", "2", "-m", "1G"]);
    command.arg("-kernel").arg(&kernel).arg("-initrd").arg(&initramfs).args(["-append", BENCH_APPEND]);
    command.args(["-serial", "chardev:serial", "-device", "virtio-rng-pci"]);
    command.arg("-drive").arg(format!("if=none,id=card,format=raw,file={}", parts.card.path().display()));
    command.args(["-device", "virtio-blk-pci,drive=card"]);
    command.arg("-device").arg(format!("virtio-net-pci,netdev=lan,mac={APPLIANCE_MAC},romfile="));
    command.args(["-device", "qemu-xhci,id=xhci"]);
    command.args(["-device", "usb-hub,port-power=on,bus=xhci.0,port=1"]);
    let socket = stick_socket(parts.sockets);
    command.arg("-chardev").arg(format!("socket,id=stick,path={},server=on,wait=off", socket.display()));
    command.args(["-device", "usb-redir,chardev=stick,bus=xhci.0,port=1.1"]);
    command.args(["--trace", "usb_hub_*", "-D"]).arg(trace);
    parts.extras.iter().for_each(|extra| extra.add(command));
    Ok(())
}

/// QEMU has no `VideoCore`: it loads U-Boot from the FAT partition and hands over a device tree in
/// the firmware's place. From there on everything is as on the board.
fn board(command: &mut Command, parts: &Parts<'_>) -> Result<()> {
    let (loader, tree) = (parts.folder.join("u-boot.bin"), parts.folder.join("board.dtb"));
    if !loader.exists() {
        parts.card.take("u-boot.bin", &loader)?;
    }
    parts.card.take_from_slot(RPI3B_DTB, &tree)?;
    command.args(["-M", "raspi3b", "-m", "1G"]);
    command.arg("-kernel").arg(&loader).arg("-dtb").arg(&tree);
    // U-Boot's and the kernel's console is the mini UART, QEMU's second serial line.
    command.args(["-serial", "null", "-serial", "chardev:serial"]);
    command.arg("-drive").arg(format!("if=sd,format=raw,file={}", parts.card.path().display()));
    command.arg("-device").arg(format!("usb-net,netdev=lan,mac={APPLIANCE_MAC}"));
    Ok(())
}

/// The error of a scenario that uses the stick on a board: `usb-redir` on the boards' USB host
/// kills QEMU (hw/usb/hcd-dwc2.c cannot take a device that answers later).
pub fn no_stick() -> Error {
    Error::Unexpected("this machine has no stick: use machine = \"bench\"".to_owned())
}
