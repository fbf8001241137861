//! Answers health checks on port 9000.

use std::error::Error;
use std::process::ExitCode;

use daemonkit::Arguments;
use httpd::{Limits, Service};

const NAME: &str = "pinghttpserver";
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
    let listener = httpd::listen(pinghttpserver::PORT)
        .map_err(|e| format!("listen on port {}: {e}", pinghttpserver::PORT))?;
    let mut service = Service::new(listener, Limits::default(), pinghttpserver::answer)?;
    Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut service)?)
}
