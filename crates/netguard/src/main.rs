//! The daemon and command `netguard`; see the library.

use std::process::ExitCode;

const NAME: &str = "netguard";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if netguard::cli::is_command(&words) {
        return netguard::cli::main(&words);
    }
    daemonkit::start(NAME, VERSION, |arguments| {
        let mut netguard = netguard::Netguard::new(&arguments.root, netguard::load_policy(&arguments.config));
        Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut netguard)?)
    })
}
