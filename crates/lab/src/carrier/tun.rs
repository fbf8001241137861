//! The carrier's door to the internet: a TUN device inside another network namespace.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Command;

use ioctl::tun::{self, Flags, Mode};
use nix::sched::{CloneFlags, setns};

use super::CarrierConfig;

/// Makes the TUN device with its addresses in the configured namespace.
///
/// A descriptor stays in the namespace its device was made in, so only a short-lived thread has
/// to enter it.
///
/// # Errors
/// When the namespace cannot be entered (needs root in the namespace's owner), the device cannot
/// be made or `ip` refuses an address.
pub(crate) fn open(config: &CarrierConfig) -> io::Result<OwnedFd> {
    let config = config.clone();
    std::thread::Builder::new()
        .name("carrier-tun".into())
        .spawn(move || open_here(&config))?
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the thread that makes it panicked")))
}

fn open_here(config: &CarrierConfig) -> io::Result<OwnedFd> {
    if let Some(path) = &config.netns {
        let namespace = File::open(path)
            .map_err(|e| io::Error::new(e.kind(), format!("open namespace {}: {e}", path.display())))?;
        setns(namespace, CloneFlags::CLONE_NEWNET)
            .map_err(|e| io::Error::other(format!("enter namespace {}: {e}", path.display())))?;
    }
    let fd = tun::open(&config.tun, Flags { mode: Mode::Tun, nonblocking: true })?;
    let gateway = format!("{}/32", config.gateway);
    ip(&["address", "add", &gateway, "peer", &config.subscriber.to_string(), "dev", &config.tun])?;
    if let Some(ipv6) = config.ipv6 {
        ip(&["link", "set", &config.tun, "addrgenmode", "none"])?;
        let link_local = super::link_local(ipv6.gateway_id).to_string();
        ip(&["-6", "address", "add", &format!("{link_local}/64"), "dev", &config.tun, "nodad"])?;
    }
    ip(&["link", "set", &config.tun, "up"])?;
    if let Some(ipv6) = config.ipv6 {
        ip(&["-6", "route", "add", &format!("{}/64", ipv6.prefix), "dev", &config.tun])?;
    }
    Ok(fd)
}

/// Runs `ip`; the child inherits this thread's network namespace.
fn ip(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("ip").args(arguments).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip {}: {}", arguments.join(" "), said.trim())))
}
