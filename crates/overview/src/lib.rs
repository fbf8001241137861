//! All snapshots judged together. The CLI and the status page show the same because they ask here.
//!
//! What is not known is never shown as fine: a snapshot of another boot, an old one, a broken one
//! make their daemon unknown, and the whole at most degraded. A daemon without any snapshot is
//! one that has not managed to start.

mod json;
pub mod metrics;
mod words;

pub use words::{ago, facts, meaning};

use std::io;
use std::time::SystemTime;

use snapshot::{Condition, Document, Severity, Verdict};
use sysio::{Monotonic, Root, clock};

/// The daemons every appliance runs, in the order people want to read them.
pub const DAEMONS: &[&str] = &[
    "modem-dialer",
    "hub-reset",
    "uplink",
    "netguard",
    "nic-health",
    "dyndns",
    "prober",
    "notify",
    "pinghttpserver",
    "statusd",
    CONFIG_IMPORT,
];
/// The import of the configuration: it runs once a boot, so its snapshot does not grow stale.
pub const CONFIG_IMPORT: &str = "config-import";

/// Brings the time and ends with this state once systemd-timesyncd keeps it; not among [`DAEMONS`],
/// because before its first word of a boot nothing is wrong.
const TIMEKEEPER: (&str, &str) = ("timekeeper", "synchronised");

/// How the whole is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Nothing is wrong.
    Healthy,
    /// It works, but not as it should, or part of it is unknown.
    Degraded,
    /// Something does not work.
    Failed,
    /// Nothing is known at all.
    Unknown,
}

impl Health {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One daemon.
#[derive(Debug)]
pub struct Part {
    /// Its name.
    pub daemon: String,
    /// Its snapshot, or why there is none to believe.
    pub known: Result<Document, Doubt>,
}

/// Whether nothing more is to come of it in this boot.
fn is_last_word(daemon: &str, document: &Document) -> bool {
    daemon == CONFIG_IMPORT || (daemon, document.state.as_str()) == TIMEKEEPER
}

/// Why a daemon is unknown.
#[derive(Debug)]
pub struct Doubt {
    /// In words.
    pub reason: String,
    /// What it said last, if anything.
    pub last: Option<Box<Document>>,
    /// True if there is no snapshot at all: the daemon has not started.
    pub missing: bool,
}

impl Part {
    fn new(daemon: String, verdict: Verdict) -> Self {
        let doubt = |reason: String, last| Err(Doubt { reason, last, missing: false });
        let known = match verdict {
            Verdict::Fresh(document) => Ok(document),
            Verdict::Stale(document, _) if is_last_word(&daemon, &document) => Ok(document),
            Verdict::Stale(document, age) => {
                let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                doubt(format!("silent for {}", ago(age)), Some(Box::new(document)))
            }
            Verdict::OtherBoot(document) => {
                doubt("not heard of since this boot".to_owned(), Some(Box::new(document)))
            }
            Verdict::Broken(error) => doubt(error.to_string(), None),
            Verdict::Missing => {
                Err(Doubt { reason: "has not started".to_owned(), last: None, missing: true })
            }
        };
        Self { daemon, known }
    }

    /// Its state, `unknown` if it cannot be believed.
    pub fn state(&self) -> &str {
        self.known.as_ref().map_or("unknown", |document| document.state.as_str())
    }

    /// How it is by itself.
    pub fn health(&self) -> Health {
        let worst = match &self.known {
            Ok(document) => document.conditions.iter().map(|c| c.severity).max(),
            Err(doubt) if doubt.missing => return Health::Failed,
            Err(_) => return Health::Unknown,
        };
        match worst {
            Some(Severity::Error) => Health::Failed,
            Some(Severity::Warning) => Health::Degraded,
            Some(Severity::Info) | None => Health::Healthy,
        }
    }
}

/// The appliance at one moment.
#[derive(Debug)]
pub struct Overview {
    /// The moment.
    pub now: Monotonic,
    /// The same by the wall clock, if that is plausible.
    pub wall: Option<SystemTime>,
    /// The name of the appliance.
    pub hostname: String,
    /// Every daemon, expected ones first.
    pub parts: Vec<Part>,
}

impl Overview {
    /// Reads everything below `root`.
    ///
    /// # Errors
    /// If the identity of this boot cannot be read; without it no snapshot can be believed.
    pub fn gather(root: &Root) -> io::Result<Self> {
        Ok(Self::at(root, &snapshot::boot_id(root)?, clock::now(), clock::wall()))
    }

    /// Reads everything as seen at the moment `now` of boot `boot_id`.
    pub fn at(root: &Root, boot_id: &str, now: Monotonic, wall: Option<SystemTime>) -> Self {
        let expected =
            DAEMONS.iter().map(|d| Part::new((*d).to_owned(), snapshot::read(root, d, boot_id, now)));
        let mut parts: Vec<Part> = expected.collect();
        // What we cannot list we do not know; the expected ones are told above.
        let all = snapshot::read_all(root, boot_id, now).unwrap_or_default();
        let others = all.into_iter().filter(|(name, _)| !DAEMONS.contains(&name.as_str()));
        parts.extend(others.map(|(name, verdict)| Part::new(name, verdict)));
        let hostname = std::fs::read_to_string(root.path("/proc/sys/kernel/hostname")).unwrap_or_default();
        Self { now, wall, hostname: hostname.trim().to_owned(), parts }
    }

    /// How the whole is.
    pub fn health(&self) -> Health {
        let each: Vec<Health> = self.parts.iter().map(Part::health).collect();
        if each.contains(&Health::Failed) {
            Health::Failed
        } else if each.iter().all(|h| *h == Health::Unknown) {
            Health::Unknown
        } else if each.iter().all(|h| *h == Health::Healthy) {
            Health::Healthy
        } else {
            Health::Degraded
        }
    }

    /// Every condition with its daemon, the worst first, then the oldest.
    pub fn conditions(&self) -> Vec<(&str, &Condition)> {
        let mut all: Vec<_> = self
            .parts
            .iter()
            .filter_map(|part| part.known.as_ref().ok().map(|document| (part.daemon.as_str(), document)))
            .flat_map(|(daemon, document)| document.conditions.iter().map(move |c| (daemon, c)))
            .collect();
        all.sort_by_key(|(_, c)| (std::cmp::Reverse(c.severity), c.since));
        all
    }

    /// Milliseconds from the moment `since_ms` of this boot.
    pub fn since(&self, since_ms: u64) -> u64 {
        self.now.as_millis().saturating_sub(since_ms)
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
