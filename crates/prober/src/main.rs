//! The daemon `prober`, its asking child and `prober probe`; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    prober::main(&words)
}
