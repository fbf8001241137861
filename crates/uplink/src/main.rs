//! The daemon `uplink`; see the library.

use std::process::ExitCode;

const NAME: &str = "uplink";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    daemonkit::start(NAME, VERSION, |arguments| {
        let settings = uplink::load_settings(&arguments.config);
        let mut uplink = uplink::Uplink::new(&arguments.root, settings)?;
        Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut uplink)?)
    })
}
