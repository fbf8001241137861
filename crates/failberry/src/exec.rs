//! Commands that a daemon's binary does: they take TLS, which this program does not have, so it becomes
//! the one that does.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use sysio::Root;

use crate::exit;

/// Where the daemons' binaries are.
const FOLDER: &str = "/usr/libexec/failberry";

/// Becomes `daemon`'s binary with `word` before the words. Does not return unless it fails.
pub(crate) fn run(root: &Root, daemon: &str, word: &str, words: &[OsString]) -> u8 {
    let program = format!("{FOLDER}/{daemon}");
    let mut command = Command::new(root.path(&program));
    command.arg(word).args(words);
    if *root != Root::system() {
        command.arg("--root").arg(root.path("/"));
    }
    let error = command.exec();
    let (hint, code) = match error.kind() {
        ErrorKind::NotFound => {
            (format!("{daemon} is not installed here; is this the appliance?"), exit::UNAVAILABLE)
        }
        ErrorKind::PermissionDenied => ("log in as root".to_owned(), exit::NO_PERMISSION),
        _ => ("see journalctl".to_owned(), exit::IO),
    };
    eprintln!("failberry: start {program}: {error}; {hint}");
    code
}
