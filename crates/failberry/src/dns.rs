//! `failberry dns`: Route 53's failover records. That takes TLS, which this program does not have, so it
//! becomes the one that does.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use sysio::Root;

use crate::exit;

/// The daemon, which is the command, too.
const PROGRAM: &str = "/usr/libexec/failberry/dyndns";

/// Does not return unless it fails.
pub(crate) fn run(root: &Root, words: &[OsString]) -> u8 {
    let mut command = Command::new(root.path(PROGRAM));
    command.arg("dns").args(words);
    if *root != Root::system() {
        command.arg("--root").arg(root.path("/"));
    }
    let error = command.exec();
    let (hint, code) = match error.kind() {
        ErrorKind::NotFound => ("dyndns is not installed here; is this the appliance?", exit::UNAVAILABLE),
        ErrorKind::PermissionDenied => ("log in as root", exit::NO_PERMISSION),
        _ => ("see journalctl", exit::IO),
    };
    eprintln!("failberry: start {PROGRAM}: {error}; {hint}");
    code
}
