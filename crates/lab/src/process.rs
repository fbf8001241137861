//! Helper programs: run one to its end with a deadline, or keep one and be sure that it ends.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How much of a failed program's output an error repeats.
const SAID: usize = 2000;

/// What a program left behind.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error, as text.
    pub stderr: String,
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// The command as a person would type it.
pub fn describe(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        let _ = write!(line, " {}", argument.to_string_lossy());
    }
    line
}

/// Runs a command to its end, killing it after `limit`; any exit status is an answer.
///
/// # Errors
/// When it cannot be started, or does not end in time.
pub fn output(command: &mut Command, limit: Duration) -> Result<Output> {
    let what = describe(command);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = Keep::new(command)?;
    let stdout = collect(child.0.stdout.take());
    let stderr = collect(child.0.stderr.take());
    let status = child.wait(&what, limit)?;
    let stderr = String::from_utf8_lossy(&stderr.join().unwrap_or_default()).into_owned();
    Ok(Output { status, stdout: stdout.join().unwrap_or_default(), stderr })
}

/// Like [`output`], but a bad exit status is an error that repeats what the program said.
///
/// # Errors
/// Those of [`output`], and a bad exit status.
pub fn run(command: &mut Command, limit: Duration) -> Result<Output> {
    let output = output(command, limit)?;
    if output.status.success() {
        return Ok(output);
    }
    let said = if output.stderr.trim().is_empty() { output.text() } else { output.stderr.clone() };
    let from = said.char_indices().rev().nth(SAID).map_or(0, |(at, _)| at);
    let cause = format!("{}: {}", output.status, said[from..].trim());
    Err(Error::Command { what: describe(command), cause })
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // An error here means that the program was killed: what came until then counts.
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// A program that runs as long as this value lives. It has a process group of its own, so that
/// Ctrl-C reaches the lab alone, which then ends everything in order.
#[derive(Debug)]
pub struct Keep(pub Child);

impl Keep {
    /// Starts a command.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn new(command: &mut Command) -> Result<Self> {
        let what = describe(command);
        command.process_group(0).spawn().map(Self).context(format!("start {what}"))
    }

    /// Starts a server whose output goes to a log file.
    ///
    /// # Errors
    /// When it cannot be started or its log not be made.
    pub fn logged(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).context(format!("create {}", log.display()))?;
        let copy = file.try_clone().context(format!("open {} twice", log.display()))?;
        Self::new(command.stdin(Stdio::null()).stdout(file).stderr(copy))
    }

    /// Waits for its end; it is left running when the deadline passes (dropping it kills it).
    ///
    /// # Errors
    /// [`Error::Timeout`].
    pub fn wait(&mut self, what: &str, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                return Err(Error::Timeout { what: what.to_owned(), limit });
            }
            thread::sleep(POLL);
        }
    }

    /// How it ended, or nothing while it runs.
    ///
    /// # Errors
    /// When the kernel cannot tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let answer: io::Result<_> = self.0.try_wait();
        answer.context(format!("wait for process {}", self.0.id()))
    }
}

impl Drop for Keep {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_what_a_failed_program_said() {
        let error = run(Command::new("sh").args(["-c", "echo broken >&2; exit 3"]), Duration::from_secs(10));
        let text = error.unwrap_err().to_string();
        assert!(text.starts_with("sh -c") && text.contains("exit status: 3: broken"), "{text}");
    }

    #[test]
    fn kills_what_does_not_end_in_time() {
        let started = Instant::now();
        let error = run(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
