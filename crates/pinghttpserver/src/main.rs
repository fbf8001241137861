//! Answers health checks on port 9000.

use std::process::ExitCode;

use httpd::{Limits, Service};
use pinghttpserver::{HealthSite, PORT};

const NAME: &str = "pinghttpserver";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    daemonkit::start(NAME, VERSION, |arguments| {
        let listener = httpd::inherit_or_listen(PORT)?;
        let site = HealthSite::new(arguments.root.clone())?;
        let mut service = Service::new(listener, Limits::default(), site)?;
        Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut service)?)
    })
}
