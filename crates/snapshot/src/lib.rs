//! What a daemon says about itself: one file, written by it alone, read by everybody.
//!
//! `/run/failberry/<daemon>.json` holds the envelope (who, when, which boot), the state, the
//! conditions and the daemon's own fields. Writing is atomic; reading knows when a file is too
//! old to be believed.

mod read;
mod write;

pub use read::{Document, ReadError, Verdict, read, read_all};
pub use write::{Publisher, Report};

use serde::{Deserialize, Serialize};

/// Version of the envelope; a reader of another version treats the file as unknown.
pub const SCHEMA: u32 = 1;
/// Where snapshots live.
pub const DIRECTORY: &str = "/run/failberry";
/// A snapshot is written at least this often, changed or not.
pub const HEARTBEAT: std::time::Duration = std::time::Duration::from_secs(10);
/// A snapshot older than this is unknown: two heartbeats missed, and one for a slow machine.
pub const STALE_AFTER: std::time::Duration = std::time::Duration::from_secs(30);

/// How much a condition matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Info,
    /// Works, but not as it should.
    Warning,
    /// Does not work.
    Error,
}

/// The one currency of trouble: something is so, since when, and what is being done about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Stable name; `docs/conditions/<id>.md` explains it.
    pub id: String,
    /// How much it matters.
    pub severity: Severity,
    /// Milliseconds of `CLOCK_BOOTTIME` when it began; filled in by [`Publisher`].
    #[serde(default)]
    pub since: u64,
    /// One line for people.
    pub summary: String,
    /// Why, and what happens next.
    pub detail: String,
}

impl Condition {
    /// A condition that begins when it is first published.
    pub fn new(id: &str, severity: Severity, summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { id: id.to_owned(), severity, since: 0, summary: summary.into(), detail: detail.into() }
    }
}

/// The kernel's identity of this boot, so that what an earlier boot left behind is recognised.
///
/// # Errors
/// Whatever reading `/proc/sys/kernel/random/boot_id` reports.
pub fn boot_id(root: &sysio::Root) -> std::io::Result<String> {
    let path = root.path("/proc/sys/kernel/random/boot_id");
    Ok(std::fs::read_to_string(path)?.trim().to_owned())
}
