//! The policy as rules, for both families of one mind.

use crate::marks::PROBE_DSCP;
use crate::{
    Family, Network, OpenPort, OwnTable, Policy, Ruleset, Transport, canonical_rule, marking, metered, open,
};
use std::collections::BTreeMap;

/// From where management is reached without being asked: RFC 1918, and link-local (RFC 3927).
pub(crate) const PRIVATE_V4: [&str; 4] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"];
/// Link-local (RFC 4291) and unique local addresses (RFC 4193).
pub(crate) const PRIVATE_V6: [&str; 2] = ["fe80::/10", "fc00::/7"];

/// Sources nobody on a line can have (RFC 6890): "this network", loopback, multicast, reserved.
/// Private ranges are not among them: carriers number their own network with 10/8 and 100.64/10.
const IMPOSSIBLE_V4: [&str; 4] = ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4"];
const IMPOSSIBLE_V6: [&str; 3] = ["::1/128", "::ffff:0:0/96", "ff00::/8"];

/// What a host must not drop: errors that path MTU discovery and traceroute live on, and echo.
const ICMP_V4: [u8; 4] = [3, 11, 12, 8];
/// RFC 4890, section 4.4.1: traffic that must not be dropped.
const ICMP_V6: [u8; 6] = [1, 2, 3, 4, 128, 129];
/// Router and neighbour discovery: valid only with a hop limit of 255 (RFC 4861, sections 6.1 and 7.1).
const DISCOVERY_V6: [u8; 4] = [133, 134, 135, 136];
/// Multicast listener discovery comes from link-local sources (RFC 2710, RFC 3810).
const LISTENER_V6: [u8; 4] = [130, 131, 132, 143];

const INPUT: &str = "FB-INPUT";
const MANAGEMENT: &str = "FB-MANAGEMENT";
const FORWARD: &str = "FB-FORWARD";
const POSTROUTING: &str = "FB-POSTROUTING";

/// The rules a policy asks for in one family.
pub fn desired(policy: &Policy, family: Family) -> Ruleset {
    let mut chains = vec![
        (INPUT, input(policy, family)),
        (MANAGEMENT, management(policy, family)),
        (FORWARD, forward(policy, family)),
    ];
    chains.extend(metered::chains(policy, family));
    chains.extend(open::chains(policy, family));
    let filter = table(&[("INPUT", INPUT), ("FORWARD", FORWARD)], chains);
    let mut chains = vec![(FORWARD, segment_size(policy))];
    chains.extend(marking::chains(policy, family));
    let mangle = table(&[&marking::JUMPS[..], &[("FORWARD", FORWARD)]].concat(), chains);
    let nat = table(&[("POSTROUTING", POSTROUTING)], vec![(POSTROUTING, translation(policy))]);
    let tables = [("filter", filter), ("mangle", mangle), ("nat", nat)];
    let mut rules =
        Ruleset { tables: tables.into_iter().map(|(name, table)| (name.to_owned(), table)).collect() };
    if let Some(own) = policy.own.get(&family) {
        own.merge_into(&mut rules);
    }
    rules
}

fn table(jumps: &[(&str, &str)], chains: Vec<(&str, Vec<String>)>) -> OwnTable {
    let canonical = |rules: Vec<String>| rules.iter().map(|rule| canonical_rule(rule)).collect();
    let chains: BTreeMap<_, _> =
        chains.into_iter().map(|(name, rules)| (name.to_owned(), canonical(rules))).collect();
    let mut jumps: Vec<_> = jumps.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
    jumps.sort();
    OwnTable { chains, jumps, policies: BTreeMap::new() }
}

fn input(policy: &Policy, family: Family) -> Vec<String> {
    let mut rules = vec!["-i lo -j ACCEPT".to_owned()];
    rules.extend(impossible_sources(family).map(|source| format!("-s {source} -j DROP")));
    rules.extend(spoofed(policy, family));
    rules.extend(established());
    rules.extend(icmp(family));
    for lan in &policy.lan {
        // A lease is asked for without an address, so the answer belongs to no known connection.
        rules.push(match family {
            Family::V4 => format!("-i {lan} -p udp --sport 67 --dport 68 -j ACCEPT"),
            Family::V6 => format!("-s fe80::/10 -i {lan} -p udp --sport 547 --dport 546 -j ACCEPT"),
        });
    }
    for OpenPort { transport, port } in &policy.open_ports {
        let protocol = match transport {
            Transport::Tcp => "tcp",
            Transport::Udp => "udp",
        };
        rules.push(format!(
            "-p {protocol} --dport {port} -m conntrack --ctstate NEW -j {}",
            open::target(policy)
        ));
    }
    for lan in &policy.lan {
        for port in &policy.management_ports {
            rules.push(format!("-i {lan} -p tcp --dport {port} -m conntrack --ctstate NEW -j {MANAGEMENT}"));
        }
    }
    rules.push("-j DROP".to_owned());
    rules
}

fn management(policy: &Policy, family: Family) -> Vec<String> {
    let (private, v4) = match family {
        Family::V4 => (&PRIVATE_V4[..], true),
        Family::V6 => (&PRIVATE_V6[..], false),
    };
    let own = policy.management_networks.iter().filter(|n| n.is_ipv4() == v4).map(Network::to_string);
    let mut sources: Vec<String> = private.iter().map(|s| (*s).to_owned()).collect();
    for network in own {
        if !sources.contains(&network) {
            sources.push(network);
        }
    }
    sources.iter().map(|source| format!("-s {source} -j ACCEPT")).collect()
}

fn forward(policy: &Policy, family: Family) -> Vec<String> {
    let mut rules: Vec<String> =
        impossible_sources(family).map(|source| format!("-s {source} -j DROP")).collect();
    rules.extend(spoofed(policy, family));
    for lan in &policy.lan {
        // A probe of the wired line that a house's router handed back to us: see `PROBE_DSCP`.
        let back = |uplink| format!("-i {lan} -o {uplink} -m dscp --dscp {PROBE_DSCP:#04x} -j DROP");
        rules.extend(policy.uplinks.iter().map(back));
    }
    // Before what is established: a device that may no longer is cut off in mid-flow.
    rules.extend(metered::jumps(policy));
    rules.extend(established());
    // A LAN device learns at once that there is no line, instead of waiting for its own timeout.
    let refusal = match family {
        Family::V4 => "icmp-net-unreachable",
        Family::V6 => "icmp6-no-route",
    };
    for lan in &policy.lan {
        rules.extend(policy.uplinks.iter().map(|uplink| format!("-i {lan} -o {uplink} -j ACCEPT")));
        if policy.wired_uplink {
            rules.extend(policy.lan.iter().map(|out| format!("-i {lan} -o {out} -j ACCEPT")));
        }
    }
    rules.extend(policy.lan.iter().map(|lan| format!("-i {lan} -j REJECT --reject-with {refusal}")));
    rules.push("-j DROP".to_owned());
    rules
}

/// A carrier's MTU is often below 1500 and its ICMP errors are often filtered: without clamping,
/// connections open and then hang.
fn segment_size(policy: &Policy) -> Vec<String> {
    const CLAMP: &str = "-p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu";
    let both = policy
        .uplinks
        .iter()
        .flat_map(|uplink| [format!("-o {uplink} {CLAMP}"), format!("-i {uplink} {CLAMP}")]);
    both.collect()
}

fn translation(policy: &Policy) -> Vec<String> {
    // IPv6, too: a carrier gives one /64 to the stick, none to the house.
    let wired = policy.lan.iter().filter(|_| policy.wired_uplink);
    policy.uplinks.iter().chain(wired).map(|out| format!("-o {out} -j MASQUERADE")).collect()
}

fn impossible_sources(family: Family) -> impl Iterator<Item = &'static str> {
    match family {
        Family::V4 => IMPOSSIBLE_V4.iter(),
        Family::V6 => IMPOSSIBLE_V6.iter(),
    }
    .copied()
}

/// A house's address that comes in by an uplink is a lie (RFC 2827). The kernel's loose reverse-path
/// filter would let it pass, and has none for IPv6.
fn spoofed(policy: &Policy, family: Family) -> impl Iterator<Item = String> {
    let networks = policy.lan_networks.iter().filter(move |n| n.is_ipv4() == (family == Family::V4));
    networks.flat_map(|network| {
        policy.uplinks.iter().map(move |uplink| format!("-s {network} -i {uplink} -j DROP"))
    })
}

fn established() -> [String; 2] {
    ["ESTABLISHED,RELATED -j ACCEPT", "INVALID -j DROP"].map(|end| format!("-m conntrack --ctstate {end}"))
}

fn icmp(family: Family) -> Vec<String> {
    let v6 = |number: &u8| format!("-p ipv6-icmp --icmpv6-type {number}");
    match family {
        Family::V4 => ICMP_V4.iter().map(|n| format!("-p icmp --icmp-type {n} -j ACCEPT")).collect(),
        Family::V6 => {
            let open = ICMP_V6.iter().map(|n| format!("{} -j ACCEPT", v6(n)));
            let discovery = DISCOVERY_V6.iter().map(|n| format!("{} -m hl --hl-eq 255 -j ACCEPT", v6(n)));
            let listener = LISTENER_V6.iter().map(|n| format!("-s fe80::/10 {} -j ACCEPT", v6(n)));
            open.chain(discovery).chain(listener).collect()
        }
    }
}
