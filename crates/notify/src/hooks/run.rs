//! The runner: takes notes in their order, runs the hooks of each, and ends.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sysio::command::{CommandError, Runner};
use sysio::{Root, file};

use super::{EVENTS, HOOKS, MOST, Note, SPOOL};

/// A hook that takes longer is killed with all its children.
pub const LIMIT: Duration = Duration::from_secs(30);
/// How long a spool that cannot be emptied is left alone.
const REST: Duration = Duration::from_secs(60);
/// So much of a hook's output is logged.
const SAID_LINES: usize = 20;
/// And so many characters of a line.
const SAID_LINE: usize = 200;
/// A note is a message and some words.
const LARGEST: u64 = 32 * 1024;
/// More programs for one event are not run.
const MOST_HOOKS: usize = 16;

/// Why a program is not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be looked at.
    #[error("{0}")]
    Io(String),
    /// Not a file of its own.
    #[error("not a regular file; a link or folder is not run")]
    NoFile,
    /// Somebody else's.
    #[error("belongs to user {0}; chown it to root")]
    Owner(u32),
    /// Others may change it.
    #[error("can be written by others (mode {0:o}); chmod it to 755")]
    Writable(u32),
    /// Not a program.
    #[error("is not executable for everyone (mode {0:o}); chmod it to 755")]
    NotExecutable(u32),
}

/// The runner's whole life. `owner` must own every hook: root, but for tests.
pub fn main(root: &Root) {
    if run_all(root, 0, LIMIT) == Left::Stuck {
        // systemd starts the runner at once while the spool is not empty, and gives the watch on the spool
        // up for good after 200 starts in 2 s (systemd.path(5), TriggerLimitBurst=).
        std::thread::sleep(REST);
    }
}

/// What is left in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing, or notes that come in their turn.
    Notes,
    /// Something that can be neither removed nor put aside.
    Stuck,
}

/// Runs the hooks of every note, and of those that come meanwhile, up to twice the spool's size;
/// whatever is left starts the runner again.
pub fn run_all(root: &Root, owner: u32, limit: Duration) -> Left {
    let mut stuck: BTreeSet<PathBuf> = BTreeSet::new();
    for _ in 0..2 * MOST {
        let Some(path) = oldest(&root.path(SPOOL), &stuck) else { break };
        let note = file::read_bounded(&path, LARGEST).map_err(|error| error.to_string()).and_then(|text| {
            serde_json::from_slice::<Note>(&text).map_err(|error| format!("not a note: {error}"))
        });
        // Its hooks would run again and again.
        if let Err(error) = take(&path) {
            log::error!("remove {}: {error}; it is left alone", path.display());
            stuck.insert(path);
            continue;
        }
        match note {
            Ok(note) if EVENTS.contains(&note.event.as_str()) => run_event(root, owner, limit, &note),
            Ok(note) => log::warn!("{}: no such event: {:?}", path.display(), note.event),
            Err(error) => log::warn!("read {}: {error}", path.display()),
        }
    }
    if stuck.is_empty() { Left::Notes } else { Left::Stuck }
}

/// Out of the spool: what is no file that can be removed gets a name with a dot, which nobody looks at.
fn take(path: &Path) -> io::Result<()> {
    let Err(error) = fs::remove_file(path) else { return Ok(()) };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    fs::rename(path, path.with_file_name(format!(".{name}"))).map_err(|_| error)
}

fn oldest(spool: &Path, but: &BTreeSet<PathBuf>) -> Option<PathBuf> {
    let entries = fs::read_dir(spool).ok()?.flatten();
    let notes = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
    notes.map(|entry| entry.path()).filter(|path| !but.contains(path)).min()
}

fn run_event(root: &Root, owner: u32, limit: Duration, note: &Note) {
    let folder = root.path(HOOKS).join(&note.event);
    let Ok(entries) = fs::read_dir(&folder) else { return };
    // Who can write into the folder can replace what is in it.
    if let Err(refusal) = check_folder(&folder, owner) {
        log::error!("hooks in {}: {refusal}; none is run", folder.display());
        return;
    }
    let mut hooks: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    hooks.sort();
    for hook in hooks.iter().take(MOST_HOOKS) {
        match check(hook, owner) {
            Ok(()) => run(hook, limit, note),
            Err(refusal) => log::warn!("hook {}: {refusal}; not run", hook.display()),
        }
    }
    if hooks.len() > MOST_HOOKS {
        log::warn!("hooks in {}: only the first {MOST_HOOKS} are run", folder.display());
    }
}

/// Whether `path` is a program that only root could have put there.
///
/// # Errors
/// Why not.
pub fn check(path: &Path, owner: u32) -> Result<(), Refusal> {
    let data = fs::symlink_metadata(path).map_err(|error| Refusal::Io(error.to_string()))?;
    let mode = data.mode() & 0o7777;
    if !data.is_file() {
        Err(Refusal::NoFile)
    } else if data.uid() != owner {
        Err(Refusal::Owner(data.uid()))
    } else if mode & 0o022 != 0 {
        Err(Refusal::Writable(mode))
    } else if mode & 0o005 != 0o005 {
        Err(Refusal::NotExecutable(mode))
    } else {
        Ok(())
    }
}

fn check_folder(path: &Path, owner: u32) -> Result<(), Refusal> {
    let data = fs::symlink_metadata(path).map_err(|error| Refusal::Io(error.to_string()))?;
    let mode = data.mode() & 0o7777;
    if data.uid() != owner {
        Err(Refusal::Owner(data.uid()))
    } else if mode & 0o022 != 0 {
        Err(Refusal::Writable(mode))
    } else {
        Ok(())
    }
}

fn run(hook: &Path, limit: Duration, note: &Note) {
    let name = hook.display();
    let mut runner = Runner::new(&name.to_string(), [""; 0], limit);
    for (variable, value) in &note.environment {
        // A NUL ends a variable for the kernel; with one the program would not be started at all.
        runner = runner.env(variable, &value.replace('\0', " "));
    }
    match runner.env("FAILBERRY_EVENT", &note.event).output() {
        Ok(output) => {
            said(hook, &output.stdout);
            said(hook, &output.stderr);
            if output.status.success() {
                log::info!("hook {name} for {}: done", note.event);
            } else {
                log::warn!("hook {name} for {}: {}", note.event, output.status);
            }
        }
        Err(error @ CommandError::Deadline { .. }) => log::warn!("hook for {}: {error}", note.event),
        Err(error) => log::warn!("hook {name} for {}: {error}", note.event),
    }
}

fn said(hook: &Path, text: &str) {
    let name = hook.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    for line in lines.iter().take(SAID_LINES) {
        let short: String = line.chars().filter(|c| !c.is_control()).take(SAID_LINE).collect();
        log::info!("{name}: {short}");
    }
    if lines.len() > SAID_LINES {
        log::info!("{name}: and {} more lines", lines.len() - SAID_LINES);
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
