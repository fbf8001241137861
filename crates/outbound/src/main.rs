//! The daemons that speak TLS, in one program: which one it is, its own name says (a link to it).
//!
//! TLS with its roots is three quarters of each; the image has it once, and what of it is in memory is
//! shared. They stay processes of their own, each with its user, its sandbox and its secrets.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

/// A daemon: the name of the link, and its whole life.
type Program = (&'static str, fn() -> ExitCode);

/// Every daemon that is in here.
const PROGRAMS: [Program; 3] =
    [("dyndns", dyndns::program::main), ("notify", notify::program::main), ("prober", prober::program::main)];

/// The exit code for a wrong call (sysexits.h, `EX_USAGE`).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let called = std::env::args_os().next().unwrap_or_default();
    if let Some((_, program)) = chosen(&called) {
        return program();
    }
    let names: Vec<&str> = PROGRAMS.iter().map(|(name, _)| *name).collect();
    eprintln!("outbound: called as {}; call it by a link named {}", called.display(), names.join(" or "));
    ExitCode::from(USAGE)
}

fn chosen(called: &OsStr) -> Option<&'static Program> {
    let name = Path::new(called).file_name()?;
    PROGRAMS.iter().find(|(known, _)| name == *known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_any_folder_chooses_and_no_other_name_does() {
        let name = |called: &str| chosen(OsStr::new(called)).map(|(name, _)| *name);
        assert_eq!(name("/usr/libexec/failberry/notify"), Some("notify"));
        assert_eq!(name("dyndns"), Some("dyndns"));
        assert_eq!(name("/usr/libexec/failberry/outbound"), None);
        assert_eq!(name("/proc/self/exe"), None);
        assert_eq!(name(""), None);
    }
}
