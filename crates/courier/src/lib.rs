//! Children that do one thing that blocks: started with a job, heard without waiting, killed at their
//! deadline.
//!
//! Name resolution, TLS and a server that hangs block, and TLS with its roots takes megabytes; a
//! daemon's loop and its memory are spared both. The job goes by a pipe, because arguments and
//! environment can be read by others and a job holds secrets; the answer comes by another.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sysio::{Monotonic, Root};

/// An answer is some hundred bytes.
const LARGEST_ANSWER: usize = 16 * 1024;
/// A job is a message (a few kilobytes) or a batch of numbers.
const LARGEST_JOB: u64 = 256 * 1024;

/// Why a child gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// It took too long.
    #[error("no end after {} s, given up", .0.as_secs())]
    Late(Duration),
    /// It ended without one.
    #[error("the sending process died")]
    Died,
}

/// Starts children.
#[derive(Clone, Debug)]
pub struct Office {
    program: PathBuf,
    word: &'static str,
    root: PathBuf,
    limit: Duration,
}

impl Office {
    /// Children of `program`, the daemon's own binary, which `word` makes the child, for the system
    /// below `root`. A child that has not ended after `limit` is killed.
    pub fn new(program: impl Into<PathBuf>, word: &'static str, root: &Root, limit: Duration) -> Self {
        Self { program: program.into(), word, root: root.path("/"), limit }
    }

    /// Sends one off.
    ///
    /// # Errors
    /// If the process cannot be started or does not take its job.
    pub fn send(&self, job: &impl Serialize, now: Monotonic) -> io::Result<Courier> {
        let text = serde_json::to_vec(job)?;
        let mut command = Command::new(&self.program);
        // A program of several daemons knows by its own name which one it is.
        if let Some(name) = std::env::args_os().next() {
            command.arg0(name);
        }
        let mut child = command
            .arg(self.word)
            .arg("--root")
            .arg(&self.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        fcntl(&stdout, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let mut courier =
            Courier { child, stdout, said: Vec::new(), limit: self.limit, by: now + self.limit };
        // A pipe holds 64 KiB; a job is smaller, and what is larger is given up rather than waited for.
        let mut stdin = courier.child.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        fcntl(&stdin, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        if let Err(error) = stdin.write_all(&text) {
            courier.kill();
            return Err(error);
        }
        Ok(courier)
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }
}

/// A child under way.
#[derive(Debug)]
pub struct Courier {
    child: Child,
    stdout: ChildStdout,
    said: Vec<u8>,
    limit: Duration,
    by: Monotonic,
}

impl Courier {
    /// Readable when there is news.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stdout.as_fd()
    }

    /// When it is given up.
    pub fn deadline(&self) -> Monotonic {
        self.by
    }

    /// Its answer, once there is one.
    pub fn poll<A: DeserializeOwned>(&mut self, now: Monotonic) -> Option<Result<A, Lost>> {
        let mut buffer = [0; 4096];
        let ended = loop {
            match self.stdout.read(&mut buffer) {
                Ok(0) => break true,
                Ok(n) if self.said.len() < LARGEST_ANSWER => self.said.extend_from_slice(&buffer[..n]),
                Ok(_) => break true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error.kind() != io::ErrorKind::WouldBlock,
            }
        };
        if ended {
            // It has said all it had to say; what of it is left is not waited for.
            self.kill();
            return Some(serde_json::from_slice(&self.said).map_err(|_| Lost::Died));
        }
        if now < self.by {
            return None;
        }
        self.kill();
        Some(Err(Lost::Late(self.limit)))
    }

    fn kill(&mut self) {
        let group = Pid::from_raw(self.child.id().cast_signed());
        let _ = killpg(group, Signal::SIGKILL);
        let _ = self.child.kill();
        // It waits for sockets and pipes only, so it ends at once.
        let _ = self.child.wait();
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.kill();
        }
    }
}

/// The child's whole life: the job from standard input, its answer to standard output. `Err` says in
/// words why the job could not be read, without repeating it.
pub fn serve<J: DeserializeOwned, A: Serialize>(work: impl FnOnce(Result<J, String>) -> A) {
    let mut text = String::new();
    let read = io::stdin().take(LARGEST_JOB).read_to_string(&mut text);
    // serde's error would quote what it could not understand, and that may be a secret.
    let job = read.map_err(|error| error.to_string()).and_then(|_| {
        serde_json::from_str(&text).map_err(|error| format!("not a job (line {})", error.line()))
    });
    let answer = serde_json::to_string(&work(job)).unwrap_or_default();
    // Nobody listens any more: then nobody needs it.
    let _ = writeln!(io::stdout(), "{answer}");
}
