//! Switches power and checks that it did: off means that the device is gone, on that it is there again.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use sysio::{Root, clock};

use crate::hold::{Hold, Off};
use crate::plan::Plan;
use crate::topology::{Port, Topology};
use crate::usb::{Usb, UsbError};

/// The kernel drops the child in the same write; through libusb the hub tells it at the next poll of
/// its interrupt endpoint (`bInterval` up to 256 ms).
const VANISHES: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(50);

/// Why power is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum SwitchError {
    /// Without the note a crash would leave it off for ever.
    #[error("note what is switched off: {0}; nothing was switched")]
    Note(io::Error),
    /// One note, one port: the second would be off with nobody to remember it.
    #[error("{0} is off already; switch it on first (`hub-reset on`)")]
    Another(String),
    /// The kernel's switch.
    #[error("write {path}: {source}{}", permission(.source))]
    Kernel {
        /// The attribute.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// libusb.
    #[error(transparent)]
    Usb(#[from] UsbError),
    /// The hub of the port is gone.
    #[error("hub {0} is not on the bus; it powers its ports when it comes back")]
    NoHub(String),
    /// It was asked to, and nothing happened.
    #[error("{target} was switched off and {evidence}: this hub does not cut the power")]
    Unproven {
        /// The port.
        target: String,
        /// What was seen.
        evidence: &'static str,
    },
}

fn permission(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::PermissionDenied { "; only root may" } else { "" }
}

impl SwitchError {
    /// Whether it will be the same next time.
    pub fn is_proof_of_uselessness(&self) -> bool {
        matches!(self, Self::Unproven { .. })
    }
}

/// Switches ports.
#[derive(Debug)]
pub struct Switch<'a, U> {
    /// The system.
    pub root: &'a Root,
    /// For hubs without the kernel's switch, and for a second opinion.
    pub usb: &'a U,
}

impl<U: Usb> Switch<'_, U> {
    /// Switches off and waits until the device is gone.
    ///
    /// # Errors
    /// See [`SwitchError`]; part of it may be off: call [`Switch::on`].
    pub fn off(&self, plan: &Plan, held: bool) -> Result<(), SwitchError> {
        if let Some(other) = Hold::new(self.root).read().filter(|off| off.target != plan.target) {
            return Err(SwitchError::Another(other.target));
        }
        let off = Off {
            target: plan.target.clone(),
            ports: plan.switch.iter().map(Port::name).collect(),
            held,
            since_ms: clock::now().as_millis(),
        };
        Hold::new(self.root).note(&off).map_err(SwitchError::Note)?;
        for port in &plan.switch {
            self.set(port, false)?;
        }
        self.check_off(plan)
    }

    fn check_off(&self, plan: &Plan) -> Result<(), SwitchError> {
        let unproven = |evidence| SwitchError::Unproven { target: plan.target.clone(), evidence };
        if !wait(VANISHES, || Topology::id_at(self.root, &plan.target).is_none()) {
            return Err(unproven("the device is still there"));
        }
        // The kernel drops the device before it asks the hub, so that alone proves nothing.
        let topology = Topology::read(self.root);
        for port in &plan.switch {
            let Some(hub) = topology.devices.get(&port.hub) else { continue };
            if let Ok(status) = self.usb.port_status(hub, port.number)
                && status.power
            {
                return Err(unproven("the hub says that the port is still powered"));
            }
        }
        Ok(())
    }

    /// Switches on, every port even if one fails, and forgets that these were off.
    ///
    /// # Errors
    /// The first that failed; then the note stays, for whoever tries next.
    pub fn on(&self, ports: &[Port]) -> Result<(), SwitchError> {
        let mut first = None;
        for port in ports {
            match self.set(port, true) {
                Ok(()) | Err(SwitchError::NoHub(_)) => {}
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        if let Some(error) = first {
            return Err(error);
        }
        let hold = Hold::new(self.root);
        let Some(mut off) = hold.read() else { return Ok(()) };
        let names: Vec<String> = ports.iter().map(Port::name).collect();
        off.ports.retain(|port| !names.contains(port));
        if off.ports.is_empty() {
            hold.clear();
            return Ok(());
        }
        hold.note(&off).map_err(SwitchError::Note)
    }

    /// Waits until a device is at `name`.
    pub fn wait_for(&self, name: &str, limit: Duration) -> bool {
        wait(limit, || Topology::id_at(self.root, name).is_some())
    }

    fn set(&self, port: &Port, on: bool) -> Result<(), SwitchError> {
        let path = port.disable_attribute(self.root);
        match write(&path, if on { "0" } else { "1" }) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.request(port, on),
            Err(source) => Err(SwitchError::Kernel { path: path.display().to_string(), source }),
            Ok(()) => Ok(()),
        }
    }

    fn request(&self, port: &Port, on: bool) -> Result<(), SwitchError> {
        let topology = Topology::read(self.root);
        let hub = topology.devices.get(&port.hub).ok_or_else(|| SwitchError::NoHub(port.hub.clone()))?;
        Ok(self.usb.set_power(hub, port.number, on)?)
    }
}

fn write(path: &std::path::Path, value: &str) -> io::Result<()> {
    use io::Write;
    fs::OpenOptions::new().write(true).open(path)?.write_all(value.as_bytes())
}

fn wait(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
#[path = "switch_tests.rs"]
mod tests;
