//! Whom the lines' probes ask: the owner's list, or the one this product comes with.

mod defaults;

use config::{Host, ProbeKind, ProbeTarget};
use link_health::{Family, Kind, Target};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;

/// Asked of name servers unless the owner names another: held by IANA for documentation (RFC 2606
/// section 3), short, and in every cache.
const QUESTION: &str = "example.com";

/// A target and what asking it takes besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// As `link-health` knows it.
    pub target: Target,
    /// The name to resolve, and to greet a TLS server with.
    pub host: Option<String>,
}

/// The targets of the owner's list; the built-in ones where that is empty.
pub fn targets(owner: &[ProbeTarget]) -> Vec<Rc<Asked>> {
    let list: Vec<Asked> =
        if owner.is_empty() { defaults::targets() } else { owner.iter().flat_map(asked).collect() };
    let mut seen = BTreeSet::new();
    list.into_iter().filter(|asked| seen.insert(asked.target.name.clone())).map(Rc::new).collect()
}

/// The literal name servers among them, for resolving the others' names.
pub(crate) fn resolvers(list: &[Rc<Asked>]) -> Vec<IpAddr> {
    let servers = list.iter().filter(|a| matches!(a.target.kind, Kind::Dns { .. }));
    servers.filter_map(|a| a.target.address).collect()
}

/// One target for an address, one for each family for a name.
fn asked(from: &ProbeTarget) -> Vec<Asked> {
    match &from.host {
        Host::Address(address) => {
            let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
            vec![one(from, from.name(), Some(*address), family)]
        }
        Host::Name(_) => [(Family::V4, "ipv4"), (Family::V6, "ipv6")]
            .map(|(family, word)| one(from, format!("{} {word}", from.name()), None, family))
            .into(),
    }
}

fn one(from: &ProbeTarget, name: String, address: Option<IpAddr>, family: Family) -> Asked {
    let host_name = match &from.host {
        Host::Name(name) => Some(name.clone()),
        Host::Address(_) => None,
    };
    let authority = match &from.host {
        Host::Name(name) => name.clone(),
        Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
        Host::Address(address) => address.to_string(),
    };
    let (kind, greeting) = match &from.kind {
        ProbeKind::Icmp => (Kind::Icmp, None),
        ProbeKind::Tcp => (Kind::Tcp, None),
        ProbeKind::Tls { name } => (Kind::Tls, name.clone()),
        ProbeKind::Dns { name } => {
            (Kind::Dns { name: name.clone().unwrap_or_else(|| QUESTION.to_owned()) }, None)
        }
        ProbeKind::Http { path, status, body } => {
            let host = if from.port == 80 { authority } else { format!("{authority}:{}", from.port) };
            (Kind::Http { host, path: path.clone(), status: *status, body: body.clone() }, None)
        }
    };
    let operator = from.operator.clone().unwrap_or_else(|| guess(&from.host));
    let region = from.region.clone();
    let target = Target { name, operator, region, kind, family, address, port: from.port };
    Asked { target, host: greeting.or(host_name) }
}

/// Whose a target is when nobody says: the last two labels of a name, or the address.
fn guess(host: &Host) -> String {
    match host {
        Host::Address(address) => address.to_string(),
        Host::Name(name) => {
            let labels: Vec<&str> = name.rsplit('.').take(2).collect();
            labels.into_iter().rev().collect::<Vec<_>>().join(".")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn parsed(text: &str) -> Vec<ProbeTarget> {
        let file = format!("[uplink]\ntargets = [\"{text}\"]\n");
        config::parse(file.as_bytes()).unwrap().uplink.targets
    }

    #[test]
    fn a_name_is_asked_by_both_families_and_an_address_by_its_own() {
        let list = targets(&parsed("http http://www.example.org/x status=204"));
        assert_eq!(list.len(), 2);
        assert_eq!(list[1].target.family, Family::V6);
        assert_eq!(list[0].host.as_deref(), Some("www.example.org"));
        assert_eq!(list[0].target.operator, "example.org");
        let list = targets(&parsed("tls 2001:db8::1 name=dns.example"));
        assert_eq!((list.len(), list[0].target.family), (1, Family::V6));
        assert_eq!(list[0].host.as_deref(), Some("dns.example"));
    }

    #[test]
    fn the_same_target_twice_is_asked_once() {
        let twice = [parsed("icmp 192.0.2.1"), parsed("icmp 192.0.2.1 operator=other")].concat();
        assert_eq!(targets(&twice).len(), 1);
    }

    #[test]
    fn the_built_in_list_has_three_operators_for_every_kind_and_family() {
        let mut operators: BTreeMap<(String, Family), BTreeSet<String>> = BTreeMap::new();
        for asked in targets(&[]) {
            let kind = asked.target.name.split(' ').next().unwrap_or_default().to_owned();
            operators.entry((kind, asked.target.family)).or_default().insert(asked.target.operator.clone());
        }
        assert_eq!(operators.len(), 10);
        for (what, operators) in operators {
            assert!(operators.len() >= 3, "{what:?}: {operators:?}");
        }
    }
}
