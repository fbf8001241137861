//! What is to be there: the names with `failover=yes`, and the address of each line.

use std::collections::BTreeMap;
use std::net::IpAddr;

use config::DnsLink;

use super::{INTERVAL, PATH, PORT, THRESHOLD, WIRED_SET};
use crate::address::{Reach, reach};
use crate::lines::{Lines, Source};
use crate::provider::Account;
use crate::provider::route53;
use crate::provider::route53::health::{HTTP, HealthConfig};
use crate::settings::Settings;
use crate::talk::Family;

/// The address of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// It can be reached there.
    At(IpAddr),
    /// It has none just now, or nobody knows it; and what to do.
    Unknown(String),
    /// Nobody outside reaches the one it has; and what to do.
    Unreachable(IpAddr, String),
}

/// One name and family, with a record set for each line.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The name.
    pub name: String,
    /// A or AAAA.
    pub family: Family,
    /// Seconds.
    pub ttl: u32,
    /// The account's name.
    pub account_name: String,
    /// The account.
    pub account: route53::Account,
    /// The line that comes first.
    pub wired: Line,
    /// The other.
    pub cellular: Line,
}

/// Where addresses come from, best first.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Those a person gave for the wired line.
    pub wired: Vec<IpAddr>,
    /// The same for the cellular one.
    pub cellular: Vec<IpAddr>,
    /// What `uplink` says, where it says anything.
    pub lines: Option<Lines>,
    /// What somebody outside said of lines behind routers.
    pub outside: BTreeMap<String, IpAddr>,
}

/// The check of a wired line at `address`.
pub fn check(address: IpAddr) -> HealthConfig {
    HealthConfig {
        address: Some(address),
        port: Some(PORT),
        kind: HTTP.to_owned(),
        path: Some(PATH.to_owned()),
        interval: Some(INTERVAL),
        threshold: Some(THRESHOLD),
        ..HealthConfig::default()
    }
}

/// All that is wanted.
pub fn wanted(settings: &Settings, sources: &Sources) -> Vec<Wanted> {
    let of_names = settings.records.iter().filter_map(|record| match &record.account {
        // Each pair once, by its first set.
        Account::Route53(account) if account.failover && account.set.as_deref() == Some(WIRED_SET) => {
            Some((record, account))
        }
        _ => None,
    });
    of_names
        .map(|(record, account)| Wanted {
            name: record.name.clone(),
            family: record.family,
            ttl: record.ttl,
            account_name: record.account_name.clone(),
            account: route53::Account { set: None, ..account.clone() },
            wired: sources.line(DnsLink::Wired, record.family),
            cellular: sources.line(DnsLink::Cellular, record.family),
        })
        .collect()
}

impl Sources {
    /// The line behind a router whose address nobody has said yet.
    pub fn unasked(&self) -> Option<&'static str> {
        let lines = self.lines.as_ref()?;
        let given = self.wired.iter().any(IpAddr::is_ipv4);
        let asked = lines.source("wired", Family::V4) == Source::Outside && !given;
        (asked && !self.outside.contains_key("wired")).then_some("wired")
    }

    fn line(&self, link: DnsLink, family: Family) -> Line {
        let (name, given) = match link {
            DnsLink::Cellular => ("cellular", &self.cellular),
            _ => ("wired", &self.wired),
        };
        if let Some(address) = given.iter().find(|address| Family::of(**address) == family) {
            return judged(*address);
        }
        let word = if family == Family::V4 { "IPv4" } else { "IPv6" };
        let Some(lines) = &self.lines else {
            return Line::Unknown(format!(
                "nothing here tells the {word} address of the {name} line; give it: --{name} ADDRESS"
            ));
        };
        match (lines.source(name, family), self.outside.get(name)) {
            (Source::Interface(address), _) => judged(address),
            (Source::Outside, Some(address)) => judged(*address),
            (Source::Outside, None) => Line::Unknown(format!(
                "the {name} line is behind a router whose {word} address nobody has told; try again later, \
                 or give it: --{name} ADDRESS"
            )),
            (Source::Nowhere, _) => Line::Unknown(format!(
                "the {name} line has no {word} address now; try again when it is up, or give it: \
                 --{name} ADDRESS"
            )),
        }
    }
}

fn judged(address: IpAddr) -> Line {
    let cure = "ask the provider for an access point (apn) with a public address";
    match reach(address) {
        Reach::Public => Line::At(address),
        Reach::CarrierNat => Line::Unreachable(
            address,
            format!(
                "is shared by the provider among its customers (carrier-grade NAT), nobody outside reaches it; {cure}"
            ),
        ),
        Reach::Private => {
            Line::Unreachable(address, format!("is of a private network, nobody outside reaches it; {cure}"))
        }
        Reach::Nobody => Line::Unreachable(address, "is no address anybody can reach".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn sources(wired: &[&str], cellular: &[&str]) -> Sources {
        let line = |interface: &str, addresses: &[&str]| lines::Line {
            interface: interface.into(),
            usable: true,
            addresses: addresses.iter().map(|a| ip(a)).collect(),
        };
        let links =
            [("wired".to_owned(), line("eth0", wired)), ("cellular".to_owned(), line("ppp0", cellular))];
        Sources { lines: Some(Lines { active: None, links: links.into() }), ..Sources::default() }
    }

    fn why(line: Line) -> String {
        match line {
            Line::Unknown(why) | Line::Unreachable(_, why) => why,
            Line::At(address) => panic!("{address}"),
        }
    }

    #[test]
    fn what_a_person_gives_comes_first_and_what_is_missing_is_asked_for() {
        let mut sources = sources(&["192.168.1.5"], &["198.51.100.7"]);
        assert_eq!(sources.line(DnsLink::Cellular, Family::V4), Line::At(ip("198.51.100.7")));
        assert_eq!(sources.unasked(), Some("wired"));
        assert!(why(sources.line(DnsLink::Wired, Family::V4)).contains("--wired ADDRESS"));
        sources.outside.insert("wired".into(), ip("203.0.113.5"));
        assert_eq!(sources.line(DnsLink::Wired, Family::V4), Line::At(ip("203.0.113.5")));
        sources.wired = vec![ip("203.0.113.9")];
        assert_eq!(sources.line(DnsLink::Wired, Family::V4), Line::At(ip("203.0.113.9")));
        assert!(why(sources.line(DnsLink::Wired, Family::V6)).contains("no IPv6 address"));
        assert!(why(Sources::default().line(DnsLink::Cellular, Family::V4)).contains("--cellular ADDRESS"));
    }

    #[test]
    fn carrier_grade_nat_has_its_cure() {
        let sources = sources(&[], &["100.64.3.4"]);
        let line = sources.line(DnsLink::Cellular, Family::V4);
        assert!(matches!(line, Line::Unreachable(address, _) if address == ip("100.64.3.4")));
        assert!(why(line).contains("apn"));
    }

    #[test]
    fn every_family_of_a_name_is_wanted_once_and_other_names_are_not() {
        let text = "[dyndns]\nnames = [\"h.e.org account=a failover=yes family=both\", \"x.e.org account=a\"]\n\
                    accounts = [\"a: route53 zone=Z1 key-id=AK secret=s\"]\n";
        let settings = crate::settings::settings(&config::parse(text.as_bytes()).unwrap());
        let wanted = wanted(&settings, &Sources::default());
        let kinds: Vec<_> = wanted.iter().map(|w| (w.name.as_str(), w.family.record())).collect();
        assert_eq!(kinds, [("h.e.org", "A"), ("h.e.org", "AAAA")]);
        assert!(wanted.iter().all(|w| w.account.set.is_none()));
    }
}
