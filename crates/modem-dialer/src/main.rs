//! The daemon that dials; called by pppd, the messenger that brings its addresses.

use std::process::ExitCode;

use modem_dialer::{NAME, VERSION, ip_up};

fn main() -> ExitCode {
    if let Some(call) = ip_up::Call::from_args(std::env::args()) {
        return call.report();
    }
    daemonkit::start(NAME, VERSION, |arguments| Ok(modem_dialer::run(arguments)?))
}
