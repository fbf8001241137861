//! What can be asked of the daemons' snapshots, as the status page shows them.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::expect::{ASK, Answer};
use crate::appliance::Appliance;

/// The daemons every image has; each must show a snapshot that is its own and fresh.
pub const DAEMONS: [&str; 10] = [
    "dyndns",
    "hub-reset",
    "modem-dialer",
    "netguard",
    "nic-health",
    "notify",
    "pinghttpserver",
    "prober",
    "statusd",
    "uplink",
];

/// A field of a snapshot and what it must be; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Field {
    /// `<daemon>.<field>…`; where there is a list, a number or the `name` of what is
    /// meant, in double quotes if it has dots.
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

pub(super) fn status(appliance: &Appliance) -> Result<Value, String> {
    appliance.status(ASK).map_err(|error| error.to_string())
}

/// Errors that tell of the line, not of a daemon that cannot do its work; scenarios ask for the line
/// by itself.
const OF_THE_LINE: [&str; 2] = ["modem-absent", "uplink-none"];

/// Every daemon is there, says what it is doing, is not shown as unknown, and reports no error.
pub(super) fn daemons_healthy(status: &Value) -> Result<(), String> {
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

pub(super) fn conditions(status: &Value) -> Vec<&str> {
    let daemons = status["daemons"].as_object().into_iter().flat_map(|map| map.values());
    let all = daemons.filter_map(|snapshot| snapshot["conditions"].as_array()).flatten();
    all.filter_map(|condition| condition["id"].as_str()).collect()
}

impl Field {
    pub(super) fn ask(&self, appliance: &Appliance) -> Answer {
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
        let keys = keys(&self.path);
        let parent = keys.split_last().and_then(|(_, parents)| reach(status, parents));
        if !parent.is_some_and(|parent| parent.is_object() || parent.is_array()) {
            return Err(format!("{}: nothing there that could have this field", self.path));
        }
        let found = reach(status, &keys).unwrap_or(&Value::Null);
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
    reach(status, &keys(path))
}

fn reach<'a>(status: &'a Value, keys: &[&str]) -> Option<&'a Value> {
    keys.iter().try_fold(status.get("daemons")?, |value, key| match value {
        Value::Array(all) => match key.parse::<usize>() {
            Ok(number) => all.get(number),
            Err(_) => all.iter().find(|one| one["name"] == **key),
        },
        value => value.get(key),
    })
}

/// The parts of a path. A name with dots in it, such as a target's, stands in double quotes.
fn keys(path: &str) -> Vec<&str> {
    let mut quoted = false;
    let ends = |letter: char| {
        quoted ^= letter == '"';
        letter == '.' && !quoted
    };
    path.split(ends).map(|key| key.trim_matches('"')).collect()
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
    fn a_name_with_dots_stands_in_quotes() {
        let mut status = all("serving");
        status["daemons"]["uplink"]["targets"] =
            serde_json::json!([{ "name": "icmp 8.8.8.8", "state": "down" }]);
        let field =
            |path: &str, equals: Value| Field { path: path.into(), equals: Some(equals), ..Field::default() };
        assert_eq!(field("uplink.targets.\"icmp 8.8.8.8\".state", "down".into()).check(&status), Ok(()));
        assert!(field("uplink.targets.\"icmp 8.8.8.9\".state", "down".into()).check(&status).is_err());
        assert!(field("uplink.targets.icmp 8.8.8.8.state", "down".into()).check(&status).is_err());
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
