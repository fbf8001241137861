//! Answers health checks on port 9000.

use std::process::ExitCode;

use httpd::{Limits, Service};
use pinghttpserver::{PORT, answer};

const NAME: &str = "pinghttpserver";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    daemonkit::start(NAME, VERSION, |arguments| {
        let mut service = Service::new(httpd::listen(PORT)?, Limits::default(), answer)?;
        Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut service)?)
    })
}
