//! The daemon's side of the child: started with a job, read without waiting, killed at its deadline.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use sysio::{Monotonic, Root};

use crate::deliver::{Job, WORD};
use crate::outbox::Outcome;

/// The child's own limits (30 s for a web service, some waits of 12 s each for mail), and room for a
/// slow machine. A resolver that never answers is only ended by this.
pub const LIMIT: Duration = Duration::from_secs(75);
/// An answer is some hundred bytes.
const LARGEST: usize = 16 * 1024;

/// Starts children.
#[derive(Clone, Debug)]
pub struct Office {
    program: PathBuf,
    root: PathBuf,
}

impl Office {
    /// Children of `program`, this binary, for the system below `root`.
    pub fn new(program: impl Into<PathBuf>, root: &Root) -> Self {
        Self { program: program.into(), root: root.path("/") }
    }

    /// Sends one off.
    ///
    /// # Errors
    /// If the process cannot be started or does not take its job.
    pub fn send(&self, job: &Job, now: Monotonic) -> io::Result<Courier> {
        let text = serde_json::to_vec(job)?;
        let mut child = Command::new(&self.program)
            .arg(WORD)
            .arg("--root")
            .arg(&self.root)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        fcntl(&stdout, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let mut courier = Courier { child, stdout, said: Vec::new(), by: now + LIMIT };
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
    pub fn poll(&mut self, now: Monotonic) -> Option<Outcome> {
        let mut buffer = [0; 4096];
        let ended = loop {
            match self.stdout.read(&mut buffer) {
                Ok(0) => break true,
                Ok(n) if self.said.len() < LARGEST => self.said.extend_from_slice(&buffer[..n]),
                Ok(_) => break true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error.kind() != io::ErrorKind::WouldBlock,
            }
        };
        if ended {
            // It has said all it had to say; what of it is left is not waited for.
            self.kill();
            return Some(self.answer());
        }
        if now < self.by {
            return None;
        }
        self.kill();
        Some(failed(format!("no end after {} s, given up", LIMIT.as_secs())))
    }

    fn answer(&self) -> Outcome {
        serde_json::from_slice(&self.said).unwrap_or_else(|_| failed("the sending process died".to_owned()))
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

fn failed(why: String) -> Outcome {
    Outcome::Failed { why, retry_after: None }
}
