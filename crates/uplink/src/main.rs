//! The daemon `uplink`; see the library.

use std::process::ExitCode;

const NAME: &str = "uplink";

fn main() -> ExitCode {
    let arguments = daemonkit::Arguments::parse(NAME, env!("CARGO_PKG_VERSION"));
    daemonkit::init_logging();
    let settings = uplink::load_settings(&arguments.config);
    let result = uplink::Uplink::new(&arguments.root, settings)
        .map_err(daemonkit::Error::Daemon)
        .and_then(|mut uplink| daemonkit::run(&arguments.root, NAME, env!("CARGO_PKG_VERSION"), &mut uplink));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
