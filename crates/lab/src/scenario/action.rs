//! What can be done to the appliance and its world.

use std::time::Duration;

use serde::Deserialize;

use crate::appliance::Appliance;
use crate::carrier::CarrierStats;
use crate::carrier::card::CardNetwork;
use crate::checker::Checkers;
use crate::client::{Client, Habit};
use crate::error::{Error, Result};
use crate::fault::{Fault, Kind};
use crate::line::{Line, LineFault, Mended};
use crate::stick::{StickCommand, StickState};

/// The stick and its carrier act on a command in milliseconds.
const OBEY: Duration = Duration::from_secs(5);

/// A command over SSH: login alone takes seconds on an emulated Pi.
const COMMAND: Duration = Duration::from_secs(60);

/// Something done.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// The house's wired line dies; its router turns to the appliance.
    WiredDown,
    /// The wired line is back.
    WiredUp,
    /// The house's router finds its line dead by itself and turns to the appliance.
    RouterToBackup,
    /// The house's router returns to its line.
    RouterToWired,
    /// A line to the internet fails (`lab faults` lists how), though its links stay up.
    LineFault(LineFault),
    /// A line works again, or loses one of its faults.
    LineClear(Mended),
    /// The bytes of a line are counted anew.
    LineCountAnew(Line),
    /// Somebody in the LAN begins with something.
    ClientStart(Habit),
    /// How long it was silent until now is forgotten.
    ClientForget(Habit),
    /// A health checker of the internet begins to ask over both lines.
    CheckerStart,
    /// What it has found until now is not counted.
    CheckerForget,
    /// The carrier ends the call; it answers the next one at once.
    CarrierDrop,
    /// The carrier answers no more calls.
    CarrierRefuse,
    /// The carrier answers calls again.
    CarrierAccept,
    /// Somebody pulls the stick.
    StickUnplug,
    /// Somebody puts it back.
    StickReplug,
    /// A fault of the stick or its carrier is switched on (`lab faults` lists them).
    Fault(Fault),
    /// A fault is switched off, as a person or time would.
    Clear(Kind),
    /// The stick that is a network card hangs.
    CardHang,
    /// It works again.
    CardRevive,
    /// A command on the appliance over SSH; it must succeed.
    Ssh(String),
    /// The appliance loses power and gets it back.
    PowerCut,
    /// The appliance is switched off, its card gets another `failberry.toml`, and it is switched
    /// on again.
    RebootWithConfig(String),
}

impl Action {
    /// Does it; when this returns it has happened.
    ///
    /// # Errors
    /// When the lab cannot do it.
    pub fn perform(&self, appliance: &mut Appliance) -> Result<()> {
        match self {
            Self::WiredDown => appliance.world.wired_down(),
            Self::WiredUp => appliance.world.wired_up(),
            Self::RouterToBackup => appliance.world.router_turns_to_backup(),
            Self::RouterToWired => appliance.world.router_turns_back(),
            Self::LineFault(fault) => appliance.world.fail(fault),
            Self::LineClear(mended) => appliance.world.mend(mended),
            Self::LineCountAnew(line) => {
                appliance.count_anew(*line);
                Ok(())
            }
            Self::ClientStart(habit) => appliance.begin(*habit),
            Self::ClientForget(habit) => appliance.client(*habit).map(Client::forget),
            Self::CheckerStart => appliance.begin_checks(),
            Self::CheckerForget => appliance.checkers().map(Checkers::forget),
            Self::CarrierDrop => carrier_drop(appliance),
            Self::CarrierRefuse => {
                appliance.stick()?.carrier().refuse_calls();
                settled(appliance, "the carrier refuses calls", |carrier| carrier.refusing)
            }
            Self::CarrierAccept => {
                appliance.stick()?.carrier().accept_calls();
                settled(appliance, "the carrier accepts calls", |carrier| !carrier.refusing)
            }
            Self::StickUnplug => told(appliance, StickCommand::Unplug, |stick| !stick.powered),
            Self::StickReplug => told(appliance, StickCommand::Replug, |stick| stick.powered),
            Self::Fault(fault) => {
                let before = appliance.stick()?.state().faults_seen;
                told(appliance, StickCommand::Fault(*fault), |stick| stick.faults_seen > before)
            }
            Self::Clear(kind) => told(appliance, StickCommand::Clear(*kind), |stick| !stick.has(*kind)),
            Self::CardHang => card(appliance)?.hang(),
            Self::CardRevive => card(appliance)?.revive(),
            Self::Ssh(command) => {
                let output = appliance.ssh(command, COMMAND)?;
                if output.status.success() {
                    return Ok(());
                }
                let said = format!("{}{}", output.text(), output.stderr);
                Err(Error::Unexpected(format!("`{command}`: {}: {}", output.status, said.trim())))
            }
            Self::PowerCut => appliance.power_cycle(|_| Ok(())),
            Self::RebootWithConfig(config) => {
                appliance.power_cycle(|card| card.put("failberry.toml", config.as_bytes()))
            }
        }
    }
}

fn card(appliance: &Appliance) -> Result<&CardNetwork> {
    let none = || Error::Unexpected("no such stick: add extras = [\"network-card\"]".to_owned());
    appliance.world.card.as_ref().ok_or_else(none)
}

fn carrier_drop(appliance: &Appliance) -> Result<()> {
    let carrier = appliance.stick()?.carrier();
    let before = carrier.stats().dropped;
    carrier.drop_call();
    settled(appliance, "the carrier drops the call", |carrier| carrier.dropped > before)
}

/// Gives the stick a command and waits until it is so: a fault that did not happen is no test.
fn told(appliance: &Appliance, command: StickCommand, done: impl Fn(&StickState) -> bool) -> Result<()> {
    let what = format!("the stick obeys {command:?}");
    let stick = appliance.stick()?;
    stick.command(command);
    stick.wait_for(OBEY, done).map(drop).map_err(|_| Error::Timeout { what, limit: OBEY })
}

fn settled(appliance: &Appliance, what: &str, done: impl Fn(&CarrierStats) -> bool) -> Result<()> {
    let answer = appliance.stick()?.wait_for(OBEY, |state| done(&state.carrier));
    answer.map(drop).map_err(|_| Error::Timeout { what: what.to_owned(), limit: OBEY })
}
