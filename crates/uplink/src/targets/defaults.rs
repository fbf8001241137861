//! The built-in list: services their operators offer to everybody, for this very purpose or as
//! resolvers, in at least three operators a kind and family. Replaced as a whole by `[uplink] targets`.

use super::{Asked, QUESTION};
use link_health::{Family, Kind, Target};
use std::net::IpAddr;

/// Public resolvers with DNS over HTTPS at the same addresses, so that echo, DNS, TCP and TLS need no
/// name. Operator, name in its certificate, IPv4, IPv6.
/// Cloudflare: developers.cloudflare.com/1.1.1.1/ip-addresses. Google:
/// developers.google.com/speed/public-dns/docs/using. Quad9: quad9.net/service/service-addresses-and-features.
const RESOLVERS: [(&str, &str, [u8; 4], &str); 3] = [
    ("cloudflare", "one.one.one.one", [1, 1, 1, 1], "2606:4700:4700::1111"),
    ("google", "dns.google", [8, 8, 8, 8], "2001:4860:4860::8888"),
    ("quad9", "dns.quad9.net", [9, 9, 9, 9], "2620:fe::fe"),
];

/// A page of an operator for telling whether somebody stands between.
struct Page {
    operator: &'static str,
    hosts: [&'static str; 2],
    path: &'static str,
    status: u16,
    body: &'static str,
}

/// What systems that millions use ask for; their operators keep them answering just this.
const PAGES: [Page; 4] = [
    // Android: `default_captive_portal_http_urls` in packages/modules/NetworkStack, res/values/config.xml.
    Page {
        operator: "google",
        hosts: ["connectivitycheck.gstatic.com"; 2],
        path: "/generate_204",
        status: 204,
        body: "",
    },
    // Firefox: `network.connectivity-service.IPv4.url` and `.IPv6.url` in modules/libpref/init/all.js.
    Page {
        operator: "mozilla",
        hosts: ["detectportal.firefox.com"; 2],
        path: "/success.txt",
        status: 200,
        body: "success",
    },
    // Apple's Captive Network Assistant: a page whose title is "Success".
    Page {
        operator: "apple",
        hosts: ["captive.apple.com"; 2],
        path: "/hotspot-detect.html",
        status: 200,
        body: "<HTML><HEAD><TITLE>Success</TITLE>",
    },
    // Windows: "NCSI change notification", Microsoft Networking Blog, 2023 (ba-p/3866600).
    Page {
        operator: "microsoft",
        hosts: ["www.msftconnecttest.com", "ipv6.msftconnecttest.com"],
        path: "/connecttest.txt",
        status: 200,
        body: "Microsoft Connect Test",
    },
];

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
        list.push(page.asked(Family::V4, page.hosts[0], "ipv4"));
        list.push(page.asked(Family::V6, page.hosts[1], "ipv6"));
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

impl Page {
    fn asked(&self, family: Family, host: &str, word: &str) -> Asked {
        let (path, status, body) = (self.path.to_owned(), self.status, self.body.to_owned());
        let target = Target {
            name: format!("http http://{host}{path} {word}"),
            operator: self.operator.to_owned(),
            region: None,
            kind: Kind::Http { host: host.to_owned(), path, status, body },
            family,
            address: None,
            port: HTTP,
        };
        Asked { target, host: Some(host.to_owned()) }
    }
}
