//! Asks for pages: status, and times by phase, as somebody in the house would see them.
//!
//! [`machine`] decides when which page is asked for, and is pure. What blocks happens in a child
//! process ([`ask`]); the daemon's loop waits for none. [`command`] does the same once, for a person.

pub mod ask;
pub mod command;
pub mod daemon;
pub mod lines;
pub mod machine;
pub mod settings;
pub mod status;

use std::ffi::OsString;
use std::process::ExitCode;

use sysio::Root;

/// Its name in unit, snapshot and configuration.
pub const NAME: &str = "prober";
/// Its version in the snapshot.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The daemon, its child, or the command, by the first word.
pub fn main(words: &[OsString]) -> ExitCode {
    match words.first().and_then(|word| word.to_str()) {
        Some(ask::WORD) => {
            let root = match words {
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
