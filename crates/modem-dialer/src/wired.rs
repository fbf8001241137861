//! How the wired line stands, as `uplink` says it; for calls that are made on demand.

use modem_proto::machine::Wired;
use serde_json::Value;
use snapshot::Verdict;
use sysio::{Monotonic, Root};

/// Who says it.
pub const UPLINK: &str = "uplink";

/// Reads its snapshot.
pub fn read(root: &Root, now: Monotonic) -> Wired {
    let Ok(boot_id) = snapshot::boot_id(root) else { return Wired::Unknown };
    judge(&snapshot::read(root, UPLINK, &boot_id, now))
}

/// A snapshot that is missing, old or broken says nothing; one without a wired line says that there
/// is none that works. A line that is up may carry nothing: where probes have found that out, their
/// word counts.
fn judge(verdict: &Verdict) -> Wired {
    let Some(links) = verdict.fresh().and_then(|document| document.fields.get("links")) else {
        return Wired::Unknown;
    };
    let Some(links) = links.as_array() else { return Wired::Unknown };
    let up = |link: &Value| {
        let usable = link["usable"].as_bool().unwrap_or_else(|| link["state"] == "up");
        link["kind"] == "wired" && usable
    };
    if links.iter().any(up) { Wired::Up } else { Wired::Down }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(links: &Value) -> Wired {
        let document = json!({"schema": 1, "daemon": "uplink", "version": "0", "boot_id": "b",
            "monotonic_ms": 0, "wall": null, "state": "online", "since_ms": 0, "conditions": [], "links": links});
        judge(&Verdict::Fresh(serde_json::from_value(document).unwrap()))
    }

    #[test]
    fn only_a_wired_line_that_carries_something_counts() {
        assert_eq!(said(&json!([{"kind": "wired", "state": "up"}])), Wired::Up);
        assert_eq!(
            said(&json!([{"kind": "wired", "state": "down"}, {"kind": "cellular", "state": "up"}])),
            Wired::Down
        );
        assert_eq!(said(&json!([{"kind": "wired", "state": "up", "usable": false}])), Wired::Down);
        assert_eq!(said(&json!([{"kind": "wired", "state": "partial", "usable": true}])), Wired::Up);
        assert_eq!(said(&json!([])), Wired::Down);
        assert_eq!(said(&json!(null)), Wired::Unknown);
        assert_eq!(judge(&Verdict::Missing), Wired::Unknown);
    }
}
