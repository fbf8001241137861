//! The program: the daemon, its sending child, and the runner of hooks.

use std::process::ExitCode;

use crate::daemon::Notify;
use crate::{NAME, VERSION, deliver, hooks, settings};

/// Its whole life, by its arguments.
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    match words.first().and_then(|word| word.to_str()) {
        Some(deliver::WORD) => {
            deliver::main(&root(&words));
            ExitCode::SUCCESS
        }
        Some("hooks") => {
            daemonkit::init_logging();
            hooks::main(&root(&words));
            ExitCode::SUCCESS
        }
        _ => daemonkit::start(NAME, VERSION, |arguments| {
            let settings = settings::load_settings(&arguments.config);
            // Not the path: after an update in place that may be another program.
            let mut daemon = Notify::new(&arguments.root, settings, "/proc/self/exe")?;
            Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut daemon)?)
        }),
    }
}

/// `--root DIR` behind the first word.
fn root(words: &[std::ffi::OsString]) -> sysio::Root {
    match words {
        [_, flag, dir] if flag == "--root" => sysio::Root::at(dir),
        _ => sysio::Root::system(),
    }
}
