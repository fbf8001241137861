//! Commands that another program of the appliance does: those that need TLS, which would make this one
//! ten times as large.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::exit;

/// Where the daemons' programs are.
const FOLDER: &str = "/usr/libexec/failberry";

/// Becomes `program` of the appliance, with these words; comes back only with the code of a failure.
pub(crate) fn become_program(program: &str, words: &[OsString]) -> u8 {
    let path = format!("{FOLDER}/{program}");
    let error = Command::new(&path).args(words).exec();
    let (hint, code) = match error.kind() {
        ErrorKind::NotFound => {
            ("is this the appliance, and was it baked with that layer?", exit::UNAVAILABLE)
        }
        ErrorKind::PermissionDenied => ("log in as root", exit::NO_PERMISSION),
        _ => ("see dmesg", exit::IO),
    };
    eprintln!("failberry: run {path}: {error}; {hint}");
    code
}
