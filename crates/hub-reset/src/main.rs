//! The daemon and command `hub-reset`; see the library.

use std::process::ExitCode;

use hub_reset::{NAME, VERSION, cli, driver::Driver};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    if cli::is_command(&words) {
        return cli::main(words);
    }
    daemonkit::start(NAME, VERSION, |arguments| {
        let mut driver = Driver::new(&arguments.root);
        Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut driver)?)
    })
}
