//! The owner's configuration as far as lines are concerned.

use config::Mode;
use std::error::Error as _;
use std::path::Path;

/// Below the wired line's: systemd-networkd gives DHCP and router advertisements 1024
/// (`DHCP_ROUTE_METRIC` in its source).
const METRIC_FIRST: u32 = 100;
/// Above the wired line's: taken only when that has no route.
const METRIC_SECOND: u32 = 2048;

/// What `uplink` needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The interface towards the house and its router.
    pub lan: String,
    /// Metric of the default route over the cellular line.
    pub cellular_metric: u32,
}

impl Settings {
    /// As in `mode = "backup"`: the house's router sends traffic here when its own line is dead, so
    /// what comes here, and what starts here, goes out by the cellular line.
    pub fn backup(lan: &str) -> Self {
        Self { lan: lan.to_owned(), cellular_metric: METRIC_FIRST }
    }

    /// As in `mode = "gateway"`: the wired line first.
    pub fn gateway(lan: &str) -> Self {
        Self { lan: lan.to_owned(), cellular_metric: METRIC_SECOND }
    }
}

/// The settings of a configuration slice; those of a fresh appliance when there is none.
pub fn load_settings(slice: &Path) -> Settings {
    let network = match config::load(slice) {
        Ok(config) => config.network,
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            log::warn!("{error}{cause}; going on with the settings of a fresh appliance");
            config::Network::default()
        }
    };
    let lan = network.lan_interface.as_str();
    match network.mode {
        Mode::Backup => Settings::backup(lan),
        Mode::Gateway => Settings::gateway(lan),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_decides_which_line_is_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("uplink.toml");
        assert_eq!(load_settings(&path), Settings::backup("eth0"));
        std::fs::write(&path, "[network]\nmode = \"gateway\"\nlan-interface = \"end0\"\n").unwrap();
        assert_eq!(load_settings(&path), Settings::gateway("end0"));
    }
}
