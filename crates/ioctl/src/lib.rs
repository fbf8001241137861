//! Typed wrappers for the ioctls Failberry needs and nix has no safe call for.
//!
//! The only crate of the workspace in which unsafe code is allowed, so that every unsafe block
//! can be read in one sitting.

pub mod activation;
pub mod ethtool;
pub mod icmp;
pub mod multicast;
pub mod packet;
pub mod tun;

use std::io;

use nix::libc;

/// An `ifreq` with this interface's name in it and nothing else.
fn name(interface: &str) -> io::Result<libc::ifreq> {
    if interface.is_empty() || interface.len() > tun::NAME_MAX || interface.bytes().any(|b| b == 0) {
        let reason = format!("interface name `{interface}`: 1 to {} bytes without NUL", tun::NAME_MAX);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    let mut ifr_name = [0; libc::IFNAMSIZ];
    for (to, from) in ifr_name.iter_mut().zip(interface.bytes()) {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    Ok(libc::ifreq { ifr_name, ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: 0 } })
}
