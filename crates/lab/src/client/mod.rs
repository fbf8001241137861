//! What people in the house do while lines fail: a VPN that never lets go of its socket, a long
//! download that is taken up again, an SSH session. Each is a thread that notes when something came;
//! what it has seen can be asked at any time.

mod download;
mod flow;
mod gaps;
mod session;

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use gaps::Gaps;

use crate::error::{Context, Error, Result};
use crate::net::Namespace;

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Habit {
    /// A packet to a VPN's other end every 100 ms, on one socket, and its answer.
    Flow,
    /// A page of some minutes, taken up where it broke off.
    Download,
    /// A word over SSH to the appliance every half second, and its echo.
    Ssh,
}

impl Habit {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Download => "download",
            Self::Ssh => "ssh",
        }
    }
}

/// What a client has seen.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// When answers came.
    pub gaps: Gaps,
    /// The address the last answer's server saw: which way it went.
    pub from: Option<Ipv4Addr>,
    /// Packets or words sent.
    pub sent: u64,
    /// Answers, or parts of the page.
    pub received: u64,
    /// Connections it took.
    pub connections: u64,
    /// It came to its end, with every byte in its place.
    pub complete: bool,
    /// It cannot go on, and why.
    pub broken: Option<String>,
}

/// Somebody at it; ends with this value.
#[derive(Debug)]
pub struct Client {
    /// What.
    pub habit: Habit,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Seen>,
    over: AtomicBool,
}

impl Client {
    /// Begins. `ssh` is the command line that logs in to the appliance and repeats what it hears.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn begin(habit: Habit, lan: &Arc<Namespace>, ssh: Command) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (mine, lan) = (shared.clone(), lan.clone());
        let work = move || {
            let done = match habit {
                Habit::Flow => lan.inside(|| flow::run(&mine)),
                Habit::Download => lan.inside(|| download::run(&mine)),
                Habit::Ssh => session::run(&mine, ssh),
            };
            if let Err(error) = done {
                mine.seen().broken = Some(error.to_string());
            }
        };
        let thread =
            thread::Builder::new().name(habit.name().into()).spawn(work).context("start a client")?;
        Ok(Self { habit, shared, thread: Some(thread) })
    }

    /// What it has seen so far.
    pub fn seen(&self) -> Seen {
        self.shared.seen().clone()
    }

    /// Longest time without an answer so far, the present one included.
    pub fn longest_gap(&self) -> Duration {
        self.shared.seen().gaps.longest(Instant::now())
    }

    /// Counts gaps anew from now on.
    pub fn forget(&self) {
        self.shared.seen().gaps.forget(Instant::now());
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// An answer came.
    fn came(&self) {
        let mut seen = self.seen();
        seen.received += 1;
        seen.gaps.came(Instant::now());
    }
}

fn wrong(what: &str) -> Error {
    Error::Unexpected(what.to_owned())
}
