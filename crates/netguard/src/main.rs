//! The daemon `netguard`; see the library.

use std::process::ExitCode;

const NAME: &str = "netguard";

fn main() -> ExitCode {
    let arguments = daemonkit::Arguments::parse(NAME, env!("CARGO_PKG_VERSION"));
    daemonkit::init_logging();
    let mut daemon = netguard::Netguard::new(&arguments.root, netguard::load_policy(&arguments.config));
    match daemonkit::run(&arguments.root, NAME, env!("CARGO_PKG_VERSION"), &mut daemon) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
