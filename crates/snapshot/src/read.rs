//! Reading the others' snapshots without believing what is too old, broken or of another boot.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sysio::{Monotonic, Root, file};

use crate::{Condition, DIRECTORY, SCHEMA, STALE_AFTER};

/// A snapshot is a few kilobytes; more is not ours.
const SIZE_LIMIT: u64 = 256 * 1024;

/// A snapshot as it was written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Document {
    /// Envelope version.
    pub schema: u32,
    /// Who wrote it.
    pub daemon: String,
    /// Version of the writer.
    pub version: String,
    /// The boot it was written in.
    pub boot_id: String,
    /// When, in milliseconds of `CLOCK_BOOTTIME`.
    pub monotonic_ms: u64,
    /// When, by the wall clock, if that was plausible.
    pub wall: Option<String>,
    /// One word.
    pub state: String,
    /// Since when that word holds.
    pub since_ms: u64,
    /// What is wrong.
    pub conditions: Vec<Condition>,
    /// The daemon's own fields.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

/// Why a snapshot could not be understood.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be read.
    #[error("read {path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a snapshot.
    #[error("parse {path}: {source}")]
    Parse {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The file is of another version of the envelope.
    #[error("{path} has schema {found}, this program knows {SCHEMA}")]
    Schema {
        /// The file.
        path: String,
        /// Its version.
        found: u32,
    },
}

/// How far a snapshot can be believed.
#[derive(Debug)]
pub enum Verdict {
    /// Written in this boot, within [`STALE_AFTER`].
    Fresh(Document),
    /// Written in this boot, too long ago: what it says is unknown now.
    Stale(Document, Duration),
    /// Left behind by an earlier boot.
    OtherBoot(Document),
    /// There is none.
    Missing,
    /// There is one, and it makes no sense.
    Broken(ReadError),
}

impl Verdict {
    /// The snapshot, if it can be believed.
    pub fn fresh(&self) -> Option<&Document> {
        if let Self::Fresh(document) = self { Some(document) } else { None }
    }
}

/// Reads the snapshot of `daemon` and judges it at the moment `now` of boot `boot_id`.
pub fn read(root: &Root, daemon: &str, boot_id: &str, now: Monotonic) -> Verdict {
    judge(&root.path(DIRECTORY).join(format!("{daemon}.json")), boot_id, now)
}

/// Reads every snapshot there is, by daemon.
///
/// # Errors
/// If the directory cannot be listed.
pub fn read_all(root: &Root, boot_id: &str, now: Monotonic) -> io::Result<BTreeMap<String, Verdict>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(root.path(DIRECTORY))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".json"));
        if let Some(name) = name.filter(|n| !n.starts_with('.')) {
            all.insert(name.to_owned(), judge(&path, boot_id, now));
        }
    }
    Ok(all)
}

fn judge(path: &Path, boot_id: &str, now: Monotonic) -> Verdict {
    let document = match load(path) {
        Ok(Some(document)) => document,
        Ok(None) => return Verdict::Missing,
        Err(error) => return Verdict::Broken(error),
    };
    let age = now.since(Monotonic::from_millis(document.monotonic_ms));
    if document.boot_id != boot_id {
        Verdict::OtherBoot(document)
    } else if age > STALE_AFTER {
        Verdict::Stale(document, age)
    } else {
        Verdict::Fresh(document)
    }
}

fn load(path: &Path) -> Result<Option<Document>, ReadError> {
    let name = || path.display().to_string();
    let content = match file::read_bounded(path, SIZE_LIMIT) {
        Ok(content) => content,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ReadError::Io { path: name(), source }),
    };
    let document: Document =
        serde_json::from_slice(&content).map_err(|source| ReadError::Parse { path: name(), source })?;
    if document.schema != SCHEMA {
        return Err(ReadError::Schema { path: name(), found: document.schema });
    }
    Ok(Some(document))
}
