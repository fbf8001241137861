//! What a loader writes to one setting, write by write, and what is left of it.

use super::key::{Key, aliases};
use super::lines::{Entry, entries, opened};
use super::number::refused;
use super::{File, Files, Loader, glob};
use std::collections::HashMap;

/// One assignment that reaches the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The file's path.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// The key as it is written there: a pattern, or the setting's other name, perhaps.
    pub key: String,
    /// The value as it is written there.
    pub value: String,
    /// The kernel would refuse the value, so the write changes nothing.
    pub refused: bool,
}

/// What a loader does to one setting.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// In the order in which they reach the kernel.
    pub writes: Vec<Write>,
}

impl Outcome {
    /// The write that has the last word.
    pub fn winner(&self) -> Option<&Write> {
        self.writes.iter().rev().find(|write| !write.refused)
    }
}

struct Placed<'a> {
    file: &'a File,
    entry: Entry,
}

impl Files {
    /// What `loader` would write to `key`. `live` is what the setting reads now: what the kernel takes
    /// can be told from it.
    pub fn outcome(&self, loader: Loader, key: &Key, live: Option<&str>) -> Outcome {
        let mut targets = aliases(key);
        targets.push(key.clone());
        // glob(3) gives paths in the order of their bytes.
        targets.sort();
        let placed = self.order(loader).into_iter().flat_map(|file| {
            entries(loader, file.bytes()).into_iter().map(move |entry| Placed { file, entry })
        });
        let writes = match loader {
            Loader::Systemd => systemd(placed, &targets),
            Loader::Procps => procps(&placed.collect::<Vec<_>>(), &targets),
        };
        let judged =
            |write: Write| Write { refused: live.is_some_and(|live| refused(&write.value, live)), ..write };
        Outcome { writes: writes.into_iter().map(judged).collect() }
    }

    /// Every line that names the setting, its other name, or a pattern that holds it: read or not.
    pub fn mentions(&self, loader: Loader, key: &Key) -> Vec<(&File, Write)> {
        let mut targets = aliases(key);
        targets.push(key.clone());
        let in_file = |file: &File| {
            let own = entries(loader, file.bytes()).into_iter();
            let named =
                own.filter(|entry| targets.iter().any(|target| hits(loader, entry, target).is_some()));
            named.filter_map(|entry| write(&Placed { file, entry })).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(|file| in_file(file).into_iter().map(move |write| (file, write))).collect()
    }
}

fn write(placed: &Placed<'_>) -> Option<Write> {
    let Entry { line, written, value, .. } = &placed.entry;
    let value = value.clone()?;
    Some(Write { file: placed.file.path(), line: *line, key: written.clone(), value, refused: false })
}

/// The path by which an entry reaches the target, as the loader would compare it with other entries.
fn hits(loader: Loader, entry: &Entry, target: &Key) -> Option<String> {
    if entry.is_glob() {
        return glob::matches(&entry.path, target.path()).then(|| expanded(&entry.path, target.path()));
    }
    (opened(loader, &entry.path)? == target.path()).then(|| entry.path.clone())
}

/// A pattern with the names of `path` in it; its own repeated slashes stay.
fn expanded(pattern: &str, path: &str) -> String {
    let mut names = path.split('/');
    let part = |part: &str| if part.is_empty() { "" } else { names.next().unwrap_or("") }.to_owned();
    pattern.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// systemd keeps one value a key, the last, at the place where it was set last to something new
/// (`parse_line`); a pattern passes over every key that has an entry of its own, be it an exclusion
/// (`apply_glob_option_with_prefix`). An exclusion takes the place of an assignment, too.
fn systemd<'a>(placed: impl Iterator<Item = Placed<'a>>, targets: &[Key]) -> Vec<Write> {
    let mut options: Vec<Option<Placed<'_>>> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for new in placed {
        if let Some(at) = known.get(&new.entry.path).copied() {
            let same = options[at].as_ref().is_some_and(|old| old.entry.value == new.entry.value);
            if same {
                continue;
            }
            options[at] = None;
        }
        known.insert(new.entry.path.clone(), options.len());
        options.push(Some(new));
    }
    let mut writes = Vec::new();
    for option in options.iter().flatten() {
        for target in targets {
            let passed_over = option.entry.is_glob() && known.contains_key(target.path());
            if !passed_over && hits(Loader::Systemd, &option.entry, target).is_some() {
                writes.extend(write(option));
            }
        }
    }
    writes
}

/// procps writes every assignment in turn; a pattern passes over every path that any line names in the
/// same spelling, wherever that line stands (`settinglist_findpath`).
fn procps(placed: &[Placed<'_>], targets: &[Key]) -> Vec<Write> {
    let mut writes = Vec::new();
    for setting in placed {
        for target in targets {
            let Some(path) = hits(Loader::Procps, &setting.entry, target) else { continue };
            let named = || placed.iter().any(|other| other.entry.path == path);
            if !(setting.entry.is_glob() && named()) {
                writes.extend(write(setting));
            }
        }
    }
    writes
}

#[cfg(test)]
mod tests;
