//! The daemon's side: notes, only where somebody has a hook for them.

use std::fs;
use std::path::PathBuf;

use sysio::{Root, file};

use super::{HOOKS, Note, SPOOL};
use crate::events::Happening;

/// More notes than this are not kept: hooks that take so long are not waited for.
pub const MOST: usize = 32;
/// The runner reads it by its group.
const MODE: u32 = 0o640;

/// Leaves notes.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    hooks: PathBuf,
    counter: u64,
    /// Notes that were not left because there were too many.
    pub dropped: u64,
}

impl Spool {
    /// Below `root`.
    pub fn new(root: &Root) -> Self {
        Self { folder: root.path(SPOOL), hooks: root.path(HOOKS), counter: 0, dropped: 0 }
    }

    /// Leaves a note for each happening that has a hook. `common` goes into every environment. The
    /// moment `now_ms` makes names of different processes differ and sorts them.
    pub fn leave(&mut self, now_ms: u64, common: &[(&'static str, String)], happenings: &[Happening]) {
        for happening in happenings {
            if !self.has_hooks(happening.event) {
                continue;
            }
            let waiting = self.waiting();
            if waiting >= MOST {
                self.dropped += 1;
                log::warn!(
                    "hooks for {}: {waiting} notes wait already; this one is dropped",
                    happening.event
                );
                continue;
            }
            let all = common.iter().chain(&happening.environment);
            let environment = all.map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
            let note = Note { event: happening.event.to_owned(), environment };
            self.counter += 1;
            let path = self.folder.join(format!("{now_ms:014}-{:06}.json", self.counter));
            let text = serde_json::to_vec(&note).unwrap_or_default();
            if let Err(error) = file::write_atomic(&path, &text, MODE) {
                log::warn!("hooks for {}: write {}: {error}", happening.event, path.display());
            }
        }
    }

    /// Notes; what has a dot before its name was put aside, or is being written.
    fn waiting(&self) -> usize {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count()
    }

    fn has_hooks(&self, event: &str) -> bool {
        fs::read_dir(self.hooks.join(event)).is_ok_and(|mut entries| entries.next().is_some())
    }
}
