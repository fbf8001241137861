//! The real packet filter, the real addresses.

use crate::driver::Firewall;
use ruleset::{Family, InterfacePattern, Network};
use std::fs;
use std::path::Path;
use std::time::Duration;
use sysio::{CommandError, Runner};

/// The first rule of a family loads a dozen kernel modules from a card; later calls take milliseconds.
const LIMIT: Duration = Duration::from_secs(15);

/// What iptables-save says of a rule that only `nft` has words for (`nft_parse_rule` in its nft-ruleparse.c).
const NO_WORDS: &str = "Parsing nftables rule failed";

/// What the words of `--version` say: `iptables v1.8.11 (nf_tables)`, `(legacy)`; before 1.8: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BackEnd {
    NfTables,
    Legacy,
}

/// iptables and ip6tables, as the system has them.
#[derive(Debug)]
pub struct Iptables {
    flavour: &'static str,
    back_end: BackEnd,
}

impl Iptables {
    /// The plain names where the system has them, else the nft flavour by its own name: Debian
    /// makes the plain ones by `update-alternatives`, which a baked image may not have run.
    pub fn find() -> Self {
        let plain = ["iptables-save", "iptables-restore", "ip6tables-save", "ip6tables-restore"];
        let all = plain.iter().all(|name| Path::new("/usr/sbin").join(name).exists());
        let flavour = if all { "" } else { "-nft" };
        let version = if all { version() } else { String::new() };
        // What cannot be asked now cannot be used either, and says so when it is.
        let back_end = if version.is_empty() || version.contains("nf_tables") {
            BackEnd::NfTables
        } else {
            BackEnd::Legacy
        };
        Self { flavour, back_end }
    }

    fn program(&self, family: Family, verb: &str) -> String {
        named(family, self.flavour, verb)
    }
}

fn version() -> String {
    let output = Runner::new("/usr/sbin/iptables", ["--version"], LIMIT).run();
    output.map(|output| output.stdout).unwrap_or_default()
}

fn named(family: Family, flavour: &str, verb: &str) -> String {
    let name = match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    };
    format!("/usr/sbin/{name}{flavour}-{verb}")
}

/// Tables of the legacy back end that exist in this network namespace (`xt_proto_init` in the kernel's
/// `x_tables.c`); of this thread, because tests have a namespace a thread.
fn legacy_tables(family: Family) -> bool {
    let name = match family {
        Family::V4 => "ip_tables_names",
        Family::V6 => "ip6_tables_names",
    };
    // No such file: the kernel has no legacy tables.
    fs::read_to_string(Path::new("/proc/thread-self/net").join(name))
        .is_ok_and(|names| !names.trim().is_empty())
}

impl Firewall for Iptables {
    type Error = CommandError;

    fn generation(&self) -> Option<u32> {
        // A kernel or a flavour without it is looked at in full every time: nftables do not count
        // what happens to the legacy tables.
        (self.back_end == BackEnd::NfTables).then(|| netlink::firewall_generation().ok()).flatten()
    }

    fn save(&mut self, family: Family) -> Result<String, CommandError> {
        match Runner::new(&self.program(family, "save"), [""; 0], LIMIT).output()? {
            output if output.status.success() => Ok(output.stdout),
            output if output.stderr.contains(NO_WORDS) => Ok(ruleset::UNREADABLE.to_owned()),
            // Asked again for the error with its words; that it succeeds now is fine, too.
            _ => Ok(Runner::new(&self.program(family, "save"), [""; 0], LIMIT).run()?.stdout),
        }
    }

    fn restore(&mut self, family: Family, input: &str, only_test: bool) -> Result<(), CommandError> {
        let arguments = ["--noflush", "--test"];
        let arguments = if only_test { &arguments[..] } else { &arguments[..1] };
        Runner::new(&self.program(family, "restore"), arguments, LIMIT).input(input).run()?;
        Ok(())
    }

    fn save_other(&mut self, family: Family) -> Result<Option<String>, CommandError> {
        let program = named(family, "-legacy", "save");
        if self.back_end == BackEnd::Legacy || !legacy_tables(family) || !Path::new(&program).exists() {
            return Ok(None);
        }
        Ok(Some(Runner::new(&program, [""; 0], LIMIT).run()?.stdout))
    }

    fn restore_other(&mut self, family: Family, input: &str) -> Result<(), CommandError> {
        Runner::new(&named(family, "-legacy", "restore"), ["--noflush"], LIMIT).input(input).run()?;
        Ok(())
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

/// The networks on the LAN interface itself, of both families.
pub fn lan_networks(lan: &[InterfacePattern]) -> Vec<Network> {
    let facts = netlink::Connection::open().and_then(|mut c| Ok((c.links()?, c.addresses()?)));
    // Said by `on_link_networks` already.
    let Ok((links, addresses)) = facts else { return Vec::new() };
    let is_lan = |index| links.iter().any(|l| l.index == index && lan.iter().any(|p| p.matches(&l.name)));
    let on_link = addresses.iter().filter(|a| is_lan(a.link));
    // A single address is no network; every link has the link-local one.
    let whole = |address: &std::net::IpAddr| if address.is_ipv4() { 32 } else { 128 };
    let mut networks: Vec<_> = on_link
        .filter(|a| a.global && (1..whole(&a.address)).contains(&a.prefix))
        .filter_map(|a| Network::of(a.address, a.prefix))
        .collect();
    networks.sort_unstable();
    networks.dedup();
    networks
}
