//! Slices: each daemon gets the sections it reads, and no other, so that a secret has one reader.

use crate::problem::LoadError;
use crate::sections::{Config, SECTIONS};
use crate::{MAX_BYTES, parse};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Where `failberry config import` puts the slices.
pub const SLICE_DIR: &str = "/run/failberry/config";

/// Every daemon that reads some section.
pub fn daemons() -> BTreeSet<&'static str> {
    SECTIONS.iter().flat_map(|s| s.readers.iter().copied()).collect()
}

/// The file name of a daemon's slice.
pub fn slice_name(daemon: &str) -> String {
    format!("{daemon}.toml")
}

/// The TOML text of the sections `daemon` reads; [`parse`] gives them back.
pub fn slice(config: &Config, daemon: &str) -> String {
    let mut out = String::from("# Written by `failberry config import`; changes here are lost.\n");
    config.write(|section| section.readers.contains(&daemon), &mut out);
    out
}

/// Loads a daemon's slice from the folder of slices ([`SLICE_DIR`]). Other sections have their defaults.
///
/// # Errors
/// If the slice is missing (the import has not run) or, by mistake of ours, invalid.
pub fn load_slice(dir: &Path, daemon: &str) -> Result<Config, LoadError> {
    load(&dir.join(slice_name(daemon)))
}

/// Loads and checks a configuration file.
///
/// # Errors
/// If it cannot be read or has problems, all of which are named.
pub fn load(path: &Path) -> Result<Config, LoadError> {
    let read = |source| LoadError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    // One byte past the bound is enough to be told that the file is too large.
    let bound = u64::try_from(MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes)).map_err(read)?;
    parse(&bytes).map_err(|problems| LoadError::Invalid { path: path.to_owned(), problems })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = r#"
[system]
hostname = "attic"
[modem]
apn = "internet"
user = 'quote " and \ backslash'
password = "geheim\u00e4"
pin = "01234567"
roaming = true
dial-number = "*99***1#"
[network]
mode = "gateway"
lan-interface = "eth1"
management-networks = ["10.0.0.0/8", "fd00::/8"]
open-ports = ["8443/tcp", "51820/udp"]
"#;

    #[test]
    fn a_slice_gives_back_exactly_the_sections_of_its_daemon() {
        let config = parse(FULL.as_bytes()).unwrap();
        let modem = parse(slice(&config, "modem-dialer").as_bytes()).unwrap();
        assert_eq!(modem.modem, config.modem);
        assert_eq!(modem.network, crate::Network::default());
        let network = parse(slice(&config, "uplink").as_bytes()).unwrap();
        assert_eq!(network.network, config.network);
        assert_eq!(network.modem, crate::Modem::default());
    }

    #[test]
    fn secrets_reach_the_dialer_alone() {
        let config = parse(FULL.as_bytes()).unwrap();
        for daemon in daemons() {
            let text = slice(&config, daemon);
            assert_eq!(text.contains("01234567"), daemon == "modem-dialer", "{daemon}");
            assert_eq!(text.contains("geheim"), daemon == "modem-dialer", "{daemon}");
        }
        let debug = format!("{config:?}");
        assert!(!debug.contains("01234567") && !debug.contains("geheim"), "{debug}");
    }

    #[test]
    fn a_missing_file_is_told_apart_from_a_wrong_one() {
        let error = load(Path::new("/nonexistent/failberry.toml")).unwrap_err();
        assert!(matches!(error, LoadError::Read { .. }), "{error}");
    }
}
