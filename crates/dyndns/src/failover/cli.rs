//! The command `failberry dns`, which is this program with the word `dns`: it alone has TLS.

use std::ffi::OsString;
use std::io::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use lexopt::{Arg, ValueExt as _};
use sysio::Root;

use super::run;
use super::wanted::wanted;
use crate::NAME;
use crate::settings::{Settings, settings};

/// The word that makes this binary the command.
pub const WORD: &str = "dns";

/// Nothing is to be done, or all was done.
pub const OK: u8 = 0;
/// Something cannot be set up, or somebody refused.
pub const FAILED: u8 = 1;
/// `plan`: there are changes.
pub const CHANGES: u8 = 2;
/// `EX_USAGE`.
pub const USAGE: u8 = 64;
/// `EX_NOPERM`: only root may read the accounts.
pub const NO_PERMISSION: u8 = 77;
/// `EX_CONFIG`.
pub const CONFIG: u8 = 78;

const HELP: &str = "\
usage: failberry dns plan|apply|status [OPTION]…

  plan      what Route 53 has and what it should have; exit 0 nothing to do, 2 changes, 1 trouble
  apply     the same, and then make it so
  status    records, health checks, what checkers see and what resolvers answer

  --json              for programs
  --yes               apply: without asking
  --wait              apply: until all name servers of Route 53 have it, two minutes at most
  --wired ADDRESS     the wired line's address, where the appliance does not know it; may repeat
  --cellular ADDRESS  the same for the cellular line
  --resolver ADDRESS  status: whom to ask; may repeat
  --config FILE       another configuration
";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Plan,
    Apply,
    Status,
}

/// How.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) verb: Verb,
    pub(super) json: bool,
    pub(super) yes: bool,
    pub(super) wait: bool,
    pub(super) wired: Vec<IpAddr>,
    pub(super) cellular: Vec<IpAddr>,
    pub(super) resolvers: Vec<IpAddr>,
    pub(super) config: PathBuf,
    pub(super) root: Root,
}

/// Does what the words after [`WORD`] say, and says how it ended.
pub fn main(words: &[OsString], out: &mut dyn Write) -> u8 {
    let options = match parse(words) {
        Ok(Some(options)) => options,
        Ok(None) => {
            say(out, HELP);
            return OK;
        }
        Err(error) => {
            eprintln!("failberry: dns: {error}; see failberry dns --help");
            return USAGE;
        }
    };
    let settings = match load(&options.config) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let wanted = wanted(&settings, &run::sources(&options, &settings));
    if wanted.is_empty() && !options.json {
        say(out, "no name in [dyndns] has failover=yes: nothing to set up\n");
        return OK;
    }
    let done = match options.verb {
        Verb::Status => run::status(&options, &wanted, out),
        Verb::Plan | Verb::Apply => run::plan_and_apply(&options, &wanted, out),
    };
    done.unwrap_or_else(|error| {
        eprintln!("failberry: dns: {error}");
        FAILED
    })
}

fn parse(words: &[OsString]) -> Result<Option<Options>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(words.iter().cloned());
    let mut verb = None;
    let slice = Path::new(config::SLICE_DIR).join(config::slice_name(NAME));
    let (mut given, mut root) = (None, Root::system());
    let (mut json, mut yes, mut wait) = (false, false, false);
    let (mut wired, mut cellular, mut resolvers) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Long("json") => json = true,
            Arg::Long("yes") => yes = true,
            Arg::Long("wait") => wait = true,
            Arg::Long("wired") => wired.push(parser.value()?.parse()?),
            Arg::Long("cellular") => cellular.push(parser.value()?.parse()?),
            Arg::Long("resolver") => resolvers.push(parser.value()?.parse()?),
            Arg::Long("config") => given = Some(PathBuf::from(parser.value()?)),
            // For tests and for looking into another system's files; not in the help.
            Arg::Long("root") => root = Root::at(parser.value()?),
            Arg::Value(word) if verb.is_none() => {
                verb = Some(match word.to_str() {
                    Some("plan") => Verb::Plan,
                    Some("apply") => Verb::Apply,
                    Some("status") => Verb::Status,
                    _ => return Err("plan, apply or status is missing".into()),
                });
            }
            other => return Err(other.unexpected()),
        }
    }
    let Some(verb) = verb else { return Err("plan, apply or status is missing".into()) };
    if (yes || wait) && verb != Verb::Apply {
        return Err("--yes and --wait belong to apply".into());
    }
    if verb == Verb::Apply && json && !yes {
        return Err("apply --json asks nothing; say --yes".into());
    }
    let config = given.unwrap_or_else(|| root.path(slice));
    Ok(Some(Options { verb, json, yes, wait, wired, cellular, resolvers, config, root }))
}

/// The configuration, or the exit code: unlike the daemon, a command must not go on without one.
fn load(path: &Path) -> Result<Settings, u8> {
    match config::load(path) {
        Ok(config) => Ok(settings(&config)),
        Err(config::LoadError::Read { path, source })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            eprintln!("failberry: read {}: {source}; only root may read the accounts", path.display());
            Err(NO_PERMISSION)
        }
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("failberry: {error}{cause}; see failberry config check");
            Err(CONFIG)
        }
    }
}

/// Who closed standard output wants to read no more.
pub(super) fn say(out: &mut dyn Write, text: &str) {
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Option<Options>, lexopt::Error> {
        parse(&text.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_documented_words_are_understood() {
        let options =
            words("apply --yes --wired 203.0.113.5 --wired 2001:db8::5 --cellular 198.51.100.7").unwrap();
        let options = options.unwrap();
        assert_eq!((options.verb, options.wired.len(), options.cellular.len()), (Verb::Apply, 2, 1));
        assert_eq!(options.config, Path::new("/run/failberry/config/dyndns.toml"));
        assert_eq!(words("plan --json").unwrap().unwrap().verb, Verb::Plan);
        assert!(words("status --help").unwrap().is_none());
        for wrong in
            ["", "plna", "plan status", "plan --yes", "status --wait", "apply --json", "plan --wired x"]
        {
            assert!(words(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_told_by_its_code() {
        let dir = tempfile::tempdir().unwrap();
        let run = |file: &Path| {
            let words = ["plan".into(), "--config".into(), file.as_os_str().to_owned()];
            main(&words, &mut Vec::new())
        };
        assert_eq!(run(&dir.path().join("missing.toml")), CONFIG);
        let file = dir.path().join("failberry.toml");
        std::fs::write(&file, "[dyndns]\nnames = 7\n").unwrap();
        assert_eq!(run(&file), CONFIG);
        std::fs::write(&file, "").unwrap();
        assert_eq!(run(&file), OK);
    }
}
