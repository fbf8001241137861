//! `failberry config import`: once a boot, from the card to the daemons.
//!
//! The card is read and never written. A valid file becomes the last good configuration on the data
//! partition, a wrong one changes nothing but the conditions; either way every daemon gets its slice.
//! Each file is replaced as a whole, so a power cut leaves the old or the new one.

mod choice;
mod keys;
mod output;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use config::LoadError;
use serde_json::json;
use snapshot::{Condition, Publisher, Report, Severity};
use sysio::{Root, clock, file};

use crate::exit;
use choice::{Choice, Trouble, choose};

const CARD: &str = "/boot/firmware";
const STORE: &str = "/data/failberry/config";
const FILE: &str = "failberry.toml";
const KEYS: &str = "authorized_keys";
/// A person's own packet filter rules, which `netguard` loads.
const RULES: [&str; 2] = ["rules.v4", "rules.v6"];
/// As `netguard` reads at most.
const RULES_LIMIT: u64 = 256 * 1024;
/// Both hold secrets or say who may enter: for root alone.
const PRIVATE: u32 = 0o600;

/// What kept the configuration from coming into force.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file of the running system could not be written.
    #[error("write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The snapshot could not be written.
    #[error("write snapshot config-import: {0}")]
    Snapshot(std::io::Error),
}

/// Imports, and tells the journal how it went.
pub(crate) fn run(root: &Root) -> u8 {
    match import(root) {
        Ok(report) => {
            println!("failberry: configuration {} ({})", report.state, report.fields["source"]);
            for condition in &report.conditions {
                eprintln!("failberry: {}: {}\n{}", condition.id, condition.summary, condition.detail);
            }
            exit::OK
        }
        Err(error) => {
            eprintln!("failberry: {error}; the daemons keep what they had");
            exit::IO
        }
    }
}

/// Imports configuration and keys of the system below `root`.
///
/// # Errors
/// If a slice or the snapshot cannot be written. Trouble with card and data partition is no error: it
/// becomes a condition, and the best configuration there is comes into force.
pub fn import(root: &Root) -> Result<Report, ImportError> {
    let store = root.path(STORE);
    output::remove_leftovers(&store);
    let choice = choose(load(&root.path(CARD).join(FILE)), || load(&store.join(FILE)));
    let mut report = describe(&choice);
    if let Some(text) = &choice.save
        && let Err(error) = save(&store.join(FILE), text)
    {
        report.conditions.push(not_saved(FILE, &error));
    }
    report.conditions.extend(import_keys(&root.path(CARD).join(KEYS), &store.join(KEYS)));
    for name in RULES {
        report.conditions.extend(import_rules(name, &root.path(CARD).join(name), &store.join(name)));
    }
    output::write_slices(root, &choice.config)?;
    if let Err(error) = output::set_hostname(root, choice.config.system.hostname.as_str()) {
        report.conditions.push(Condition::new(
            "config-hostname",
            Severity::Warning,
            "the host name could not be set",
            format!("Setting it failed: {error}. Everything else is in force; the next boot tries again."),
        ));
    }
    publish(root, &report).map_err(ImportError::Snapshot)?;
    Ok(report)
}

fn publish(root: &Root, report: &Report) -> std::io::Result<()> {
    let mut publisher = Publisher::new(root, overview::CONFIG_IMPORT, env!("CARGO_PKG_VERSION"))?;
    publisher.publish(clock::now(), report.clone())
}

fn load(path: &Path) -> Result<(Vec<u8>, config::Config), Trouble> {
    let config = config::load(path).map_err(|error| match error {
        LoadError::Read { source, .. } if source.kind() == ErrorKind::NotFound => Trouble::Missing,
        LoadError::Read { source, .. } => Trouble::Unreadable(source.to_string()),
        LoadError::Invalid { problems, .. } => Trouble::Invalid(problems),
    })?;
    let text = std::fs::read(path).map_err(|e| Trouble::Unreadable(e.to_string()))?;
    if text.trim_ascii().is_empty() {
        // What a laptop leaves behind when a card is pulled too early; not a wish for no settings.
        return Err(Trouble::Unreadable("the file is empty".to_owned()));
    }
    Ok((text, config))
}

fn describe(choice: &Choice) -> Report {
    let problems: Vec<_> = choice
        .problems
        .iter()
        .map(|p| json!({"line": p.line, "operand": p.operand, "cause": p.cause, "hint": p.hint}))
        .collect();
    let mut report = Report::new(choice.state).field("source", choice.source).field("problems", problems);
    report.conditions.extend(choice.conditions.iter().cloned());
    report
}

/// Writes only what is new: a boot without a change wears no flash.
fn save(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    file::write_durable(path, content, PRIVATE)
}

fn import_keys(card: &Path, store: &Path) -> Option<Condition> {
    let found = match file::read_bounded(card, keys::MAX_BYTES) {
        Ok(bytes) => keys::read(&bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => return Some(keys_condition(&format!("read it: {error}"))),
    };
    // A file without a single key locks nobody out: the keys there are stay.
    if found.count > 0
        && let Err(error) = save(store, &found.text)
    {
        return Some(not_saved(KEYS, &error));
    }
    let lines: Vec<String> = found.dropped.iter().map(ToString::to_string).collect();
    (!lines.is_empty()).then(|| keys_condition(&format!("no key in line {}", lines.join(", "))))
}

/// A file that cannot be understood leaves the one before in force; whether the kernel takes a rule,
/// `netguard` finds out.
fn import_rules(name: &str, card: &Path, store: &Path) -> Option<Condition> {
    let refused = |problem: String| {
        let summary = "a file of your own rules cannot be used";
        let detail =
            format!("{name} on the card: {problem}. The rules that were in force before stay in force");
        Some(Condition::new("firewall-own-rules-refused", Severity::Error, summary, detail))
    };
    let bytes = match file::read_bounded(card, RULES_LIMIT) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => return refused(format!("read it: {error}")),
    };
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => return refused(error.to_string()),
    };
    if let Err(error) = ruleset::OwnRules::parse(text) {
        return refused(error.to_string());
    }
    save(store, &bytes).err().map(|error| not_saved(name, &error))
}

fn keys_condition(what: &str) -> Condition {
    Condition::new(
        "authorized-keys-invalid",
        Severity::Warning,
        "authorized_keys on the card is not all valid",
        format!("{what}. Valid keys are in force; the card's file wants one public key a line."),
    )
}

fn not_saved(what: &str, error: &std::io::Error) -> Condition {
    Condition::new(
        "config-not-saved",
        Severity::Warning,
        format!("{what} could not be saved on the data partition"),
        format!(
            "Writing it failed: {error}. The card's configuration is in force; the next boot tries again."
        ),
    )
}
