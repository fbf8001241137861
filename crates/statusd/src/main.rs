//! Shows the appliance's state on port 80.

use std::error::Error;
use std::process::ExitCode;

use daemonkit::Arguments;
use httpd::{Limits, Service};
use statusd::{PORT, StatusSite};

const NAME: &str = "statusd";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    let arguments = Arguments::parse(NAME, VERSION);
    daemonkit::init_logging();
    if let Err(error) = run(&arguments) {
        log::error!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let listener = httpd::listen(PORT).map_err(|e| format!("listen on port {PORT}: {e}"))?;
    let site = StatusSite::new(arguments.root.clone());
    let mut service = Service::new(listener, Limits::default(), site)?;
    Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut service)?)
}
