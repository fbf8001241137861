//! The real kernel, the real snapshots, the real networkd.

use crate::MODEM;
use crate::advertise::{self, Advertisement};
use crate::driver::System;
use crate::machine::Observation;
use crate::modem::Modem;
use crate::plan::{Change, Facts};
use netlink::Connection;
use ruleset::marks::{ARRIVED_MASK, LEFT_MASK, Line};
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use sysio::{Monotonic, Root, file};

/// A link file of networkd is some hundred bytes.
const LINK_FILE_LIMIT: u64 = 64 * 1024;
/// Everybody resolves names.
const RESOLV_MODE: u32 = 0o644;

/// The system below a root, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Kernel {
    root: Root,
    boot_id: String,
    connection: Connection,
    ula: Option<Ipv6Addr>,
}

impl Kernel {
    /// Opens the socket to the kernel.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(root: &Root, boot_id: String) -> Result<Self, netlink::Error> {
        Ok(Self { root: root.clone(), boot_id, connection: Connection::open()?, ula: crate::ula::load(root) })
    }

    /// What an interface has carried.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn counters(&mut self, link: u32) -> Result<Option<netlink::Counters>, netlink::Error> {
        self.connection.counters(link)
    }

    fn facts(&mut self) -> Result<Facts, netlink::Error> {
        let c = &mut self.connection;
        Ok(Facts { links: c.links()?, addresses: c.addresses()?, routes: c.routes()?, rules: c.rules()? })
    }

    fn resolv(&self) -> PathBuf {
        self.root.path(snapshot::DIRECTORY).join("resolv.conf")
    }
}

impl System for Kernel {
    fn observe(&mut self, now: Monotonic, lan: &str) -> Result<Observation, String> {
        let facts = self.facts().map_err(|e| e.to_string())?;
        let modem = Modem::judge(&snapshot::read(&self.root, MODEM, &self.boot_id, now));
        // Private to networkd by its own words, and the only place without D-Bus; a format we no
        // longer understand costs the wired line's DNS servers, nothing else.
        let file = |index: u32| self.root.path("/run/systemd/netif/links").join(index.to_string());
        let text = facts.link(lan).and_then(|l| file::read_bounded(&file(l.index), LINK_FILE_LIMIT).ok());
        let wired_dns = text.map(|t| name_servers(&String::from_utf8_lossy(&t))).unwrap_or_default();
        Ok(Observation { facts, modem, wired_dns, ula: self.ula })
    }

    fn change(&mut self, change: &Change) -> Result<(), String> {
        let c = &mut self.connection;
        match change {
            Change::SetRoute(route) => c.replace_route(route),
            Change::DeleteRoute(route) => c.delete_route(route),
            Change::AddRule(rule) => c.add_rule(rule),
            Change::DeleteRule(rule) => c.delete_rule(rule),
        }
        .map_err(|e| e.to_string())
    }

    fn forget(&mut self, line: Line) -> Result<u32, String> {
        let mask = LEFT_MASK | ARRIVED_MASK;
        netlink::forget_connections(line.left(), mask).map_err(|e| e.to_string())
    }

    fn advertise(&mut self, link: u32, message: &Advertisement) -> Result<(), String> {
        advertise::send(link, message).map_err(|e| format!("send a router advertisement: {e}"))
    }

    fn write_resolv(&mut self, content: &str) -> Result<(), String> {
        let path = self.resolv();
        file::write_atomic(&path, content.as_bytes(), RESOLV_MODE)
            .map_err(|e| format!("write {}: {e}", path.display()))
    }
}

/// The servers in a link file of networkd: `DNS=192.168.178.1 [fd00::1]:53%eth0#name …`
/// (`dns_server_string` in systemd's source).
fn name_servers(text: &str) -> Vec<IpAddr> {
    let line = text.lines().find_map(|line| line.strip_prefix("DNS="));
    line.unwrap_or_default().split_whitespace().filter_map(name_server).collect()
}

/// The address alone. One of link-local scope is left out: resolv.conf would need its interface.
fn name_server(word: &str) -> Option<IpAddr> {
    let word = word.split(['#', '%']).next().unwrap_or_default();
    let address = match word.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None if word.matches(':').count() == 1 => word.split(':').next().unwrap_or_default(),
        None => word,
    };
    let address: IpAddr = address.parse().ok()?;
    match address {
        IpAddr::V6(a) if a.is_unicast_link_local() => None,
        _ => Some(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_found_in_every_form_networkd_writes() {
        let text = "# This is private data. Do not parse.\nADMIN_STATE=configured\n\
                    DNS=192.168.178.1 9.9.9.9:53#dns.quad9.net fd00::1 [2001:db8::53]:853%eth0 fe80::1%2 nonsense\nNTP=\n";
        let found: Vec<_> = name_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.168.178.1", "9.9.9.9", "fd00::1", "2001:db8::53"]);
        assert!(name_servers("ADMIN_STATE=configured\n").is_empty());
    }
}
