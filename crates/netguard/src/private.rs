//! `/run/failberry-netguard`: files that decide over the packet filter, for root alone. In
//! `/run/failberry` every daemon of ours may put files, and one that is not root must not decide.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use sysio::Root;

const DIRECTORY: &str = "/run/failberry-netguard";
const MODE: u32 = 0o700;

/// Makes the folder where tmpfiles has not: on a host that is no appliance.
pub(crate) fn make(root: &Root) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(MODE).create(root.path(DIRECTORY))
}

/// A file in it.
pub(crate) fn path(root: &Root, name: &str) -> PathBuf {
    root.path(DIRECTORY).join(name)
}
