//! The real packet filter, the real `/proc/sys`, the real addresses.

use crate::driver::{Firewall, Settings};
use ruleset::{Family, InterfacePattern, Network};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sysio::{CommandError, Root, Runner};

/// The first rule of a family loads a dozen kernel modules from a card; later calls take milliseconds.
const LIMIT: Duration = Duration::from_secs(15);
/// A setting is a number; more is not ours.
const SETTING_LIMIT: u64 = 4096;

/// iptables and ip6tables, as the system has them.
#[derive(Debug)]
pub struct Iptables {
    flavour: &'static str,
}

impl Iptables {
    /// The plain names where the system has them, else the nft flavour by its own name: Debian
    /// makes the plain ones by `update-alternatives`, which a baked image may not have run.
    pub fn find() -> Self {
        let plain = ["iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore"];
        let all = plain.iter().all(|name| Path::new("/usr/sbin").join(name).exists());
        Self { flavour: if all { "" } else { "-nft" } }
    }

    fn program(&self, family: Family, verb: &str) -> String {
        let name = match family {
            Family::V4 => "iptables",
            Family::V6 => "ip6tables",
        };
        format!("/usr/sbin/{name}{}-{verb}", self.flavour)
    }
}

impl Firewall for Iptables {
    type Error = CommandError;

    fn generation(&self) -> Option<u32> {
        // A kernel or a flavour without it is looked at in full every time.
        netlink::firewall_generation().ok()
    }

    fn save(&mut self, family: Family) -> Result<String, CommandError> {
        Ok(Runner::new(&self.program(family, "save"), [""; 0], LIMIT).run()?.stdout)
    }

    fn restore(&mut self, family: Family, input: &str, only_test: bool) -> Result<(), CommandError> {
        let arguments = ["--noflush", "--test"];
        let arguments = if only_test { &arguments[..] } else { &arguments[..1] };
        Runner::new(&self.program(family, "restore"), arguments, LIMIT).input(input).run()?;
        Ok(())
    }
}

/// `/proc/sys` below a root.
#[derive(Debug)]
pub struct ProcSys {
    directory: PathBuf,
}

impl ProcSys {
    /// Below `root`.
    pub fn new(root: &Root) -> Self {
        Self { directory: root.path("/proc/sys") }
    }
}

impl Settings for ProcSys {
    fn read(&self, path: &str) -> io::Result<String> {
        let content = sysio::file::read_bounded(&self.directory.join(path), SETTING_LIMIT)?;
        Ok(String::from_utf8_lossy(&content).trim().to_owned())
    }

    fn write(&mut self, path: &str, value: &str) -> io::Result<()> {
        // Not created: a setting that does not exist is not made by writing a file.
        let mut file = fs::OpenOptions::new().write(true).open(self.directory.join(path))?;
        io::Write::write_all(&mut file, format!("{value}\n").as_bytes())
    }
}

/// The global IPv6 networks of the LAN itself: a house's devices have addresses of the provider's
/// prefix, which no list of private ranges contains.
///
/// Not so for IPv4: a public IPv4 network on the LAN interface is a street, not a house.
pub fn on_link_networks(lan: &[InterfacePattern]) -> Vec<Network> {
    let facts = netlink::Connection::open().and_then(|mut c| Ok((c.links()?, c.addresses()?)));
    let (links, addresses) = match facts {
        Ok(facts) => facts,
        Err(error) => {
            log::warn!("{error}; going on without the LAN's own IPv6 networks");
            return Vec::new();
        }
    };
    let is_lan = |index| links.iter().any(|l| l.index == index && lan.iter().any(|p| p.matches(&l.name)));
    let mut networks: Vec<_> = addresses
        .iter()
        .filter(|a| a.address.is_ipv6() && a.global && is_lan(a.link))
        // A single address is no network; a prefix shorter than a house's is a mistake.
        .filter(|a| (HOUSE_PREFIX..128).contains(&a.prefix))
        .filter_map(|a| Network::of(a.address, a.prefix))
        .collect();
    networks.sort_unstable();
    networks.dedup();
    networks
}

/// The shortest prefix a provider gives to a house (RIPE-690, section 4.2).
const HOUSE_PREFIX: u8 = 48;
