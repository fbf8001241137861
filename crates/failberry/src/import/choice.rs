//! Which configuration comes into force: pure.

use config::{Config, Problem};
use snapshot::{Condition, Severity};

/// Most mistakes told in a condition; the rest is counted.
const TOLD: usize = 20;

/// Why a file gives no configuration.
#[derive(Debug)]
pub(super) enum Trouble {
    Missing,
    Unreadable(String),
    Invalid(Vec<Problem>),
}

/// What comes into force, and what is to be said about it.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) config: Config,
    pub(super) state: &'static str,
    pub(super) source: &'static str,
    /// Text to become the last good configuration.
    pub(super) save: Option<Vec<u8>>,
    pub(super) problems: Vec<Problem>,
    pub(super) conditions: Vec<Condition>,
}

type Loaded = Result<(Vec<u8>, Config), Trouble>;

/// Chooses between the card's file and, if that is no good, the stored one.
pub(super) fn choose(card: Loaded, stored: impl FnOnce() -> Loaded) -> Choice {
    let trouble = match card {
        Ok((text, config)) => {
            return Choice {
                config,
                state: "imported",
                source: "card",
                save: Some(text),
                problems: Vec::new(),
                conditions: Vec::new(),
            };
        }
        Err(trouble) => trouble,
    };
    let mut conditions = Vec::new();
    let (config, state, source) = match stored() {
        Ok((_, config)) => (config, "kept", "data"),
        Err(Trouble::Missing) => (Config::default(), "defaults", "defaults"),
        Err(Trouble::Unreadable(error)) => {
            conditions.push(lost(&error));
            (Config::default(), "defaults", "defaults")
        }
        Err(Trouble::Invalid(problems)) => {
            conditions.push(lost(&told(&problems)));
            (Config::default(), "defaults", "defaults")
        }
    };
    conditions.insert(0, explain(&trouble, state == "kept"));
    let problems = if let Trouble::Invalid(problems) = trouble { problems } else { Vec::new() };
    Choice { config, state, source, save: None, problems, conditions }
}

fn explain(trouble: &Trouble, kept: bool) -> Condition {
    let in_force =
        if kept { "The last good configuration is in force." } else { "The defaults are in force." };
    match trouble {
        Trouble::Missing => Condition::new(
            "config-missing",
            if kept { Severity::Warning } else { Severity::Info },
            "there is no failberry.toml on the card",
            format!("{in_force} Put the file on the partition FAILBERRY and start again."),
        ),
        Trouble::Unreadable(error) => Condition::new(
            "config-missing",
            Severity::Warning,
            "failberry.toml on the card cannot be read",
            format!("Reading it failed: {error}. {in_force} Check the card in a computer."),
        ),
        Trouble::Invalid(problems) => {
            let plural = if problems.len() == 1 { "" } else { "s" };
            Condition::new(
                "config-invalid",
                Severity::Error,
                format!("failberry.toml on the card has {} mistake{plural}", problems.len()),
                format!("{in_force} Mend the file and start again.\n{}", told(problems)),
            )
        }
    }
}

fn lost(cause: &str) -> Condition {
    Condition::new(
        "config-store-invalid",
        Severity::Error,
        "the last good configuration on the data partition is not usable",
        format!("The defaults are in force until the card has a valid file. Cause: {cause}"),
    )
}

fn told(problems: &[Problem]) -> String {
    let mut lines: Vec<String> = problems.iter().take(TOLD).map(ToString::to_string).collect();
    if problems.len() > TOLD {
        lines.push(format!("and {} more", problems.len() - TOLD));
    }
    lines.join("\n")
}
