//! The catalogue of what a line can do to those behind it: one row for each [`Kind`], with where its
//! behaviour is known from. "Issue" names a public thread `owner/repository#number`.

use super::{How, Kind};

/// What is known of a way to fail.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Which one.
    pub kind: Kind,
    /// Its name in scenarios.
    pub name: &'static str,
    /// How services are dead, unless a scenario says otherwise.
    pub how: How,
    /// What else a scenario may say.
    pub takes: &'static [&'static str],
    /// What it does.
    pub does: &'static str,
    /// Where that is known from.
    pub source: &'static str,
}

impl Kind {
    /// Its row.
    pub fn row(self) -> &'static Row {
        &CATALOGUE[self as usize]
    }

    /// The kind of that name.
    ///
    /// # Errors
    /// When there is none, with where to look.
    pub fn named(name: &str) -> Result<Self, String> {
        let row = CATALOGUE.iter().find(|row| row.name == name);
        row.map(|row| row.kind).ok_or_else(|| format!("no fault {name} of a line; `lab faults` lists them"))
    }
}

const fn row(kind: Kind, name: &'static str, takes: &'static [&'static str]) -> Row {
    Row { kind, name, how: How::Drop, takes, does: "", source: "" }
}

/// Every kind, in the order of [`Kind`].
pub const CATALOGUE: [Row; 13] = [
    Row {
        does: "nothing passes, though cable, router and call stay up",
        source: "issue opnsense/core#3364: PPPoE line dead, the gateway beside it still looks well; \
                 RFC 1661 section 5.8: only an echo beyond the first hop shows it",
        ..row(Kind::Down, "down", &[])
    },
    Row {
        does: "`percent` of the packets are lost in each direction (or in `direction` only)",
        source: "issue openwrt/packages#14332 (half of all pings for hours); RFC 3357: loss patterns",
        ..row(Kind::Loss, "loss", &["percent", "direction"])
    },
    Row {
        does: "every packet takes `milliseconds` longer each way, and up to `jitter-milliseconds` more; \
               their order stays",
        source: "issue Anime4000/RTL960x#303: a loaded line's round trip grows from 2 ms to 2.8 s; \
                 RFC 8289 section 1 (bufferbloat)",
        ..row(Kind::Latency, "latency", &["milliseconds", "jitter-milliseconds", "direction"])
    },
    Row {
        does: "packets pass in one direction only; `direction` is the one that dies",
        source: "issue Ozark-Connect/NetworkOptimizer#959: loss downstream only; RFC 3077: links of one direction",
        ..row(Kind::Asymmetric, "asymmetric", &["direction"])
    },
    Row {
        does: "IPv4 dies, IPv6 goes on",
        source: "issues opnsense/core#8064, #7335: one family of a dual stack line is lost, the other stays",
        ..row(Kind::Ipv4, "ipv4", &[])
    },
    Row {
        does: "IPv6 dies, IPv4 goes on",
        source: "issue NLnetLabs/unbound#899: IPv6 lost one hop before its target, IPv4 without loss; \
                 RFC 8305 section 1: broken IPv6 beside working IPv4",
        ..row(Kind::Ipv6, "ipv6", &[])
    },
    Row {
        does: "no name server is reached (UDP and TCP 53); everything else works",
        source: "issue Ranger802004/asusmerlin#26: ping works, the provider's DNS is dead, nothing fails over",
        ..row(Kind::Dns, "dns", &[])
    },
    Row {
        how: How::Open,
        does: "web servers take the connection and say nothing (`how`: open, reset, drop); ping, DNS, TLS work",
        source: "issue libremesh/lime-packages#66: ping sees an internet that pages do not come from; \
                 RFC 3360: resets by boxes on the way",
        ..row(Kind::Http, "http", &["how"])
    },
    Row {
        how: How::Open,
        does: "port 443 opens and nothing speaks TLS (`how`: open, reset, drop)",
        source: "issue Ozark-Connect/NetworkOptimizer#959: TCP lost where ICMP to the same address is clean; \
                 RFC 3360: resets by boxes on the way",
        ..row(Kind::Tls, "tls", &["how"])
    },
    Row {
        does: "the networks of `operators` are not reached, others are: a line without transit",
        source: "the field story (a VDSL line that was up, without international transit); issue \
                 opnsense/core#7635: one well-known target does not answer on a line that works",
        ..row(Kind::Transit, "transit", &["operators"])
    },
    Row {
        how: How::Reset,
        does: "the volume is spent: ping and DNS work, nothing else does (TCP by `how`: reset, drop, open, or \
               redirect: pages lead to the provider's shop)",
        source: "issues Ysurac/openmptcprouter#1674, xamarin/Essentials#1045: ping works, HTTP is dead",
        ..row(Kind::QuotaWall, "quota-wall", &["how"])
    },
    Row {
        how: How::Redirect,
        does: "every page is a login page (302), every name has the portal's address, ping works, the rest \
               is rejected",
        source: "nodogsplash docs/source/howitworks.rst: all blocked, port 80 taken; RFC 8952 section 2.4",
        ..row(Kind::Portal, "portal", &[])
    },
    Row {
        does: "a box answers ping, DNS and TCP for every address, itself without a line",
        source: "issues Ysurac/openmptcprouter#3010 and rounaktadvi/internet_connection_checker#34: the modem \
                 answers, the internet is gone",
        ..row(Kind::GatewayAnswersAll, "gateway-answers-all", &[])
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_order_of_the_kinds_and_say_where_from() {
        for (at, row) in CATALOGUE.iter().enumerate() {
            assert_eq!(row.kind as usize, at, "{}", row.name);
            assert_eq!(Kind::named(row.name), Ok(row.kind));
            assert!(!row.does.is_empty() && !row.source.is_empty(), "{}", row.name);
        }
        assert_eq!(Kind::GatewayAnswersAll as usize + 1, CATALOGUE.len());
    }
}
