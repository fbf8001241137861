//! Whether the call that is up leads anywhere, as `uplink`'s probes find it.

use std::time::Duration;

use modem_proto::machine::Reach;
use serde_json::Value;
use snapshot::Verdict;
use sysio::{Monotonic, Root};

use crate::wired::UPLINK;

/// A line that is down for so long is not having a hiccup: `uplink` itself takes a second or two to
/// say it, and a cell change some seconds.
const HELD: Duration = Duration::from_secs(8);

/// Reads what `uplink` says of the call on `interface` that is up since `since`.
pub(crate) fn read(root: &Root, now: Monotonic, interface: &str, since: Monotonic) -> Reach {
    let Ok(boot_id) = snapshot::boot_id(root) else { return Reach::Unknown };
    judge(&snapshot::read(root, UPLINK, &boot_id, now), now, interface, since)
}

/// A word about an earlier call, or another interface, says nothing of this one; and where `uplink` has
/// no route by it, for whatever reason, no probe was sent.
fn judge(verdict: &Verdict, now: Monotonic, interface: &str, since: Monotonic) -> Reach {
    let links = verdict.fresh().and_then(|document| document.fields.get("links")?.as_array());
    let Some(link) =
        links.into_iter().flatten().find(|link| link["kind"] == "cellular" && link["interface"] == interface)
    else {
        return Reach::Unknown;
    };
    let Some(said_at) = link["since_ms"].as_u64().map(Monotonic::from_millis) else { return Reach::Unknown };
    match link["state"].as_str() {
        Some("up" | "lossy" | "partial") => Reach::Alive,
        Some("down") if link["way"] == true && said_at >= since && now.since(said_at) >= HELD => {
            Reach::Dead(reason(link))
        }
        _ => Reach::Unknown,
    }
}

fn reason(link: &Value) -> String {
    let said = link["reason"].as_str().filter(|reason| !reason.is_empty());
    said.unwrap_or("no probe is answered").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(now: u64, state: &str, since: u64, interface: &str) -> Reach {
        said_with(now, state, since, interface, &json!(true))
    }

    fn said_with(now: u64, state: &str, since: u64, interface: &str, way: &Value) -> Reach {
        let links = json!([{"kind": "cellular", "interface": interface, "state": state, "reason": "silence",
            "since_ms": since * 1000, "way": way}]);
        let document = json!({"schema": 1, "daemon": "uplink", "version": "0", "boot_id": "b",
            "monotonic_ms": 0, "wall": null, "state": "online", "since_ms": 0, "conditions": [], "links": links});
        let verdict = Verdict::Fresh(serde_json::from_value(document).unwrap());
        judge(&verdict, Monotonic::from_secs(now), "ppp0", Monotonic::from_secs(100))
    }

    #[test]
    fn a_line_counts_as_dead_only_for_this_call_and_after_a_while() {
        assert_eq!(said(120, "down", 110, "ppp0"), Reach::Dead("silence".to_owned()));
        assert_eq!(said(115, "down", 110, "ppp0"), Reach::Unknown, "a hiccup");
        assert_eq!(said(120, "down", 90, "ppp0"), Reach::Unknown, "that was the call before");
        assert_eq!(said(120, "down", 110, "ppp1"), Reach::Unknown, "another interface");
        assert_eq!(said(120, "partial", 110, "ppp0"), Reach::Alive, "a quota wall is no reason to redial");
        assert_eq!(said(120, "unknown", 110, "ppp0"), Reach::Unknown);
        for no_way in [json!(false), json!(null)] {
            let said = said_with(120, "down", 110, "ppp0", &no_way);
            assert_eq!(said, Reach::Unknown, "routes that cannot be set are no fault of the call");
        }
        assert_eq!(
            judge(&Verdict::Missing, Monotonic::default(), "ppp0", Monotonic::default()),
            Reach::Unknown
        );
    }
}
