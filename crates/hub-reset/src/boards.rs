//! What is known of boards and hubs, as data: `hardware/boards/*.toml`.
//!
//! Descriptors lie: a hub may claim to switch each port and have one switch, or none. Files say what
//! people found out, each fact with its source; everything else is judged by its descriptor.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde::Deserialize;
use sysio::Root;

use crate::topology::{Port, Topology};

const DIRECTORY: &str = "/usr/share/failberry/hardware/boards";

/// A file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Board {
    /// For people.
    pub name: String,
    /// One of these must be in the device tree's `compatible`; none in a file about external hubs.
    #[serde(default)]
    pub compatible: Vec<String>,
    /// Hubs the board has; if one is not as described, the file is not applied.
    #[serde(default)]
    pub hub: Vec<Hub>,
    /// Ports that have one switch together.
    #[serde(default)]
    pub gang: Vec<Gang>,
    /// Ports that must not be switched off.
    #[serde(default)]
    pub never: Vec<Fixed>,
    /// Ports whose power cannot be switched, whatever the hub says.
    #[serde(default)]
    pub fixed: Vec<Fixed>,
    /// Hubs that may be plugged in anywhere.
    #[serde(default)]
    pub external: Vec<External>,
}

/// A hub of a board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hub {
    /// Its name on the bus.
    pub at: String,
    /// Vendor and product.
    pub id: String,
    /// Where that is said.
    pub source: String,
}

/// Ports with one switch.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gang {
    /// The ports to switch.
    pub switch: Vec<String>,
    /// All sockets that lose power then.
    pub cuts: Vec<String>,
    /// Where that is said.
    pub source: String,
}

/// A port that is not to be switched.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// The port.
    pub port: String,
    /// Why, in words for people.
    pub because: String,
    /// Where that is said.
    pub source: String,
}

/// How a hub's ports are really switched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Power {
    /// Each by itself.
    PerPort,
    /// All together.
    Ganged,
    /// Not at all.
    None,
}

impl Power {
    /// From `wHubCharacteristics` (USB 2.0, table 11-13): a hub with one port switches that port.
    pub fn from_characteristics(bits: u16, ports: u8) -> Self {
        match bits & 3 {
            0 if ports > 1 => Self::Ganged,
            0 | 1 => Self::PerPort,
            _ => Self::None,
        }
    }
}

/// A hub that can be bought.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// Vendor and product.
    pub id: String,
    /// As it is sold.
    pub name: String,
    /// What its switches really do.
    pub power: Power,
    /// Where that is said.
    pub source: String,
}

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// It cannot be read.
    #[error("read {path}: {source}")]
    Read {
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not as the schema wants it.
    #[error("{path}: {cause}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Where and why.
        cause: String,
    },
}

/// Everything known.
#[derive(Clone, Debug, Default)]
pub struct Boards(pub Vec<Board>);

impl Boards {
    /// Loads every file of the image; a bad one is reported and left out, because the others, and the
    /// descriptors, still do.
    pub fn load(root: &Root) -> (Self, Vec<BoardError>) {
        let directory = root.path(DIRECTORY);
        let mut paths: Vec<PathBuf> = match fs::read_dir(&directory) {
            Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
            Err(source) => return (Self::default(), vec![BoardError::Read { path: directory, source }]),
        };
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        let (mut boards, mut errors) = (Vec::new(), Vec::new());
        for path in paths {
            match load(&path) {
                Ok(board) => boards.push(board),
                Err(error) => errors.push(error),
            }
        }
        (Self(boards), errors)
    }

    /// The file about this board, if its hubs are as the file has them.
    pub fn this(&self, topology: &Topology) -> Option<&Board> {
        self.0.iter().find(|board| {
            board.compatible.iter().any(|name| topology.compatible.contains(name))
                && board
                    .hub
                    .iter()
                    .all(|hub| topology.devices.get(&hub.at).is_some_and(|device| device.id == hub.id))
        })
    }

    /// What is known of a hub by its id.
    pub fn external(&self, id: &str) -> Option<&External> {
        self.0.iter().flat_map(|board| &board.external).find(|external| external.id == id)
    }
}

fn load(path: &PathBuf) -> Result<Board, BoardError> {
    let text = fs::read_to_string(path).map_err(|source| BoardError::Read { path: path.clone(), source })?;
    let invalid = |cause: String| BoardError::Invalid { path: path.clone(), cause };
    let board: Board = toml::from_str(&text).map_err(|error| invalid(error.to_string()))?;
    board.check().map_err(invalid)?;
    Ok(board)
}

impl Board {
    fn check(&self) -> Result<(), String> {
        let gangs = self.gang.iter().flat_map(|gang| gang.switch.iter().chain(&gang.cuts));
        let others = self.never.iter().chain(&self.fixed).map(|fixed| &fixed.port);
        if let Some(bad) = gangs.chain(others).find(|name| Port::parse(name).is_none()) {
            return Err(format!("port {bad:?}: write it as \"1-1.2\""));
        }
        let forbidden = |name: &String| self.never.iter().any(|never| never.port == *name);
        if let Some(bad) =
            self.gang.iter().flat_map(|g| g.switch.iter().chain(&g.cuts)).find(|n| forbidden(n))
        {
            return Err(format!("port {bad:?} is in a gang and must never be switched"));
        }
        if self.gang.iter().any(|gang| gang.switch.is_empty() || gang.cuts.is_empty()) {
            return Err("a gang needs `switch` and `cuts`".to_owned());
        }
        if self.compatible.is_empty() == self.external.is_empty() {
            return Err("either `compatible` (a board) or `external` (hubs)".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn shipped() -> Boards {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../hardware/boards");
        let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        Boards(files.map(|path| load(&path).unwrap()).collect())
    }

    #[test]
    fn every_shipped_file_is_valid_and_names_its_sources() {
        let boards = shipped();
        for wanted in [
            "raspberrypi,2-model-b",
            "raspberrypi,3-model-b",
            "raspberrypi,3-model-b-plus",
            "raspberrypi,4-model-b",
            "raspberrypi,model-zero-2-w",
        ] {
            let named = boards.0.iter().filter(|b| b.compatible.iter().any(|c| c == wanted)).count();
            assert_eq!(named, 1, "{wanted}");
        }
        for board in &boards.0 {
            let sources = board.hub.iter().map(|h| &h.source).chain(board.gang.iter().map(|g| &g.source));
            let more = board.never.iter().chain(&board.fixed).map(|f| &f.source);
            let external = board.external.iter().map(|e| &e.source);
            assert!(sources.chain(more).chain(external).all(|source| source.len() > 10), "{}", board.name);
        }
    }

    #[test]
    fn a_file_that_contradicts_itself_is_refused() {
        let parse =
            |text: &str| toml::from_str::<Board>(text).map_err(|e| e.to_string()).and_then(|b| b.check());
        let head = "name = \"x\"\ncompatible = [\"x\"]\n";
        let gang = "[[gang]]\nswitch = [\"1-1.2\"]\ncuts = [\"1-1.2\"]\nsource = \"x\"\n";
        assert_eq!(parse(&format!("{head}{gang}")), Ok(()));
        let never = "[[never]]\nport = \"1-1.2\"\nbecause = \"x\"\nsource = \"x\"\n";
        assert!(parse(&format!("{head}{gang}{never}")).unwrap_err().contains("must never"));
        assert!(
            parse(&format!("{head}{}", gang.replace("1-1.2", "usb1"))).unwrap_err().contains("write it as")
        );
        assert!(parse(&format!("{head}powr = 1")).is_err());
        assert!(parse("name = \"x\"").is_err());
    }

    #[test]
    fn a_hub_with_one_port_switches_that_port() {
        assert_eq!(Power::from_characteristics(0x00, 1), Power::PerPort);
        assert_eq!(Power::from_characteristics(0xe0, 4), Power::Ganged);
        assert_eq!(Power::from_characteristics(0xe9, 4), Power::PerPort);
        assert_eq!(Power::from_characteristics(0x0a, 8), Power::None);
    }
}
