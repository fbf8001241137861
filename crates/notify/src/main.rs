//! The program `notify` by itself; in the image it is part of `outbound`.

use std::process::ExitCode;

fn main() -> ExitCode {
    notify::program::main()
}
