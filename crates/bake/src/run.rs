//! Commands with a deadline, their output in a log file, and the progress lines people read.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, IoContext};

/// How often a running command is looked at.
const POLL: Duration = Duration::from_millis(20);
/// Lines of a failed command's log shown at once.
const TAIL_LINES: usize = 15;

/// Runs the steps of a bake: numbers them, times them, keeps their logs.
#[derive(Debug)]
pub struct Runner {
    logs: PathBuf,
    total: usize,
    done: std::cell::Cell<usize>,
    begun: Instant,
}

impl Runner {
    /// A runner for `total` steps that keeps logs in `logs`.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(logs: PathBuf, total: usize) -> Result<Self, Error> {
        fs::create_dir_all(&logs).at("make", &logs)?;
        Ok(Self { logs, total, done: std::cell::Cell::new(0), begun: Instant::now() })
    }

    /// Runs one step, saying what it does, and how long it took.
    ///
    /// # Errors
    /// The step's own.
    pub fn step<T>(&self, what: &str, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let number = self.number();
        eprintln!("bake: [{number}/{}] {what} …", self.total);
        let begun = Instant::now();
        let result = work()?;
        eprintln!("bake: [{number}/{}] {what}: {:.1} s", self.total, begun.elapsed().as_secs_f32());
        Ok(result)
    }

    /// Says that a step has nothing to do.
    pub fn cached(&self, what: &str) {
        eprintln!("bake: [{}/{}] {what}: unchanged", self.number(), self.total);
    }

    /// Seconds since the bake began.
    pub fn seconds(&self) -> f32 {
        self.begun.elapsed().as_secs_f32()
    }

    /// Runs a command, its output in `<name>.log`, killed at the deadline.
    ///
    /// # Errors
    /// It cannot be started, fails, or runs out of time; with the end of its log.
    pub fn command(&self, name: &str, limit: Duration, command: &mut Command) -> Result<(), Error> {
        let log = self.logs.join(format!("{name}.log"));
        let out = File::create(&log).at("create", &log)?;
        wait_for(name, limit, command, out, &log)
    }

    /// Like [`Runner::command`], with standard output in a file of its own.
    ///
    /// # Errors
    /// As [`Runner::command`], or the file cannot be written.
    pub fn command_to(
        &self,
        name: &str,
        limit: Duration,
        command: &mut Command,
        output: &Path,
    ) -> Result<(), Error> {
        let log = self.logs.join(format!("{name}.log"));
        File::create(&log).at("create", &log)?;
        let out = File::create(output).at("create", output)?;
        wait_for(name, limit, command, out, &log)
    }

    fn number(&self) -> usize {
        self.done.set(self.done.get() + 1);
        self.done.get()
    }
}

fn wait_for(name: &str, limit: Duration, command: &mut Command, out: File, log: &Path) -> Result<(), Error> {
    let err = File::options().append(true).open(log).at("open", log)?;
    let failed = |cause: String| Error::Command {
        step: name.to_owned(),
        cause,
        tail: tail(&fs::read(log).unwrap_or_default()),
        log: log.to_owned(),
    };
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(|e| failed(format!("start {}: {e}", command.get_program().display())))?;
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => {
                return Err(failed(format!("{}: {status}", command.get_program().display())));
            }
            Ok(None) if Instant::now() < deadline => thread::sleep(POLL),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!(
                    "{}: not done after {} s",
                    command.get_program().display(),
                    limit.as_secs()
                )));
            }
            Err(e) => return Err(failed(format!("wait: {e}"))),
        }
    }
}

fn tail(log: &[u8]) -> String {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(folder: &Path) -> Runner {
        Runner::new(folder.to_owned(), 1).unwrap()
    }

    #[test]
    fn a_failing_command_shows_the_end_of_its_log_and_where_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "seq 100; echo broken >&2; exit 3"]);
        let message = runner(folder.path())
            .command("demo", Duration::from_secs(10), &mut command)
            .unwrap_err()
            .to_string();
        assert!(message.contains("exit status: 3") && message.contains("demo.log"), "{message}");
        assert!(message.contains("99\n100\nbroken") && !message.contains("\n50\n"), "{message}");
    }

    #[test]
    fn a_command_that_hangs_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("60");
        let begun = Instant::now();
        let error =
            runner(folder.path()).command("nap", Duration::from_millis(100), &mut command).unwrap_err();
        assert!(error.to_string().contains("not done after"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn output_goes_to_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out");
        let mut command = Command::new("echo");
        command.arg("hello");
        runner(folder.path()).command_to("echo", Duration::from_secs(10), &mut command, &file).unwrap();
        assert_eq!(fs::read_to_string(file).unwrap(), "hello\n");
    }
}
