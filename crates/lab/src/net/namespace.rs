//! A network namespace without a name: it exists as long as this process holds its descriptor
//! (or something runs inside), so nothing is left behind however the lab ends.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{Context, Error, Result};
use crate::process;

/// A configuration command that takes longer is stuck.
const COMMAND: Duration = Duration::from_secs(10);

/// A network namespace.
#[derive(Debug)]
pub struct Namespace {
    name: &'static str,
    file: File,
}

impl Namespace {
    /// Makes an empty namespace with its loopback up.
    ///
    /// # Errors
    /// When the kernel refuses, for example without `CAP_SYS_ADMIN`.
    pub fn create(name: &'static str) -> Result<Self> {
        let made = thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).context(format!("make network namespace {name}"))?;
            File::open("/proc/thread-self/ns/net").context(format!("open network namespace {name}"))
        });
        let file = made.join().map_err(|_| Error::Unexpected(format!("namespace {name}: thread died")))??;
        let namespace = Self { name, file };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// What the lab calls it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A path by which other processes and threads can open it while the lab runs.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()))
    }

    /// Runs `work` in a thread inside the namespace; sockets made there stay there.
    ///
    /// # Errors
    /// When the namespace cannot be entered, or the work's own.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&self.file, CloneFlags::CLONE_NEWNET).context(format!("enter {}", self.name))?;
                work()
            });
            thread.join().unwrap_or_else(|_| Err(Error::Unexpected(format!("{}: thread died", self.name))))
        })
    }

    /// A command that will run inside, and be killed when the thread that starts it ends.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path().display()));
        command.args(["--", "setpriv", "--pdeathsig", "KILL", program]);
        command
    }

    /// Runs `ip` inside; the arguments are separated by blanks.
    ///
    /// # Errors
    /// When `ip` refuses.
    pub fn ip(&self, arguments: &str) -> Result<()> {
        process::run(self.command("ip").args(arguments.split_whitespace()), COMMAND).map(drop)
    }

    /// Loads an nftables script.
    ///
    /// # Errors
    /// When `nft` refuses.
    pub fn nft(&self, script: &str) -> Result<()> {
        process::run(self.command("nft").arg(script), COMMAND).map(drop)
    }

    /// Sets a sysctl of the namespace; `key` is the path below `/proc/sys/net`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path = format!("/proc/sys/net/{key}");
        self.inside(|| fs::write(&path, value).context(format!("write {value} to {path}")))
    }

    /// A cable from `end` here to `other_end` in another namespace; both are up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn cable(&self, end: &str, other: &Self, other_end: &str) -> Result<()> {
        let peer = other.path();
        self.ip(&format!("link add {end} type veth peer name {other_end} netns {}", peer.display()))?;
        self.ip(&format!("link set {end} up"))?;
        other.ip(&format!("link set {other_end} up"))
    }
}
