//! What can be asked of the appliance and its world. Asking is quick and has no side effects on
//! the appliance: the runner asks again until the answer is right or time is up.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::lines::{Bytes, ClientSees, Quiet, Usage};
use crate::appliance::Appliance;
use crate::fault::Kind;
use crate::stick::StickState;
use crate::world::{APPLIANCE, Via, way};

/// One question must be answered in this time, else it is asked again.
const ASK: Duration = Duration::from_secs(5);
/// A page comes in milliseconds or was lost on a dead line, where TCP repeats itself ever more
/// slowly (RFC 6298): asking anew finds the line's return sooner.
const FETCH: Duration = Duration::from_millis(1500);
/// A command over SSH: login alone takes seconds on an emulated Pi.
const COMMAND: Duration = Duration::from_secs(60);
/// How much of a wrong answer a report repeats.
const SAID: usize = 400;

/// The daemons every image has; each must show a snapshot that is its own and fresh.
pub const DAEMONS: [&str; 7] =
    ["hub-reset", "modem-dialer", "netguard", "notify", "pinghttpserver", "statusd", "uplink"];

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
    /// The appliance has rebooted by itself, this often or more.
    RebootsAtLeast(u32),
}

/// A field of a snapshot and what it must be; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Field {
    /// `<daemon>.<field>…`; where there is a list, a number or the `name` of what is meant.
    pub path: String,
    /// The field, in milliseconds of the appliance's clock, that says since when it is so: the time
    /// counts, not when the lab came to ask.
    pub since: Option<String>,
    /// This.
    pub equals: Option<Value>,
    /// One of these.
    pub one_of: Option<Vec<Value>>,
    /// A number, this or more.
    pub at_least: Option<f64>,
    /// A number, this or less.
    pub at_most: Option<f64>,
    /// Text that has this in it.
    pub contains: Option<String>,
    /// There and not null, or the contrary.
    pub is_set: Option<bool>,
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
            _ => false,
        };
        if nothing {
            Err("`status`, `stick`, `client` and `line-bytes` need something that must hold")
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

fn status(appliance: &Appliance) -> Result<Value, String> {
    appliance.status(ASK).map_err(|error| error.to_string())
}

/// Errors that tell of the line, not of a daemon that cannot do its work; scenarios ask for the line
/// by itself.
const OF_THE_LINE: [&str; 2] = ["modem-absent", "uplink-none"];

/// Every daemon is there, says what it is doing, is not shown as unknown, and reports no error.
fn daemons_healthy(status: &Value) -> Result<(), String> {
    for daemon in DAEMONS {
        match status["daemons"][daemon]["state"].as_str() {
            None => return Err(format!("{daemon}: no snapshot")),
            Some(state @ ("unknown" | "failed")) => return Err(format!("{daemon}: {state}")),
            Some(_) => {}
        }
        let conditions = status["daemons"][daemon]["conditions"].as_array().into_iter().flatten();
        let mut errors = conditions.filter(|c| c["severity"] == "error").filter_map(|c| c["id"].as_str());
        if let Some(id) = errors.find(|id| !OF_THE_LINE.contains(id)) {
            return Err(format!("{daemon}: {id}"));
        }
    }
    Ok(())
}

fn conditions(status: &Value) -> Vec<&str> {
    let daemons = status["daemons"].as_object().into_iter().flat_map(|map| map.values());
    let all = daemons.filter_map(|snapshot| snapshot["conditions"].as_array()).flatten();
    all.filter_map(|condition| condition["id"].as_str()).collect()
}

impl Field {
    fn ask(&self, appliance: &Appliance) -> Answer {
        let asked = appliance.console.now();
        let status = status(appliance)?;
        self.check(&status)?;
        let Some(since) = &self.since else { return Ok(None) };
        // The answer was written somewhere between question and answer: half of that is the error.
        let written = asked + appliance.console.now().saturating_sub(asked) / 2;
        let number = |value: Option<&Value>| value.and_then(Value::as_u64);
        let (now, then) = (number(status.get("monotonic_ms")), number(find(&status, since)));
        let (Some(now), Some(then)) = (now, then) else { return Err(format!("{since}: no time there")) };
        Ok(Some(written.saturating_sub(Duration::from_millis(now.saturating_sub(then)))))
    }

    fn check(&self, status: &Value) -> Result<(), String> {
        // A field that is not there counts as null, but not below something that is not there either.
        let parent = self.path.rsplit_once('.').and_then(|(parent, _)| find(status, parent));
        if !parent.is_some_and(|parent| parent.is_object() || parent.is_array()) {
            return Err(format!("{}: nothing there that could have this field", self.path));
        }
        let found = find(status, &self.path).unwrap_or(&Value::Null);
        if self.holds(found) { Ok(()) } else { Err(format!("{} is {found}", self.path)) }
    }

    fn holds(&self, found: &Value) -> bool {
        let number = found.as_f64();
        self.equals.as_ref().is_none_or(|wanted| wanted == found)
            && self.one_of.as_ref().is_none_or(|wanted| wanted.contains(found))
            && self.at_least.is_none_or(|least| number.is_some_and(|number| number >= least))
            && self.at_most.is_none_or(|most| number.is_some_and(|number| number <= most))
            && self
                .contains
                .as_ref()
                .is_none_or(|part| found.as_str().is_some_and(|text| text.contains(part)))
            && self.is_set.is_none_or(|set| found.is_null() != set)
    }
}

/// What a path leads to, below the daemons' snapshots.
fn find<'a>(status: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(status.get("daemons")?, |value, key| match value {
        Value::Array(all) => match key.parse::<usize>() {
            Ok(number) => all.get(number),
            Err(_) => all.iter().find(|one| one["name"] == key),
        },
        value => value.get(key),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn all(state: &str) -> Value {
        let daemons = DAEMONS.map(|name| (name.to_owned(), serde_json::json!({ "state": state })));
        serde_json::json!({ "daemons": serde_json::Map::from_iter(daemons) })
    }

    #[test]
    fn a_missing_or_unknown_daemon_is_not_healthy() {
        let mut status = all("serving");
        assert_eq!(daemons_healthy(&status), Ok(()));
        status["daemons"]["uplink"]["state"] = "unknown".into();
        assert_eq!(daemons_healthy(&status), Err("uplink: unknown".into()));
        assert!(daemons_healthy(&serde_json::json!({})).is_err());
    }

    #[test]
    fn fields_are_found_by_path() {
        let mut status = all("serving");
        status["daemons"]["uplink"]["dns"] = serde_json::json!(["192.0.2.53"]);
        let field =
            |path: &str, equals: Value| Field { path: path.into(), equals: Some(equals), ..Field::default() };
        assert_eq!(field("uplink.dns.0", "192.0.2.53".into()).check(&status), Ok(()));
        assert!(field("uplink.state", "online".into()).check(&status).unwrap_err().contains("serving"));
        assert!(field("nobody.state", "x".into()).check(&status).is_err());
    }

    #[test]
    fn one_of_a_list_is_found_by_its_name() {
        let mut status = all("serving");
        status["daemons"]["uplink"]["links"] =
            serde_json::json!([{ "name": "wired", "state": "up" }, { "name": "cellular", "state": "down" }]);
        let field =
            |path: &str, equals: Value| Field { path: path.into(), equals: Some(equals), ..Field::default() };
        assert_eq!(field("uplink.links.cellular.state", "down".into()).check(&status), Ok(()));
        assert!(field("uplink.links.cellular.state", "up".into()).check(&status).is_err());
        assert!(field("uplink.links.nobody.state", Value::Null).check(&status).is_err());
    }

    #[test]
    fn a_field_is_unset_only_where_it_could_be_set() {
        let mut status = all("serving");
        status["daemons"]["uplink"]["line"] = Value::Null;
        let unset = |path: &str| Field { path: path.into(), is_set: Some(false), ..Field::default() };
        assert_eq!(unset("uplink.line").check(&status), Ok(()));
        for path in ["uplnik.line", "uplink.line.rate", "uplink.lnie.rate"] {
            assert!(unset(path).check(&status).is_err(), "{path}");
        }
    }

    #[test]
    fn values_are_compared_in_every_way_at_once() {
        let compare = |text: &str| toml::from_str::<Field>(&format!("path = \"x\"\n{text}")).unwrap();
        assert!(compare("at-least = 2\nat-most = 3").holds(&2.into()));
        assert!(!compare("at-least = 2").holds(&Value::Null));
        assert!(compare("one-of = [\"a\", \"b\"]").holds(&"b".into()));
        assert!(compare("contains = \"wer-cy\"").holds(&"power-cycle".into()));
        assert!(compare("is-set = false").holds(&Value::Null));
        assert!(!compare("is-set = true").holds(&Value::Null));
        assert!(toml::from_str::<Field>("path = \"x\"\nequls = 1").is_err());
    }

    #[test]
    fn conditions_of_all_daemons_count() {
        let mut status = all("serving");
        status["daemons"]["modem-dialer"]["conditions"] = serde_json::json!([{ "id": "modem-no-sim" }]);
        assert_eq!(conditions(&status), ["modem-no-sim"]);
    }
}
