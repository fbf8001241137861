//! What the dialer says, as far as it matters here. A field that is missing or odd is no news.

use serde_json::Value;
use snapshot::{Document, Verdict};
use std::time::Duration;
use sysio::Monotonic;

use crate::incidents::Step;
use crate::machine::{Progress, Stick, Stuck};

/// A snapshot, read for the ladder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dialer {
    /// When it was written; none in this boot.
    pub written: Option<Monotonic>,
    /// How far the dialer is.
    pub progress: Progress,
    /// Since when.
    pub since: Monotonic,
    /// It asks for help.
    pub stuck: Option<Stuck>,
    /// The stick it uses.
    pub stick: Option<Stick>,
    /// Ids of every stick it knows of.
    pub ids: Vec<String>,
    /// What it did itself, and whether it is over.
    pub recovery: Option<Recovery>,
}

/// What the dialer did about the last loss.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// When it began.
    pub since_ms: u64,
    /// Why.
    pub cause: String,
    /// What it did.
    pub steps: Vec<Step>,
    /// When it was over.
    pub ended_ms: Option<u64>,
}

impl Dialer {
    /// From the snapshot; one of another boot says nothing about this one.
    pub fn read(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Fresh(document) | Verdict::Stale(document, _) => Self::from_document(document),
            _ => Self::default(),
        }
    }

    fn from_document(document: &Document) -> Self {
        let fields = &document.fields;
        Self {
            written: Some(Monotonic::from_millis(document.monotonic_ms)),
            progress: progress(&document.state),
            since: Monotonic::from_millis(document.since_ms),
            stuck: fields.get("stuck").and_then(stuck),
            stick: fields.get("modem").and_then(stick).or_else(|| chosen(fields.get("modems")?)),
            ids: ids(fields),
            recovery: fields.get("recovery").and_then(recovery),
        }
    }

    /// How long it has been silent at `now`; since `start` if it has not said anything.
    pub fn silent_for(&self, now: Monotonic, start: Monotonic) -> Duration {
        now.since(self.written.unwrap_or(start))
    }
}

fn progress(state: &str) -> Progress {
    match state {
        "absent" => Progress::Absent,
        "mode-switching" => Progress::CdRom,
        "initialising" | "registering" | "dialling" => Progress::Answers,
        "connected" | "standby" => Progress::Online,
        "blocked" => Progress::Person,
        _ => Progress::Tries,
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    Some(value.get(key)?.as_str()?.to_owned())
}

fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key)?.as_u64()
}

fn stick(value: &Value) -> Option<Stick> {
    Some(Stick { port: text(value, "usb_path")?, id: text(value, "id").unwrap_or_default() })
}

fn chosen(modems: &Value) -> Option<Stick> {
    let list = modems.as_array()?;
    let first = list.iter().find(|modem| modem.get("chosen").and_then(Value::as_bool) == Some(true));
    stick(first.or_else(|| list.first())?)
}

fn ids(fields: &serde_json::Map<String, Value>) -> Vec<String> {
    let own = ["modem", "stuck"].into_iter().filter_map(|key| fields.get(key));
    let all = fields.get("modems").and_then(Value::as_array).into_iter().flatten();
    own.chain(all).filter_map(|value| text(value, "id")).collect()
}

fn stuck(value: &Value) -> Option<Stuck> {
    Some(Stuck {
        stick: stick(value)?,
        since: Monotonic::from_millis(number(value, "since_ms").unwrap_or_default()),
        reason: text(value, "reason").unwrap_or_else(|| "the stick does not answer".to_owned()),
    })
}

fn recovery(value: &Value) -> Option<Recovery> {
    let steps = value.get("steps")?.as_array()?;
    let step = |step: &Value| {
        Some(Step {
            rung: u8::try_from(number(step, "rung")?).ok().filter(|rung| (1..=3).contains(rung))?,
            action: text(step, "action")?,
            boot: 0,
            started_ms: number(step, "started_ms")?,
            ended_ms: number(step, "ended_ms"),
            outcome: text(step, "outcome").unwrap_or_default(),
        })
    };
    Some(Recovery {
        since_ms: number(value, "since_ms")?,
        cause: text(value, "cause").unwrap_or_default(),
        steps: steps.iter().filter_map(step).collect(),
        ended_ms: number(value, "ended_ms"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(mut fields: Value) -> Dialer {
        let envelope = json!({"schema": 1, "daemon": "modem-dialer", "version": "0", "boot_id": "b",
            "monotonic_ms": 90_000, "wall": null, "state": "probing", "since_ms": 80_000, "conditions": []});
        fields.as_object_mut().unwrap().extend(envelope.as_object().unwrap().clone());
        Dialer::read(&Verdict::Fresh(serde_json::from_value(fields).unwrap()))
    }

    #[test]
    fn the_call_for_help_and_the_own_tries_are_read() {
        let dialer = read(json!({
            "stuck": {"usb_path": "1-1.1", "id": "19d2:0031", "since_ms": 85_000, "reason": "no answer"},
            "recovery": {"since_ms": 70_000, "cause": "silent", "ended_ms": null, "steps": [
                {"rung": 3, "action": "probe", "started_ms": 71_000, "ended_ms": 83_000, "outcome": "no answer"},
                {"rung": 9, "action": "odd", "started_ms": 1, "outcome": ""}]},
        }));
        assert_eq!(dialer.stuck.unwrap().stick.port, "1-1.1");
        let recovery = dialer.recovery.unwrap();
        assert_eq!((recovery.steps.len(), recovery.steps[0].rung, recovery.ended_ms), (1, 3, None));
    }

    #[test]
    fn older_and_odd_snapshots_are_no_news() {
        let dialer = read(json!({"stuck": 7, "modem": {"usb_path": "1-1.1", "id": "19d2:0031"}}));
        assert_eq!((dialer.stuck, dialer.stick.unwrap().port.as_str()), (None, "1-1.1"));
        let dialer = read(json!({"modem": null, "modems": [{"usb_path": "1-2", "id": "a"},
            {"usb_path": "1-3", "id": "b", "chosen": true}]}));
        assert_eq!((dialer.stick.unwrap().port.as_str(), dialer.ids), ("1-3", vec!["a".into(), "b".into()]));
        assert_eq!(Dialer::read(&Verdict::Missing), Dialer::default());
    }
}
