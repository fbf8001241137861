//! Touches USB in a process of its own.
//!
//! Opening a device, resetting it or writing a port's switch waits for the hub's lock, and the kernel
//! keeps that for tens of seconds while it tries to bring a dead device back (`hub_port_init`, several
//! tries of 5 s). A process in that wait cannot even be killed; the daemon's loop must not be in it.

use std::io;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sysio::{Monotonic, Root};

use crate::boards::Boards;
use crate::plan::{self, Plan, Refusal};
use crate::store;
use crate::switch::{Switch, SwitchError};
use crate::topology::Topology;
use crate::usb::{LibUsb, Usb};

/// The first word of a worker's command line.
pub const WORD: &str = "worker";
/// Opening and one request of 1 s each; the rest is for a slow machine.
const QUICK: Duration = Duration::from_secs(3);
/// A reset that works takes under a second; one that does not may take 30 s in the kernel, in which
/// nothing can be done with the hub anyway.
const RESET: Duration = Duration::from_secs(10);
/// Up to eight ports with 1 s each where there is no kernel switch, and 3 s for the check.
const SWITCH: Duration = Duration::from_secs(8);
/// A command of the service manager.
const MANAGER: Duration = Duration::from_secs(10);

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    /// Can the power of this port be switched?
    Assess(String),
    /// Does the device serve endpoint 0?
    Ping(String),
    /// Reset it.
    Reset(String),
    /// Cut its power.
    PowerOff(String),
    /// Give power back to whatever is off.
    PowerOn,
    /// Kill and restart the dialer.
    RestartDialer,
    /// Reboot.
    Reboot,
    /// `off`, `on` or `cycle`, as somebody asked for.
    Manual(String),
}

impl Job {
    /// How long it may take before its worker is given up.
    pub fn limit(&self) -> Duration {
        match self {
            Self::Assess(_) | Self::Ping(_) => QUICK,
            Self::Reset(_) => RESET,
            Self::PowerOff(_) | Self::PowerOn => SWITCH,
            Self::RestartDialer | Self::Reboot => MANAGER,
            Self::Manual(_) => Duration::from_secs(45),
        }
    }

    fn command(&self, root: &Root) -> Command {
        let own = |words: &[&str]| {
            // Not the path: after an update in place that may be another program.
            let mut command = Command::new("/proc/self/exe");
            command.args(words).arg("--root").arg(root.path("/"));
            command
        };
        let other = |words: &[&str]| {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]);
            command
        };
        match self {
            Self::Assess(port) => own(&[WORD, "assess", port]),
            Self::Ping(port) => own(&[WORD, "ping", port]),
            Self::Reset(port) => own(&[WORD, "reset", port]),
            Self::PowerOff(port) => own(&[WORD, "off", port]),
            Self::PowerOn => own(&[WORD, "on", "-"]),
            Self::RestartDialer => own(&[WORD, "restart-dialer", "-"]),
            Self::Reboot => other(&["systemctl", "reboot"]),
            Self::Manual(verb) => own(&[verb]),
        }
    }
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Done; for people.
    Done(String),
    /// Not this time.
    Failed(String),
    /// Tried, and it does not work on this hardware.
    Useless(String),
    /// Not as things are: nothing was tried.
    Refused(String),
    /// Somebody else is at it: nothing was done.
    Busy,
}

impl Answer {
    /// What it says, for people.
    pub fn why(&self) -> &str {
        match self {
            Self::Done(text) | Self::Failed(text) | Self::Useless(text) | Self::Refused(text) => text,
            Self::Busy => "somebody else is switching ports",
        }
    }
}

/// A worker under way.
#[derive(Debug)]
pub struct Worker {
    /// What it does.
    pub job: Job,
    child: Child,
    /// When it is given up.
    pub by: Monotonic,
}

impl Worker {
    /// Starts it.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn start(root: &Root, job: Job, now: Monotonic) -> io::Result<Self> {
        let child =
            job.command(root).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        Ok(Self { by: now + job.limit(), child, job })
    }

    /// Its answer, once there is one; after its time it is killed and given up.
    pub fn poll(&mut self, now: Monotonic) -> Option<Answer> {
        match self.child.try_wait() {
            Ok(Some(status)) => Some(self.answer(status)),
            Ok(None) if now < self.by => None,
            Ok(None) => {
                let _ = self.child.kill();
                Some(Answer::Failed(format!("no end after {} s", self.job.limit().as_secs())))
            }
            Err(error) => Some(Answer::Failed(format!("wait for the worker: {error}"))),
        }
    }

    /// Whether the process is gone, and collected.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    fn answer(&mut self, status: std::process::ExitStatus) -> Answer {
        let stdout = drain(self.child.stdout.take());
        if let Some(answer) = stdout.lines().next_back().and_then(|line| serde_json::from_str(line).ok()) {
            return answer;
        }
        let stderr = drain(self.child.stderr.take());
        let said = if stderr.trim().is_empty() { stdout } else { stderr };
        let last = said.trim().lines().next_back().unwrap_or_default().to_owned();
        if status.success() { Answer::Done(last) } else { Answer::Failed(format!("{status}: {last}")) }
    }
}

/// The process has ended, so all it said is in the pipe (64 KiB), or a child of its own keeps it open:
/// then what is there must do.
fn drain(pipe: Option<impl io::Read + std::os::fd::AsFd>) -> String {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let Some(mut pipe) = pipe else { return String::new() };
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)];
    if !poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0) {
        return String::new();
    }
    let mut buffer = vec![0; 4096];
    let got = pipe.read(&mut buffer).unwrap_or_default();
    String::from_utf8_lossy(&buffer[..got]).into_owned()
}

/// What a worker process does.
pub fn work(root: &Root, verb: &str, port: &str) -> Answer {
    match verb {
        "assess" => match find_plan(root, port) {
            Ok(plan) => Answer::Done(plan.by),
            Err(refusal) => refused(&refusal),
        },
        "ping" => on_device(root, port, |device| LibUsb.ping(device)),
        "reset" => on_device(root, port, |device| LibUsb.reset(device)),
        "off" => off(root, port),
        "on" => restore(root),
        "restart-dialer" => restart_dialer(),
        _ => Answer::Failed(format!("unknown work {verb:?}")),
    }
}

/// The plan for a port, as things are now.
///
/// # Errors
/// Why there is none.
pub fn find_plan(root: &Root, port: &str) -> Result<Plan, Refusal> {
    let characteristics =
        |hub: &crate::topology::Device| LibUsb.characteristics(hub).map_err(|e| e.to_string());
    let (boards, _) = Boards::load(root);
    plan::plan(&Topology::read(root), &boards, &modem_ids(root), &characteristics, port)
}

/// What the files know, and what the dialer uses although no file knows it.
fn modem_ids(root: &Root) -> Vec<String> {
    let verdict = snapshot::boot_id(root).map_or(snapshot::Verdict::Missing, |boot| {
        snapshot::read(root, "modem-dialer", &boot, sysio::clock::now())
    });
    let mut ids = store::modem_ids(root);
    ids.extend(crate::dialer::Dialer::read(&verdict).ids);
    ids.extend(store::Store::new(root).memory().stick.map(|stick| stick.id));
    ids.retain(|id| !id.is_empty());
    ids
}

fn refused(refusal: &Refusal) -> Answer {
    match refusal {
        Refusal::NoPort(_) | Refusal::Unknown { .. } => Answer::Failed(refusal.to_string()),
        _ => Answer::Refused(refusal.to_string()),
    }
}

const DIALER: &str = "modem-dialer.service";

fn restart_dialer() -> Answer {
    let state = match manager(&["show", "--property=ActiveState", "--value", DIALER]) {
        Ok(state) => state,
        Err(why) => return Answer::Failed(why),
    };
    let words: &[&str] = match what_restarts(state.trim()) {
        Some(words) => words,
        None => {
            return Answer::Refused(format!(
                "{DIALER} was stopped; its stick is left alone until it is started"
            ));
        }
    };
    manager(words).map_or_else(Answer::Failed, Answer::Done)
}

/// By the state of the unit (`ActiveState`, org.freedesktop.systemd1(5)); a unit that somebody stopped
/// stays so.
fn what_restarts(state: &str) -> Option<&'static [&'static str]> {
    match state {
        // Not "deactivating": so is one that its watchdog ends and the kernel does not let go.
        "inactive" => None,
        "failed" => Some(&["--no-block", "start", DIALER]),
        // SIGKILL: a process that hangs does not listen to less; systemd starts the next one.
        _ => Some(&["kill", "--signal=SIGKILL", DIALER]),
    }
}

/// This worker's own deadline is the command's.
fn manager(words: &[&str]) -> Result<String, String> {
    let output =
        Command::new("systemctl").args(words).output().map_err(|error| format!("run systemctl: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("systemctl {}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim()))
}

fn on_device(
    root: &Root,
    port: &str,
    act: impl FnOnce(&crate::topology::Device) -> Result<(), crate::usb::UsbError>,
) -> Answer {
    let topology = Topology::read(root);
    let Some(device) = topology.devices.get(port) else {
        return Answer::Failed(format!("nothing at {port}"));
    };
    match act(device) {
        Ok(()) => Answer::Done(String::new()),
        Err(error) => Answer::Failed(error.to_string()),
    }
}

fn off(root: &Root, port: &str) -> Answer {
    let plan = match find_plan(root, port) {
        Ok(plan) => plan,
        Err(refusal) => return refused(&refusal),
    };
    match (Switch { root, usb: &LibUsb }).off(&plan, false) {
        Ok(()) => Answer::Done(plan.by),
        Err(SwitchError::Another(_)) => Answer::Busy,
        Err(error) if error.is_proof_of_uselessness() => Answer::Useless(error.to_string()),
        Err(error) => Answer::Failed(error.to_string()),
    }
}

/// Gives power back to whatever the note says is off.
pub fn restore(root: &Root) -> Answer {
    let Some(off) = crate::hold::Hold::new(root).read() else {
        return Answer::Done("nothing was off".into());
    };
    match (Switch { root, usb: &LibUsb }).on(&off.ports()) {
        Ok(()) => Answer::Done(format!("{} has power again", off.ports.join(", "))),
        Err(error) => Answer::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopped_dialer_is_not_started_and_a_failed_one_is() {
        assert_eq!(what_restarts("inactive"), None);
        assert_eq!(what_restarts("failed").unwrap()[1], "start");
        assert!(["active", "activating"].iter().all(|state| what_restarts(state).unwrap()[0] == "kill"));
    }

    #[test]
    fn a_worker_that_was_given_up_is_kept_until_it_has_ended() {
        let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let by = Monotonic::from_secs(1);
        let mut worker = Worker { job: Job::PowerOn, child, by };
        assert!(!worker.has_ended(), "it waits for its input");
        assert!(matches!(worker.poll(by), Some(Answer::Failed(_))));
        worker.child.wait().unwrap();
        assert!(worker.has_ended());
    }
}
