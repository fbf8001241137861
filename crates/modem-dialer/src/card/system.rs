//! The card in the system: its name, networkd's file for it, and what can be seen of it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use modem_proto::machine::{Link, LinkKind};
use nix::sys::socket::{setsockopt, sockopt};
use sysio::command::Runner;
use sysio::{Root, file};

use super::lease;
use super::machine::Observation;

const IP: &str = "/usr/sbin/ip";
const SYS_NET: &str = "/sys/class/net";
const ARP: &str = "/proc/net/arp";
const LEASES: &str = "/run/systemd/netif/leases";
/// Where networkd reads run-time files; a path unit watches it and has networkd reload.
const NETWORK_FILES: &str = "/run/systemd/network";
/// Before the image's own files, the first that matches wins (systemd.network(5)).
const FILE: &str = "05-failberry-card.network";
/// Every name of this kind is a line to the internet for `netguard` and `uplink`.
const PREFIX: &str = "wwan";
/// Other modems' drivers count from 0.
const FIRST_NAME: u8 = 64;
const NAMES: u8 = 16;
/// How soon the kernel asks a silent router again (arp(7)): after 2 to 6 s instead of 15 to 45 s, with
/// three questions a second apart. The router is inside the stick: asking costs no data.
const NEIGHBOUR: [&str; 8] =
    ["base_reachable", "4000", "delay_probe", "1000", "retrans", "1000", "ucast_probes", "3"];
/// `ip` asks the kernel and is done; this is for a kernel on its knees, and far below the watchdog.
const LIMIT: Duration = Duration::from_secs(2);
const LARGEST: u64 = 64 * 1024;
/// Discard (RFC 863): what is sent there is for the neighbour to be looked up, nothing else.
const DISCARD: u16 = 9;
/// The flag of a neighbour that answered (`ATF_COM`, `linux/if_arp.h`).
const COMPLETE: u32 = 0x2;

/// A card that is ours.
#[derive(Debug)]
pub(super) struct System {
    root: Root,
    interface: String,
}

impl System {
    /// Names it, writes networkd's file and brings it up, all from the start: whatever was before,
    /// it asks for an address anew.
    pub(super) fn take(root: &Root, interface: &str) -> Result<Self, String> {
        let program = root.path(IP);
        let ip = |words: &[&str]| {
            Runner::new(&program.to_string_lossy(), words.iter().copied(), LIMIT)
                .run()
                .map(drop)
                .map_err(|error| format!("ip {}: {error}", words.join(" ")))
        };
        // A name is changed while the interface is down.
        ip(&["link", "set", "dev", interface, "down"])?;
        let name = if interface.starts_with(PREFIX) { interface.to_owned() } else { free_name(root)? };
        if name != interface {
            ip(&["link", "set", "dev", interface, "name", &name])?;
        }
        let system = Self { root: root.clone(), interface: name };
        system.write_file().map_err(|error| format!("write {}: {error}", system.file().display()))?;
        ip(&["link", "set", "dev", &system.interface, "up"])?;
        // Without it a router that hangs is noticed later, and nothing else is worse.
        let words =
            [&["ntable", "change", "name", "arp_cache", "dev", system.interface.as_str()], &NEIGHBOUR[..]];
        if let Err(error) = ip(&words.concat()) {
            log::info!("{error}; a router that hangs is noticed late");
        }
        Ok(system)
    }

    pub(super) fn interface(&self) -> &str {
        &self.interface
    }

    /// Down and up: the stick's network driver starts over, and networkd asks again.
    pub(super) fn replug(&self) {
        for state in ["down", "up"] {
            self.set(state);
        }
    }

    /// Out of use.
    pub(super) fn release(&self) {
        self.set("down");
        let _ = fs::remove_file(self.file());
    }

    fn set(&self, state: &str) {
        let program = self.root.path(IP);
        let words = ["link", "set", "dev", self.interface.as_str(), state];
        if let Err(error) = Runner::new(&program.to_string_lossy(), words, LIMIT).run() {
            log::info!("ip {}: {error}", words.join(" "));
        }
    }

    pub(super) fn observe(&self) -> Observation {
        let folder = self.root.path(SYS_NET).join(&self.interface);
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let carrier = read("carrier").is_some_and(|text| text.trim() == "1");
        let lease = read("ifindex").and_then(|index| {
            let path = self.root.path(LEASES).join(index.trim());
            lease::parse(&String::from_utf8_lossy(&file::read_bounded(&path, LARGEST).ok()?))
        });
        let answers = lease.as_ref().and_then(|lease| self.answers(lease.gateway));
        let mtu = read("mtu").and_then(|text| text.trim().parse().ok()).unwrap_or_default();
        let link = lease.map(|lease| Link {
            interface: self.interface.clone(),
            kind: LinkKind::NetworkCard,
            local: Some(lease.address),
            remote: Some(lease.gateway),
            ipv6: None,
            dns: lease.dns,
            mtu: lease.mtu.unwrap_or(mtu),
        });
        Observation { present: folder.exists(), carrier, link, answers }
    }

    /// Whether the gateway is a neighbour that answers. The packet makes the kernel ask one it has
    /// not heard of for a while; the answer is there at the next look.
    fn answers(&self, gateway: Ipv4Addr) -> Option<bool> {
        let nudge = || -> io::Result<()> {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            // The LAN may use the same addresses: then the route alone would ask a neighbour there.
            setsockopt(&socket, sockopt::BindToDevice, &OsString::from(&self.interface))?;
            socket.set_nonblocking(true)?;
            socket.connect(SocketAddr::from((gateway, DISCARD)))?;
            socket.send(&[0]).map(drop)
        };
        // "No route" says that the address is not there yet, which the lease tells better.
        nudge().ok()?;
        let table = fs::read_to_string(self.root.path(ARP)).ok()?;
        neighbour(&table, &self.interface, gateway)
    }

    fn file(&self) -> PathBuf {
        self.root.path(NETWORK_FILES).join(FILE)
    }

    fn write_file(&self) -> io::Result<()> {
        file::write_atomic(&self.file(), network_file(&self.interface).as_bytes(), 0o644)
    }
}

/// No route, no name server, no time server, no host name from a stick: `uplink` decides about
/// routes and names. IPv4 alone: sticks translate addresses, and offer nothing else on this side.
fn network_file(interface: &str) -> String {
    format!(
        "# Written by modem-dialer while a stick's network card is in use.\n\
         [Match]\nName={interface}\n\n\
         [Network]\nDHCP=ipv4\nIPv6AcceptRA=no\nLinkLocalAddressing=no\nLLMNR=no\nMulticastDNS=no\n\n\
         [DHCPv4]\nClientIdentifier=mac\nUseRoutes=no\nUseGateway=no\nUseDNS=no\nUseNTP=no\nUseSIP=no\n\
         UseDomains=no\nUseHostname=no\nUseTimezone=no\nUseCaptivePortal=no\nSendHostname=no\nUseMTU=yes\n"
    )
}

fn free_name(root: &Root) -> Result<String, String> {
    let taken = |name: &String| root.path(SYS_NET).join(name).exists();
    (FIRST_NAME..FIRST_NAME + NAMES)
        .map(|number| format!("{PREFIX}{number}"))
        .find(|name| !taken(name))
        .ok_or_else(|| format!("no name free from {PREFIX}{FIRST_NAME} on; pull a stick"))
}

/// A line of `/proc/net/arp`: address, hardware type, flags, hardware address, mask, device
/// (`arp_format_neigh_entry` in net/ipv4/arp.c).
fn neighbour(table: &str, interface: &str, address: Ipv4Addr) -> Option<bool> {
    table.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [ip, _, flags, _, _, device] = words[..] else { return None };
        if device != interface || ip.parse() != Ok(address) {
            return None;
        }
        let flags = u32::from_str_radix(flags.trim_start_matches("0x"), 16).ok()?;
        Some(flags & COMPLETE != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neighbour_answers_or_not_or_is_not_known() {
        let table = "IP address       HW type     Flags       HW address            Mask     Device\n\
                     192.168.8.1      0x1         0x2         02:50:f4:00:00:00     *        wwan64\n\
                     192.168.9.1      0x1         0x0         00:00:00:00:00:00     *        wwan65\n\
                     192.168.9.1      0x1         0x2         02:50:f4:00:00:01     *        eth0\n";
        assert_eq!(neighbour(table, "wwan64", [192, 168, 8, 1].into()), Some(true));
        assert_eq!(neighbour(table, "wwan65", [192, 168, 9, 1].into()), Some(false));
        assert_eq!(neighbour(table, "wwan64", [192, 168, 9, 1].into()), None);
    }

    #[test]
    fn what_is_seen_becomes_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        let card = root.path(SYS_NET).join("wwan64");
        fs::create_dir_all(&card).unwrap();
        fs::create_dir_all(root.path(LEASES)).unwrap();
        for (name, text) in [("carrier", "1\n"), ("ifindex", "7\n"), ("mtu", "1500\n")] {
            fs::write(card.join(name), text).unwrap();
        }
        let system = System { root: root.clone(), interface: "wwan64".to_owned() };
        assert_eq!(system.observe(), Observation { present: true, carrier: true, link: None, answers: None });
        let lease = "ADDRESS=127.0.0.2\nROUTER=127.0.0.1\nDNS=192.0.2.53\n";
        fs::write(root.path(LEASES).join("7"), lease).unwrap();
        let link = system.observe().link.unwrap();
        assert_eq!((link.kind, link.mtu), (LinkKind::NetworkCard, 1500));
        assert_eq!((link.local, link.remote), (Some([127, 0, 0, 2].into()), Some([127, 0, 0, 1].into())));
    }

    #[test]
    fn names_are_of_the_kind_that_the_packet_filter_takes_for_a_line() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        assert_eq!(free_name(&root).unwrap(), "wwan64");
        fs::create_dir_all(root.path(SYS_NET).join("wwan64")).unwrap();
        assert_eq!(free_name(&root).unwrap(), "wwan65");
    }
}
