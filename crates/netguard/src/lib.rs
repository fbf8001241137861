//! Keeps the packet filter and the network's sysctls as the policy wants them.
//!
//! Other programs change both behind one's back: a container engine, a `sysctl --system`, a person
//! with a shell. So `netguard` does not only apply them at boot, it looks every ten seconds, puts
//! right what is ours, leaves alone what is not, and says that it had to.

mod driver;
mod machine;
mod policy;
mod ports;
mod status;

pub use driver::{Driver, Firewall, Settings};
pub use machine::{Event, Finding, Findings, Machine};
pub use policy::load_policy;
pub use ports::{Iptables, ProcSys, on_link_networks};

use daemonkit::{Daemon, Interest};
use ruleset::Policy;
use std::convert::Infallible;
use sysio::{Monotonic, Root};

/// The daemon: machine and driver in the loop.
#[derive(Debug)]
pub struct Netguard {
    policy: Policy,
    machine: Machine,
    driver: Driver<Iptables, ProcSys>,
}

impl Netguard {
    /// For the system below `root`.
    pub fn new(root: &Root, policy: Policy) -> Self {
        let driver = Driver::new(Iptables::find(), ProcSys::new(root));
        Self { policy, machine: Machine::default(), driver }
    }

    fn check(&mut self, now: Monotonic) {
        let mut policy = self.policy.clone();
        policy.management_networks.extend(on_link_networks(&policy.lan));
        policy.management_networks.sort_unstable();
        policy.management_networks.dedup();
        let findings = self.driver.check(&policy);
        self.machine.step(now, Event::Checked { policy, findings });
    }
}

impl Daemon for Netguard {
    type Error = Infallible;

    fn interests(&self) -> Vec<Interest<'_>> {
        Vec::new()
    }

    fn handle(&mut self, now: Monotonic, event: daemonkit::Event) -> Result<(), Infallible> {
        match event {
            daemonkit::Event::Start | daemonkit::Event::Deadline => self.check(now),
            _ => {}
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        Some(self.machine.next_check())
    }

    fn report(&self, now: Monotonic) -> snapshot::Report {
        status::report(&self.machine, now)
    }
}
