//! What a card's driver says about itself, and its Energy-Efficient Ethernet: the two questions of
//! ethtool we have. By ioctl (linux/ethtool.h), because its netlink family has no driver information.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::libc;

/// linux/sockios.h.
const SIOCETHTOOL: libc::c_int = 0x8946;
/// linux/ethtool.h: driver information, EEE read and set.
const GDRVINFO: u32 = 0x3;
const GEEE: u32 = 0x44;
const SEEE: u32 = 0x45;
/// Texts of `struct ethtool_drvinfo` are this long, NUL included.
const TEXT: usize = 32;

nix::ioctl_readwrite_bad!(
    /// `SIOCETHTOOL`: its `ifreq` points to a structure that begins with the command.
    siocethtool,
    SIOCETHTOOL,
    libc::ifreq
);

/// `struct ethtool_drvinfo`.
#[repr(C)]
struct DriverBytes {
    command: u32,
    driver: [u8; TEXT],
    version: [u8; TEXT],
    firmware: [u8; TEXT],
    bus: [u8; TEXT],
    /// ROM version and reserved.
    rest: [u8; TEXT + 12],
    counts: [u32; 5],
}

/// `struct ethtool_eee`.
#[repr(C)]
#[derive(Clone, Copy)]
struct EeeBytes {
    command: u32,
    supported: u32,
    advertised: u32,
    partner_advertised: u32,
    active: u32,
    enabled: u32,
    tx_lpi_enabled: u32,
    tx_lpi_timer: u32,
    reserved: [u32; 2],
}

/// Who drives a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Driver {
    /// The driver's name.
    pub name: String,
    /// What it calls its version; the kernel's release where it has none of its own.
    pub version: String,
    /// The card's firmware, empty where it does not say.
    pub firmware: String,
    /// Where the card hangs: a PCI or USB address, a platform device.
    pub bus: String,
}

/// Who drives `interface`.
///
/// # Errors
/// `EOPNOTSUPP` where there is nothing to tell (`lo`), `ENODEV` for a name that is not there,
/// `InvalidInput` for one the kernel cannot hold.
pub fn driver(interface: &str) -> io::Result<Driver> {
    let mut answer = DriverBytes {
        command: GDRVINFO,
        driver: [0; TEXT],
        version: [0; TEXT],
        firmware: [0; TEXT],
        bus: [0; TEXT],
        rest: [0; TEXT + 12],
        counts: [0; 5],
    };
    // SAFETY: `DriverBytes` has the layout and at least the size of `struct ethtool_drvinfo`, which is
    // all the kernel reads and writes for this command.
    unsafe { ask(interface, (&raw mut answer).cast()) }?;
    Ok(Driver {
        name: text(&answer.driver),
        version: text(&answer.version),
        firmware: text(&answer.firmware),
        bus: text(&answer.bus),
    })
}

/// Whether Energy-Efficient Ethernet is switched on.
///
/// # Errors
/// `EOPNOTSUPP` where the card or its driver has none.
pub fn energy_efficient(interface: &str) -> io::Result<bool> {
    read_eee(interface).map(|eee| eee.enabled != 0)
}

/// Switches Energy-Efficient Ethernet on or off and leaves its other settings.
///
/// # Errors
/// `EOPNOTSUPP` where the card or its driver has none, `EPERM` without `CAP_NET_ADMIN`.
pub fn set_energy_efficient(interface: &str, on: bool) -> io::Result<()> {
    let mut eee = EeeBytes { command: SEEE, enabled: u32::from(on), ..read_eee(interface)? };
    // SAFETY: `EeeBytes` has the layout of `struct ethtool_eee`, all the kernel reads for this command.
    unsafe { ask(interface, (&raw mut eee).cast()) }
}

fn read_eee(interface: &str) -> io::Result<EeeBytes> {
    let mut eee = EeeBytes {
        command: GEEE,
        supported: 0,
        advertised: 0,
        partner_advertised: 0,
        active: 0,
        enabled: 0,
        tx_lpi_enabled: 0,
        tx_lpi_timer: 0,
        reserved: [0; 2],
    };
    // SAFETY: `EeeBytes` has the layout of `struct ethtool_eee`, all the kernel writes for this command.
    unsafe { ask(interface, (&raw mut eee).cast()) }?;
    Ok(eee)
}

/// # Safety
/// `data` points to an initialised structure of the kind its first word, the command, asks for; the
/// kernel reads and writes it within its size.
unsafe fn ask(interface: &str, data: *mut c_void) -> io::Result<()> {
    let mut request = crate::name(interface)?;
    request.ifr_ifru = libc::__c_anonymous_ifr_ifru { ifru_data: data.cast() };
    // Any socket will do (netdevice(7)). SAFETY: no pointers go in.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    if socket < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just made, and owned by nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: the descriptor is open for the whole call; `request` is initialised, and what it points
    // to is as the caller promises.
    unsafe { siocethtool(socket.as_raw_fd(), &raw mut request) }?;
    Ok(())
}

/// Up to the first NUL; what is no UTF-8 is shown as such.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_kernels_size() {
        assert_eq!(size_of::<DriverBytes>(), 196);
        assert_eq!(size_of::<EeeBytes>(), 40);
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error() {
        assert_eq!(driver("no-such-card").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        assert_eq!(driver("").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(energy_efficient("lo").is_err());
    }

    #[test]
    fn a_text_ends_at_its_nul_or_with_its_field() {
        assert_eq!(text(b"veth\0garbage"), "veth");
        assert_eq!(text(b"full"), "full");
    }
}
