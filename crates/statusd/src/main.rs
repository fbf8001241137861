//! Shows the appliance's state on port 80.

use std::process::ExitCode;

use httpd::{Limits, Service};
use statusd::{PORT, StatusSite};

const NAME: &str = "statusd";
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn main() -> ExitCode {
    daemonkit::start(NAME, VERSION, |arguments| {
        // Without a slice the defaults are in force, and the import of the configuration says why.
        let metrics = config::load(&arguments.config).unwrap_or_default().metrics.prometheus;
        let site = StatusSite::new(arguments.root.clone(), metrics);
        let mut service = Service::new(httpd::listen(PORT)?, Limits::default(), site)?;
        Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut service)?)
    })
}
