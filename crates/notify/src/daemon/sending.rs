//! One child at a time: tests first, then the queue, then numbers.

use sysio::{Monotonic, clock};

use super::{CLOCK_PATIENCE, Notify};
use crate::deliver::Job;
use crate::notice::{Channel, Kind, Message, Notice, Stamp};
use crate::outbox::Outcome;
use crate::settings::Target;
use courier::Courier;
use snapshot::Severity;

/// What the child under way is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Test,
    Message,
    Numbers,
}

/// A child under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) courier: Courier,
    purpose: Purpose,
    began: Monotonic,
}

impl Notify {
    /// Hears the child under way, and starts the next one.
    pub(super) fn send(&mut self, now: Monotonic) {
        if let Some(flight) = &mut self.flight {
            let Some(heard) = flight.courier.poll(now) else { return };
            let outcome = crate::courier::outcome(heard);
            let (purpose, began) = (flight.purpose, flight.began);
            self.flight = None;
            self.landed(now, purpose, began, outcome);
        }
        while self.flight.is_none() {
            let Some((purpose, job)) = self.next_job(now) else { return };
            match self.office.send(&job, now) {
                Ok(courier) => self.flight = Some(Flight { courier, purpose, began: now }),
                Err(error) => {
                    let why = format!("start {}: {error}", self.office.program().display());
                    self.landed(now, purpose, now, Outcome::Failed { why, retry_after: None });
                }
            }
        }
    }

    /// The line that the try under way was begun on is not in use any more: its connection is as good
    /// as dead, and would hold up all others until its limit. A person's test has an answer coming.
    pub(super) fn line_left(&mut self, now: Monotonic) {
        if let Some(flight) = self.flight.take_if(|flight| flight.purpose != Purpose::Test) {
            let why = "the line changed meanwhile".to_owned();
            self.landed(now, flight.purpose, flight.began, Outcome::Failed { why, retry_after: None });
        }
    }

    fn next_job(&mut self, now: Monotonic) -> Option<(Purpose, Job)> {
        if let Some((token, target)) = self.trials.next() {
            let message = Box::new(self.sender.dress(&self.test_message(&token, now), now, clock::unix()));
            return Some((Purpose::Test, Job::Message { target, message }));
        }
        let held = self.held_back(now);
        if let Some((channel, message)) = self.outbox.take(now, |channel| !held.contains(&channel)) {
            let target = self.settings.targets.iter().find(|target| target.channel() == channel)?.clone();
            let message = Box::new(self.sender.dress(&message, now, clock::unix()));
            return Some((Purpose::Message, Job::Message { target, message }));
        }
        let job = self.numbers.job(now, clock::unix(), self.on_metered(), &self.root)?;
        Some((Purpose::Numbers, job))
    }

    fn test_message(&self, token: &str, now: Monotonic) -> Message {
        let text = "If you can read this, alerts of this appliance arrive here.";
        let title = "messages arrive";
        Message {
            id: format!("test-{token}"),
            at: Stamp {
                boot_id: self.sender.boot_id.clone(),
                monotonic_ms: now.as_millis(),
                unix: clock::unix(),
            },
            notice: Notice::new(Kind::Test, Severity::Info, crate::NAME, "", title, text),
            pending: Vec::new(),
        }
    }

    fn landed(&mut self, now: Monotonic, purpose: Purpose, began: Monotonic, outcome: Outcome) {
        match purpose {
            Purpose::Test => self.trials.outcome(now, &outcome, now.since(began)),
            Purpose::Numbers => self.numbers.outcome(now, outcome),
            Purpose::Message => {
                log_outcome(&outcome);
                if self.outbox.outcome(now, outcome, chance()) {
                    self.keep();
                }
            }
        }
    }

    /// When the next child may be wanted.
    pub(super) fn next_send(&self) -> Option<Monotonic> {
        let held = self.held_back(clock::now());
        [self.outbox.next_deadline(|channel| !held.contains(&channel)), self.numbers.next()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Channels that must wait for the clock: certificates would be called not valid yet.
    pub(crate) fn held_back(&self, now: Monotonic) -> Vec<Channel> {
        if clock::is_set(&self.root) || now.since_boot() >= CLOCK_PATIENCE {
            return Vec::new();
        }
        self.settings.targets.iter().filter(|target| target.needs_clock()).map(Target::channel).collect()
    }
}

fn log_outcome(outcome: &Outcome) {
    match outcome {
        Outcome::Accepted => log::info!("a message was accepted"),
        Outcome::Failed { why, .. } | Outcome::Refused { why } => {
            log::warn!("a message was not delivered: {why}");
        }
    }
}

/// From 0 to 1: the clock's own noise is enough to keep appliances apart.
fn chance() -> f64 {
    let nanos = clock::now().since_boot().subsec_nanos();
    f64::from(nanos % 1000) / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::load_settings;
    use std::fs;
    use sysio::Root;

    #[test]
    fn what_needs_tls_waits_for_the_clock_and_for_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["run/failberry", "run/systemd/timesync", "proc/sys/kernel/random"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        fs::write(dir.path().join("proc/sys/kernel/random/boot_id"), "a-boot").unwrap();
        fs::write(dir.path().join("proc/sys/kernel/random/uuid"), "0123-4567-89ab-cdef").unwrap();
        let slice = dir.path().join("notify.toml");
        fs::write(&slice, "[notify]\nntfy = \"https://ntfy.example.org/x\"\n").unwrap();
        let root = Root::at(dir.path());
        let notify = Notify::new(&root, load_settings(&slice), "/nonexistent").unwrap();
        let early = Monotonic::from_secs(60);
        assert_eq!(notify.held_back(early), [Channel::Ntfy]);
        assert!(notify.held_back(early + CLOCK_PATIENCE).is_empty());
        clock::mark_set(&root).unwrap();
        assert!(notify.held_back(early).is_empty());
    }
}
