//! `failberry`: status, configuration and requests of the appliance.

use std::process::ExitCode;

fn main() -> ExitCode {
    match failberry::Command::parse(std::env::args_os().skip(1)) {
        Ok(command) => command.run(),
        Err(error) => {
            eprintln!("failberry: {error}; see failberry --help");
            failberry::exit::USAGE.into()
        }
    }
}
