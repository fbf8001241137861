//! The world around the appliance: internet, the house's router and wired line, a LAN client.
//!
//! ```text
//!  internet ── wan ── router ── lan0 ┐
//!     │ TUN                          ├─ house (bridge) ── tap: the appliance, 10.77.0.2
//!  carrier (the stick's other end)   │
//!                          client ───┘
//! ```
//!
//! Every box is a network namespace of its own; nothing in them can reach the builder's network.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::carrier::card::{CARD_SUBSCRIBER, CardNetwork};
use crate::error::Result;
use crate::net::http::{self, Response, Url};
use crate::net::{Namespace, dns};
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
/// The tap the appliance's network adapter is attached to, in the house's namespace.
pub const TAP: &str = "appliance";
/// DNS and HTTP ports (IANA).
const DNS_PORT: u16 = 53;
const HTTP_PORT: u16 = 80;

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
    /// The house's router.
    pub router: Namespace,
    /// The LAN's bridge, with the appliance's tap.
    pub house: Namespace,
    /// A device in the LAN.
    pub client: Arc<Namespace>,
    /// The inside of a stick that is a network card, where a scenario has one.
    pub card: Option<CardNetwork>,
    _servers: Vec<Keep>,
}

impl World {
    /// Builds it; logs of its servers go to `logs`.
    ///
    /// # Errors
    /// When the kernel or a server refuses.
    pub fn create(logs: &Path) -> Result<Self> {
        let internet = Namespace::create("internet")?;
        let router = Namespace::create("router")?;
        let house = Namespace::create("house")?;
        let client = Namespace::create("client")?;
        wire_house(&house, &router, &client)?;
        wire_internet(&internet, &router)?;
        router_rules(&router)?;
        internet.inside(|| http::serve(SocketAddr::from((Ipv4Addr::UNSPECIFIED, HTTP_PORT))))?;
        let servers = vec![name_server(&internet, logs)?, house_server(&router, logs)?];
        Ok(Self {
            internet: Arc::new(internet),
            router,
            house,
            client: Arc::new(client),
            card: None,
            _servers: servers,
        })
    }

    /// Adds a stick that is a network card.
    ///
    /// # Errors
    /// When the kernel or its server refuses.
    pub fn add_card(&mut self, logs: &Path) -> Result<()> {
        self.card = Some(CardNetwork::create(&self.house, &self.internet, logs)?);
        Ok(())
    }

    /// The wired line dies, and the router does what house routers with a backup WAN do: it sends
    /// everything to the backup's gateway, here the appliance (`network.mode = "backup"`).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wired_down(&self) -> Result<()> {
        self.router.ip("link set wan down")?;
        self.router.ip(&format!("route replace default via {APPLIANCE}"))
    }

    /// The wired line is back, and the router returns to it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn wired_up(&self) -> Result<()> {
        self.router.ip("link set wan up")?;
        self.router.ip("route replace default via 203.0.113.1")?;
        self.router.ip("-6 route replace default via 2001:db8:ffff::1")
    }

    /// Fetches a page as the LAN client does: name from the router, page from whoever routes.
    ///
    /// # Errors
    /// When it cannot be fetched within `limit`.
    pub fn client_get(&self, url: &str, limit: Duration) -> Result<Response> {
        let url = Url::parse(url)?;
        self.client.inside(|| {
            let address = match url.host.parse() {
                Ok(address) => address,
                Err(_) => dns::resolve(SocketAddr::from((ROUTER, DNS_PORT)), &url.host, limit)?,
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

/// Which way a page of the internet's web server went, read from the address it names.
pub fn way(body: &str, subscriber: Ipv4Addr) -> Option<Via> {
    match body.trim().strip_prefix("you come from ")?.parse::<Ipv4Addr>().ok()? {
        WIRED => Some(Via::Wired),
        address if address == subscriber || address == CARD_SUBSCRIBER => Some(Via::Cellular),
        _ => None,
    }
}

fn wire_house(house: &Namespace, router: &Namespace, client: &Namespace) -> Result<()> {
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
    client.ip("address add 10.77.0.10/24 dev eth0")?;
    client.ip(&format!("route add default via {ROUTER}"))
}

fn wire_internet(internet: &Namespace, router: &Namespace) -> Result<()> {
    for address in ["192.0.2.53/32", "192.0.2.54/32", "192.0.2.80/32", "2001:db8::53/128", "2001:db8::80/128"]
    {
        internet.ip(&format!("address add {address} dev lo"))?;
    }
    internet.cable("wan", router, "wan")?;
    internet.ip("address add 203.0.113.1/24 dev wan")?;
    internet.ip("address add 2001:db8:ffff::1/64 dev wan nodad")?;
    router.ip(&format!("address add {WIRED}/24 dev wan"))?;
    router.ip("address add 2001:db8:ffff::2/64 dev wan nodad")?;
    for namespace in [internet, router] {
        namespace.sysctl("ipv4/ip_forward", "1")?;
        namespace.sysctl("ipv6/conf/all/forwarding", "1")?;
    }
    // An IPv6 address goes when its link does, unless told otherwise; house routers get theirs
    // again by DHCPv6, which the lab does without.
    router.sysctl("ipv6/conf/wan/keep_addr_on_down", "1")?;
    router.ip("route add default via 203.0.113.1")?;
    router.ip("-6 route add default via 2001:db8:ffff::1")
}

/// A house router: NAT towards the wired line, the health port forwarded to the appliance. It does
/// not tell clients of the shorter way to the appliance: most phones would not take a redirect.
fn router_rules(router: &Namespace) -> Result<()> {
    router.sysctl("ipv4/conf/all/send_redirects", "0")?;
    router.sysctl("ipv4/conf/lan/send_redirects", "0")?;
    router.nft(&format!(
        "table inet house {{
           chain out {{ type nat hook postrouting priority srcnat; oifname wan masquerade; }}
           chain in {{ type nat hook prerouting priority dstnat;
             iifname wan meta nfproto ipv4 tcp dport 9000 dnat ip to {APPLIANCE}; }}
         }}"
    ))
}

fn name_server(internet: &Namespace, logs: &Path) -> Result<Keep> {
    let mut command = dnsmasq(internet);
    for address in NAME_SERVERS {
        command.arg(format!("--listen-address={address}"));
    }
    command.args(["--bind-interfaces", "--local=/test/"]);
    command.args(["--host-record=web.test,192.0.2.80", "--host-record=web6.test,2001:db8::80"]);
    Keep::logged(&mut command, &logs.join("internet-dns.log"))
}

fn house_server(router: &Namespace, logs: &Path) -> Result<Keep> {
    let mut command = dnsmasq(router);
    command.args(["--interface=lan", "--except-interface=lo", "--bind-interfaces"]);
    for server in NAME_SERVERS {
        command.arg(format!("--server={server}"));
    }
    command.args(["--dhcp-authoritative", "--no-ping", "--log-dhcp"]);
    command.arg("--dhcp-range=10.77.0.100,10.77.0.200,255.255.255.0,12h");
    command.arg(format!("--dhcp-host={APPLIANCE_MAC},{APPLIANCE_USB_MAC},{APPLIANCE}"));
    command.args(["--enable-ra", "--dhcp-range=fd77::,ra-only,64"]);
    command.arg(format!("--dhcp-leasefile={}", logs.join("router.leases").display()));
    Keep::logged(&mut command, &logs.join("router-dnsmasq.log"))
}

pub(crate) fn dnsmasq(namespace: &Namespace) -> std::process::Command {
    let mut command = namespace.command("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv"]);
    command.args(["--user=root", "--group=root", "--pid-file", "--log-facility=-", "--log-queries"]);
    command
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
