//! `lab`: lists and runs scenarios, or boots the appliance to look at. See `scripts/lab`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lab::cli::run(std::env::args_os())
}
