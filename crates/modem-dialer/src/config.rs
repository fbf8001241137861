//! The section `[modem]` as the machine and pppd want it.

use std::path::Path;

use ::config::Secret;
use modem_proto::machine::{Pin, Settings};

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
    /// For the machine.
    pub settings: Settings,
    /// For pppd.
    pub credentials: Credentials,
}

/// User and password for PAP or CHAP.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The user.
    pub user: String,
    password: Option<Secret<::config::Text>>,
}

/// Most sticks ask for PAP or CHAP although the provider takes anything; pppd refuses to answer
/// without a name and a password, so it gets these (providers' own guides say "any").
const ANY: &str = "any";

impl Credentials {
    /// Those of the section.
    pub fn of(modem: &::config::Modem) -> Self {
        let user = modem.user.as_ref().map_or(ANY, |user| user.as_str()).to_owned();
        Self { user, password: modem.password.clone() }
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
    Ok(from_section(&::config::load(path)?.modem))
}

fn from_section(modem: &::config::Modem) -> ModemConfig {
    let pin = modem.pin.as_ref().and_then(|pin| Pin::new(pin.expose().as_str()));
    ModemConfig {
        settings: Settings {
            apn: modem.apn.as_ref().map(|apn| apn.as_str().to_owned()),
            pin,
            roaming: modem.roaming,
            dial_number: modem.dial_number.as_str().to_owned(),
            pin_refused_before: false,
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
        let config = from_section(&::config::parse(text.as_bytes()).unwrap().modem);
        assert_eq!(config.credentials.password(), "geheim");
        assert_eq!(config.settings.pin.as_ref().map(Pin::digits), Some("1234"));
        let shown = format!("{config:?}");
        assert!(!shown.contains("geheim") && !shown.contains("1234"), "{shown}");
    }
}
