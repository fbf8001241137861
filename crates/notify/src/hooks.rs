//! A person's own programs, in `/data/failberry/hooks/<event>/`.
//!
//! They run neither in the daemon's loop nor in its sandbox nor as its user, which can read tokens
//! and passwords: the daemon leaves a note in a spool, a systemd path unit sees it and starts
//! `notify hooks` as a user of its own, and systemd ends whatever a hook leaves behind. One runner at
//! a time, so a hook never runs beside itself. A note is removed before its hooks run: a hook runs at
//! most once, because doing a thing twice may be worse than not at all; alerts are what must arrive.

mod run;
mod spool;

pub use run::{LIMIT, Left, Refusal, check, main, run_all};
pub use spool::{MOST, Spool};

use serde::{Deserialize, Serialize};

/// Where notes are left.
pub const SPOOL: &str = "/run/failberry-notify/hooks";
/// Where a person puts programs, one folder an event.
pub const HOOKS: &str = "/data/failberry/hooks";

/// The events that have hooks.
pub const EVENTS: [&str; 10] = [
    "failover",
    "failback",
    "online",
    "offline",
    "link-up",
    "link-down",
    "alert",
    "recovery",
    "reminder",
    "summary",
];

/// A note for the runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The event's name.
    pub event: String,
    /// Names and values for the environment.
    pub environment: Vec<(String, String)>,
}
