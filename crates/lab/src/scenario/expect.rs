//! What can be asked of the appliance and its world. Asking is quick and has no side effects on
//! the appliance: the runner asks again until the answer is right or time is up.

use std::time::Duration;

use serde::Deserialize;

use super::lines::{Alert, Bytes, ClientSees, Quiet, Usage};
use super::reachable::{self, Checked, Name};
use super::snapshots::{Field, conditions, daemons_healthy, status};
use crate::appliance::Appliance;
use crate::fault::Kind;
use crate::stick::StickState;
use crate::world::{APPLIANCE, Via, way};

/// One question must be answered in this time, else it is asked again.
pub(super) const ASK: Duration = Duration::from_secs(5);
/// A page comes in milliseconds or was lost on a dead line, where TCP repeats itself ever more
/// slowly (RFC 6298): asking anew finds the line's return sooner.
const FETCH: Duration = Duration::from_millis(1500);
/// A command over SSH: login alone takes seconds on an emulated Pi.
const COMMAND: Duration = Duration::from_secs(60);
/// How much of a wrong answer a report repeats.
const SAID: usize = 400;

/// Something that must come true.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expectation {
    /// The console shows this text, after whatever an earlier step found there.
    Console(String),
    /// Every daemon's snapshot is known and fresh.
    DaemonsHealthy,
    /// A field of a snapshot, `<daemon>.<field>…`, has this value.
    Status(Field),
    /// Some daemon reports this condition.
    Condition(String),
    /// No daemon reports this condition, and all are heard.
    NoCondition(String),
    /// The appliance answers a GET.
    Http(Http),
    /// The LAN client fetches a page of the internet, and its server saw it come this way.
    ClientFetches(Fetch),
    /// What can be seen of the stick from outside.
    Stick(Seen),
    /// A command on the appliance, over SSH with the user's key.
    Ssh(Ssh),
    /// SSH offers keys and nothing else.
    SshRefusesPasswords,
    /// What somebody in the LAN sees of it all.
    Client(ClientSees),
    /// Nothing is sent over a line to a port of the internet any more.
    LineQuiet(Quiet),
    /// What a line has carried since counting began.
    LineBytes(Bytes),
    /// The appliance's account of the cellular line, beside the carrier's.
    UsageCounted(Usage),
    /// A message of the appliance has reached somebody in the internet.
    AlertReceived(Alert),
    /// What the internet's health checker has found over a line.
    Checker(Checked),
    /// Route 53's API holds these words, each of them.
    Route53(Vec<String>),
    /// A name of the zone leads to a line's address.
    Name(Name),
    /// The appliance has rebooted by itself, this often or more.
    RebootsAtLeast(u32),
}

/// What can be seen of the stick; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Seen {
    /// A fault is over.
    pub without: Option<Kind>,
    /// PIN tries left on the card.
    pub pin_retries: Option<u8>,
    /// Losses of power, this many or more.
    pub power_losses_at_least: Option<u64>,
    /// Losses of power, this many or fewer.
    pub power_losses_at_most: Option<u64>,
    /// Resets on the bus, this many or more.
    pub bus_resets_at_least: Option<u64>,
    /// Mode switches, this many or more.
    pub mode_switches_at_least: Option<u64>,
    /// Calls answered, this many or more.
    pub calls_at_least: Option<u64>,
    /// Calls dialled in all, this many or fewer: nobody dials in a frenzy.
    pub dialled_at_most: Option<u64>,
}

/// A GET on the appliance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Who asks.
    pub from: From,
    /// TCP port.
    pub port: u16,
    /// The status it must answer.
    pub status: u16,
}

/// Where a question comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// A device in the LAN.
    Lan,
    /// Somebody in the internet, on the appliance's cellular address.
    Internet,
}

/// A page for the LAN client.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// Its address.
    pub url: String,
    /// The way it must go.
    pub via: Via,
}

/// A command on the appliance.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// The command line.
    pub command: String,
    /// The exit status it must have.
    #[serde(default)]
    pub exit: i32,
    /// What its output must contain, each of them.
    #[serde(default)]
    pub contains: Vec<String>,
    /// Whether its output must be empty.
    #[serde(default)]
    pub silent: bool,
}

/// An answer: when it came true on the run's clock if that is known better than "now", or why not.
pub type Answer = Result<Option<Duration>, String>;

impl Expectation {
    /// Whether it asks anything: what always holds is no test.
    ///
    /// # Errors
    /// What is missing.
    pub(super) fn asks_something(&self) -> Result<(), &'static str> {
        let nothing = match self {
            Self::Status(field) => {
                Field { path: String::new(), since: None, ..field.clone() } == Field::default()
            }
            Self::Stick(seen) => *seen == Seen::default(),
            Self::Client(client) => *client == ClientSees::nothing(client.name),
            Self::LineBytes(bytes) => bytes.at_most.is_none() && bytes.at_least.is_none(),
            Self::Route53(words) => words.is_empty(),
            Self::Checker(checked) => *checked == Checked::nothing(checked.line),
            _ => false,
        };
        if nothing {
            Err(
                "`status`, `stick`, `client`, `checker`, `route53` and `line-bytes` need something that must hold",
            )
        } else {
            Ok(())
        }
    }

    /// Whether an answer tells when it came true: then asking may take longer than that.
    pub(super) fn knows_when(&self) -> bool {
        match self {
            Self::Status(field) => field.since.is_some(),
            Self::LineQuiet(_) => true,
            _ => false,
        }
    }

    /// Whether it is known only some time after it came true.
    pub(super) fn looks_back(&self) -> bool {
        matches!(self, Self::LineQuiet(_))
    }

    /// Asks once. `from_line` is where the console is searched from, and moves behind a hit.
    ///
    /// # Errors
    /// Why it is not true (yet).
    pub fn ask(&self, appliance: &Appliance, from_line: &mut usize) -> Answer {
        match self {
            Self::Console(text) => {
                let (line, stamp) = appliance
                    .console
                    .find(text, *from_line)
                    .ok_or_else(|| format!("the console does not show `{text}`"))?;
                *from_line = line + 1;
                return Ok(Some(stamp));
            }
            Self::DaemonsHealthy => daemons_healthy(&status(appliance)?)?,
            Self::Status(field) => return field.ask(appliance),
            Self::Condition(id) => {
                let status = status(appliance)?;
                let found = conditions(&status);
                if !found.contains(&id.as_str()) {
                    return Err(format!("conditions are {found:?}"));
                }
            }
            Self::NoCondition(id) => {
                let status = status(appliance)?;
                daemons_healthy(&status)?;
                if conditions(&status).contains(&id.as_str()) {
                    return Err(format!("condition {id} is reported"));
                }
            }
            Self::Http(http) => http.check(appliance)?,
            Self::ClientFetches(fetch) => fetch.check(appliance)?,
            Self::Stick(seen) => {
                let stick = appliance.stick().map_err(|error| error.to_string())?;
                seen.check(&stick.state())?;
            }
            Self::Ssh(ssh) => ssh.check(appliance)?,
            Self::Client(client) => client.check(appliance)?,
            Self::LineQuiet(quiet) => return quiet.ask(appliance),
            Self::LineBytes(bytes) => bytes.check(appliance.line_bytes(bytes.line))?,
            Self::UsageCounted(usage) => usage.check(appliance, &status(appliance)?)?,
            Self::AlertReceived(alert) => alert.check(appliance)?,
            Self::Checker(checked) => checked.check(appliance)?,
            Self::Name(name) => name.check(appliance)?,
            Self::Route53(words) => reachable::held(appliance, words)?,
            Self::RebootsAtLeast(least) => {
                let reboots = appliance.reboots();
                if reboots < *least {
                    return Err(format!("the appliance has rebooted {reboots} times"));
                }
            }
            Self::SshRefusesPasswords => {
                let methods = appliance.ssh_methods(COMMAND).map_err(|error| error.to_string())?;
                if methods != "publickey" {
                    return Err(format!("ssh offers {methods}"));
                }
            }
        }
        Ok(None)
    }
}

impl Seen {
    fn check(&self, state: &StickState) -> Result<(), String> {
        let least = |wanted: Option<u64>, found: u64| wanted.is_none_or(|least| found >= least);
        let most = |wanted: Option<u64>, found: u64| wanted.is_none_or(|most| found <= most);
        let right = self.without.is_none_or(|kind| !state.has(kind))
            && self.pin_retries.is_none_or(|wanted| wanted == state.pin_retries)
            && least(self.power_losses_at_least, state.power_losses)
            && most(self.power_losses_at_most, state.power_losses)
            && least(self.bus_resets_at_least, state.bus_resets)
            && least(self.mode_switches_at_least, state.mode_switches)
            && least(self.calls_at_least, state.carrier.calls)
            && most(self.dialled_at_most, state.carrier.calls + state.carrier.refused);
        if right { Ok(()) } else { Err(format!("{state:?}")) }
    }
}

impl Http {
    fn check(&self, appliance: &Appliance) -> Result<(), String> {
        let world = &appliance.world;
        let answer = match self.from {
            From::Lan => world.client_get(&format!("http://{APPLIANCE}:{}/", self.port), ASK),
            From::Internet => world.internet_get(appliance.subscriber(), self.port, ASK),
        };
        let found = answer.map_err(|error| error.to_string())?.status;
        if found == self.status { Ok(()) } else { Err(format!("port {} answers {found}", self.port)) }
    }
}

impl Fetch {
    fn check(&self, appliance: &Appliance) -> Result<(), String> {
        let page = appliance.world.client_get(&self.url, FETCH).map_err(|error| error.to_string())?;
        match way(&page.body, appliance.subscriber()) {
            Some(via) if via == self.via && page.status == 200 => Ok(()),
            _ => Err(format!("{} answers {}: {}", self.url, page.status, page.body.trim())),
        }
    }
}

impl Ssh {
    fn check(&self, appliance: &Appliance) -> Result<(), String> {
        let output = appliance.ssh(&self.command, COMMAND).map_err(|error| error.to_string())?;
        let said = format!("{}{}", output.text(), output.stderr);
        let short: String = said.trim().chars().take(SAID).collect();
        if output.status.code() != Some(self.exit) {
            return Err(format!("`{}` ended with {}: {short}", self.command, output.status));
        }
        if let Some(missing) = self.contains.iter().find(|text| !said.contains(text.as_str())) {
            return Err(format!("`{}` does not say `{missing}`: {short}", self.command));
        }
        if self.silent && !output.stdout.is_empty() {
            return Err(format!("`{}` says: {short}", self.command));
        }
        Ok(())
    }
}
