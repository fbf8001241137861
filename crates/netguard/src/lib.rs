//! Keeps the packet filter and the network's sysctls as the policy wants them.
//!
//! Other programs change both behind one's back: a container engine, a `sysctl --system`, a person
//! with a shell. So `netguard` does not only apply them at boot, it hears of changes of the packet
//! filter, looks at the settings every second, puts right what is ours, leaves alone what is not, and says that it had to.

pub mod cli;
mod driver;
mod fight;
mod filter;
mod machine;
mod own_files;
mod policy;
mod ports;
mod private;
mod status;
mod suspects;
mod sysctl;
mod trial;
mod word;

pub use driver::{Driver, Firewall, Settings};
pub use machine::{Event, Finding, Findings, Machine};
pub use policy::load_policy;
pub use ports::{Iptables, lan_networks, on_link_networks};
pub use sysctl::{Action, Event as SettingEvent, Keeper, ProcSys, Seen, Watch};

use daemonkit::{Daemon, Interest};
use filter::Networks;
use netlink::RulesMonitor;
use own_files::OwnFiles;
use ruleset::Policy;
use std::convert::Infallible;
use std::os::fd::AsFd;
use std::time::Duration;
use sysctl::Foresight;
use sysio::{Monotonic, Root};
use trial::Trial;

/// The daemon that counts what the metered line carries.
const ACCOUNTANT: &str = "uplink";
/// A change of that daemon's snapshot is heard of; this is for one that was missed.
const LISTEN: Duration = Duration::from_secs(10);
/// What is due so soon is done now.
const TOGETHER: Duration = Duration::from_millis(100);
/// The token of the packet filter's events.
const EVENTS: usize = 0;

/// The daemon: machine and driver in the loop.
#[derive(Debug)]
pub struct Netguard {
    policy: Policy,
    own: OwnFiles,
    trial: Trial,
    networks: Networks,
    machine: Machine,
    keeper: Keeper,
    foresight: Foresight,
    driver: Driver<Iptables, ProcSys>,
    /// Events of the packet filter; none where the kernel gives none.
    monitor: Option<RulesMonitor>,
    root: Root,
    boot_id: Option<String>,
    listen_at: Monotonic,
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
                log::warn!("{error}; changes of the packet filter are looked for every second");
            })
            .ok();
        let own = OwnFiles::new(root);
        Self {
            policy: Policy { own: own.in_force(), ..policy },
            own,
            trial: Trial::default(),
            networks: Networks::default(),
            machine: Machine::default(),
            keeper: Keeper::default(),
            foresight: Foresight::default(),
            driver,
            monitor,
            root: root.clone(),
            boot_id,
            listen_at: Monotonic::default(),
        }
    }

    /// Takes `uplink`'s word; whether it says something new.
    fn listen(&mut self, now: Monotonic) -> bool {
        let (Some(metered), Some(boot_id)) = (&mut self.policy.metered, &self.boot_id) else { return false };
        let word = guard(&self.root, boot_id, now);
        let Some(guard) = word.filter(|guard| *guard != metered.guard) else { return false };
        metered.guard = guard;
        if let Some(metered) = self.trial.before().and_then(|policy| policy.metered.as_mut()) {
            metered.guard = guard;
        }
        let Some(metered) = &self.policy.metered else { return false };
        log::info!("the metered line is {}", metered.word());
        true
    }

    fn keep_settings(&mut self, now: Monotonic) {
        let (machine, settings) = (&self.machine, &mut self.driver.settings);
        let filtered = |family| machine.in_place(family);
        let explain =
            |path: &str, found: &str, wanted: &str| sysctl::files::reason(&self.root, path, found, wanted);
        let before = self.keeper.watch.changes();
        self.keeper.turn(now, settings, ruleset::sysctls(&self.policy), filtered, explain);
        if self.keeper.watch.changes() != before {
            self.foresight.hurry();
        }
        self.foresight.turn(now, &self.root, &self.policy);
    }
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
                self.end_trial(now);
                // One waking for both.
                let soon = now + TOGETHER;
                if soon >= self.machine.next_check() {
                    if soon >= self.listen_at {
                        self.listen_at = now + LISTEN;
                        self.listen(now);
                    }
                    self.check(now);
                }
                // After the packet filter: forwarding waits for it.
                if soon >= self.keeper.watch.next_look() {
                    self.keep_settings(now);
                }
            }
            daemonkit::Event::Ready { token: EVENTS, .. } => {
                self.hear(now);
            }
            daemonkit::Event::Request(name) if name == filter::CONFIRM => self.confirm(now),
            daemonkit::Event::RequestWith { name, content } if name == filter::APPLY => {
                self.begin_trial(now, &content);
            }
            daemonkit::Event::SnapshotChanged(_) if self.listen(now) => self.check(now),
            _ => {}
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        let next = self.machine.next_check().min(self.keeper.watch.next_look());
        Some(self.trial.deadline().map_or(next, |end| end.min(next)))
    }

    fn report(&self, now: Monotonic) -> snapshot::Report {
        let firewall = status::Firewall { machine: &self.machine, own: &self.own, trial: &self.trial };
        status::report(&firewall, &self.keeper.watch, &self.policy, now).condition(self.foresight.condition())
    }

    fn revision(&self) -> Option<u64> {
        let firewall = status::Firewall { machine: &self.machine, own: &self.own, trial: &self.trial };
        let foreseen = self.foresight.condition().map(|condition| condition.detail);
        Some(status::revision(&firewall, &self.keeper.watch, &self.policy, foreseen.as_deref()))
    }

    fn follows(&self) -> &[&str] {
        &[ACCOUNTANT]
    }
}
