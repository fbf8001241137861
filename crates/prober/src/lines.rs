//! The lines as `uplink` tells of them. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use config::DnsLink;
use serde_json::Value;
use snapshot::Document;
use web::Way;

/// All lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The one in use.
    pub active: Option<String>,
    /// Each.
    pub links: BTreeMap<String, Line>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its interface.
    pub interface: String,
    /// Whether something can be learned over it: it has a way out and is not known to be dead. One
    /// that works only in part counts, for that is worth seeing.
    pub open: bool,
    /// Whether it is paid by volume.
    pub metered: bool,
    /// Whether its quota is spent.
    pub cut: bool,
    /// Its name servers.
    pub servers: Vec<IpAddr>,
}

impl Lines {
    /// What `uplink` says.
    pub fn read(document: &Document) -> Self {
        let fields = Value::Object(document.fields.clone());
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let cut = fields.get("usage").filter(|usage| text(usage, "guard").as_deref() == Some("cut"));
        let cut = cut.and_then(|usage| text(usage, "link"));
        let one = |link: &Value| {
            let flag = |key: &str| link.get(key).and_then(Value::as_bool).unwrap_or(false);
            let name = text(link, "name")?;
            let servers = link.get("dns").and_then(Value::as_array);
            let servers = servers.into_iter().flatten().filter_map(|a| a.as_str()?.parse().ok());
            let line = Line {
                interface: text(link, "interface").unwrap_or_default(),
                open: flag("way") && text(link, "state").as_deref() != Some("down"),
                metered: flag("metered"),
                cut: cut.as_ref() == Some(&name),
                servers: servers.collect(),
            };
            Some((name, line))
        };
        let links = fields.get("links").and_then(Value::as_array);
        Self { active: text(&fields, "active"), links: links.into_iter().flatten().filter_map(one).collect() }
    }

    /// The line that `link` means now, with its name.
    pub fn meant(&self, link: DnsLink) -> Option<(&str, &Line)> {
        let name = match link {
            DnsLink::Active => self.active.as_deref()?,
            DnsLink::Wired => "wired",
            DnsLink::Cellular => "cellular",
        };
        self.links.get_key_value(name).map(|(name, line)| (name.as_str(), line))
    }

    /// The way by which a page of `link` is asked for, and the name servers of that way. The line in use
    /// needs none: the system's routes and resolver lead there, as for everybody else.
    pub fn way(&self, link: DnsLink) -> (Option<Way>, Vec<IpAddr>) {
        match self.meant(link).filter(|_| link != DnsLink::Active) {
            None => (None, Vec::new()),
            Some((name, known)) => {
                let way = Way { line: name.to_owned(), interface: known.interface.clone() };
                (Some(way), known.servers.clone())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_dead_line_and_a_spent_one_are_told_from_the_others() {
        let link = |name: &str, state: &str, way: bool| {
            json!({"name": name, "interface": "x0", "state": state, "way": way, "metered": name == "cellular",
                "dns": ["192.0.2.1", "nonsense", "2001:db8::1"]})
        };
        let document = json!({
            "schema": 1, "daemon": "uplink", "version": "0", "boot_id": "b", "monotonic_ms": 1, "wall": null,
            "state": "online", "since_ms": 1, "conditions": [], "active": "wired",
            "links": [link("wired", "partial", true), link("cellular", "down", true)],
            "usage": {"link": "cellular", "guard": "cut"},
        });
        let lines = Lines::read(&serde_json::from_value(document).unwrap());
        let (name, wired) = lines.meant(DnsLink::Active).unwrap();
        assert_eq!((name, wired.open, wired.metered, wired.cut), ("wired", true, false, false));
        assert_eq!(wired.servers.len(), 2);
        let (_, cellular) = lines.meant(DnsLink::Cellular).unwrap();
        assert_eq!((cellular.open, cellular.metered, cellular.cut), (false, true, true));
        assert_eq!(lines.way(DnsLink::Active), (None, Vec::new()));
        assert_eq!(lines.way(DnsLink::Wired).0.unwrap().line, "wired");
        assert_eq!(Lines::default().meant(DnsLink::Wired), None);
    }
}
