//! The program: the daemon, its sending child, and the command `failberry dns`.

use std::process::ExitCode;

use crate::daemon::Dyndns;
use crate::failover::cli;
use crate::{NAME, VERSION, deliver, settings};

/// Its whole life, by its arguments.
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let first = words.first().and_then(|word| word.to_str());
    if first == Some(cli::WORD) {
        return cli::main(&words[1..], &mut std::io::stdout()).into();
    }
    if first == Some(deliver::WORD) {
        let root = match &words[..] {
            [_, flag, dir] if flag == "--root" => sysio::Root::at(dir),
            _ => sysio::Root::system(),
        };
        deliver::main(&root);
        return ExitCode::SUCCESS;
    }
    daemonkit::start(NAME, VERSION, |arguments| {
        let settings = settings::load(&arguments.config);
        // Not the path: after an update in place that may be another program.
        let mut daemon = Dyndns::new(&arguments.root, settings, "/proc/self/exe")?;
        Ok(daemonkit::run(&arguments.root, NAME, VERSION, &mut daemon)?)
    })
}
