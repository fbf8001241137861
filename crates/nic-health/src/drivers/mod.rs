//! Which driver a card has, and what is publicly known against it: `hardware/drivers/*.toml`, facts
//! as data with a source each.

mod schema;
mod version;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use sysio::{Root, file};

pub use schema::{Advisory, Drivers};
pub use version::Release;

/// Where the image keeps the files.
pub const DIRECTORY: &str = "/usr/share/failberry/hardware/drivers";
/// A file has a few kilobytes; a larger one is something else.
const LARGEST: u64 = 64 * 1024;

const CORRECT: &str = "correct it or remove the file; hardware/drivers/README.md has the keys";
const REFLASH: &str = "advisories are not known; the image is incomplete: flash it again";

/// What this machine is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// The kernel's release, as `uname -r` prints it.
    pub kernel: String,
    /// What DMI and the device tree say of the machine, in lower case.
    pub machine: Vec<String>,
}

impl Host {
    /// This machine, by /proc and /sys.
    pub fn read(root: &Root) -> Self {
        const TEXTS: [&str; 6] = [
            "/proc/device-tree/compatible",
            "/sys/class/dmi/id/sys_vendor",
            "/sys/class/dmi/id/product_name",
            "/sys/class/dmi/id/bios_vendor",
            "/sys/class/dmi/id/bios_version",
            "/sys/class/dmi/id/board_vendor",
        ];
        let text = |path: &&str| file::read_bounded(&root.path(path), LARGEST).ok();
        let words = |bytes: Vec<u8>| {
            let text = String::from_utf8_lossy(&bytes).to_lowercase();
            text.split('\0').map(|word| word.trim().to_owned()).filter(|w| !w.is_empty()).collect::<Vec<_>>()
        };
        let kernel = text(&"/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            kernel: String::from_utf8_lossy(&kernel).trim().to_owned(),
            machine: TEXTS.iter().filter_map(text).flat_map(words).collect(),
        }
    }
}

/// A card's driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driven {
    /// Its name.
    pub name: String,
    /// Its own version; none where it only repeats the kernel's release.
    pub version: Option<String>,
    /// The card's firmware, empty where it does not say.
    pub firmware: String,
    /// Where the card hangs.
    pub bus: String,
}

impl Driven {
    /// From what ethtool says. Drivers without a version of their own report the kernel's release
    /// (`ethtool_get_drvinfo` in net/ethtool/ioctl.c): to compare that with a driver's version means
    /// nothing.
    pub fn new(driver: ioctl::ethtool::Driver, host: &Host) -> Self {
        let own = driver.version != host.kernel && !driver.version.is_empty();
        // The field has 31 characters, a release may have more.
        let cut = driver.version.len() >= 31 && host.kernel.starts_with(&driver.version);
        let version = (own && !cut && driver.version != "N/A").then_some(driver.version);
        Self { name: driver.name, version, firmware: driver.firmware, bus: driver.bus }
    }

    /// Its version in words.
    pub fn version_words(&self, host: &Host) -> String {
        match &self.version {
            Some(version) if version.ends_with("-k") => format!("{version} (in-tree build)"),
            Some(version) => version.clone(),
            None => format!("in-tree, no version of its own (kernel {})", host.kernel),
        }
    }
}

/// Whether an advisory is about this card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Applies {
    /// Driver and machine fit, and nobody has said which versions are affected.
    Possibly,
    /// Its versions or kernels are this one's.
    Yes,
}

impl Applies {
    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Possibly => "possibly",
            Self::Yes => "affected",
        }
    }
}

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Where in it, counted from 1.
    pub line: Option<usize>,
    /// What is wrong; names the key.
    pub cause: String,
    /// What helps.
    pub cure: &'static str,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read {}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}; {}", self.cause, self.cure)
    }
}

/// Everything that is known.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// By driver.
    pub drivers: BTreeMap<String, Vec<Advisory>>,
    /// Files that could not be used.
    pub problems: Vec<Problem>,
}

impl Known {
    /// Loads the image's files. One that cannot be used is named, the others still are used.
    pub fn load(root: &Root) -> Self {
        Self::load_from(&root.path(DIRECTORY))
    }

    /// As [`Known::load`] from any folder.
    pub fn load_from(directory: &Path) -> Self {
        let mut known = Self::default();
        let mut paths = match list(directory) {
            Ok(paths) => paths,
            Err(error) => {
                let problem =
                    Problem { file: directory.into(), line: None, cause: error.to_string(), cure: REFLASH };
                known.problems.push(problem);
                return known;
            }
        };
        paths.sort();
        for path in paths {
            match read(&path) {
                Ok(file) => known.drivers.entry(file.driver).or_default().extend(file.advisory),
                Err(problem) => known.problems.push(problem),
            }
        }
        known
    }

    /// What is known against this driver here, certain things first.
    pub fn about(&self, driven: &Driven, host: &Host) -> Vec<(Applies, &Advisory)> {
        let all = self.drivers.get(&driven.name).into_iter().flatten();
        let mut found: Vec<_> =
            all.filter_map(|advisory| Some((advisory.applies(driven, host)?, advisory))).collect();
        found.sort_by_key(|(applies, _)| std::cmp::Reverse(*applies));
        found
    }
}

/// Reads the text of one file.
///
/// # Errors
/// What is wrong with it, and in which line.
pub fn parse(text: &str, file: &Path) -> Result<Drivers, Problem> {
    let problem = |line, cause| Problem { file: file.to_owned(), line, cause, cure: CORRECT };
    let drivers: Drivers = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| line_of(text, span.start));
        problem(line, error.message().to_owned())
    })?;
    drivers.check().map_err(|(at, cause)| problem(at.map(|at| line_of(text, at)), cause))?;
    Ok(drivers)
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let paths: Result<Vec<PathBuf>, _> =
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect();
    Ok(paths?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "toml")).collect())
}

fn read(path: &Path) -> Result<Drivers, Problem> {
    let unreadable = |cause| Problem { file: path.to_owned(), line: None, cause, cure: CORRECT };
    let bytes = file::read_bounded(path, LARGEST).map_err(|error| unreadable(error.to_string()))?;
    let text = String::from_utf8(bytes).map_err(|error| unreadable(error.to_string()))?;
    parse(&text, path)
}

#[cfg(test)]
mod tests;
