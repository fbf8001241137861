//! What `uplink` says of a line, in one word a health checker can match.
//!
//! Checkers look for a string anywhere in the first 5,120 bytes of a body (Route 53's `SearchString`),
//! so the whole answer is made of words known here: none of the other words contains the three that
//! matter, and nothing of what a person or a network wrote gets in.

use snapshot::Document;

/// Lines that can be asked about, by the names `uplink` gives them.
pub const LINKS: [&str; 2] = ["wired", "cellular"];

/// How a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It carries traffic.
    Ok(&'static str),
    /// It does not, or not enough.
    Failed(&'static str),
    /// Nobody knows.
    Unknown,
}

impl Verdict {
    /// Of line `link` by `uplink`'s snapshot, which the caller has found fresh.
    pub fn read(uplink: &Document, link: &str) -> Self {
        let links = uplink.fields.get("links").and_then(|links| links.as_array());
        let found = links.into_iter().flatten().find(|one| one["name"].as_str() == Some(link));
        let Some(found) = found else { return Self::Unknown };
        let (Some(state), Some(usable)) = (found["state"].as_str(), found["usable"].as_bool()) else {
            return Self::Unknown;
        };
        let way = found["way"].as_bool().unwrap_or(true);
        match (state, usable) {
            _ if !way => Self::Failed("without a way"),
            ("up", true) => Self::Ok("up"),
            ("lossy", true) => Self::Ok("lossy"),
            ("partial", true) => Self::Ok("partial"),
            ("lossy", false) => Self::Failed("lossy"),
            ("partial", false) => Self::Failed("partial"),
            ("down", false) => Self::Failed("down"),
            // Unknown to uplink, too; a state of another version, or one that contradicts itself.
            _ => Self::Unknown,
        }
    }

    /// Status code.
    pub fn status(self) -> u16 {
        if matches!(self, Self::Ok(_)) { 200 } else { 503 }
    }

    /// The line of text for `link`, which is one of [`LINKS`].
    pub fn text(self, link: &str) -> String {
        match self {
            Self::Ok(state) => format!("ok {link} {state}\n"),
            Self::Failed(state) => format!("failed {link} {state}\n"),
            Self::Unknown => format!("unknown {link}\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn document(links: &Value) -> Document {
        serde_json::from_value(json!({
            "schema": 1, "daemon": "uplink", "version": "0", "boot_id": "b", "monotonic_ms": 0, "wall": null,
            "state": "online", "since_ms": 0, "conditions": [], "links": links,
        }))
        .unwrap()
    }

    fn of(state: &str, usable: bool, way: bool) -> Verdict {
        Verdict::read(
            &document(&json!([
                {"name": "wired", "state": "up", "usable": true, "way": true},
                {"name": "cellular", "state": state, "usable": usable, "way": way},
            ])),
            "cellular",
        )
    }

    #[test]
    fn a_line_that_carries_something_is_ok() {
        assert_eq!(of("up", true, true), Verdict::Ok("up"));
        assert_eq!(of("lossy", true, true), Verdict::Ok("lossy"));
        assert_eq!(of("partial", true, true).status(), 200);
    }

    #[test]
    fn a_line_that_is_down_or_useless_or_not_there_has_failed() {
        assert_eq!(of("down", false, true), Verdict::Failed("down"));
        assert_eq!(of("partial", false, true).status(), 503);
        assert_eq!(of("up", false, false), Verdict::Failed("without a way"));
    }

    #[test]
    fn what_is_not_said_or_makes_no_sense_is_unknown() {
        assert_eq!(of("unknown", false, true), Verdict::Unknown);
        assert_eq!(of("splendid", true, true), Verdict::Unknown);
        assert_eq!(of("down", true, true), Verdict::Unknown);
        for links in [json!(null), json!({}), json!([]), json!([1, {"name": "wired"}])] {
            assert_eq!(Verdict::read(&document(&links), "wired"), Verdict::Unknown);
        }
    }

    #[test]
    fn the_words_to_match_are_in_no_other_answer() {
        let states = ["up", "lossy", "partial", "down", "without a way"];
        for link in LINKS {
            let all = states.map(Verdict::Ok).into_iter().chain(states.map(Verdict::Failed));
            for verdict in all.chain([Verdict::Unknown]) {
                let text = verdict.text(link);
                assert_eq!(text.contains("ok"), matches!(verdict, Verdict::Ok(_)), "{text}");
                assert_eq!(text.contains("failed"), matches!(verdict, Verdict::Failed(_)), "{text}");
                assert_eq!(text.contains("unknown"), verdict == Verdict::Unknown, "{text}");
            }
        }
    }
}
