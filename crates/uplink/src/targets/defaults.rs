//! The built-in list: services their operators offer to everybody, for this very purpose or as
//! resolvers, in at least three operators a kind and family. Replaced as a whole by `[uplink] targets`.

use super::{Asked, QUESTION};
use inquiry::public::{PAGES, Page, RESOLVERS};
use link_health::{Family, Kind, Target};
use std::net::IpAddr;

const HTTP: u16 = 80;
const HTTPS: u16 = 443;
const DNS: u16 = 53;

pub(super) fn targets() -> Vec<Asked> {
    let mut list = Vec::new();
    for (operator, name, v4, v6) in RESOLVERS {
        for address in [Some(IpAddr::from(v4)), v6.parse().ok()].into_iter().flatten() {
            list.extend(resolver(operator, name, address));
        }
    }
    for page in &PAGES {
        list.push(asked(page, Family::V4, page.hosts[0], "ipv4"));
        list.push(asked(page, Family::V6, page.hosts[1], "ipv6"));
    }
    list
}

fn resolver(operator: &str, certified: &str, address: IpAddr) -> [Asked; 4] {
    let question = || Kind::Dns { name: QUESTION.to_owned() };
    [("icmp", Kind::Icmp, 0), ("dns", question(), DNS), ("tcp", Kind::Tcp, HTTPS), ("tls", Kind::Tls, HTTPS)]
        .map(|(word, kind, port)| {
            let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
            let host = (kind == Kind::Tls).then(|| certified.to_owned());
            let (name, operator) = (format!("{word} {address}"), operator.to_owned());
            let target = Target { name, operator, region: None, kind, family, address: Some(address), port };
            Asked { target, host }
        })
}

fn asked(page: &Page, family: Family, host: &str, word: &str) -> Asked {
    let (path, status, body) = (page.path.to_owned(), page.status, page.body.to_owned());
    let target = Target {
        name: format!("http http://{host}{path} {word}"),
        operator: page.operator.to_owned(),
        region: None,
        kind: Kind::Http { host: host.to_owned(), path, status, body },
        family,
        address: None,
        port: HTTP,
    };
    Asked { target, host: Some(host.to_owned()) }
}
