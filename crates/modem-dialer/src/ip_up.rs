//! Called by pppd when it has addresses or loses them: passes that on to the daemon and ends.
//!
//! pppd runs `SCRIPT interface tty speed local remote ipparam` with the name servers in `DNS1` and
//! `DNS2` (pppd(8), section SCRIPTS). The daemon gives links to its own binary as the scripts, so
//! that the name it is called by says what happened, and the folder to write in as `ipparam`.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use modem_proto::machine::{Link, LinkKind};
use serde::{Deserialize, Serialize};
use sysio::file;

/// Marks the `ipparam` of our own pppd.
pub const PARAMETER: &str = "failberry-link=";
/// The scripts, as pppd's options name them (with `-script` behind) and as the links are called.
pub const SCRIPTS: [&str; 4] = ["ip-up", "ip-down", "ipv6-up", "ipv6-down"];
/// MTU of a link whose interface has just gone again.
const PPP_MTU: u32 = 1500; // RFC 1661 section 6.1
/// A link file is a few hundred bytes.
const LARGEST: u64 = 4096;
const IPV4: &str = "link.json";
const IPV6: &str = "link6.json";
const DOWN: &str = "down.json";

/// What is handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    pppd: u32,
    interface: String,
    local: IpAddr,
    remote: IpAddr,
    dns: Vec<Ipv4Addr>,
    mtu: u32,
}

/// What pppd says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Up(&'static str),
    Down(&'static str),
}

/// A call by pppd.
#[derive(Debug)]
pub struct Call {
    news: News,
    directory: PathBuf,
    interface: String,
    local: String,
    remote: String,
}

impl Call {
    /// Recognises a call by pppd from its arguments.
    pub fn from_args(args: impl Iterator<Item = String>) -> Option<Self> {
        let args: Vec<String> = args.collect();
        let [program, interface, _tty, _speed, local, remote, parameter] = args.as_slice() else {
            return None;
        };
        let directory = PathBuf::from(parameter.strip_prefix(PARAMETER)?);
        let news = match Path::new(program).file_name()?.to_str()? {
            "ip-up" => News::Up(IPV4),
            "ip-down" => News::Down(IPV4),
            "ipv6-up" => News::Up(IPV6),
            "ipv6-down" => News::Down(IPV6),
            _ => return None,
        };
        Some(Self {
            news,
            directory,
            interface: interface.clone(),
            local: local.clone(),
            remote: remote.clone(),
        })
    }

    /// Writes the news into the folder.
    pub fn report(&self) -> ExitCode {
        match self.write() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("modem-dialer: write to {}: {error}", self.directory.display());
                ExitCode::FAILURE
            }
        }
    }

    fn write(&self) -> io::Result<()> {
        let pppd = std::env::var("PPPD_PID").ok().and_then(|pid| pid.parse().ok()).unwrap_or_default();
        let name = match self.news {
            News::Up(name) => name,
            News::Down(name) => {
                let _ = fs::remove_file(self.directory.join(name));
                return file::write_atomic(&self.directory.join(DOWN), &serde_json::to_vec(&pppd)?, 0o600);
            }
        };
        let address = |text: &str| text.parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e));
        let record = Record {
            pppd,
            interface: self.interface.clone(),
            local: address(&self.local)?,
            remote: address(&self.remote)?,
            dns: name_servers(["DNS1", "DNS2"].map(|name| std::env::var(name).ok())),
            mtu: mtu(&self.interface).unwrap_or(PPP_MTU),
        };
        file::write_atomic(&self.directory.join(name), &serde_json::to_vec(&record)?, 0o600)
    }
}

fn name_servers(values: [Option<String>; 2]) -> Vec<Ipv4Addr> {
    let mut servers: Vec<Ipv4Addr> =
        values.into_iter().flatten().filter_map(|text| text.parse().ok()).collect();
    servers.dedup();
    servers
}

fn mtu(interface: &str) -> Option<u32> {
    fs::read_to_string(format!("/sys/class/net/{interface}/mtu")).ok()?.trim().parse().ok()
}

/// What the pppd with a process id has said so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing yet.
    Nothing,
    /// It has addresses.
    Up(Link),
    /// It had some, and lost the last.
    Down,
}

/// Forgets what earlier sessions said.
pub fn clear(directory: &Path) {
    for name in [IPV4, IPV6, DOWN] {
        let _ = fs::remove_file(directory.join(name));
    }
}

/// Reads what the pppd with this process id has said.
pub fn read(directory: &Path, pppd: u32) -> Said {
    let content = |name| file::read_bounded(&directory.join(name), LARGEST).ok();
    let record = |name| -> Option<Record> {
        let record: Record = serde_json::from_slice(&content(name)?).ok()?;
        (record.pppd == pppd).then_some(record)
    };
    let (four, six) = (record(IPV4), record(IPV6));
    let Some(any) = four.as_ref().or(six.as_ref()) else {
        let down = content(DOWN).and_then(|bytes| serde_json::from_slice::<u32>(&bytes).ok());
        return if down == Some(pppd) { Said::Down } else { Said::Nothing };
    };
    let pair4 = four.as_ref().map(|record| (v4(record.local), v4(record.remote)));
    let pair6 = six.as_ref().and_then(|record| Some((v6(record.local)?, v6(record.remote)?)));
    Said::Up(Link {
        interface: any.interface.clone(),
        kind: LinkKind::Ppp,
        local: pair4.and_then(|(local, _)| local),
        remote: pair4.and_then(|(_, remote)| remote),
        ipv6: pair6,
        dns: any.dns.clone(),
        mtu: any.mtu,
    })
}

fn v4(address: IpAddr) -> Option<Ipv4Addr> {
    if let IpAddr::V4(address) = address { Some(address) } else { None }
}

fn v6(address: IpAddr) -> Option<Ipv6Addr> {
    if let IpAddr::V6(address) = address { Some(address) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(script: &str, directory: &Path, local: &str, remote: &str) -> Call {
        let program = format!("/run/failberry-ppp/{script}");
        let parameter = format!("{PARAMETER}{}", directory.display());
        let args = [program.as_str(), "ppp0", "/dev/ttyUSB2", "9600", local, remote, &parameter];
        Call::from_args(args.map(str::to_owned).into_iter()).unwrap()
    }

    #[test]
    fn a_link_is_passed_on_and_a_strangers_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        call("ip-up", dir.path(), "198.51.100.20", "198.51.100.1").write().unwrap();
        let Said::Up(link) = read(dir.path(), 0) else { panic!("no link") };
        assert_eq!((link.interface.as_str(), link.local), ("ppp0", Some(Ipv4Addr::new(198, 51, 100, 20))));
        assert_eq!(read(dir.path(), 4711), Said::Nothing);
    }

    #[test]
    fn both_families_make_one_link_and_either_alone_is_one() {
        let dir = tempfile::tempdir().unwrap();
        call("ipv6-up", dir.path(), "fe80::1", "fe80::2").write().unwrap();
        let Said::Up(alone) = read(dir.path(), 0) else { panic!("no link") };
        assert_eq!(alone.local, None);
        assert_eq!(alone.ipv6, Some(("fe80::1".parse().unwrap(), "fe80::2".parse().unwrap())));
        call("ip-up", dir.path(), "198.51.100.20", "198.51.100.1").write().unwrap();
        let Said::Up(both) = read(dir.path(), 0) else { panic!("no link") };
        assert!(both.local.is_some() && both.ipv6.is_some());
        call("ipv6-down", dir.path(), "fe80::1", "fe80::2").write().unwrap();
        assert!(matches!(read(dir.path(), 0), Said::Up(Link { ipv6: None, .. })));
        call("ip-down", dir.path(), "198.51.100.20", "198.51.100.1").write().unwrap();
        assert_eq!(read(dir.path(), 0), Said::Down);
        clear(dir.path());
        assert_eq!(read(dir.path(), 0), Said::Nothing);
    }

    #[test]
    fn other_arguments_are_not_a_call() {
        let is_call = |args: &[&str]| Call::from_args(args.iter().map(|arg| (*arg).to_owned())).is_some();
        assert!(!is_call(&["modem-dialer", "--help"]));
        let parameter = format!("{PARAMETER}/x");
        assert!(!is_call(&["modem-dialer", "ppp0", "tty", "9600", "1", "2", &parameter]));
        assert!(!is_call(&["ip-up", "ppp0", "tty", "9600", "1", "2", "something"]));
    }
}
