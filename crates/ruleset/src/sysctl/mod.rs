//! The files that set kernel settings at boot and at `sysctl --system`: who would set a key to what.
//!
//! Two programs read the same folders and do not agree: systemd-sysctl keeps the last assignment of a
//! key, procps writes all of them and reads `/etc/sysctl.conf` last. Both are emulated from their
//! sources (systemd 257: src/sysctl/sysctl.c, src/basic/conf-files.c, `read_line` in src/basic/fileio.c;
//! procps 4.0.4: src/sysctl.c), and a test compares with the real ones over random files;
//! systemd 252 and procps 4.0.2 do the same.

mod blame;
mod defects;
mod files;
mod glob;
mod key;
mod lines;
mod number;
mod outcome;
mod suggest;

pub use blame::{advice, blame, later_name};
pub use defects::{Defect, Problem, defects};
pub use files::{Content, File, Files, Folder};
pub use key::{Key, KeyError, aliases};
pub use number::{kernel_number, same_value};
pub use outcome::{Outcome, Write};
pub use suggest::nearest;

/// A program that applies the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loader {
    /// systemd's: at boot, and for an interface's own settings when it appears.
    Systemd,
    /// `sysctl --system` of procps: from packages' scripts and by hand.
    Procps,
}

impl Loader {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Systemd, Self::Procps];

    /// Its name, as people know it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Systemd => "systemd-sysctl",
            Self::Procps => "sysctl --system",
        }
    }

    /// Its name as a key of JSON.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Procps => "procps",
        }
    }

    /// When it runs.
    pub const fn occasion(self) -> &'static str {
        match self {
            Self::Systemd => "at boot, and for an interface when that appears",
            Self::Procps => "when a person, a package or an agent runs it",
        }
    }
}
