//! What every `main` does: parse, log, run, and say once why it ended.

use std::error::Error;
use std::process::ExitCode;

use crate::{Arguments, init_logging};

/// Runs `daemon` with its arguments; an error is logged with its causes and becomes exit code 1,
/// upon which systemd starts the daemon again.
pub fn start(
    name: &str,
    version: &str,
    daemon: impl FnOnce(&Arguments) -> Result<(), Box<dyn Error>>,
) -> ExitCode {
    let arguments = Arguments::parse(name, version);
    init_logging();
    match daemon(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes in one line; a cause that its error already quotes is not repeated.
fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
        cause = error.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_named_once() {
        let source = std::io::Error::from_raw_os_error(98);
        let quoted: Box<dyn Error> =
            Box::new(crate::Error::<std::io::Error>::Loop { action: "poll", source });
        assert_eq!(chain(quoted.as_ref()), "poll: Address already in use (os error 98)");
    }
}
