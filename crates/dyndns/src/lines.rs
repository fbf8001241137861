//! The lines as `uplink` tells of them, and which address a name gets. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;

use config::DnsLink;
use serde_json::Value;
use snapshot::Document;

use crate::address::{Reach, choose, reach};
use crate::socket::Way;
use crate::talk::Family;

/// The line behind the house's router, whose address is asked for.
const WIRED: &str = "wired";

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
    /// Whether traffic can take it.
    pub usable: bool,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

/// Where an address comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// There is none.
    Nowhere,
    /// The interface's own, as it is.
    Interface(IpAddr),
    /// A router has it; somebody outside must be asked.
    Outside,
}

impl Lines {
    /// What `uplink` says.
    pub fn read(document: &Document) -> Self {
        let fields = Value::Object(document.fields.clone());
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let one = |link: &Value| {
            let addresses = link.get("addresses").and_then(Value::as_array);
            let addresses =
                addresses.into_iter().flatten().filter_map(|a| a.as_str()?.parse().ok()).collect();
            let usable = link.get("usable").and_then(Value::as_bool).unwrap_or(false);
            let interface = text(link, "interface").unwrap_or_default();
            Some((text(link, "name")?, Line { interface, usable, addresses }))
        };
        let links = fields.get("links").and_then(Value::as_array);
        Self { active: text(&fields, "active"), links: links.into_iter().flatten().filter_map(one).collect() }
    }

    /// The name of the line that `link` means now.
    pub fn meant(&self, link: DnsLink) -> Option<&str> {
        match link {
            DnsLink::Active => self.active.as_deref(),
            DnsLink::Wired => Some(WIRED),
            DnsLink::Cellular => Some("cellular"),
        }
    }

    /// Where the address of the line `name` comes from.
    ///
    /// The stick's own address is the line's: one that nobody can reach is an error there, and asking
    /// around would only hide it. The wired line's is the router's, unless it is public; IPv6 is not
    /// translated.
    pub fn source(&self, name: &str, family: Family) -> Source {
        let Some(line) = self.links.get(name) else { return Source::Nowhere };
        match choose(&line.addresses, family) {
            None => Source::Nowhere,
            Some(own) if name == WIRED && family == Family::V4 && reach(own) != Reach::Public => {
                Source::Outside
            }
            Some(own) => Source::Interface(own),
        }
    }

    /// The way to ask something over the line `name`, if it carries traffic.
    pub fn way(&self, name: &str) -> Option<Way> {
        let line = self.links.get(name).filter(|line| line.usable && !line.interface.is_empty())?;
        Some(Way { line: name.to_owned(), interface: line.interface.clone() })
    }

    /// Whether anything can be asked at all.
    pub fn any(&self) -> bool {
        self.links.values().any(|line| line.usable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(wired: &[&str], cellular: &[&str]) -> Lines {
        let line = |interface: &str, addresses: &[&str]| Line {
            interface: interface.into(),
            usable: true,
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
        };
        let links =
            [("wired".to_owned(), line("eth0", wired)), ("cellular".to_owned(), line("ppp0", cellular))];
        Lines { active: Some("wired".into()), links: links.into() }
    }

    #[test]
    fn the_routers_address_is_asked_for_and_the_sticks_is_its_own() {
        let both = lines(&["192.168.1.5", "2001:db8:1::5"], &["100.64.3.4"]);
        assert_eq!(both.source("wired", Family::V4), Source::Outside);
        assert_eq!(both.source("wired", Family::V6), Source::Interface("2001:db8:1::5".parse().unwrap()));
        assert_eq!(both.source("cellular", Family::V4), Source::Interface("100.64.3.4".parse().unwrap()));
        assert_eq!(both.source("cellular", Family::V6), Source::Nowhere);
        let public = lines(&["203.0.113.5"], &[]);
        assert_eq!(public.source("wired", Family::V4), Source::Interface("203.0.113.5".parse().unwrap()));
    }

    #[test]
    fn a_name_of_the_active_line_follows_it() {
        let mut lines = lines(&[], &[]);
        assert_eq!(lines.meant(DnsLink::Active), Some("wired"));
        lines.active = Some("cellular".into());
        assert_eq!(lines.meant(DnsLink::Active), Some("cellular"));
        lines.active = None;
        assert_eq!(lines.meant(DnsLink::Active), None);
        assert_eq!(lines.meant(DnsLink::Cellular), Some("cellular"));
    }
}
