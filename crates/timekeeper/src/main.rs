//! The program `timekeeper`; see the library.

use std::process::ExitCode;

use timekeeper::daemon::Timekeeper;
use timekeeper::ports::System;
use timekeeper::{NAME, VERSION};

fn main() -> ExitCode {
    daemonkit::start(NAME, VERSION, |arguments| {
        let mut daemon = Timekeeper::new(&arguments.root, System)?;
        Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut daemon)?)
    })
}
