//! The section `[modem]` as the machine and pppd want it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::apn::{Access, Method};
use ::config::{Auth, DialMode, Secret};
use modem_proto::machine::{Apn, Dial, PdpType, Pin, Settings};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The slice is missing or wrong.
    #[error("load configuration: {0}; `failberry config import` writes it")]
    Load(#[from] ::config::LoadError),
}

/// What the user configured.
#[derive(Clone, Debug)]
pub struct ModemConfig {
    /// Where it was read, and is read again on SIGHUP.
    pub path: PathBuf,
    /// For the machine.
    pub settings: Settings,
    /// For pppd.
    pub credentials: Credentials,
}

/// How pppd logs in, and which addresses it asks for. A change of it takes a fresh call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The user.
    pub user: String,
    /// Which login the provider may ask for.
    pub auth: Auth,
    /// Which addresses to negotiate.
    pub addresses: PdpType,
    password: Option<Secret<::config::Text>>,
}

/// Most sticks ask for PAP or CHAP although the provider takes anything; pppd refuses to answer
/// without a name and a password, so it gets these (providers' own guides say "any").
const ANY: &str = "any";

impl Credentials {
    /// Those of the section.
    pub fn of(modem: &::config::Modem) -> Self {
        let user = modem.user.as_ref().map_or(ANY, |user| user.as_str()).to_owned();
        let addresses = pdp_type(modem.pdp_type);
        Self { user, auth: modem.auth, addresses, password: modem.password.clone() }
    }

    /// Takes the login of the provider's entry in the database where the user named none.
    #[must_use]
    pub fn or(&self, access: &Access) -> Self {
        let mut all = self.clone();
        if let (ANY, None, Some(user)) = (all.user.as_str(), &all.password, &access.user) {
            user.as_str().clone_into(&mut all.user);
            all.password.clone_from(&access.password);
        }
        if let (Auth::Any, Some(method)) = (all.auth, access.method) {
            all.auth = match method {
                Method::Pap => Auth::Pap,
                Method::Chap => Auth::Chap,
            };
        }
        all
    }

    /// The password. Not for logs.
    pub fn password(&self) -> &str {
        self.password.as_ref().map_or(ANY, |password| password.expose().as_str())
    }
}

/// Loads the daemon's slice.
///
/// # Errors
/// If it is missing or has problems.
pub fn load(path: &Path) -> Result<ModemConfig, ConfigError> {
    Ok(from_section(path, &::config::load(path)?.modem))
}

fn pdp_type(of: ::config::PdpType) -> PdpType {
    match of {
        ::config::PdpType::Ipv4 => PdpType::Ipv4,
        ::config::PdpType::Ipv6 => PdpType::Ipv6,
        ::config::PdpType::Ipv4v6 => PdpType::Ipv4v6,
    }
}

fn from_section(path: &Path, modem: &::config::Modem) -> ModemConfig {
    let pin = modem.pin.as_ref().and_then(|pin| Pin::new(pin.expose().as_str()));
    let dial = match modem.dial {
        DialMode::Always => Dial::Always,
        DialMode::OnDemand => Dial::OnDemand { idle_hangup: modem.idle_hangup.duration() },
    };
    ModemConfig {
        path: path.to_owned(),
        settings: Settings {
            apn: modem.apn.as_ref().and_then(|apn| Apn::new(apn.as_str())),
            pdp_type: pdp_type(modem.pdp_type),
            pin,
            roaming: modem.roaming,
            dial_number: modem.dial_number.as_str().to_owned(),
            dial,
            usb_path: modem.usb_path.as_ref().map(|path| path.as_str().to_owned()),
            imei: modem.imei.as_ref().map(|imei| imei.as_str().to_owned()),
            pins_spent: Vec::new(),
            oddities: BTreeMap::new(),
        },
        credentials: Credentials::of(modem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_do_not_show() {
        let text = "[modem]\napn = \"internet\"\nuser = \"u\"\npassword = \"geheim\"\npin = \"1234\"\n";
        let config = from_section(Path::new("/x"), &::config::parse(text.as_bytes()).unwrap().modem);
        assert_eq!(config.credentials.password(), "geheim");
        assert_eq!(config.settings.pin.as_ref().map(Pin::digits), Some("1234"));
        let shown = format!("{config:?}");
        assert!(!shown.contains("geheim") && !shown.contains("1234"), "{shown}");
    }

    #[test]
    fn every_apn_the_configuration_takes_is_one_for_the_machine() {
        for apn in ["internet", "a-b.c_d", "x".repeat(100).as_str()] {
            let text = format!("[modem]\napn = \"{apn}\"\n");
            let config = from_section(Path::new("/x"), &::config::parse(text.as_bytes()).unwrap().modem);
            assert_eq!(config.settings.apn.as_ref().map(Apn::as_str), Some(apn));
        }
        for bad in ["a b", "a\\\"b", "a\\rAT"] {
            assert!(::config::parse(format!("[modem]\napn = \"{bad}\"\n").as_bytes()).is_err(), "{bad}");
        }
    }
}
