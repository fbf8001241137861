//! What is wrong with a file, told so that its owner can mend it.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// One problem of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, counted from 1.
    pub line: usize,
    /// What it is about: `modem.apn`, `[modme]`, or empty where the text is not even TOML.
    pub operand: String,
    /// What is wrong.
    pub cause: String,
    /// What to write instead.
    pub hint: String,
}

impl Problem {
    /// The problem as compilers write it: `failberry.toml:7: modem.apm: unknown key`, then the hint.
    pub fn describe(&self, file: &str) -> String {
        let operand = if self.operand.is_empty() { String::new() } else { format!("{}: ", self.operand) };
        format!("{file}:{}: {operand}{}\n    hint: {}", self.line, self.cause, self.hint)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.operand.is_empty() {
            write!(f, "{}: ", self.operand)?;
        }
        write!(f, "{} ({})", self.cause, self.hint)
    }
}

/// Why a configuration file could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read; perhaps later it can.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is wrong, and stays wrong until someone edits it.
    #[error("{}", describe_all(path, problems))]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong with it, by line.
        problems: Vec<Problem>,
    },
}

fn describe_all(path: &std::path::Path, problems: &[Problem]) -> String {
    let file = path.display().to_string();
    problems.iter().map(|p| p.describe(&file)).collect::<Vec<_>>().join("\n")
}
