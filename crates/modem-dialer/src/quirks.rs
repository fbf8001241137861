//! What is known about each model, from `hardware/modems/*.toml`: facts are data, not code.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;
use sysio::Root;

/// Where the image keeps the files.
const DIRECTORY: &str = "/usr/share/failberry/hardware/modems";

/// One model.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quirk {
    /// Its name.
    pub model: String,
    /// `vendor:product` while it shows its CD-ROM.
    #[serde(default)]
    pub cd_rom: Vec<UsbId>,
    /// How to make a modem of the CD-ROM.
    #[serde(default)]
    pub mode_switch: Option<ModeSwitch>,
    /// What it is after the switch.
    #[serde(default)]
    pub serial: Vec<Serial>,
    /// The commands that switch its CD-ROM off for good, on request only.
    #[serde(default)]
    pub disable_cdrom: Vec<String>,
    /// The commands that bring it back.
    #[serde(default)]
    pub enable_cdrom: Vec<String>,
}

impl Quirk {
    /// Whether one of its ids is this one.
    pub fn knows(&self, id: &str) -> bool {
        let serial = self.serial.iter().flat_map(|serial| &serial.ids);
        self.cd_rom.iter().chain(serial).any(|known| known.as_str() == id)
    }
}

/// Arguments for `usb_modeswitch`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ModeSwitch {
    /// Send the standard eject sequence.
    #[serde(default)]
    pub standard_eject: bool,
    /// A bulk message in hexadecimal.
    #[serde(default)]
    pub message: Option<Hex>,
}

/// A modem's composition.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Serial {
    /// `vendor:product`.
    pub ids: Vec<UsbId>,
    /// USB interface numbers of the ports that answer AT commands, the one for PPP first.
    pub at_interfaces: Vec<u8>,
}

/// `vendor:product`, four lower-case hexadecimal digits each, as sysfs shows them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct UsbId(String);

impl UsbId {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Vendor and product.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once(':').unwrap_or((&self.0, ""))
    }
}

impl TryFrom<String> for UsbId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = |part: &str| part.len() == 4 && part.bytes().all(|b| b"0123456789abcdef".contains(&b));
        match text.split_once(':') {
            Some((vendor, product)) if digits(vendor) && digits(product) => Ok(Self(text)),
            _ => Err(format!("USB id {text:?}: write it as \"19d2:0031\"")),
        }
    }
}

/// Bytes in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Hex(String);

impl Hex {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fits =
            !text.is_empty() && text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if fits { Ok(Self(text)) } else { Err(format!("{text:?}: not bytes in hexadecimal")) }
    }
}

/// Why a quirk file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QuirkError {
    /// It cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not as the schema wants it.
    #[error("{path}: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: toml::de::Error,
    },
}

/// Loads every quirk file of the image.
///
/// # Errors
/// The first file that cannot be read or parsed.
pub fn load(root: &Root) -> Result<Vec<Quirk>, QuirkError> {
    let directory = root.path(DIRECTORY);
    let read = |path: &PathBuf, source| QuirkError::Read { path: path.clone(), source };
    let entries = fs::read_dir(&directory).map_err(|e| read(&directory, e))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = fs::read_to_string(path).map_err(|e| read(path, e))?;
            toml::from_str(&text).map_err(|source| QuirkError::Parse { path: path.clone(), source })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_file_loads_and_no_two_claim_an_id() {
        let root = tempfile::tempdir().unwrap();
        let shipped = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../hardware/modems");
        let installed = root.path().join(DIRECTORY.trim_start_matches('/'));
        fs::create_dir_all(installed.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(shipped.canonicalize().unwrap(), &installed).unwrap();
        let quirks = load(&Root::at(root.path())).unwrap();
        assert!(!quirks.is_empty());
        let mut ids: Vec<&str> = quirks
            .iter()
            .flat_map(|quirk| quirk.cd_rom.iter().chain(quirk.serial.iter().flat_map(|serial| &serial.ids)))
            .map(UsbId::as_str)
            .collect();
        let all = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), all);
        assert!(quirks.iter().all(|q| q.serial.iter().all(|serial| !serial.at_interfaces.is_empty())));
    }

    #[test]
    fn unknown_keys_and_bad_ids_are_rejected() {
        let good = "model = \"x\"\n[[serial]]\nids = [\"19d2:0031\"]\nat-interfaces = [3]\n";
        assert!(toml::from_str::<Quirk>(good).is_ok());
        for bad in [
            good.replace("model", "modell"),
            good.replace("19d2:0031", "19D2:31"),
            good.replace("at-interfaces", "at_interfaces"),
        ] {
            assert!(toml::from_str::<Quirk>(&bad).is_err(), "{bad}");
        }
    }
}
