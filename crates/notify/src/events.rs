//! What happened to the lines, read from two of `uplink`'s snapshots. Pure.

use std::collections::BTreeMap;

use serde_json::Value;
use snapshot::Document;

/// The lines as a hook is told of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The line in use.
    pub active: Option<String>,
    /// Why the last switch was made.
    pub reason: Option<String>,
    /// Each line.
    pub links: BTreeMap<String, Line>,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its state's word.
    pub state: String,
    /// Whether traffic can take it.
    pub usable: bool,
    /// Whether it is paid by volume.
    pub metered: bool,
}

/// Something that happened, with the environment a hook gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// The event's name: the folder of its hooks.
    pub event: &'static str,
    /// Names and values.
    pub environment: Vec<(&'static str, String)>,
}

/// The state of a line that has not been judged yet: `uplink` has just started, or the line has just
/// come.
const UNKNOWN: &str = "unknown";

impl Lines {
    /// What `uplink` says now; a line it does not know of yet is as it was `before`. A restart of
    /// `uplink` is nothing that happened to a line.
    pub fn after(before: Option<&Self>, document: &Document) -> Self {
        let mut lines = Self::read(document);
        let Some(before) = before else { return lines };
        let mut waits = false;
        for (name, line) in lines.links.iter_mut().filter(|(_, line)| line.state == UNKNOWN) {
            waits = true;
            if let Some(was) = before.links.get(name) {
                line.clone_from(was);
            }
        }
        if waits && lines.active.is_none() {
            lines.active.clone_from(&before.active);
        }
        lines
    }

    /// What `uplink` says.
    pub fn read(document: &Document) -> Self {
        let text = |value: &Value, path: &str| value.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let fields = Value::Object(document.fields.clone());
        let all = fields.get("links").and_then(Value::as_array).cloned().unwrap_or_default();
        let one = |link: &Value| {
            let state = text(link, "/state").unwrap_or_default();
            let flag = |path: &str| link.pointer(path).and_then(Value::as_bool);
            let usable = flag("/usable").unwrap_or(state == "up");
            Some((text(link, "/name")?, Line { usable, metered: flag("/metered").unwrap_or(false), state }))
        };
        Self {
            active: text(&fields, "/active"),
            reason: text(&fields, "/switches/last/reason"),
            links: all.iter().filter_map(one).collect(),
        }
    }

    /// Whether the line in use is paid by volume; an unknown one may be.
    pub fn on_metered(&self) -> bool {
        self.active.as_ref().and_then(|name| self.links.get(name)).is_none_or(|line| line.metered)
    }

    /// What happened between `before` and this.
    pub fn since(&self, before: &Self) -> Vec<Happening> {
        let mut all: Vec<Happening> = Vec::new();
        for (name, line) in &self.links {
            let was = before.links.get(name).is_some_and(|line| line.usable);
            if line.usable != was {
                let event = if line.usable { "link-up" } else { "link-down" };
                let environment =
                    vec![("FAILBERRY_LINK", name.clone()), ("FAILBERRY_STATE", line.state.clone())];
                all.push(Happening { event, environment });
            }
        }
        for (name, _) in
            before.links.iter().filter(|(name, line)| line.usable && !self.links.contains_key(*name))
        {
            let environment =
                vec![("FAILBERRY_LINK", name.clone()), ("FAILBERRY_STATE", "absent".to_owned())];
            all.push(Happening { event: "link-down", environment });
        }
        all.extend(self.switch(before));
        all
    }

    /// Whether any line carries traffic; the one in use may be there and dead.
    fn works(&self) -> bool {
        self.active.is_some() && self.links.values().any(|line| line.usable)
    }

    fn switch(&self, before: &Self) -> Vec<Happening> {
        let crossed = match (before.works(), self.works()) {
            (true, false) => Some("offline"),
            (false, true) => Some("online"),
            _ => None,
        };
        let switched = match (&before.active, &self.active) {
            // Back to the line that costs nothing, or away from it.
            (Some(from), Some(to)) if from != to => {
                Some(if self.on_metered() { "failover" } else { "failback" })
            }
            _ => None,
        };
        let environment = vec![
            ("FAILBERRY_FROM", before.active.clone().unwrap_or_default()),
            ("FAILBERRY_TO", self.active.clone().unwrap_or_default()),
            ("FAILBERRY_REASON", self.reason.clone().unwrap_or_default()),
        ];
        let one = |event| Happening { event, environment: environment.clone() };
        [crossed, switched].into_iter().flatten().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn document(active: &Value, state: &str, (wired, cellular): (bool, bool)) -> Document {
        let document = json!({
            "schema": 1, "daemon": "uplink", "version": "0", "boot_id": "b", "monotonic_ms": 1, "wall": null,
            "state": "online", "since_ms": 1, "conditions": [], "active": active,
            "links": [{"name": "wired", "state": state, "usable": wired, "metered": false},
                      {"name": "cellular", "state": state, "usable": cellular, "metered": true}],
            "switches": {"count": 1, "last": {"reason": "wired is down"}},
        });
        serde_json::from_value(document).unwrap()
    }

    fn lines(active: &Value, wired: bool, cellular: bool) -> Lines {
        Lines::read(&document(active, "up", (wired, cellular)))
    }

    fn names(all: &[Happening]) -> Vec<&str> {
        all.iter().map(|h| h.event).collect()
    }

    #[test]
    fn a_dead_wired_line_is_a_link_down_and_a_failover_and_then_the_way_back() {
        let (good, bad) = (lines(&json!("wired"), true, true), lines(&json!("cellular"), false, true));
        assert_eq!(names(&bad.since(&good)), ["link-down", "failover"]);
        assert_eq!(names(&good.since(&bad)), ["link-up", "failback"]);
        let failover = &bad.since(&good)[1];
        assert!(failover.environment.contains(&("FAILBERRY_REASON", "wired is down".into())));
        assert!(good.since(&good).is_empty());
    }

    #[test]
    fn no_line_at_all_is_offline_and_the_first_one_is_online() {
        let (none, some) = (lines(&Value::Null, false, false), lines(&json!("cellular"), false, true));
        assert_eq!(names(&none.since(&some)), ["link-down", "offline"]);
        assert_eq!(names(&some.since(&none)), ["link-up", "online"]);
        let gone = Lines { active: Some("wired".into()), ..Lines::default() };
        let wired = lines(&json!("wired"), true, true);
        assert_eq!(names(&gone.since(&wired)), ["link-down", "link-down", "offline"]);
    }

    #[test]
    fn a_line_in_use_that_is_dead_is_offline_and_what_replaces_it_later_is_a_failover_too() {
        let dead = lines(&json!("wired"), false, false);
        assert_eq!(names(&dead.since(&lines(&json!("wired"), true, false))), ["link-down", "offline"]);
        let dialled = lines(&json!("cellular"), false, true);
        assert_eq!(names(&dialled.since(&dead)), ["link-up", "online", "failover"]);
    }

    #[test]
    fn a_restart_of_uplink_is_nothing_that_happened_to_a_line() {
        let good = lines(&json!("wired"), true, true);
        for active in [json!("wired"), Value::Null] {
            let fresh = document(&active, "unknown", (false, false));
            let after = Lines::after(Some(&good), &fresh);
            assert!(after.since(&good).is_empty(), "{:?}", after.since(&good));
            assert_eq!(after, Lines::after(Some(&after), &fresh), "and nothing new each time it says so");
            assert!(good.since(&after).is_empty());
        }
        let dead = Lines::after(Some(&good), &document(&json!("wired"), "down", (false, true)));
        assert_eq!(names(&dead.since(&good)), ["link-down"], "what is known is told");
    }

    #[test]
    fn numbers_are_not_sent_over_a_line_that_is_paid_by_volume() {
        assert!(!lines(&json!("wired"), true, true).on_metered());
        assert!(lines(&json!("cellular"), true, true).on_metered());
        assert!(lines(&Value::Null, true, true).on_metered());
    }
}
