//! Chooses the line to the internet, and nothing else: default routes, routes by source address so
//! that an answer leaves by the line its question came in on, and the DNS servers of that line.
//!
//! Level-triggered: whenever anything about links, addresses, routes, rules or the modem changes, it
//! reads everything again, plans from scratch and applies the difference. A crash, a lost message or
//! a foreign `ip route del` is healed by the next look.

mod driver;
mod machine;
mod modem;
mod plan;
mod ports;
mod settings;
mod status;
pub mod usage;

pub use driver::{Driver, Outcome, System};
pub use machine::{Action, Event, Machine, Observation};
pub use modem::{Cellular, Kind, Modem};
pub use plan::{Change, Facts, PROTOCOL, Plan, difference, plan};
pub use ports::Kernel;
pub use settings::{Settings, load_settings};

use daemonkit::{Daemon, Interest};
use netlink::Monitor;
use std::os::fd::AsFd;
use sysio::{Monotonic, Root};

/// The daemon whose snapshot says whether there is a cellular line.
const MODEM: &str = "modem-dialer";
const MONITOR: usize = 0;

/// Why the daemon cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No socket for changes.
    #[error(transparent)]
    Netlink(#[from] netlink::Error),
    /// The kernel does not say which boot this is.
    #[error("read the boot id: {0}")]
    BootId(std::io::Error),
}

/// The daemon: machine and driver in the loop.
#[derive(Debug)]
pub struct Uplink {
    machine: Machine,
    driver: Driver<Kernel>,
    monitor: Monitor,
}

impl Uplink {
    /// For the system below `root`, and the network namespace of this thread.
    ///
    /// # Errors
    /// If the kernel gives no netlink socket.
    pub fn new(root: &Root, settings: Settings) -> Result<Self, Error> {
        let boot_id = snapshot::boot_id(root).map_err(Error::BootId)?;
        Ok(Self {
            machine: Machine::new(settings),
            driver: Driver { system: Kernel::open(root, boot_id)? },
            monitor: Monitor::open()?,
        })
    }
}

impl Daemon for Uplink {
    type Error = Error;

    fn interests(&self) -> Vec<Interest<'_>> {
        vec![Interest::read(self.monitor.as_fd(), MONITOR)]
    }

    fn handle(&mut self, now: Monotonic, event: daemonkit::Event) -> Result<(), Error> {
        let look = match event {
            daemonkit::Event::Ready { .. } => self.monitor.drain()?,
            daemonkit::Event::Start | daemonkit::Event::Deadline | daemonkit::Event::SnapshotChanged(_) => {
                true
            }
            _ => false,
        };
        if look {
            self.driver.turn(now, &mut self.machine);
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        Some(self.machine.next_look())
    }

    fn report(&self, now: Monotonic) -> snapshot::Report {
        status::report(&self.machine, now)
    }

    fn follows(&self) -> &[&str] {
        &[MODEM]
    }
}
