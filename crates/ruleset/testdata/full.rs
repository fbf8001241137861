//! A policy that asks for everything, shared by the golden tests and `examples/restore.rs`.

use ruleset::{Device, Family, Guard, Metered, OpenPort, OwnRules, Policy, Transport};

const OWN: &str = "*filter\n:knock - [0:0]\n-A INPUT -p tcp --dport 2222 -j knock\n\
    -A knock -m comment --comment \"my \\\"own\\\" rule\" -j ACCEPT\nCOMMIT\n\
    *nat\n-A PREROUTING -p tcp --dport 81 -j REDIRECT --to-ports 80\nCOMMIT\n";

/// Gateway mode, a metered line that is cut, own rules, networks of both families.
pub(crate) fn policy() -> Policy {
    let device = |text: &str| Device::Network(text.parse().expect("a network"));
    let own = OwnRules::parse(OWN).expect("rules");
    let mut policy = Policy::standard("eth0".parse().expect("an interface"));
    policy.wired_uplink = true;
    policy.open_ports.push(OpenPort { transport: Transport::Udp, port: 51820 });
    policy.management_networks =
        ["203.0.113.0/24", "2001:db8:1::/64"].map(|n| n.parse().expect("a network")).to_vec();
    policy.lan_networks = ["192.168.178.0/24", "fd00:1::/64"].map(|n| n.parse().expect("a network")).to_vec();
    policy.own = [(Family::V4, own.clone()), (Family::V6, own)].into();
    policy.metered = Some(Metered {
        allow: vec![device("192.168.178.20")],
        essential: vec![Device::Mac("aa:bb:cc:dd:ee:ff".parse().expect("an address")), device("fd00:1::20")],
        guard: Guard::Cut,
    });
    policy
}
