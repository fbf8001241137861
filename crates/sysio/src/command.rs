//! Runs other programs with a deadline: a tool that hangs is killed with its children and named.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// More output than this is dropped: no tool we call has more to say, and memory is ours to guard.
const OUTPUT_LIMIT: usize = 1 << 20;
/// How often a process that closed its output is asked whether it ended.
const REAP_INTERVAL: Duration = Duration::from_millis(5);

/// Why a command did not do its job.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started.
    #[error("start {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It did not end in time and was killed.
    #[error("{program}: no end after {} s, killed", .limit.as_secs())]
    Deadline {
        /// The program.
        program: String,
        /// The time it had.
        limit: Duration,
    },
    /// It ended with a failure.
    #[error("{program}: {status}: {stderr}")]
    Failed {
        /// The program.
        program: String,
        /// Exit code or signal.
        status: ExitStatus,
        /// The end of what it wrote to its error output.
        stderr: String,
    },
    /// Talking to it failed.
    #[error("{program}: {source}")]
    Io {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

/// What a command that ended left behind, whatever its exit code.
#[derive(Debug)]
pub struct Output {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// Its standard output, at most 1 MiB, invalid UTF-8 replaced.
    pub stdout: String,
    /// Its error output, likewise.
    pub stderr: String,
}

/// A command with a deadline.
#[derive(Debug)]
pub struct Runner {
    command: Command,
    program: String,
    input: Vec<u8>,
    limit: Duration,
}

impl Runner {
    /// Runs `program` with `args`, killed after `limit`.
    pub fn new<S: AsRef<std::ffi::OsStr>>(
        program: &str,
        args: impl IntoIterator<Item = S>,
        limit: Duration,
    ) -> Self {
        let mut command = Command::new(program);
        command.args(args);
        Self { command, program: program.to_owned(), input: Vec::new(), limit }
    }

    /// What it reads on standard input; nothing without.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// An environment variable for it.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.command.env(key, value);
        self
    }

    /// Runs it to its end; a failing exit code is an error that carries its last words.
    ///
    /// # Errors
    /// See [`CommandError`].
    pub fn run(self) -> Result<Output, CommandError> {
        let program = self.program.clone();
        let output = self.output()?;
        if output.status.success() {
            return Ok(output);
        }
        let said = if output.stderr.trim().is_empty() { &output.stdout } else { &output.stderr };
        let last: Vec<&str> = said.trim().lines().rev().take(3).collect();
        let stderr = last.into_iter().rev().collect::<Vec<_>>().join("; ");
        Err(CommandError::Failed { program, status: output.status, stderr })
    }

    /// Runs it to its end, whatever its exit code.
    ///
    /// # Errors
    /// [`CommandError::Start`], [`CommandError::Deadline`] or [`CommandError::Io`].
    pub fn output(mut self) -> Result<Output, CommandError> {
        let program = self.program.clone();
        let end = Instant::now() + self.limit;
        let mut child = self
            .command
            .stdin(if self.input.is_empty() { Stdio::null() } else { Stdio::piped() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|source| CommandError::Start { program: program.clone(), source })?;
        let group = Pid::from_raw(child.id().cast_signed());
        let result = converse(&mut child, &self.input, end);
        match result {
            Ok(Some(output)) => Ok(output),
            Ok(None) => {
                kill(&mut child, group);
                Err(CommandError::Deadline { program, limit: self.limit })
            }
            Err(source) => {
                kill(&mut child, group);
                Err(CommandError::Io { program, source })
            }
        }
    }
}

fn kill(child: &mut Child, group: Pid) {
    let _ = killpg(group, Signal::SIGKILL);
    let _ = child.kill();
    let _ = child.wait();
}

/// Feeds and drains the child until it ends; `None` when `end` comes first.
fn converse(child: &mut Child, mut input: &[u8], end: Instant) -> io::Result<Option<Output>> {
    let mut stdin = child.stdin.take();
    let mut out = child.stdout.take().map(|pipe| (pipe, Vec::new()));
    let mut err = child.stderr.take().map(|pipe| (pipe, Vec::new()));
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while stdin.is_some() || out.is_some() || err.is_some() {
        let Some(ready) = wait(stdin.as_ref(), out.as_ref(), err.as_ref(), end)? else { return Ok(None) };
        if ready[0] {
            // At most PIPE_BUF bytes at a time: a writable pipe takes that much without blocking.
            let pipe = stdin.as_mut().expect("polled");
            match pipe.write(&input[..input.len().min(4096)]) {
                Ok(n) => input = &input[n..],
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => input = &[],
                Err(e) => return Err(e),
            }
            if input.is_empty() {
                stdin = None;
            }
        }
        if ready[1] && drain(out.as_mut().expect("polled"))? {
            stdout = out.take().expect("polled").1;
        }
        if ready[2] && drain(err.as_mut().expect("polled"))? {
            stderr = err.take().expect("polled").1;
        }
    }
    loop {
        if let Some(status) = child.try_wait()? {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            return Ok(Some(Output { status, stdout: text(&stdout), stderr: text(&stderr) }));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        std::thread::sleep(REAP_INTERVAL);
    }
}

/// Which of stdin, stdout, stderr can move; `None` at the deadline.
fn wait<I: AsFd, O: AsFd, E: AsFd>(
    stdin: Option<&I>,
    out: Option<&(O, Vec<u8>)>,
    err: Option<&(E, Vec<u8>)>,
    end: Instant,
) -> io::Result<Option<[bool; 3]>> {
    let mut fds = Vec::new();
    let mut slots = Vec::new();
    for (slot, fd, flags) in [
        (0, stdin.map(AsFd::as_fd), PollFlags::POLLOUT),
        (1, out.map(|(pipe, _)| pipe.as_fd()), PollFlags::POLLIN),
        (2, err.map(|(pipe, _)| pipe.as_fd()), PollFlags::POLLIN),
    ] {
        if let Some(fd) = fd {
            fds.push(PollFd::new(fd, flags));
            slots.push(slot);
        }
    }
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => break,
            Err(e) => return Err(e.into()),
        }
    }
    let mut ready = [false; 3];
    for (fd, slot) in fds.iter().zip(slots) {
        ready[slot] = fd.any().unwrap_or(true);
    }
    Ok(Some(ready))
}

/// Reads once; true at the end of the stream.
fn drain<R: Read>((pipe, content): &mut (R, Vec<u8>)) -> io::Result<bool> {
    let mut buffer = [0; 8192];
    let n = pipe.read(&mut buffer)?;
    let keep = n.min(OUTPUT_LIMIT.saturating_sub(content.len()));
    content.extend_from_slice(&buffer[..keep]);
    Ok(n == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn feeds_and_collects_more_than_a_pipe_holds() {
        let text = "x".repeat(300_000);
        let output = Runner::new("cat", [""; 0], LONG).input(text.clone()).run().unwrap();
        assert_eq!(output.stdout, text);
    }

    #[test]
    fn kills_a_command_that_hangs_and_its_children() {
        let started = Instant::now();
        let limit = Duration::from_millis(200);
        let error = Runner::new("sh", ["-c", "sleep 30 & sleep 30"], limit).run().unwrap_err();
        assert!(matches!(error, CommandError::Deadline { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_failure_carries_the_last_words() {
        let error = Runner::new("sh", ["-c", "echo no such thing >&2; exit 3"], LONG).run().unwrap_err();
        assert_eq!(error.to_string(), "sh: exit status: 3: no such thing");
    }

    #[test]
    fn output_is_bounded() {
        let output = Runner::new("head", ["-c", "3000000", "/dev/zero"], LONG).run().unwrap();
        assert_eq!(output.stdout.len(), OUTPUT_LIMIT);
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Runner::new("no-such-program", [""; 0], LONG).run().unwrap_err();
        assert!(error.to_string().starts_with("start no-such-program:"), "{error}");
    }
}
