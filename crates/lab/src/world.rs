//! The world around the appliance: internet, the house's router and wired line, a LAN client.
//!
//! ```text
//!  internet ── wan [wired line] wan ── router ── lan ┐
//!     │                                              ├─ house (bridge) ── tap: the appliance, 10.77.0.2
//!     └─ cell [cellular line] net ── carrier         │
//!                                      │   client ───┘
//!                                      └─ the stick's other end
//! ```
//!
//! Every box is a network namespace of its own; nothing in them can reach the builder's network.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::carrier::card::{CARD_SUBSCRIBER, CardNetwork};
use crate::error::Result;
use crate::line::{Line, LineFault, Lines, Mended};
use crate::net::http::{self, Response, Url};
use crate::net::internet::{self, dnsmasq};
use crate::net::{Namespace, dns, route53, zone};
use crate::process::Keep;

/// The appliance in the LAN: the router reserves this address for its MAC.
pub const APPLIANCE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The prefix is Raspberry Pi's (IEEE registry: B8-27-EB). It must be globally administered:
/// the kernel's usbnet names an adapter `ethN` only then, else `usbN` (drivers/net/usb/usbnet.c).
pub const APPLIANCE_MAC: &str = "b8:27:eb:fa:11:be";
/// The house's router in the LAN: gateway, DHCP and DNS.
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The house's router on the wired line (RFC 5737 TEST-NET-3).
pub const WIRED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
/// The internet's name servers (RFC 5737 TEST-NET-1).
pub const NAME_SERVERS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 53), Ipv4Addr::new(192, 0, 2, 54)];
/// What QEMU's `usb-net` makes of that MAC: its first byte is always 0x40
/// (hw/usb/dev-network.c, `usb_net_realize`).
pub const APPLIANCE_USB_MAC: &str = "40:27:eb:fa:11:be";
/// The LAN client's hardware address, locally administered: what `[metered]` can name.
pub const CLIENT_MAC: &str = "02:00:00:77:00:10";
/// The tap the appliance's network adapter is attached to, in the house's namespace.
pub const TAP: &str = "appliance";
/// A public resolver, which a client behind the appliance asks by its address.
pub const PUBLIC_RESOLVER: Ipv4Addr = Ipv4Addr::new(9, 9, 9, 9);
/// The house's own IPv6 network, where its line has one (RFC 3849), beside its unique local one.
pub const HOUSE_PREFIX: &str = "2001:db8:77::";
/// The subscriber's IPv6 network behind the carrier.
pub const CARRIER_PREFIX: &str = "2001:db8:cc::";
/// The carrier's own address in the internet.
const CARRIER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 130);
/// A subscriber and the carrier's end of its call, where the carrier shares one public address among its
/// customers (RFC 6598: 100.64.0.0/10 is for that).
pub const SHARED_SUBSCRIBER: (Ipv4Addr, Ipv4Addr) =
    (Ipv4Addr::new(100, 64, 7, 20), Ipv4Addr::new(100, 64, 7, 1));
/// DNS (IANA).
const DNS_PORT: u16 = 53;

/// Which way a page went, as its server saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// The house's wired line.
    Wired,
    /// The appliance's stick.
    Cellular,
}

/// The namespaces and the servers in them; all end with this value.
#[derive(Debug)]
pub struct World {
    /// Servers, and the carrier's TUN.
    pub internet: Arc<Namespace>,
    /// Between the internet and the stick.
    pub carrier: Namespace,
    /// The lines to the internet.
    pub lines: Lines,
    /// The house's router.
    pub router: Namespace,
    /// The LAN's bridge, with the appliance's tap.
    pub house: Namespace,
    /// A device in the LAN.
    pub client: Arc<Namespace>,
    /// The inside of a stick that is a network card, where a scenario has one.
    pub card: Option<CardNetwork>,
    /// Route 53's API, where a scenario has it.
    pub route53: Option<route53::Route53>,
    /// The messages that reached `http://web.test/alert`.
    pub alerts: internet::Alerts,
    /// Who resolves names for the LAN client.
    resolver: Ipv4Addr,
    _servers: Vec<Keep>,
    _zone: Option<zone::ZoneServer>,
}

/// What differs from one world to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Plan {
    /// Who is the LAN client's gateway.
    pub gateway: Gateway,
    /// Whether both lines carry IPv6, and the house has a network of its own.
    pub ipv6: bool,
    /// Whether the carrier translates its subscriber's address.
    pub carrier_nat: bool,
    /// Whether there is a zone that takes updates.
    pub zone: bool,
    /// Whether there is Route 53's API.
    pub route53: bool,
    /// What the lines' randomness is made from.
    pub seed: u64,
}

/// Whom the LAN sends its packets to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gateway {
    /// The house's router.
    #[default]
    Router,
    /// The appliance (`network.mode = "gateway"`); names come from a public resolver.
    Appliance,
}

impl World {
    /// Builds it; logs of its servers go to `logs`.
    ///
    /// # Errors
    /// When the kernel or a server refuses.
    pub fn create(logs: &Path, plan: Plan) -> Result<Self> {
        let internet = Namespace::create("internet")?;
        let carrier = Namespace::create("carrier")?;
        let router = Namespace::create("router")?;
        let house = Namespace::create("house")?;
        let client = Namespace::create("client")?;
        wire_house(&house, &router, &client, plan)?;
        let lines = Lines::lay(&internet, &router, &carrier, plan.seed)?;
        wire_lines(&internet, &router, &carrier, plan)?;
        router_rules(&router)?;
        let alerts = internet::Alerts::default();
        let mut servers = internet::populate(&internet, &NAME_SERVERS, logs, &alerts)?;
        servers.push(house_server(&router, logs, plan)?);
        let route53 = if plan.route53 { Some(route53::start(&internet, logs)?) } else { None };
        let zone = if plan.zone { Some(zone::start(&internet, logs)?) } else { None };
        let resolver = match plan.gateway {
            Gateway::Router => ROUTER,
            Gateway::Appliance => PUBLIC_RESOLVER,
        };
        Ok(Self {
            internet: Arc::new(internet),
            carrier,
            lines,
            router,
            house,
            client: Arc::new(client),
            card: None,
            alerts,
            resolver,
            _servers: servers,
            route53,
            _zone: zone,
        })
    }

    /// A line fails.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn fail(&self, fault: &LineFault) -> Result<()> {
        self.lines.fail(&self.internet, fault)
    }

    /// A line works again.
    ///
    /// # Errors
    /// When the kernel refuses, or nothing was wrong with it.
    pub fn mend(&self, mended: &Mended) -> Result<()> {
        self.lines.mend(&self.internet, mended)
    }

    /// Adds a stick that is a network card.
    ///
    /// # Errors
    /// When the kernel or its server refuses.
    pub fn add_card(&mut self, logs: &Path) -> Result<()> {
        self.card = Some(CardNetwork::create(&self.house, &self.carrier, logs)?);
        Ok(())
    }

    /// The wired line dies, and the router does what house routers with a backup WAN do: it sends
    /// everything to the backup's gateway, here the appliance (`network.mode = "backup"`).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wired_down(&self) -> Result<()> {
        self.router.ip("link set wan down")?;
        self.router_turns_to_backup()
    }

    /// The house's router finds its line dead by itself, and sends everything to the appliance.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn router_turns_to_backup(&self) -> Result<()> {
        self.router.ip(&format!("route replace default via {APPLIANCE}"))?;
        forget_connections(&self.router, Turn::ToBackup)
    }

    /// The house's router returns to its line.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn router_turns_back(&self) -> Result<()> {
        self.router.ip("route replace default via 203.0.113.1")?;
        forget_connections(&self.router, Turn::Back)
    }

    /// The wired line is back, and the router returns to it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wired_up(&self) -> Result<()> {
        self.router.ip("link set wan up")?;
        self.router_turns_back()?;
        self.router.ip("-6 route replace default via 2001:db8:ffff::1")
    }

    /// Fetches a page as the LAN client does: name from its resolver, page from whoever routes.
    ///
    /// # Errors
    /// When it cannot be fetched within `limit`.
    pub fn client_get(&self, url: &str, limit: Duration) -> Result<Response> {
        let url = Url::parse(url)?;
        self.client.inside(|| {
            let address = match url.host.parse() {
                Ok(address) => address,
                Err(_) => dns::resolve(SocketAddr::from((self.resolver, DNS_PORT)), &url.host, limit)?,
            };
            http::get(address, &url, limit)
        })
    }

    /// Fetches a page from an address as somebody in the internet does.
    ///
    /// # Errors
    /// When it cannot be fetched within `limit`.
    pub fn internet_get(&self, address: Ipv4Addr, port: u16, limit: Duration) -> Result<Response> {
        let url = Url { host: address.to_string(), port, path: "/".to_owned() };
        self.internet.inside(|| http::get(address, &url, limit))
    }
}

impl World {
    /// The address of a name of the zone that takes updates, asked where it is kept.
    ///
    /// # Errors
    /// When its server does not answer within `limit`, or has none.
    pub fn zone_address(&self, name: &str, limit: Duration) -> Result<Ipv4Addr> {
        let server = SocketAddr::from((zone::ZONE_SERVER, DNS_PORT));
        self.internet.inside(|| dns::resolve(server, name, limit))
    }
}

/// Which way a page of the internet's web server went, read from the address it names.
pub fn way(body: &str, subscriber: Ipv4Addr) -> Option<Via> {
    way_from(body.trim().strip_prefix("you come from ")?.parse().ok()?, subscriber)
}

/// Which way something went that came from this address.
pub fn way_from(address: Ipv4Addr, subscriber: Ipv4Addr) -> Option<Via> {
    match address {
        WIRED => Some(Via::Wired),
        CARRIER => Some(Via::Cellular),
        address if address == subscriber || address == CARD_SUBSCRIBER => Some(Via::Cellular),
        _ => None,
    }
}

fn wire_house(house: &Namespace, router: &Namespace, client: &Namespace, plan: Plan) -> Result<()> {
    house.ip("link add lan type bridge")?;
    house.ip(&format!("tuntap add {TAP} mode tap"))?;
    house.cable("router", router, "lan")?;
    house.cable("client", client, "eth0")?;
    for port in ["router", "client", TAP] {
        house.ip(&format!("link set {port} master lan up"))?;
    }
    house.ip("link set lan up")?;
    router.ip(&format!("address add {ROUTER}/24 dev lan"))?;
    router.ip("address add fd77::1/64 dev lan nodad")?;
    if plan.ipv6 {
        router.ip(&format!("address add {HOUSE_PREFIX}1/64 dev lan nodad"))?;
    }
    client.ip(&format!("link set eth0 address {CLIENT_MAC}"))?;
    client.ip("address add 10.77.0.10/24 dev eth0")?;
    let gateway = match plan.gateway {
        Gateway::Router => ROUTER,
        Gateway::Appliance => APPLIANCE,
    };
    client.ip(&format!("route add default via {gateway}"))
}

fn wire_lines(internet: &Namespace, router: &Namespace, carrier: &Namespace, plan: Plan) -> Result<()> {
    let (wired, cellular) = (Line::Wired.interface(), Line::Cellular.interface());
    internet.ip(&format!("address add 203.0.113.1/24 dev {wired}"))?;
    internet.ip(&format!("address add 2001:db8:ffff::1/64 dev {wired} nodad"))?;
    router.ip(&format!("address add {WIRED}/24 dev wan"))?;
    router.ip("address add 2001:db8:ffff::2/64 dev wan nodad")?;
    internet.ip(&format!("address add 192.0.2.129/30 dev {cellular}"))?;
    internet.ip(&format!("address add 2001:db8:fffe::1/64 dev {cellular} nodad"))?;
    carrier.ip(&format!("address add {CARRIER}/30 dev net"))?;
    carrier.ip("address add 2001:db8:fffe::2/64 dev net nodad")?;
    for namespace in [internet, router, carrier] {
        namespace.sysctl("ipv4/ip_forward", "1")?;
        namespace.sysctl("ipv6/conf/all/forwarding", "1")?;
    }
    // An IPv6 address goes when its link does, unless told otherwise; house routers get theirs
    // again by DHCPv6, which the lab does without.
    router.sysctl("ipv6/conf/wan/keep_addr_on_down", "1")?;
    router.ip("route add default via 203.0.113.1")?;
    router.ip("-6 route add default via 2001:db8:ffff::1")?;
    carrier.ip("route add default via 192.0.2.129")?;
    carrier.ip("-6 route add default via 2001:db8:fffe::1")?;
    // The carrier's subscribers: the stick's and the network card's.
    internet.ip(&format!("route add 198.51.100.0/24 via {CARRIER}"))?;
    if plan.carrier_nat {
        carrier.nft(
            "table ip shared {
               chain out { type nat hook postrouting priority srcnat;
                 ip saddr 100.64.0.0/10 oifname net masquerade; }
             }",
        )?;
    }
    if plan.ipv6 {
        internet.ip(&format!("-6 route add {HOUSE_PREFIX}/64 via 2001:db8:ffff::2"))?;
        internet.ip(&format!("-6 route add {CARRIER_PREFIX}/64 via 2001:db8:fffe::2"))?;
    }
    Ok(())
}

/// A house router: NAT towards the wired line, the health port forwarded to the appliance. It does
/// not tell clients of the shorter way to the appliance: most phones would not take a redirect.
fn router_rules(router: &Namespace) -> Result<()> {
    router.sysctl("ipv4/conf/all/send_redirects", "0")?;
    router.sysctl("ipv4/conf/lan/send_redirects", "0")?;
    router.nft(&format!(
        "table inet house {{
           chain out {{ type nat hook postrouting priority srcnat;
             oifname wan meta nfproto ipv4 masquerade;
             oifname wan ip6 saddr fc00::/7 masquerade; }}
           chain in {{ type nat hook prerouting priority dstnat;
             iifname wan meta nfproto ipv4 tcp dport 9000 dnat ip to {APPLIANCE}; }}
         }}"
    ))
}

/// Where the router has turned to.
#[derive(Clone, Copy)]
enum Turn {
    Back,
    ToBackup,
}

/// What routers with a backup do on a turn (mwan3's `flush_conntrack`): a flow that never pauses would
/// keep its entry without NAT, and its packets leave with an address of the LAN. Another zone of
/// connection tracking is as good as an empty table.
fn forget_connections(router: &Namespace, turn: Turn) -> Result<()> {
    let zone = turn as u8 + 1;
    router.nft(&format!(
        "table inet turn {{ }}
         delete table inet turn
         table inet turn {{
           chain in {{ type filter hook prerouting priority raw; ct zone set {zone}; }}
           chain own {{ type filter hook output priority raw; ct zone set {zone}; }}
         }}"
    ))
}

fn house_server(router: &Namespace, logs: &Path, plan: Plan) -> Result<Keep> {
    let mut command = dnsmasq(router);
    command.args(["--interface=lan", "--except-interface=lo", "--bind-interfaces"]);
    for server in NAME_SERVERS {
        command.arg(format!("--server={server}"));
    }
    command.args(["--dhcp-authoritative", "--no-ping", "--log-dhcp"]);
    command.arg("--dhcp-range=10.77.0.100,10.77.0.200,255.255.255.0,12h");
    command.arg(format!("--dhcp-host={APPLIANCE_MAC},{APPLIANCE_USB_MAC},{APPLIANCE}"));
    command.args(["--enable-ra", "--dhcp-range=fd77::,ra-only,64"]);
    if plan.ipv6 {
        command.arg(format!("--dhcp-range={HOUSE_PREFIX},ra-only,64"));
    }
    command.arg(format!("--dhcp-leasefile={}", logs.join("router.leases").display()));
    Keep::logged(&mut command, &logs.join("router-dnsmasq.log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_tells_which_way_it_went() {
        let subscriber = Ipv4Addr::new(198, 51, 100, 20);
        assert_eq!(way("you come from 203.0.113.2\n", subscriber), Some(Via::Wired));
        assert_eq!(way("you come from 198.51.100.20\n", subscriber), Some(Via::Cellular));
        assert_eq!(way("you come from 198.51.100.130\n", subscriber), Some(Via::Cellular));
        assert_eq!(way("you come from 192.0.2.1\n", subscriber), None);
        assert_eq!(way("hello", subscriber), None);
    }
}
