//! The owner's configuration as far as lines are concerned.

use crate::targets::{resolvers, targets};
use config::{Config, Mode, ProbeTarget};
use std::error::Error as _;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// What `uplink` needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The interface towards the house and its router.
    pub lan: String,
    /// Whose traffic goes by the line in use: the box's own alone, or the LAN's, too.
    pub mode: Mode,
    /// How long the wired line must have been good before it is taken again.
    pub failback_hold: Duration,
    /// Name servers for when a line names none or its own are dead: public resolvers.
    pub last_resort_dns: Vec<IpAddr>,
    /// Whom to ask how a line is; the built-in list where empty.
    pub targets: Vec<ProbeTarget>,
    /// Whether the cellular line's data costs money.
    pub metered: bool,
    /// What it may cost.
    pub costs: config::Metered,
}

impl Settings {
    /// As in `mode = "backup"`: the house's router sends traffic here when its own line is dead, so
    /// what comes here goes out by the cellular line.
    pub fn backup(lan: &str) -> Self {
        let failback_hold = Duration::from_secs(30);
        Self {
            lan: lan.to_owned(),
            mode: Mode::Backup,
            failback_hold,
            last_resort_dns: Vec::new(),
            targets: Vec::new(),
            metered: true,
            costs: config::Metered::default(),
        }
    }

    /// As in `mode = "gateway"`: what comes here goes out by the line in use.
    pub fn gateway(lan: &str) -> Self {
        Self { mode: Mode::Gateway, ..Self::backup(lan) }
    }
}

/// The settings of a configuration slice; those of a fresh appliance when there is none.
pub fn load_settings(slice: &Path) -> Settings {
    let Config { network, uplink, metered, .. } = match config::load(slice) {
        Ok(config) => config,
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            log::warn!("{error}{cause}; going on with the settings of a fresh appliance");
            Config::default()
        }
    };
    let lan = network.lan_interface.as_str();
    let by_mode = match network.mode {
        Mode::Backup => Settings::backup(lan),
        Mode::Gateway => Settings::gateway(lan),
    };
    let mut last_resort_dns = resolvers(&targets(&uplink.targets));
    // Everybody has IPv4, and libc asks the first three only.
    last_resort_dns.sort_by_key(IpAddr::is_ipv6);
    let failback_hold = uplink.failback_hold.duration();
    let (targets, costs_money) = (uplink.targets, metered.metered);
    Settings { targets, metered: costs_money, costs: metered, failback_hold, last_resort_dns, ..by_mode }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_decides_whose_traffic_follows_the_line_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("uplink.toml");
        assert_eq!(load_settings(&path).mode, Mode::Backup);
        let text =
            "[network]\nmode = \"gateway\"\nlan-interface = \"end0\"\n[uplink]\nfailback-hold-seconds = 60\n";
        std::fs::write(&path, text).unwrap();
        let settings = load_settings(&path);
        assert_eq!((settings.mode, settings.lan.as_str()), (Mode::Gateway, "end0"));
        assert_eq!(settings.failback_hold, Duration::from_secs(60));
    }

    #[test]
    fn public_resolvers_of_the_targets_are_the_last_resort() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("uplink.toml");
        assert!(load_settings(&path).last_resort_dns[0].is_ipv4());
        let text = "[uplink]\ntargets = [\"dns 2001:db8::53\", \"icmp 192.0.2.1\", \"dns 192.0.2.53\"]\n";
        std::fs::write(&path, text).unwrap();
        let servers = load_settings(&path).last_resort_dns;
        assert_eq!(
            servers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["192.0.2.53", "2001:db8::53"]
        );
    }
}
