//! What can be asked of the lines and of the people behind them.

use std::net::IpAddr;
use std::sync::PoisonError;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::expect::Answer;
use crate::appliance::Appliance;
use crate::client::Habit;
use crate::line::Line;
use crate::world::{Via, way_from};

/// What somebody in the LAN sees; all that is given must hold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClientSees {
    /// Who.
    pub name: Habit,
    /// The way the last answer went.
    pub via: Option<Via>,
    /// No silence was longer than this, in seconds.
    pub longest_gap_at_most: Option<f64>,
    /// It has come to its end.
    pub complete: Option<bool>,
    /// Connections it took, this many or fewer.
    pub connections_at_most: Option<u64>,
    /// Answers, this many or more.
    pub received_at_least: Option<u64>,
}

/// A line that somebody no longer uses.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quiet {
    /// Which line.
    pub line: Line,
    /// The port of the internet that is no longer sent to.
    pub port: u16,
    /// For how long, until it counts as so. What is reported is the time of the last packet.
    pub for_seconds: f64,
}

/// What a line has carried, both ways; all that is given must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bytes {
    /// Which line.
    pub line: Line,
    /// This many or fewer.
    pub at_most: Option<u64>,
    /// This many or more.
    pub at_least: Option<u64>,
}

/// What the appliance says the metered line has carried, beside what the carrier has counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Usage {
    /// Bytes the carrier counted and the appliance did not: what a power cut may cost.
    pub missing_at_most: u64,
    /// Bytes the appliance counted and the carrier did not: nothing is counted twice.
    pub beyond_at_most: u64,
}

/// A message that reached the service behind `http://web.test/alert`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Alert {
    /// `alert` or `recovery`.
    pub kind: String,
    /// The condition it tells of.
    pub condition: String,
    /// The way it came, if that matters.
    pub via: Option<Via>,
}

impl Alert {
    pub(super) fn check(&self, appliance: &Appliance) -> Result<(), String> {
        let alerts = appliance.world.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        let right = |(from, text): &(IpAddr, String)| {
            let way =
                if let IpAddr::V4(from) = from { way_from(*from, appliance.subscriber()) } else { None };
            self.is(text) && self.via.is_none_or(|via| way == Some(via))
        };
        if alerts.iter().any(right) { Ok(()) } else { Err(format!("came in: {alerts:?}")) }
    }

    fn is(&self, text: &str) -> bool {
        let told: Value = serde_json::from_str(text).unwrap_or_default();
        told["kind"] == *self.kind && told["condition"] == *self.condition
    }
}

impl ClientSees {
    pub(super) fn nothing(name: Habit) -> Self {
        Self {
            name,
            via: None,
            longest_gap_at_most: None,
            complete: None,
            connections_at_most: None,
            received_at_least: None,
        }
    }

    pub(super) fn check(&self, appliance: &Appliance) -> Result<(), String> {
        let client = appliance.client(self.name).map_err(|error| error.to_string())?;
        let (seen, gap) = (client.seen(), client.longest_gap().as_secs_f64());
        if let Some(why) = &seen.broken {
            return Err(format!("{} is broken: {why}", self.name.name()));
        }
        let way = seen.from.and_then(|from| way_from(from, appliance.subscriber()));
        // Silence of somebody who never heard anything is none.
        let right = self.longest_gap_at_most.is_none_or(|most| seen.gaps.any() && gap <= most)
            && self.via.is_none_or(|via| way == Some(via))
            && self.complete.is_none_or(|complete| complete == seen.complete)
            && self.connections_at_most.is_none_or(|most| seen.connections <= most)
            && self.received_at_least.is_none_or(|least| seen.received >= least);
        if right { Ok(()) } else { Err(format!("longest gap {gap:.1} s, way {way:?}, {seen:?}")) }
    }
}

impl Quiet {
    pub(super) fn ask(&self, appliance: &Appliance) -> Answer {
        // A line that was never used that way is quiet from the beginning.
        let Some(quiet) = appliance.world.lines.get(self.line).quiet_for(self.port) else {
            return Ok(Some(Duration::ZERO));
        };
        if quiet.as_secs_f64() < self.for_seconds {
            return Err(format!("port {} was sent to {:.1} s ago", self.port, quiet.as_secs_f64()));
        }
        Ok(Some(appliance.console.now().saturating_sub(quiet)))
    }
}

impl Bytes {
    pub(super) fn check(&self, carried: u64) -> Result<(), String> {
        let right = self.at_most.is_none_or(|most| carried <= most)
            && self.at_least.is_none_or(|least| carried >= least);
        if right { Ok(()) } else { Err(format!("{carried} bytes went over it")) }
    }
}

impl Usage {
    pub(super) fn check(self, appliance: &Appliance, status: &Value) -> Result<(), String> {
        let carried = appliance.line_bytes(Line::Cellular);
        let used = status.pointer("/daemons/uplink/usage/used_bytes").and_then(Value::as_u64);
        let used = used.ok_or("uplink says nothing of usage")?;
        let (missing, beyond) = (carried.saturating_sub(used), used.saturating_sub(carried));
        if missing <= self.missing_at_most && beyond <= self.beyond_at_most {
            return Ok(());
        }
        Err(format!("the carrier counts {carried} bytes, the appliance {used}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_condition_or_kind_is_another_message() {
        let alert =
            |kind: &str| Alert { kind: kind.into(), condition: "uplink-wired-down".into(), via: None };
        let text = r#"{"kind": "alert", "condition": "uplink-wired-down"}"#;
        assert!(alert("alert").is(text));
        assert!(!alert("recovery").is(text));
        assert!(!alert("alert").is(&text.replace("wired", "cellular")));
        assert!(!alert("alert").is("no JSON"));
    }
}
