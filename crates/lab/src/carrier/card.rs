//! A stick that is a network card, seen from outside: its own little router behind a USB cable.
//!
//! QEMU's `usb-net` is the cable (an unknown id to the appliance, until a user's quirk file says what
//! it is); the tap on QEMU's side is bridged to a namespace that is the stick: DHCP, DNS, and NAT to
//! an address of the carrier, as `HiLink` sticks do it.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::error::Result;
use crate::net::Namespace;
use crate::net::internet::dnsmasq;
use crate::process::Keep;
use crate::world::NAME_SERVERS;

/// The tap QEMU attaches the card to, in the house's namespace, where QEMU runs.
pub const CARD_TAP: &str = "card";
/// The MAC of the appliance's end; `usb-net` makes its first byte 0x40.
pub const CARD_MAC: &str = "40:50:f4:00:00:02";
/// The stick's router: Huawei's `HiLink` sticks use this network.
pub const CARD_GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 1);
/// What the carrier gives the stick (RFC 5737 TEST-NET-2, the other half of the PPP carrier's).
pub const CARD_SUBSCRIBER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 130);
/// The carrier's router before it.
const CARRIER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 129);

/// The inside of the stick; it ends with this value.
#[derive(Debug)]
pub struct CardNetwork {
    stick: Namespace,
    _server: Keep,
}

impl CardNetwork {
    /// Builds it between the house, where the tap is to be, and the carrier.
    ///
    /// # Errors
    /// When the kernel or the DHCP server refuses.
    pub fn create(house: &Namespace, carrier: &Namespace, logs: &Path) -> Result<Self> {
        let stick = Namespace::create("card")?;
        house.ip("link add cardlan type bridge")?;
        house.ip(&format!("tuntap add {CARD_TAP} mode tap"))?;
        house.cable("cardport", &stick, "lan")?;
        for port in ["cardport", CARD_TAP] {
            house.ip(&format!("link set {port} master cardlan up"))?;
        }
        house.ip("link set cardlan up")?;
        carrier.cable("card", &stick, "wan")?;
        carrier.ip(&format!("address add {CARRIER}/25 dev card"))?;
        stick.ip(&format!("address add {CARD_SUBSCRIBER}/25 dev wan"))?;
        stick.ip(&format!("route add default via {CARRIER}"))?;
        stick.ip(&format!("address add {CARD_GATEWAY}/24 dev lan"))?;
        stick.sysctl("ipv4/ip_forward", "1")?;
        stick.nft(
            "table inet stick {
               chain out { type nat hook postrouting priority srcnat; oifname wan masquerade; }
             }",
        )?;
        let server = server(&stick, logs)?;
        Ok(Self { stick, _server: server })
    }

    /// The firmware hangs: the cable stays, nobody answers.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn hang(&self) -> Result<()> {
        self.stick.ip("link set lan down")
    }

    /// It has started again.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn revive(&self) -> Result<()> {
        self.stick.ip("link set lan up")
    }
}

fn server(stick: &Namespace, logs: &Path) -> Result<Keep> {
    let mut command = dnsmasq(stick);
    command.args(["--interface=lan", "--except-interface=lo", "--bind-interfaces"]);
    for server in NAME_SERVERS {
        command.arg(format!("--server={server}"));
    }
    command.args(["--dhcp-authoritative", "--no-ping", "--log-dhcp"]);
    // Two minutes are the least dnsmasq gives; sticks give hours.
    command.arg("--dhcp-range=192.168.8.100,192.168.8.200,255.255.255.0,1h");
    command.arg(format!("--dhcp-leasefile={}", logs.join("card.leases").display()));
    Keep::logged(&mut command, &logs.join("card-dnsmasq.log"))
}
