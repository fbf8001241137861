//! Keeps the packet filter and the network's sysctls as the policy wants them.
//!
//! Other programs change both behind one's back: a container engine, a `sysctl --system`, a person
//! with a shell. So `netguard` does not only apply them at boot, it hears of changes of the packet
//! filter, looks at the settings every second, puts right what is ours, leaves alone what is not, and says that it had to.

pub mod cli;
mod driver;
mod fight;
mod machine;
mod policy;
mod ports;
mod status;
mod suspects;
mod sysctl;
mod word;

pub use driver::{Driver, Firewall, Settings};
pub use machine::{Event, Finding, Findings, Machine};
pub use policy::load_policy;
pub use ports::{Iptables, ProcSys, lan_networks, on_link_networks};
pub use sysctl::{Action, Event as SettingEvent, Keeper, Seen, Watch};

use daemonkit::{Daemon, Interest};
use netlink::RulesMonitor;
use ruleset::Policy;
use std::convert::Infallible;
use std::os::fd::AsFd;
use sysio::{Monotonic, Root};

/// The daemon that counts what the metered line carries.
const ACCOUNTANT: &str = "uplink";
/// The token of the packet filter's events.
const EVENTS: usize = 0;
/// So many processes are asked for their parents: a program that loads a hundred rules is one.
const WRITERS: usize = 4;

/// The daemon: machine and driver in the loop.
#[derive(Debug)]
pub struct Netguard {
    policy: Policy,
    machine: Machine,
    keeper: Keeper,
    driver: Driver<Iptables, ProcSys>,
    /// Events of the packet filter; none where the kernel gives none.
    monitor: Option<RulesMonitor>,
    root: Root,
    boot_id: Option<String>,
}

impl Netguard {
    /// For the system below `root`.
    pub fn new(root: &Root, policy: Policy) -> Self {
        let driver = Driver::new(Iptables::find(), ProcSys::new(root));
        let boot_id = snapshot::boot_id(root)
            .inspect_err(|error| log::warn!("read the boot id: {error}; the quota is not watched"))
            .ok();
        let monitor = RulesMonitor::open()
            .inspect_err(|error| {
                log::warn!("{error}; changes of the packet filter are looked for every second")
            })
            .ok();
        Self {
            policy,
            machine: Machine::default(),
            keeper: Keeper::default(),
            driver,
            monitor,
            root: root.clone(),
            boot_id,
        }
    }

    /// Takes `uplink`'s word; whether it says something new.
    fn listen(&mut self, now: Monotonic) -> bool {
        let (Some(metered), Some(boot_id)) = (&mut self.policy.metered, &self.boot_id) else { return false };
        let word = guard(&self.root, boot_id, now);
        let Some(guard) = word.filter(|guard| *guard != metered.guard) else { return false };
        metered.guard = guard;
        log::info!("the metered line is {}", metered.word());
        true
    }

    fn check(&mut self, now: Monotonic) {
        let policy = with_addresses(&self.policy);
        let findings = self.driver.look_at_firewall(&policy);
        for change in &findings.changes {
            log::warn!("somebody {change}; put right");
        }
        if self.machine.step(now, Event::Checked { policy, findings }) {
            self.machine.step(now, Event::Suspects(suspects::running(&self.root)));
        }
    }

    /// What others did to the packet filter; our own changes are no news.
    fn hear(&mut self, now: Monotonic) {
        let Some(monitor) = &mut self.monitor else { return };
        let heard = match monitor.drain() {
            Ok(heard) => heard,
            Err(error) => {
                log::warn!("{error}; changes of the packet filter are looked for every second");
                self.monitor = None;
                return;
            }
        };
        let others = heard.commits.into_iter().filter(|commit| !self.driver.is_own(commit.generation));
        let others: Vec<_> = others.collect();
        if others.is_empty() && !heard.lost {
            return;
        }
        let named = others.into_iter().filter_map(|commit| commit.by).take(WRITERS);
        let by = named.map(|(pid, name)| suspects::described(&self.root, pid, &name)).collect();
        self.machine.step(now, Event::Stirred { by });
    }

    fn keep_settings(&mut self, now: Monotonic) {
        let (machine, settings) = (&self.machine, &mut self.driver.settings);
        let filtered = |family| machine.in_place(family);
        let explain =
            |path: &str, found: &str, wanted: &str| sysctl::files::reason(&self.root, path, found, wanted);
        self.keeper.turn(now, settings, ruleset::sysctls(&self.policy), filtered, explain);
    }
}

/// A policy with what only the running interfaces know.
pub(crate) fn with_addresses(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.management_networks.extend(on_link_networks(&policy.lan));
    policy.management_networks.sort_unstable();
    policy.management_networks.dedup();
    policy.lan_networks = lan_networks(&policy.lan);
    policy
}

/// What `uplink` last said about the quota, for a policy that asks.
pub(crate) fn guard(root: &Root, boot_id: &str, now: Monotonic) -> Option<ruleset::Guard> {
    word::guard(&snapshot::read(root, ACCOUNTANT, boot_id, now))
}

impl Daemon for Netguard {
    type Error = Infallible;

    fn interests(&self) -> Vec<Interest<'_>> {
        self.monitor.iter().map(|monitor| Interest::read(monitor.as_fd(), EVENTS)).collect()
    }

    fn handle(&mut self, now: Monotonic, event: daemonkit::Event) -> Result<(), Infallible> {
        match event {
            daemonkit::Event::Start | daemonkit::Event::Deadline => {
                if now >= self.machine.next_check() {
                    self.listen(now);
                    self.check(now);
                }
                // After the packet filter: forwarding waits for it.
                if now >= self.keeper.watch.next_look() {
                    self.keep_settings(now);
                }
            }
            daemonkit::Event::Ready { token: EVENTS, .. } => self.hear(now),
            daemonkit::Event::SnapshotChanged(_) if self.listen(now) => self.check(now),
            _ => {}
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        Some(self.machine.next_check().min(self.keeper.watch.next_look()))
    }

    fn report(&self, now: Monotonic) -> snapshot::Report {
        status::report(&self.machine, &self.keeper.watch, &self.policy, now)
    }

    fn follows(&self) -> &[&str] {
        &[ACCOUNTANT]
    }
}
