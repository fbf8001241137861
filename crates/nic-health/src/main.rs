//! The daemon and command `nic-health`; see the library.

use std::process::ExitCode;

use nic_health::{NAME, NicHealth, Settings, VERSION, cli};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if cli::is_command(&words) {
        return cli::main(words);
    }
    daemonkit::start(NAME, VERSION, |arguments| {
        let mut daemon = NicHealth::new(&arguments.root, Settings::load(&arguments.config))?;
        Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut daemon)?)
    })
}
