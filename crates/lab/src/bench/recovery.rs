//! How soon the appliance can be reached again: our dialer and ladder beside `pppd persist` with a
//! chat script, and wvdial, each alone on the same booted machine, against the same faults.
//!
//! Reached means: somebody in the internet gets an answer from the health endpoint at the cellular
//! address. That asks the same of everyone.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{ABSENT, Case, Cases, Peer, Report, round};
use crate::appliance::{Appliance, CONFIG, Options};
use crate::error::{Error, Result};
use crate::fault::{Fault, Kind};
use crate::qemu::Model;
use crate::scenario::action::Action;
use crate::stop::Stop;
use crate::world::Plan;

/// Who wins after this has won too late for the house.
const LIMIT: Duration = Duration::from_secs(180);
/// The first boot on a slow builder, and the way back from whatever state a case left.
const READY: Duration = Duration::from_secs(300);
/// One question; the way there and back takes some 20 ms.
const ASK: Duration = Duration::from_millis(500);
/// A fault takes effect in milliseconds.
const FELT: Duration = Duration::from_secs(10);
/// Between cases: longer than a call must hold before its failures are forgotten.
const SETTLE: Duration = Duration::from_secs(15);
/// How long a pulled stick is away.
const AWAY: Duration = Duration::from_secs(10);
/// Long enough for a hub's capacitors and for everybody to notice.
const POWER_OFF: Duration = Duration::from_secs(3);
/// A command over SSH.
const COMMAND: Duration = Duration::from_secs(60);
const HEALTH: u16 = 9000;

/// Who is measured: name, the units that are it, and what must be installed.
const CONTESTANTS: [(&str, &str, &str); 3] = [
    ("failberry", "modem-dialer hub-reset uplink", "/usr/libexec/failberry/modem-dialer"),
    ("pppd persist + chat", "bench-pppd", "/usr/sbin/chat"),
    ("wvdial", "bench-wvdial", "/usr/bin/wvdial"),
];

/// What is done to the line: the carrier's end of a call, or a fault of the catalogue.
const FAULTS: [(&str, Option<Kind>); 5] = [
    ("call-dropped", None),
    ("echo-dead", Some(Kind::EchoDead)),
    ("terminate-storm", Some(Kind::TerminateStorm)),
    ("stick-vanishes-10s", Some(Kind::Vanish)),
    ("stick-hangs", Some(Kind::Hang)),
];

struct Bench<'a> {
    appliance: Appliance,
    stop: &'a Stop,
    runs: usize,
    notes: BTreeMap<String, String>,
}

/// Runs the benchmark.
///
/// # Errors
/// When the lab fails, or ours cannot be measured.
pub(super) fn run(image: &Path, folder: &Path, runs: usize, stop: &Stop) -> Result<Report> {
    let options = Options {
        image,
        model: Model::Bench,
        folder,
        config: CONFIG,
        reboots: 0,
        extras: &[],
        plan: Plan::default(),
    };
    let mut bench = Bench { appliance: Appliance::boot(&options)?, stop, runs, notes: BTreeMap::new() };
    bench.online(READY)?.ok_or_else(|| Error::Unexpected("the appliance does not come online".to_owned()))?;
    let (mut ours, mut peers) = (Cases::new(), BTreeMap::new());
    for (index, (name, units, program)) in CONTESTANTS.into_iter().enumerate() {
        let peer = bench.contestant(name, units, program)?;
        match peer {
            Peer::Measured(_) if index == 0 && bench.notes.contains_key(name) => {
                return Err(Error::Unexpected(format!("{name}: {}", bench.notes[name])));
            }
            Peer::Measured(cases) if index == 0 => ours = cases,
            peer => drop(peers.insert(name.to_owned(), peer)),
        }
    }
    let versions = bench.ssh("/usr/sbin/pppd --version 2>&1; dpkg-query -W wvdial 2>/dev/null; uname -r")?;
    let machine = json!({
        "bench": "QEMU virt, 2 emulated Cortex-A53, emulated stick and carrier",
        "builder_cores": std::thread::available_parallelism().map_or(0, usize::from),
        "runs": runs,
        "versions": versions.lines().collect::<Vec<_>>(),
    });
    Ok(Report::new(ours, peers, machine, bench.notes))
}

impl Bench<'_> {
    fn contestant(&mut self, name: &str, units: &str, program: &str) -> Result<Peer> {
        if self.ssh(&format!("test -x {program} && echo yes"))?.trim() != "yes" {
            eprintln!("{name}: absent");
            return Ok(ABSENT);
        }
        eprintln!("{name}:");
        let everyone = CONTESTANTS.map(|(_, units, _)| units).join(" ");
        // A unit of another image is no reason to stop.
        self.ssh(&format!("systemctl stop {everyone} 2>/dev/null; true"))?;
        self.power_cycle()?;
        self.ssh(&format!("systemctl start {units} 2>/dev/null; true"))?;
        let mut cases = Cases::new();
        if self.online(LIMIT)?.is_none() {
            // No line to lose: it is measured as never, and the reader is told why.
            let ends = format!("journalctl --boot --no-pager --output=cat _PID=1 UNIT={units}.service");
            let why = self.ssh(&format!("{ends} | grep 'Main process exited' | tail -n 1"))?;
            let note = format!("never online within {} s; its last end: {}", LIMIT.as_secs(), why.trim());
            eprintln!("  {note}");
            self.notes.insert(name.to_owned(), note);
            let never = |(case, _): (&str, Option<Kind>)| {
                (case.to_owned(), Case::of(vec![None], LIMIT.as_secs_f64()))
            };
            return Ok(Peer::Measured(FAULTS.into_iter().map(never).collect()));
        }
        for (case, fault) in FAULTS {
            let mut seconds = Vec::new();
            for _ in 0..self.runs {
                self.stop.pause(SETTLE)?;
                let taken = self.measure(fault)?;
                eprintln!("  {case:20} {}", taken.map_or("never".to_owned(), |s| format!("{s:.2} s")));
                seconds.push(taken);
                if taken.is_none() {
                    self.rescue(name)?;
                }
            }
            cases.insert(case.to_owned(), Case::of(seconds, LIMIT.as_secs_f64()));
        }
        Ok(Peer::Measured(cases))
    }

    /// Seconds from the fault to the first answer after it.
    fn measure(&mut self, fault: Option<Kind>) -> Result<Option<f64>> {
        let begin = Instant::now();
        match fault {
            None => Action::CarrierDrop.perform(&mut self.appliance)?,
            Some(Kind::Vanish) => {
                let away = Fault { seconds: Some(AWAY), ..Kind::Vanish.into() };
                Action::Fault(away).perform(&mut self.appliance)?;
            }
            Some(kind) => Action::Fault(kind.into()).perform(&mut self.appliance)?,
        }
        let felt = fault.is_none() || self.unreachable()?;
        if !felt {
            return Err(Error::Unexpected("the fault is not felt: the line never went".to_owned()));
        }
        Ok(self.online(LIMIT)?.map(|end| round(end.duration_since(begin).as_secs_f64())))
    }

    /// A fault that was not felt is no measurement. A dropped call may be back before anybody asks.
    fn unreachable(&self) -> Result<bool> {
        let subscriber = self.appliance.subscriber();
        let waited = self.stop.wait("the fault is felt", FELT, || {
            let answer = self.appliance.world.internet_get(subscriber, HEALTH, ASK);
            Ok(answer.is_err().then_some(()))
        });
        match waited {
            Ok(()) => Ok(true),
            Err(Error::Timeout { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// When the health endpoint answered, if it did within the limit.
    fn online(&mut self, limit: Duration) -> Result<Option<Instant>> {
        let (stop, appliance) = (self.stop, &mut self.appliance);
        let subscriber = appliance.subscriber();
        let waited = stop.wait("online", limit, || {
            appliance.check()?;
            let answer = appliance.world.internet_get(subscriber, HEALTH, ASK);
            Ok(answer.is_ok_and(|page| page.status == 200).then(Instant::now))
        });
        match waited {
            Ok(at) => Ok(Some(at)),
            Err(Error::Timeout { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The person who comes to pull the plug.
    fn rescue(&mut self, name: &str) -> Result<()> {
        self.power_cycle()?;
        match self.online(READY)? {
            Some(_) => Ok(()),
            None => Err(Error::Unexpected(format!("{name}: not online even after the stick lost power"))),
        }
    }

    fn power_cycle(&self) -> Result<()> {
        self.appliance.stick()?.power_lost();
        self.stop.pause(POWER_OFF)?;
        self.appliance.stick()?.power_restored();
        Ok(())
    }

    fn ssh(&self, command: &str) -> Result<String> {
        Ok(self.appliance.ssh(command, COMMAND)?.text())
    }
}
