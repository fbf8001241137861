//! The owner's wishes, and which interfaces are none of our business.

use std::net::IpAddr;
use std::path::Path;

use config::Config;

/// Lines that cost by the byte or are the dialer's: no questions are sent there, nothing is touched.
const NOT_OURS: [&str; 2] = ["wwan", "ppp"];

/// What the daemon needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Devices besides the gateways that are checked regularly.
    pub peers: Vec<IpAddr>,
    /// Mend, or only report.
    pub repair: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { peers: Vec::new(), repair: true }
    }
}

impl Settings {
    /// Those of a configuration slice; on a host that is no appliance, where there is none, the
    /// defaults.
    pub fn load(slice: &Path) -> Self {
        match config::load(slice) {
            Ok(Config { nics, .. }) => {
                Self { peers: nics.peers.iter().map(|peer| peer.0).collect(), repair: nics.repair }
            }
            Err(error) => {
                log::warn!("{error}; going on with the defaults");
                Self::default()
            }
        }
    }
}

/// Whether the interface is watched at all.
pub(crate) fn ours(name: &str) -> bool {
    !NOT_OURS.iter().any(|prefix| name.starts_with(prefix))
}
