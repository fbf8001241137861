//! The daemon's packet-filter side: looks, events, a person's files, trials.

use crate::machine::{Event, Finding, Findings};
use crate::own_files::Candidate;
use crate::{Netguard, lan_networks, machine, on_link_networks, policy, private, suspects};
use ruleset::{Family, InterfacePattern, Network, Policy};
use std::time::Duration;
use sysio::Monotonic;

/// Requests: new rules for so many seconds, and that they shall stay.
pub(crate) const APPLY: &str = "apply";
pub(crate) const CONFIRM: &str = "confirm";
/// The configuration that is to be tried, put among the private files by `netguard apply`.
pub(crate) const CANDIDATE: &str = "candidate.toml";
/// A trial shorter than this cannot be confirmed by a person, a longer one is forgotten.
pub(crate) const TRIAL_SECONDS: std::ops::RangeInclusive<u64> = 5..=3600;
/// So many processes are asked for their parents: a program that loads a hundred rules is one.
const WRITERS: usize = 4;
/// The LAN's addresses change when a lease or a prefix does; asking costs some messages to the kernel.
const NETWORKS_PERIOD: Duration = Duration::from_secs(10);

/// The LAN's own networks, as they were found last.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    asked: Option<Monotonic>,
    management: Vec<Network>,
    lan: Vec<Network>,
}

impl Networks {
    fn refresh(&mut self, now: Monotonic, lan: &[InterfacePattern]) {
        if self.asked.is_none_or(|asked| now.since(asked) >= NETWORKS_PERIOD) {
            self.asked = Some(now);
            self.management = on_link_networks(lan);
            self.lan = lan_networks(lan);
        }
    }
}

impl Netguard {
    /// Looks at the packet filter, and tries what is new in a person's files.
    pub(crate) fn check(&mut self, now: Monotonic) {
        self.networks.refresh(now, &self.policy.lan);
        for candidate in self.own.changed(now) {
            self.try_own(now, &candidate);
        }
        self.look(now);
    }

    /// One look; what was found, for whoever has tried something.
    fn look(&mut self, now: Monotonic) -> Findings {
        let mut policy = self.policy.clone();
        policy.management_networks.extend(&self.networks.management);
        policy.management_networks.sort_unstable();
        policy.management_networks.dedup();
        policy.lan_networks.clone_from(&self.networks.lan);
        let findings = self.driver.look_at_firewall(&policy);
        if !findings.changes.is_empty() {
            log::warn!("{}; put right", machine::told(&findings.changes));
        }
        // The event of a change that was found by the clock; who did it is told with it.
        let stirred = self.hear(now);
        if self.machine.step(now, Event::Checked { policy, findings: findings.clone() }) {
            self.machine.step(now, Event::Suspects(suspects::running(&self.root)));
        }
        if stirred {
            // It may as well have come behind the look.
            self.machine.step(now, Event::Stirred { by: Vec::new() });
        }
        findings
    }

    fn try_own(&mut self, now: Monotonic, candidate: &Candidate) {
        let before = self.policy.own.clone();
        let well = self.machine.applied();
        match &candidate.rules {
            Some(rules) => self.policy.own.insert(candidate.family, rules.clone()),
            None => self.policy.own.remove(&candidate.family),
        };
        let Some(why) = failure(&self.look(now), candidate.family) else {
            log::info!("a person's {} rules are in force", crate::driver::family_name(candidate.family));
            if let Some(policy) = self.trial.before() {
                policy.own.clone_from(&self.policy.own);
            }
            return self.own.accept(candidate);
        };
        self.policy.own = before;
        let input = self.driver.refused(candidate.family);
        self.own.refuse(now, candidate, &why, input, well);
    }

    /// What others did to the packet filter; our own changes are no news. Whether there was any.
    pub(crate) fn hear(&mut self, now: Monotonic) -> bool {
        let Some(monitor) = &mut self.monitor else { return false };
        let heard = match monitor.drain() {
            Ok(heard) => heard,
            Err(error) => {
                log::warn!("{error}; changes of the packet filter are looked for every second");
                self.monitor = None;
                return false;
            }
        };
        let others = heard.commits.into_iter().filter(|commit| !self.driver.is_own(commit.generation));
        let others: Vec<_> = others.collect();
        if others.is_empty() && !heard.lost {
            return false;
        }
        let named = others.into_iter().filter_map(|commit| commit.by).take(WRITERS);
        let by = named.map(|(pid, name)| suspects::described(&self.root, pid, &name)).collect();
        self.machine.step(now, Event::Stirred { by });
        true
    }

    /// Somebody wants to see what a configuration does, with a way back. `content`: an id and seconds.
    pub(crate) fn begin_trial(&mut self, now: Monotonic, content: &str) {
        let mut words = content.split_whitespace();
        let (Some(id), Some(seconds)) = (words.next(), words.next().and_then(|w| w.parse::<u64>().ok()))
        else {
            return log::warn!("request {APPLY} {content:?}: wanted are an id and seconds; it is dropped");
        };
        let refused = |why: String| {
            log::warn!("the rules to be tried changed nothing: {why}");
            why
        };
        if !TRIAL_SECONDS.contains(&seconds) {
            let why = refused(format!("{seconds} seconds are not between {TRIAL_SECONDS:?}"));
            return self.trial.refused(now, id.to_owned(), why);
        }
        let wanted = match policy::read_policy(&private::path(&self.root, CANDIDATE)) {
            Ok(wanted) => wanted,
            Err(error) => return self.trial.refused(now, id.to_owned(), refused(error.to_string())),
        };
        let before = self.policy.clone();
        self.policy = Policy { own: before.own.clone(), ..wanted };
        if let (Some(metered), Some(was)) = (&mut self.policy.metered, &before.metered) {
            metered.guard = was.guard;
        }
        self.networks.asked = None;
        self.networks.refresh(now, &self.policy.lan);
        let findings = self.look(now);
        let failures: Vec<String> =
            Family::BOTH.iter().filter_map(|family| failure(&findings, *family)).collect();
        if failures.is_empty() {
            log::info!("new rules for {seconds} s, unless they are confirmed");
            self.trial.begin(now, id.to_owned(), now + Duration::from_secs(seconds), before);
        } else {
            let why = refused(failures.join("; "));
            self.put_back(now, before);
            self.trial.refused(now, id.to_owned(), why);
        }
    }

    pub(crate) fn confirm(&mut self, now: Monotonic) {
        if self.trial.confirm(now) {
            log::info!("the new rules are confirmed; they hold until the configuration is read again");
        } else {
            log::info!("request {CONFIRM}: nothing waits for it");
        }
    }

    pub(crate) fn end_trial(&mut self, now: Monotonic) {
        if let Some(before) = self.trial.expire(now) {
            log::warn!("nobody confirmed the new rules; those before are back");
            self.put_back(now, before);
        }
    }

    fn put_back(&mut self, now: Monotonic, before: Policy) {
        self.policy = before;
        self.networks.asked = None;
        self.networks.refresh(now, &self.policy.lan);
        self.look(now);
    }
}

fn failure(findings: &Findings, family: Family) -> Option<String> {
    match findings.firewall.get(&family) {
        Some((Finding::Failed(why), _)) => Some(why.clone()),
        _ => None,
    }
}
