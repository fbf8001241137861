//! The program: the daemon, its asking child, and the command.

use std::process::ExitCode;

use sysio::Root;

use crate::{NAME, VERSION, ask, command, daemon, settings};

/// The daemon, its child, or the command, by the first word.
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match words.first().and_then(|word| word.to_str()) {
        Some(ask::WORD) => {
            let root = match &words[..] {
                [_, flag, dir] if flag == "--root" => Root::at(dir),
                _ => Root::system(),
            };
            ask::main(&root);
            ExitCode::SUCCESS
        }
        Some(command::WORD) => ExitCode::from(command::main(&words[1..])),
        _ => daemonkit::start(NAME, VERSION, |arguments| {
            let pages = settings::load(&arguments.config);
            // Not the path: after an update in place that may be another program.
            let mut daemon = daemon::Prober::new(&arguments.root, pages, "/proc/self/exe")?;
            Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut daemon)?)
        }),
    }
}
