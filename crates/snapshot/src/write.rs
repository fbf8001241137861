//! Writing one's own snapshot: on change, and as a heartbeat.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use sysio::{Monotonic, Root, clock, file};

use crate::{Condition, DIRECTORY, HEARTBEAT, SCHEMA};

/// Snapshots are for everybody: nothing secret belongs in one.
const MODE: u32 = 0o644;

/// What a daemon says at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// One word, from the table in ARCHITECTURE.md.
    pub state: String,
    /// What is wrong, if anything.
    pub conditions: Vec<Condition>,
    /// The daemon's own fields, flat beside the envelope.
    pub fields: Map<String, Value>,
}

impl Report {
    /// A report with no conditions and no fields of its own.
    pub fn new(state: impl Into<String>) -> Self {
        Self { state: state.into(), ..Self::default() }
    }

    /// Adds a field of the daemon's own.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a condition.
    #[must_use]
    pub fn condition(mut self, condition: impl Into<Option<Condition>>) -> Self {
        self.conditions.extend(condition.into());
        self
    }
}

/// Publishes a daemon's reports, remembers since when a state or condition holds.
#[derive(Debug)]
pub struct Publisher {
    daemon: String,
    version: String,
    boot_id: String,
    path: PathBuf,
    state_since: Monotonic,
    condition_since: HashMap<String, Monotonic>,
    last: Option<(Report, Monotonic)>,
}

impl Publisher {
    /// For `daemon`, whose snapshot is `/run/failberry/<daemon>.json` below `root`.
    ///
    /// # Errors
    /// If the kernel's boot id cannot be read.
    pub fn new(root: &Root, daemon: &str, version: &str) -> io::Result<Self> {
        Ok(Self {
            daemon: daemon.to_owned(),
            version: version.to_owned(),
            boot_id: crate::boot_id(root)?,
            path: root.path(DIRECTORY).join(format!("{daemon}.json")),
            state_since: clock::now(),
            condition_since: HashMap::new(),
            last: None,
        })
    }

    /// When the next heartbeat is due.
    pub fn due(&self) -> Monotonic {
        // A fifth early, so that the file is never older than the heartbeat promises.
        self.last.as_ref().map_or(Monotonic::default(), |(_, at)| *at + HEARTBEAT * 4 / 5)
    }

    /// Writes the snapshot if `report` says something new or the heartbeat is due.
    ///
    /// # Errors
    /// Whatever writing reports; the next call tries again.
    pub fn publish(&mut self, now: Monotonic, report: Report) -> io::Result<()> {
        let unchanged = self.last.as_ref().is_some_and(|(last, _)| *last == report);
        if unchanged && now < self.due() {
            return Ok(());
        }
        self.track(now, &report);
        let content = self.document(now, &report);
        file::write_atomic(&self.path, content.to_string().as_bytes(), MODE)?;
        self.last = Some((report, now));
        Ok(())
    }

    fn track(&mut self, now: Monotonic, report: &Report) {
        let before = self.last.as_ref().map(|(last, _)| last);
        if before.is_none_or(|last| last.state != report.state) {
            self.state_since = now;
            log::info!("state: {}", report.state);
        }
        self.condition_since.retain(|id, _| {
            let stays = report.conditions.iter().any(|c| c.id == *id);
            if !stays {
                log::info!("condition over: {id}");
            }
            stays
        });
        for condition in &report.conditions {
            self.condition_since.entry(condition.id.clone()).or_insert_with(|| {
                log::warn!("condition: {}: {} ({})", condition.id, condition.summary, condition.detail);
                now
            });
        }
    }

    fn document(&self, now: Monotonic, report: &Report) -> Value {
        let conditions: Vec<Condition> = report
            .conditions
            .iter()
            .map(|c| Condition { since: self.condition_since[&c.id].as_millis(), ..c.clone() })
            .collect();
        let mut document = json!({
            "schema": SCHEMA,
            "daemon": self.daemon,
            "version": self.version,
            "boot_id": self.boot_id,
            "monotonic_ms": now.as_millis(),
            "wall": clock::wall().map(|time| humantime::format_rfc3339_seconds(time).to_string()),
            "state": report.state,
            "since_ms": self.state_since.as_millis(),
            "conditions": conditions,
        });
        let envelope = document.as_object_mut().expect("an object");
        for (name, value) in &report.fields {
            debug_assert!(!envelope.contains_key(name), "field {name} hides the envelope's");
            envelope.entry(name.clone()).or_insert_with(|| value.clone());
        }
        document
    }
}
