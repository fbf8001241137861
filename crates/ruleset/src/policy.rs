//! What the owner of the house decides; the rules follow from it.

use crate::{InterfacePattern, Metered, Network, OwnRules};
use std::collections::BTreeMap;

/// IPv4 or IPv6: both get the same policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// iptables.
    V4,
    /// ip6tables.
    V6,
}

impl Family {
    /// Both, in the order in which they are applied.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];
}

/// The transport of an open port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// A port open to everyone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenPort {
    /// TCP or UDP.
    pub transport: Transport,
    /// Its number.
    pub port: u16,
}

/// The policy of the packet filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Where the house's devices are.
    pub lan: Vec<InterfacePattern>,
    /// Lines to the internet.
    pub uplinks: Vec<InterfacePattern>,
    /// `mode = "gateway"`: LAN traffic may leave through the LAN interface again, towards the
    /// house's router, because the wired line lies behind it.
    pub wired_uplink: bool,
    /// Ports open to everyone, on every interface.
    pub open_ports: Vec<OpenPort>,
    /// TCP ports open to LAN devices.
    pub management_ports: Vec<u16>,
    /// Networks that count as LAN devices beside the private ranges.
    pub management_networks: Vec<Network>,
    /// Networks that are on the LAN interface itself: nobody on an uplink can have such an address.
    pub lan_networks: Vec<Network>,
    /// Whether open ports have a limit of connections, and of new ones, for each source.
    pub limits: bool,
    /// Rules a person wrote.
    pub own: BTreeMap<Family, OwnRules>,
    /// Who may use the uplinks, where they cost by the byte; none: everybody, at no cost.
    pub metered: Option<Metered>,
}

/// The line to the carrier: pppd's interfaces, and the raw-IP interfaces of `cdc_mbim`/`qmi_wwan`.
pub(crate) const CELLULAR: [&str; 2] = ["ppp+", "wwan+"];
/// The health endpoint.
const HEALTH_PORT: u16 = 9000;
/// SSH and the status page.
const MANAGEMENT: [u16; 2] = [22, 80];

impl Policy {
    /// The policy of a fresh appliance with its LAN on one interface.
    pub fn standard(lan: InterfacePattern) -> Self {
        let uplinks = CELLULAR.iter().filter_map(|p| p.parse().ok()).collect();
        Self {
            lan: vec![lan],
            uplinks,
            wired_uplink: false,
            open_ports: vec![OpenPort { transport: Transport::Tcp, port: HEALTH_PORT }],
            management_ports: MANAGEMENT.to_vec(),
            management_networks: Vec::new(),
            lan_networks: Vec::new(),
            limits: true,
            own: BTreeMap::new(),
            metered: None,
        }
    }
}
