//! The overview for programs: `failberry status --json` and `/api/status`.

use serde_json::{Map, Value, json};

use crate::Overview;

impl Overview {
    /// `{state, monotonic_ms, wall, hostname, daemons, conditions}`; a daemon that cannot be believed is
    /// `{state: "unknown", reason, last}`, with what it said last, or null.
    pub fn to_json(&self) -> Value {
        let daemons: Map<String, Value> = self
            .parts
            .iter()
            .map(|part| {
                let value = match &part.known {
                    Ok(document) => json!(document),
                    Err(doubt) => json!({"state": "unknown", "reason": doubt.reason, "last": doubt.last}),
                };
                (part.daemon.clone(), value)
            })
            .collect();
        let conditions: Vec<Value> = self
            .conditions()
            .into_iter()
            .map(|(daemon, c)| {
                json!({
                    "daemon": daemon, "id": c.id, "severity": c.severity, "since": c.since,
                    "summary": c.summary, "detail": c.detail,
                })
            })
            .collect();
        json!({
            "state": self.health().as_str(),
            "monotonic_ms": self.now.as_millis(),
            "wall": self.wall.map(|at| humantime::format_rfc3339_seconds(at).to_string()),
            "hostname": self.hostname,
            "daemons": daemons,
            "conditions": conditions,
        })
    }
}
