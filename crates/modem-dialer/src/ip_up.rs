//! Called by pppd when it has addresses: passes them on to the daemon and ends.
//!
//! pppd runs its `ip-up-script` as `SCRIPT interface tty speed local remote ipparam` with the name
//! servers in `DNS1` and `DNS2` (pppd(8), section SCRIPTS). The daemon gives its own binary as the
//! script, and the file to write as `ipparam`.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use modem_proto::machine::Link;
use serde::{Deserialize, Serialize};
use sysio::file;

/// Marks the `ipparam` of our own pppd.
pub const PARAMETER: &str = "failberry-link=";
/// MTU of a link whose interface has just gone again.
const PPP_MTU: u32 = 1500; // RFC 1661 section 6.1
/// A link file is a few hundred bytes.
const LARGEST: u64 = 4096;

/// What is handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    pppd: u32,
    interface: String,
    local: Ipv4Addr,
    remote: Ipv4Addr,
    dns: Vec<Ipv4Addr>,
    mtu: u32,
}

/// A call by pppd.
#[derive(Debug)]
pub struct Call {
    file: PathBuf,
    interface: String,
    local: String,
    remote: String,
}

impl Call {
    /// Recognises a call by pppd from its arguments.
    pub fn from_args(args: impl Iterator<Item = String>) -> Option<Self> {
        let args: Vec<String> = args.skip(1).collect();
        let [interface, _tty, _speed, local, remote, parameter] = args.as_slice() else { return None };
        let file = PathBuf::from(parameter.strip_prefix(PARAMETER)?);
        Some(Self { file, interface: interface.clone(), local: local.clone(), remote: remote.clone() })
    }

    /// Writes the link file.
    pub fn report(&self) -> ExitCode {
        match self.write() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("modem-dialer: write {}: {error}", self.file.display());
                ExitCode::FAILURE
            }
        }
    }

    fn write(&self) -> io::Result<()> {
        let address = |text: &str| text.parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e));
        let record = Record {
            pppd: std::env::var("PPPD_PID").ok().and_then(|pid| pid.parse().ok()).unwrap_or_default(),
            interface: self.interface.clone(),
            local: address(&self.local)?,
            remote: address(&self.remote)?,
            dns: name_servers(["DNS1", "DNS2"].map(|name| std::env::var(name).ok())),
            mtu: mtu(&self.interface).unwrap_or(PPP_MTU),
        };
        file::write_atomic(&self.file, &serde_json::to_vec(&record)?, 0o600)
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

/// Reads the link file if it is from the pppd with this process id.
pub fn read(path: &Path, pppd: u32) -> Option<Link> {
    let content = file::read_bounded(path, LARGEST).ok()?;
    let record: Record = serde_json::from_slice(&content).ok()?;
    let Record { interface, local, remote, dns, mtu, .. } = record;
    (record.pppd == pppd).then_some(Link { interface, local, remote, dns, mtu })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(parameter: &str) -> impl Iterator<Item = String> {
        ["modem-dialer", "ppp0", "/dev/ttyUSB2", "9600", "198.51.100.20", "198.51.100.1", parameter]
            .map(str::to_owned)
            .into_iter()
    }

    #[test]
    fn a_link_is_passed_on_and_a_strangers_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("link.json");
        let call = Call::from_args(args(&format!("{PARAMETER}{}", path.display()))).unwrap();
        call.write().unwrap();
        let link = read(&path, 0).unwrap();
        assert_eq!((link.interface.as_str(), link.local), ("ppp0", Ipv4Addr::new(198, 51, 100, 20)));
        assert_eq!(read(&path, 4711), None);
    }

    #[test]
    fn other_arguments_are_not_a_call() {
        assert!(Call::from_args(args("something")).is_none());
        assert!(Call::from_args(["modem-dialer", "--help"].map(str::to_owned).into_iter()).is_none());
    }
}
