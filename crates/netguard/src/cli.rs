//! `netguard COMMAND`: which commands there are, and who does them.
//!
//! Each is a module of its own below `cli`; a new one is a row in [`COMMANDS`].

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use config::LoadError;
use lexopt::{Arg, ValueExt};
use ruleset::Policy;
use sysio::Root;

mod apply;
mod check;
mod confirm;
mod explain;

/// As it should be, or done.
pub(crate) const OK: u8 = 0;
/// Refused, or there was nothing to do it to.
pub(crate) const REFUSED: u8 = 1;
/// Wrong words (sysexits `EX_USAGE`).
pub(crate) const USAGE: u8 = 64;
/// The configuration cannot be read (sysexits `EX_NOINPUT`).
pub(crate) const NO_INPUT: u8 = 66;
/// The configuration is wrong (sysexits `EX_CONFIG`).
pub(crate) const CONFIG: u8 = 78;

struct Command {
    name: &'static str,
    /// What follows the name, for the help text.
    operands: &'static str,
    help: &'static str,
    run: fn(&Words) -> u8,
}

const COMMANDS: &[Command] = &[
    Command { name: "check", operands: "[--json] [--config FILE]", help: check::HELP, run: check::run },
    Command { name: "explain", operands: "KEY [--json]", help: explain::HELP, run: explain::run },
    Command {
        name: "apply",
        operands: "[--config FILE] [--confirm SECONDS]",
        help: apply::HELP,
        run: apply::run,
    },
    Command { name: "confirm", operands: "", help: confirm::HELP, run: confirm::run },
];

const HEAD: &str = "\
usage: netguard [--config FILE] [--root DIR]   the daemon: keep packet filter and settings
       netguard COMMAND
";

const TAIL: &str = "
--config FILE  the configuration; without it that of the running appliance, else the defaults
--root DIR     look at the system below DIR
--json         the answer as JSON
Exit: 0 as it should be, 64 wrong words; each command says more with --help.
";

/// What the words after the command's name say.
#[derive(Debug, Default)]
pub(crate) struct Words {
    pub(crate) root: Option<Root>,
    pub(crate) config: Option<OsString>,
    pub(crate) json: bool,
    /// Seconds in which somebody has to confirm.
    pub(crate) confirm: Option<u64>,
    pub(crate) values: Vec<String>,
    help: bool,
}

impl Words {
    fn parse(words: &[OsString]) -> Result<Self, lexopt::Error> {
        let mut parser = lexopt::Parser::from_args(words);
        let mut parsed = Self::default();
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Long("root") => parsed.root = Some(Root::at(parser.value()?)),
                Arg::Long("config") => parsed.config = Some(parser.value()?),
                Arg::Long("json") => parsed.json = true,
                Arg::Long("confirm") => parsed.confirm = Some(parser.value()?.parse()?),
                Arg::Long("help") | Arg::Short('h') => parsed.help = true,
                Arg::Value(value) => parsed.values.push(value.to_string_lossy().into_owned()),
                other => return Err(other.unexpected()),
            }
        }
        Ok(parsed)
    }

    /// The policy that is asked about: of the file that was named, else of the running appliance, else
    /// that of a fresh one. A file that was named has to be right.
    pub(crate) fn policy(&self, root: &Root) -> Result<Policy, u8> {
        let Some(named) = &self.config else {
            let own = root.path(format!("{}/netguard.toml", config::SLICE_DIR));
            return Ok(crate::load_policy(&own));
        };
        crate::policy::read_policy(Path::new(named)).map_err(|error| match error {
            LoadError::Read { path, source } => {
                eprintln!(
                    "netguard: read {}: {source}; name the configuration with --config FILE",
                    path.display()
                );
                NO_INPUT
            }
            wrong @ LoadError::Invalid { .. } => {
                eprintln!("{wrong}");
                CONFIG
            }
        })
    }
}

/// Whether the words are for a command and not for the daemon.
pub fn is_command(words: &[OsString]) -> bool {
    let first = words.first().map(OsString::as_os_str).and_then(OsStr::to_str).unwrap_or("");
    first == "--help" || first == "-h" || (!first.is_empty() && !first.starts_with('-'))
}

/// Does what the words say.
pub fn main(words: &[OsString]) -> ExitCode {
    run(words).into()
}

fn run(words: &[OsString]) -> u8 {
    let name = words.first().and_then(|word| word.to_str()).unwrap_or("");
    if ["--help", "-h", "help"].contains(&name) {
        print!("{}", help());
        return OK;
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return usage(&format!("unknown command {name:?}"));
    };
    match Words::parse(&words[1..]) {
        Ok(words) if words.help => {
            println!("usage: netguard {} {}\n  {}", command.name, command.operands, command.help);
            OK
        }
        Ok(words) => (command.run)(&words),
        Err(error) => usage(&format!("{name}: {error}")),
    }
}

fn help() -> String {
    let row = |command: &Command| {
        let call = format!("{} {}", command.name, command.operands);
        format!("\n  {call}\n      {}\n", command.help.replace('\n', "\n      "))
    };
    [HEAD.to_owned(), COMMANDS.iter().map(row).collect(), TAIL.to_owned()].concat()
}

pub(crate) fn usage(problem: &str) -> u8 {
    eprintln!("netguard: {problem}; see netguard --help");
    USAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(Into::into).collect()
    }

    #[test]
    fn the_daemon_s_own_words_are_no_command() {
        for daemon in ["", "--root /tmp/x", "--config /tmp/x --root /tmp/y", "--version"] {
            assert!(!is_command(&words(daemon)), "{daemon}");
        }
        for command in ["explain x", "--help", "-h", "chekc"] {
            assert!(is_command(&words(command)), "{command}");
        }
    }

    #[test]
    fn an_unknown_command_is_wrong_usage() {
        assert_eq!(run(&words("chekc --json")), USAGE);
    }
}
