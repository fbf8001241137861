//! What `modem-dialer` says about the cellular line, and how far it is believed.

use serde::Deserialize;
use snapshot::Verdict;
use std::net::IpAddr;

/// The cellular line as `modem-dialer` reports it while it is up.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Cellular {
    /// pppd's interface, or the stick's own network card.
    pub interface: String,
    /// Which of the two; a daemon that does not say has PPP.
    #[serde(default)]
    pub kind: Kind,
    /// The peer, or the gateway behind a network card.
    #[serde(default)]
    pub remote: Option<IpAddr>,
    /// Our address.
    pub local: Option<IpAddr>,
    /// The carrier's DNS servers.
    #[serde(default)]
    pub dns: Vec<IpAddr>,
}

/// What carries the cellular line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A point-to-point link: whatever goes in comes out at the peer.
    #[default]
    Ppp,
    /// An Ethernet with a gateway in the stick.
    NetworkCard,
}

impl Cellular {
    /// Through whom the internet is reached; nobody has to be named on a point-to-point link.
    pub(crate) fn gateway(&self) -> Option<IpAddr> {
        self.remote.filter(|_| self.kind == Kind::NetworkCard)
    }
}

/// What is known of the modem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Modem {
    /// It says so itself, just now.
    Known(Option<Cellular>),
    /// Its snapshot is too old to be believed, or broken; with what it said last.
    Silent(Option<Cellular>),
}

impl Modem {
    /// Judges the snapshot. One of another boot, or none, means that the modem has not started yet.
    pub fn judge(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Stale(document, _) => Self::Silent(document.fields.get("link").and_then(cellular)),
            Verdict::Broken(_) => Self::Silent(None),
            _ => Self::Known(verdict.fresh().and_then(|document| cellular(document.fields.get("link")?))),
        }
    }
}

/// Only names that pppd and the cellular drivers use: a default route over anything else would be
/// somebody else's mistake made ours.
fn cellular(link: &serde_json::Value) -> Option<Cellular> {
    let link: Option<Cellular> = match serde_json::from_value(link.clone()) {
        Ok(link) => link,
        Err(error) => {
            log::warn!("the modem's `link` makes no sense: {error}");
            None
        }
    };
    let named = link.filter(|l| l.interface.starts_with("ppp") || l.interface.starts_with("wwan"));
    // A card without a gateway leads nowhere.
    named.filter(|l| l.kind == Kind::Ppp || l.remote.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_link_is_read_with_its_name_servers() {
        let link = json!({"interface": "ppp0", "local": "100.64.0.2", "remote": "10.64.64.64",
                          "dns": ["198.51.100.53"], "mtu": 1500});
        let read = cellular(&link).unwrap();
        assert_eq!(read.interface, "ppp0");
        assert_eq!(read.dns, ["198.51.100.53".parse::<IpAddr>().unwrap()]);
        assert_eq!((read.kind, read.gateway()), (Kind::Ppp, None));
    }

    #[test]
    fn a_network_card_is_reached_through_its_gateway() {
        let link = json!({"interface": "wwan0", "kind": "network-card", "local": "192.168.8.100",
                          "remote": "192.168.8.1", "dns": []});
        let read = cellular(&link).unwrap();
        assert_eq!(read.gateway(), Some("192.168.8.1".parse().unwrap()));
    }

    #[test]
    fn nonsense_is_no_link() {
        assert_eq!(cellular(&json!(null)), None);
        assert_eq!(cellular(&json!({"interface": "eth0", "local": "192.168.1.2"})), None);
        assert_eq!(cellular(&json!({"interface": "ppp0", "local": "nowhere"})), None);
        assert_eq!(cellular(&json!("ppp0")), None);
        assert_eq!(cellular(&json!({"interface": "wwan0", "kind": "network-card"})), None);
    }
}
