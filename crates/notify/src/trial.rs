//! `failberry notify test`: a message to every channel at once, past the queue, with an answer for
//! the person who waits for it.

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use sysio::{Monotonic, Root, file};

use crate::outbox::Outcome;
use crate::settings::Target;

/// The word before the token in a request's name.
const REQUEST: &str = "test-";
/// Where answers are put; whoever asked removes his.
pub const ANSWERS: &str = "/run/failberry/answers/notify";
/// More at once are refused: each takes a while.
const MOST: usize = 4;
/// What nobody fetched is removed after this.
const KEPT: Duration = Duration::from_secs(120);
/// For root, who asks, and for the daemon.
const MODE: u32 = 0o600;

/// Tests under way.
#[derive(Debug)]
pub struct Trials {
    folder: PathBuf,
    waiting: VecDeque<Trial>,
    answered: VecDeque<(Monotonic, PathBuf)>,
}

#[derive(Debug)]
struct Trial {
    token: String,
    left: VecDeque<Target>,
    results: Vec<Value>,
}

impl Trials {
    /// Below `root`.
    pub fn new(root: &Root) -> Self {
        Self { folder: root.path(ANSWERS), waiting: VecDeque::new(), answered: VecDeque::new() }
    }

    /// Takes a request; others than tests are ignored.
    pub fn ask(&mut self, now: Monotonic, request: &str, targets: &[Target]) {
        let Some(token) = request.strip_prefix(REQUEST) else {
            log::warn!("unknown request {request:?}");
            return;
        };
        let sound = (1..=32).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_alphanumeric());
        if !sound || self.waiting.len() >= MOST {
            log::warn!("request {request:?}: not a token, or too many at once");
            return;
        }
        let trial =
            Trial { token: token.to_owned(), left: targets.iter().cloned().collect(), results: Vec::new() };
        self.waiting.push_back(trial);
        self.finish(now);
    }

    /// The next one to try; it stays the first until its outcome is known.
    pub fn next(&self) -> Option<(String, Target)> {
        let trial = self.waiting.front()?;
        Some((trial.token.clone(), trial.left.front()?.clone()))
    }

    /// How the first one went.
    pub fn outcome(&mut self, now: Monotonic, outcome: &Outcome, took: Duration) {
        let Some(trial) = self.waiting.front_mut() else { return };
        let Some(target) = trial.left.pop_front() else { return };
        let (ok, detail) = match outcome {
            Outcome::Accepted => (true, "accepted".to_owned()),
            Outcome::Failed { why, .. } | Outcome::Refused { why } => (false, why.clone()),
        };
        let name = target.channel().as_str();
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        trial.results.push(json!({"channel": name, "ok": ok, "detail": detail, "ms": ms}));
        self.finish(now);
    }

    /// Answers what is complete, removes what nobody fetched.
    pub fn finish(&mut self, now: Monotonic) {
        while self.waiting.front().is_some_and(|trial| trial.left.is_empty()) {
            let Some(trial) = self.waiting.pop_front() else { break };
            let path = self.folder.join(&trial.token);
            let answer = json!({"channels": trial.results}).to_string();
            match file::write_atomic(&path, answer.as_bytes(), MODE) {
                Ok(()) => self.answered.push_back((now, path)),
                Err(error) => log::warn!("write {}: {error}", path.display()),
            }
        }
        while self.answered.front().is_some_and(|(at, _)| now.since(*at) >= KEPT) {
            if let Some((_, path)) = self.answered.pop_front() {
                // Usually gone already: whoever asked removes it.
                let _ = fs::remove_file(path);
            }
        }
    }
}
