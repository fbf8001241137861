//! What `uplink` says about the quota.

use ruleset::Guard;
use snapshot::{Document, Verdict};

/// The guard as `uplink` last said it; none while it has said nothing in this boot.
///
/// A stale word holds as well as a fresh one: that the accountant fell silent changes nothing about
/// what was spent. Before the first word of a boot the line is open: a box that cannot count must not
/// cut anybody off, and until the stick has dialled, `uplink` has long spoken.
pub(crate) fn guard(verdict: &Verdict) -> Option<Guard> {
    let (Verdict::Fresh(document) | Verdict::Stale(document, _)) = verdict else { return None };
    word(document)
}

fn word(document: &Document) -> Option<Guard> {
    match document.fields.get("usage")?.get("guard")?.as_str()? {
        "open" => Some(Guard::Open),
        "cut" => Some(Guard::Cut),
        other => {
            log::warn!("uplink's usage.guard is {other:?}, which nobody knows; the guard stays as it is");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn document(usage: &str) -> Document {
        let text = format!(
            r#"{{"schema":1,"daemon":"uplink","version":"0","boot_id":"b","monotonic_ms":1,"wall":null,
            "state":"online","since_ms":1,"conditions":[],"usage":{usage}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_word_holds_until_another_is_said() {
        let cut = || document(r#"{"guard": "cut"}"#);
        assert_eq!(guard(&Verdict::Fresh(cut())), Some(Guard::Cut));
        assert_eq!(guard(&Verdict::Stale(cut(), Duration::from_secs(99))), Some(Guard::Cut));
        assert_eq!(guard(&Verdict::Fresh(document(r#"{"guard": "open"}"#))), Some(Guard::Open));
        // No word: nothing changes.
        assert_eq!(guard(&Verdict::OtherBoot(cut())), None);
        assert_eq!(guard(&Verdict::Missing), None);
        for silent in ["null", "{}", r#"{"guard": 7}"#, r#"{"guard": "ajar"}"#] {
            assert_eq!(guard(&Verdict::Fresh(document(silent))), None, "{silent}");
        }
    }
}
