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

/// A snapshot that is missing, old or broken says nothing, and neither does one about a line that was
/// not probed yet, as after a restart of `uplink`; one without a wired line says that there is none
/// that works.
fn judge(verdict: &Verdict) -> Wired {
    let Some(links) = verdict.fresh().and_then(|document| document.fields.get("links")) else {
        return Wired::Unknown;
    };
    let Some(links) = links.as_array() else { return Wired::Unknown };
    let wired: Vec<_> = links.iter().filter(|link| link["kind"] == "wired").map(line).collect();
    [Wired::Up, Wired::Unknown].into_iter().find(|state| wired.contains(state)).unwrap_or(Wired::Down)
}

/// What one wired line says. One that works in part (no transit, no names, a portal) is left for a call
/// that works, so there has to be one; to lose packets, or to lack IPv6, is not worth a day's fee.
fn line(link: &Value) -> Wired {
    match (link["state"].as_str(), link["part"].as_str()) {
        _ if link["way"] == false => Wired::Down,
        (Some("up" | "lossy"), _) | (Some("partial"), Some("ipv6")) => Wired::Up,
        (Some("unknown"), _) => Wired::Unknown,
        _ => Wired::Down,
    }
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
        assert_eq!(said(&json!([{"kind": "wired", "state": "up", "way": false}])), Wired::Down);
        assert_eq!(said(&json!([{"kind": "wired", "state": "lossy"}])), Wired::Up);
        assert_eq!(said(&json!([{"kind": "wired", "state": "partial", "part": "ipv6"}])), Wired::Up);
        assert_eq!(said(&json!([{"kind": "wired", "state": "partial", "part": "regions"}])), Wired::Down);
        assert_eq!(said(&json!([])), Wired::Down);
        assert_eq!(said(&json!(null)), Wired::Unknown);
        assert_eq!(judge(&Verdict::Missing), Wired::Unknown);
    }

    #[test]
    fn a_line_that_was_not_probed_yet_is_not_down() {
        let fresh = |way| json!([{"kind": "wired", "state": "unknown", "usable": false, "way": way}]);
        assert_eq!(said(&fresh(true)), Wired::Unknown);
        assert_eq!(said(&fresh(false)), Wired::Down);
    }
}
