//! The owner's configuration as a policy.

use config::{Mode, Protocol, Who};
use ruleset::{Device, Guard, Metered, OpenPort, Policy, Transport};
use std::error::Error as _;
use std::path::Path;

/// The policy of a configuration slice; that of a fresh appliance when there is none.
///
/// A door guard must not stay at home because its paper is smudged: without a readable slice the
/// strictest policy holds, and the log says so.
pub fn load_policy(slice: &Path) -> Policy {
    read_policy(slice).unwrap_or_else(|error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        log::warn!("{error}{cause}; going on with the policy of a fresh appliance");
        of(&config::Config::default())
    })
}

/// The policy of a configuration file that has to be right.
pub(crate) fn read_policy(file: &Path) -> Result<Policy, config::LoadError> {
    Ok(of(&config::load(file)?))
}

fn of(config: &config::Config) -> Policy {
    Policy { metered: metered(&config.metered), ..policy(&config.network) }
}

/// Who may use the cellular line, where it costs; open until `uplink` says that the quota is spent.
fn metered(metered: &config::Metered) -> Option<Metered> {
    let devices = |list: &[Who]| {
        let of_group = |name: &String| {
            let groups = metered.groups.iter().filter(move |group| group.name == *name);
            groups.flat_map(|group| group.devices.clone()).collect()
        };
        let of = |who: &Who| match who {
            Who::Device(device) => vec![*device],
            Who::Group(name) => of_group(name),
        };
        list.iter().flat_map(of).filter_map(device).collect()
    };
    let (allow, essential) = (devices(&metered.allow), devices(&metered.essential));
    metered.metered.then_some(Metered { allow, essential, guard: Guard::Open })
}

fn device(device: config::Device) -> Option<Device> {
    match device {
        config::Device::Mac(mac) => mac.to_string().parse().ok().map(Device::Mac),
        config::Device::Network(n) => ruleset::Network::of(n.address(), n.prefix()).map(Device::Network),
    }
}

fn policy(network: &config::Network) -> Policy {
    let lan = network.lan_interface.as_str().parse();
    let mut policy = Policy::standard(lan.expect("the configuration's interface names are a subset of ours"));
    policy.wired_uplink = network.mode == Mode::Gateway;
    let own = network.management_networks.iter();
    policy.management_networks = own.filter_map(|n| ruleset::Network::of(n.address(), n.prefix())).collect();
    for open in &network.open_ports {
        let transport = match open.protocol {
            Protocol::Tcp => Transport::Tcp,
            Protocol::Udp => Transport::Udp,
        };
        let open = OpenPort { transport, port: open.port };
        if !policy.open_ports.contains(&open) {
            policy.open_ports.push(open);
        }
    }
    policy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_reaches_the_policy() {
        let text = "[network]\nmode = \"gateway\"\nlan-interface = \"end0\"\n\
                    management-networks = [\"203.0.113.0/24\"]\nopen-ports = [\"8443/tcp\", \"51820/udp\", \"9000/tcp\"]\n";
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("netguard.toml");
        std::fs::write(&path, text).unwrap();
        let policy = load_policy(&path);
        assert!(policy.wired_uplink);
        assert_eq!(policy.lan[0].as_str(), "end0");
        assert_eq!(policy.management_networks[0].to_string(), "203.0.113.0/24");
        let ports: Vec<_> = policy.open_ports.iter().map(|p| (p.transport, p.port)).collect();
        assert_eq!(ports, [(Transport::Tcp, 9000), (Transport::Tcp, 8443), (Transport::Udp, 51820)]);
    }

    #[test]
    fn groups_become_their_devices_and_an_unmetered_line_has_no_guard() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("netguard.toml");
        let text = "[metered]\nallow = [\"office\", \"10.77.0.0/24\"]\nessential = [\"fd00::7\"]\n\
                    groups = [\"office: AA-bb-cc-dd-ee-ff 10.77.0.20\"]\n";
        std::fs::write(&path, text).unwrap();
        let metered = load_policy(&path).metered.unwrap();
        let mac = Device::Mac("aa:bb:cc:dd:ee:ff".parse().unwrap());
        let network = |text: &str| Device::Network(text.parse().unwrap());
        assert_eq!(metered.allow, [mac, network("10.77.0.20"), network("10.77.0.0/24")]);
        assert_eq!(metered.essential, [network("fd00::7")]);
        assert_eq!(metered.word(), "allowlist");
        std::fs::write(&path, "[metered]\nmetered = false\nallow = [\"10.0.0.1\"]\n").unwrap();
        assert_eq!(load_policy(&path).metered, None);
    }

    #[test]
    fn a_missing_or_broken_slice_leaves_the_strict_policy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("netguard.toml");
        let metered = Some(Metered::default());
        let strict = Policy { metered, ..Policy::standard("eth0".parse().unwrap()) };
        assert_eq!(load_policy(&path), strict);
        std::fs::write(&path, "[netwrok]\nopen-ports = 7\n").unwrap();
        assert_eq!(load_policy(&path), strict);
    }
}
