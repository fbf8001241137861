//! Answers to people's commands, as files that root alone may read: what a SIM says of its owner
//! is nobody else's business.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use modem_proto::codec::Response;
use modem_proto::{Command, Outcome};
use serde_json::{Value, json};
use sysio::{Root, file};

/// Where they are; made by tmpfiles.
const DIRECTORY: &str = "/run/failberry/answers/modem-dialer";
/// Whoever asked has read it by then, or never will.
const KEPT: Duration = Duration::from_secs(120);
/// The longest token.
const LONGEST_TOKEN: usize = 32;

/// Whether a word may name an answer: nothing that could lead out of the folder.
pub(super) fn is_token(token: &str) -> bool {
    (1..=LONGEST_TOKEN).contains(&token.len())
        && token.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[derive(Debug)]
pub(super) struct Answers(PathBuf);

impl Answers {
    pub(super) fn new(root: &Root) -> Self {
        Self(root.path(DIRECTORY))
    }

    /// What came of an order.
    pub(super) fn give(
        &self,
        token: &str,
        port: Option<&str>,
        answers: &[(Command, Response)],
        error: Option<&str>,
    ) {
        let all: Vec<Value> = answers.iter().map(|(command, response)| answer(command, response)).collect();
        self.write(token, &json!({"port": port, "answers": all, "error": error, "refused": false}));
    }

    /// An order that is not carried out because of what it is.
    pub(super) fn refuse(&self, token: &str, why: &str) {
        self.write(token, &json!({"port": null, "answers": [], "error": why, "refused": true}));
    }

    fn write(&self, token: &str, content: &Value) {
        self.sweep();
        let path = self.0.join(token);
        if let Err(error) = file::write_atomic(&path, content.to_string().as_bytes(), 0o600) {
            log::warn!("write {}: {error}", path.display());
        }
    }

    /// Takes away what nobody fetched.
    fn sweep(&self) {
        for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let changed = entry.metadata().and_then(|data| data.modified());
            let age = changed.ok().and_then(|time| SystemTime::now().duration_since(time).ok());
            if age.is_some_and(|age| age >= KEPT) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn answer(command: &Command, response: &Response) -> Value {
    json!({
        "command": command.to_string(),
        "lines": response.lines,
        "outcome": response.outcome.to_string(),
        "ok": response.outcome == Outcome::Ok,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_nowhere_else() {
        assert!(is_token("4711a"));
        for bad in ["", "../x", "a/b", ".x", "A", "a b", &"a".repeat(33)] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
