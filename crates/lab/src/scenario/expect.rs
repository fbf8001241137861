//! What can be asked of the appliance and its world. Asking is quick and has no side effects on
//! the appliance: the runner asks again until the answer is right or time is up.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::appliance::Appliance;
use crate::world::{APPLIANCE, Via, way};

/// One question must be answered in this time, else it is asked again.
const ASK: Duration = Duration::from_secs(5);
/// A command over SSH: login alone takes seconds on an emulated Pi.
const COMMAND: Duration = Duration::from_secs(60);
/// How much of a wrong answer a report repeats.
const SAID: usize = 400;

/// The daemons every image has; each must show a snapshot that is its own and fresh.
pub const DAEMONS: [&str; 6] =
    ["hub-reset", "modem-dialer", "netguard", "pinghttpserver", "statusd", "uplink"];

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
    /// A command on the appliance, over SSH with the user's key.
    Ssh(Ssh),
    /// SSH offers keys and nothing else.
    SshRefusesPasswords,
}

/// A field of a snapshot and its value.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// `<daemon>.<field>…`
    pub path: String,
    /// What it must be.
    pub equals: Value,
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
            Self::Status(field) => field.check(&status(appliance)?)?,
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
            Self::Ssh(ssh) => ssh.check(appliance)?,
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
    fn check(&self, status: &Value) -> Result<(), String> {
        let pointer = format!("/daemons/{}", self.path.replace('.', "/"));
        let found = status.pointer(&pointer).unwrap_or(&Value::Null);
        if *found == self.equals { Ok(()) } else { Err(format!("{} is {found}", self.path)) }
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
        let page = appliance.world.client_get(&self.url, ASK).map_err(|error| error.to_string())?;
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
        let field = |path: &str, equals: Value| Field { path: path.into(), equals };
        assert_eq!(field("uplink.dns.0", "192.0.2.53".into()).check(&status), Ok(()));
        assert!(field("uplink.state", "online".into()).check(&status).unwrap_err().contains("serving"));
        assert!(field("nobody.state", "x".into()).check(&status).is_err());
    }

    #[test]
    fn conditions_of_all_daemons_count() {
        let mut status = all("serving");
        status["daemons"]["modem-dialer"]["conditions"] = serde_json::json!([{ "id": "modem-no-sim" }]);
        assert_eq!(conditions(&status), ["modem-no-sim"]);
    }
}
