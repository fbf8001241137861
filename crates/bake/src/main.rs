//! `scripts/bake`: see `cli::USAGE`.

use std::io::stdout;
use std::process::ExitCode;

use bake::cli::{USAGE, environment, parse, run};

/// sysexits.h: command line used wrongly.
const EX_USAGE: u8 = 64;

fn main() -> ExitCode {
    let request = match parse(lexopt::Parser::from_env()) {
        Ok(request) => request,
        Err(error) => {
            eprintln!("bake: {error}\n{USAGE}");
            return ExitCode::from(EX_USAGE);
        }
    };
    match environment().and_then(|env| run(&request, &env, &mut stdout())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bake: error: {error}");
            ExitCode::FAILURE
        }
    }
}
