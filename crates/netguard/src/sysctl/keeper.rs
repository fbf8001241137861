//! Reads what is declared and writes what has to be written.

use super::{Action, Event, NOT_TOUCHED, Seen, Watch, forwards, respected};
use crate::driver::Settings;
use ruleset::{Family, Sysctl};
use std::io;
use sysio::Monotonic;

/// The watch with its hands.
#[derive(Debug, Default)]
pub struct Keeper {
    pub(crate) watch: Watch,
}

impl Keeper {
    /// One look: reads everything, writes what differs. `filtered` says whether a family's packet filter
    /// is in place, `explain` who sets a setting (path, value found, value wanted).
    pub fn turn(
        &mut self,
        now: Monotonic,
        settings: &mut impl Settings,
        wanted: Vec<Sysctl>,
        filtered: impl Fn(Family) -> bool,
        explain: impl Fn(&str, &str, &str) -> String,
    ) {
        let look = |sysctl: Sysctl| {
            let seen = look(settings, &sysctl, &filtered);
            (sysctl, seen)
        };
        let seen = wanted.into_iter().map(look).collect();
        for action in self.watch.step(now, Event::Looked(seen)) {
            let event = match action {
                Action::Write { path, found, value } => {
                    let refused = settings.write(&path, &value).err();
                    let refused = refused.map(|e| format!("set {path} from {found} to {value}: {e}"));
                    Event::Wrote { path, refused }
                }
                Action::Explain { path, found, wanted } => {
                    let reason = explain(&path, &found, &wanted);
                    log::warn!("{path} was changed from {wanted} to {found} by another program: {reason}");
                    Event::Explained { path, reason }
                }
            };
            self.watch.step(now, event);
        }
    }
}

fn look(settings: &impl Settings, sysctl: &Sysctl, filtered: &impl Fn(Family) -> bool) -> Seen {
    let path = &sysctl.path;
    match settings.read(path) {
        Ok(value) if value == sysctl.value || respected(sysctl, &value) => Seen::Right,
        Ok(_) if forwards(path).is_some_and(|family| !filtered(family)) => {
            Seen::Blocked(format!("{path}: {NOT_TOUCHED}"))
        }
        Ok(value) => Seen::Differs(value),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Seen::Absent,
        Err(e) => Seen::Blocked(format!("read {path}: {e}")),
    }
}
