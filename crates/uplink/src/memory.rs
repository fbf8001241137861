//! What a restarted daemon takes over from its own last snapshot: how often it switched, and when last.
//!
//! Routes in place say which line is in use; this says the rest, so that a crash does not make an
//! evening of failovers look like none.

use crate::switch::Switched;
use ruleset::marks::Line;
use serde_json::Value;
use snapshot::Verdict;
use sysio::Monotonic;

/// What was.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    pub(crate) count: u64,
    pub(crate) last: Option<Switched>,
    pub(crate) active: Option<(Line, Monotonic)>,
    pub(crate) wired_was_there: bool,
}

impl Memory {
    /// Reads it from the last snapshot of this boot; times of another boot mean nothing.
    pub fn of(verdict: &Verdict) -> Self {
        let (Verdict::Fresh(document) | Verdict::Stale(document, _)) = verdict else {
            return Self::default();
        };
        let field = |name| document.fields.get(name).unwrap_or(&Value::Null);
        let switches = field("switches");
        let links = field("links").as_array().map(Vec::as_slice).unwrap_or_default();
        let way = links.iter().any(|link| link["kind"] == "wired" && link["way"] == true);
        Self {
            count: switches["count"].as_u64().unwrap_or(0),
            last: switched(&switches["last"]),
            active: line(field("active")).zip(at(field("active_since_ms"))),
            wired_was_there: way || document.conditions.iter().any(|c| c.id == "uplink-wired-down"),
        }
    }
}

fn switched(value: &Value) -> Option<Switched> {
    Some(Switched {
        from: line(&value["from"])?,
        to: line(&value["to"])?,
        at: at(&value["at_ms"])?,
        reason: value["reason"].as_str()?.to_owned(),
    })
}

fn line(value: &Value) -> Option<Line> {
    [Line::Wired, Line::Cellular].into_iter().find(|line| value == line.name())
}

fn at(value: &Value) -> Option<Monotonic> {
    value.as_u64().map(Monotonic::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_last_snapshot_of_this_boot_is_remembered_and_nonsense_is_not() {
        let document = json!({"schema": 1, "daemon": "uplink", "version": "0", "boot_id": "b",
            "monotonic_ms": 9000, "wall": null, "state": "online", "since_ms": 0, "conditions": [],
            "active": "cellular", "active_since_ms": 7000, "switches": {"count": 3, "last":
                {"from": "wired", "to": "cellular", "at_ms": 7000, "reason": "nothing comes back"}}});
        let memory = Memory::of(&Verdict::Fresh(serde_json::from_value(document.clone()).unwrap()));
        assert_eq!((memory.count, memory.active), (3, Some((Line::Cellular, Monotonic::from_millis(7000)))));
        assert_eq!(memory.last.unwrap().to, Line::Cellular);
        let other = Verdict::OtherBoot(serde_json::from_value(document.clone()).unwrap());
        assert_eq!(Memory::of(&other), Memory::default());
        let mut nonsense = document;
        nonsense["switches"] = json!([1]);
        nonsense["active"] = json!("moon");
        let nonsense = Verdict::Fresh(serde_json::from_value(nonsense).unwrap());
        assert_eq!(Memory::of(&nonsense), Memory::default());
    }
}
