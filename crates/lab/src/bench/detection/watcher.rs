//! Who watches the line: a process, where it says what it thinks, and what it costs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::cost;
use super::world::World;
use crate::error::{Context, Result};

/// How often is looked: far finer than what is measured.
const LOOK: Duration = Duration::from_millis(5);

/// A process that watches; it ends with the value.
#[derive(Debug)]
pub(in crate::bench) struct Watcher {
    child: Child,
    says: PathBuf,
}

impl Watcher {
    /// The daemon.
    pub(in crate::bench) fn uplink(world: &World, program: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.arg("--root").arg(&world.root);
        Self::start(world, command, world.root.join("run/failberry/uplink.json"))
    }

    /// mwan3's algorithm with real pings.
    pub(in crate::bench) fn mwan3(world: &World) -> Result<Self> {
        let says = world.root.join("mwan3");
        let mut command = Command::new("sh");
        command.args(["-c", include_str!("mwan3.sh"), "mwan3"]).arg(&says).args(["eth0", "192.0.2.1"]);
        Self::start(world, command, says)
    }

    fn start(world: &World, mut command: Command, says: PathBuf) -> Result<Self> {
        let _ = std::fs::remove_file(&says);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let name = format!("start {}", command.get_program().display());
        let child = world.pi.run(move || command.spawn()).context(name)?;
        Ok(Self { child, says })
    }

    /// What it says of the line, if it says anything.
    pub(in crate::bench) fn is_up(&self) -> Option<bool> {
        let text = std::fs::read_to_string(&self.says).ok()?;
        if !text.starts_with('{') {
            return match text.trim() {
                "online" => Some(true),
                "offline" => Some(false),
                _ => None,
            };
        }
        match self.state("wired")?.as_str() {
            "up" => Some(true),
            "down" => Some(false),
            _ => None,
        }
    }

    /// What the daemon says of a line.
    pub(in crate::bench) fn state(&self, line: &str) -> Option<String> {
        let text = std::fs::read_to_string(&self.says).ok()?;
        let snapshot: Value = serde_json::from_str(&text).ok()?;
        let line = snapshot["links"].as_array()?.iter().find(|found| found["name"] == line)?;
        line["state"].as_str().map(str::to_owned)
    }

    /// Seconds from `started` until it says so; none after `limit`.
    pub(in crate::bench) fn until(&self, up: bool, started: Instant, limit: Duration) -> Option<f64> {
        loop {
            if self.is_up() == Some(up) {
                return Some(started.elapsed().as_secs_f64());
            }
            if started.elapsed() > limit {
                return None;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// How often it said "down" within `time`.
    pub(in crate::bench) fn alarms(watchers: &[&Self], time: Duration) -> Vec<usize> {
        let (started, mut alarms) = (Instant::now(), vec![0; watchers.len()]);
        let mut before = vec![true; watchers.len()];
        while started.elapsed() < time {
            for (place, watcher) in watchers.iter().enumerate() {
                let up = watcher.is_up().unwrap_or(before[place]);
                alarms[place] += usize::from(before[place] && !up);
                before[place] = up;
            }
            std::thread::sleep(10 * LOOK);
        }
        alarms
    }

    /// Seconds of a core used so far.
    pub(in crate::bench) fn cpu(&self) -> Result<f64> {
        cost::cpu(self.child.id())
    }

    /// KiB.
    pub(in crate::bench) fn pss(&self) -> Result<u64> {
        cost::pss(self.child.id())
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// IP bytes through the appliance's interface so far, both ways.
pub(in crate::bench) fn traffic(world: &World) -> u64 {
    /// The Ethernet header, which no provider counts.
    const HEADER: u64 = 14;
    let text = world.pi.sh("ip -s -j link show dev eth0");
    let value: Value = serde_json::from_str(&text).unwrap_or_default();
    let stats = &value[0]["stats64"];
    let of = |way: &str, what: &str| stats[way][what].as_u64().unwrap_or(0);
    let (bytes, packets) = (of("rx", "bytes") + of("tx", "bytes"), of("rx", "packets") + of("tx", "packets"));
    bytes.saturating_sub(HEADER * packets)
}
