//! The lines that can be asked over, as `uplink` tells of them. Pure.

use std::net::IpAddr;

use inquiry::Way;
use ruleset::marks::Line;
use serde_json::Value;
use snapshot::Document;

/// A line that carries traffic, wholly or in part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usable {
    /// How to leave by it.
    pub way: Way,
    /// It has an IPv4 address.
    pub v4: bool,
    /// It has an IPv6 address that is more than link-local.
    pub v6: bool,
    /// Each byte may cost money.
    pub metered: bool,
}

/// The usable lines, and the name servers in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// At most two.
    pub usable: Vec<Usable>,
    /// DNS servers, best first.
    pub dns: Vec<IpAddr>,
}

impl Lines {
    /// What `uplink` says.
    pub fn read(document: &Document) -> Self {
        let list = |key: &str| document.fields.get(key).and_then(Value::as_array).into_iter().flatten();
        let dns = list("dns").filter_map(|a| a.as_str()?.parse().ok()).collect();
        Self { usable: list("links").filter_map(usable).collect(), dns }
    }
}

fn usable(entry: &Value) -> Option<Usable> {
    let flag = |key: &str| entry.get(key).and_then(Value::as_bool).unwrap_or(false);
    let text = |key: &str| entry.get(key).and_then(Value::as_str);
    let line = [Line::Wired, Line::Cellular].into_iter().find(|line| text("name") == Some(line.name()))?;
    let interface = text("interface").filter(|name| !name.is_empty())?.to_owned();
    let addresses = entry.get("addresses").and_then(Value::as_array);
    let addresses: Vec<IpAddr> =
        addresses.into_iter().flatten().filter_map(|a| a.as_str()?.parse().ok()).collect();
    let v4 = addresses.iter().any(IpAddr::is_ipv4);
    let v6 = addresses.iter().any(|a| matches!(a, IpAddr::V6(a) if !a.is_unicast_link_local()));
    let usable = Usable { way: Way { line, interface }, v4, v6, metered: flag("metered") };
    (flag("usable") && (v4 || v6)).then_some(usable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_line_counts_when_it_is_usable_and_has_an_address() {
        let link = |name: &str, usable: bool, addresses: &[&str]| json!({"name": name, "interface": "eth0", "usable": usable, "metered": name == "cellular", "addresses": addresses});
        let read = |links: Value| {
            let document = json!({
                "schema": 1, "daemon": "uplink", "version": "0", "boot_id": "b", "monotonic_ms": 1, "wall": null,
                "state": "online", "since_ms": 1, "conditions": [], "links": links, "dns": ["192.0.2.53", "x"],
            });
            Lines::read(&serde_json::from_value(document).unwrap())
        };
        let both = read(json!([
            link("wired", true, &["192.0.2.5", "fe80::1"]),
            link("cellular", true, &["2001:db8::5"])
        ]));
        let facts: Vec<_> = both.usable.iter().map(|l| (l.way.line, l.v4, l.v6, l.metered)).collect();
        assert_eq!(facts, [(Line::Wired, true, false, false), (Line::Cellular, false, true, true)]);
        assert_eq!(both.dns, ["192.0.2.53".parse::<IpAddr>().unwrap()]);
        let none = json!([
            link("wired", false, &["192.0.2.5"]),
            link("cellular", true, &["fe80::1"]),
            link("x", true, &["192.0.2.5"])
        ]);
        assert_eq!(read(none).usable, []);
        assert_eq!(read(json!("nonsense")).usable, []);
    }
}
