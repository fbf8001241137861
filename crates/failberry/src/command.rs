//! Words of the command line to one command.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use lexopt::Arg;
use sysio::Root;

use crate::request::{self, Request};
use crate::{config_check, exec, exit, import, incidents, modem, notify, status, usage};

const HELP: &str = "\
usage: failberry COMMAND

  status [--json]      everything at a glance; exit 0 healthy, 1 degraded, 2 failed
  config check FILE    every mistake in a failberry.toml; exit 78 when there is one
  config import        take failberry.toml and authorized_keys from the card (run at boot)
  redial               hang up and call again
  dial                 with modem.dial on-demand: call now, also while the wired line is up
  hangup               end the call, and make no other until the wired line fails again
  dns plan             what Route 53's failover records lack; exit 2 when there are changes
  dns apply            show it, ask, and make it so
  dns status           records, health checks, and what the world resolves
  dyndns retry         tell providers once more that had said to stop; root only
  notify test          send a test message by every configured way, and show what came of it
  probe URL…           ask for pages now: status, and times by phase; see failberry probe --help
  incidents [--json]   what went wrong, and what each rung of the ladder did about it
  usage [--json]       data of the cellular line in this billing period, and what is left
  usage set '3.2 GB'   take the provider's figure for this period; root only
  modem                the stick: model, network, signal, link
  modem at 'AT+CSQ'    ask the stick something, also during the call; root only
  modem disable-cdrom  switch a ZTE stick's CD-ROM off for good, after a warning (--yes)
  modem enable-cdrom   bring it back
  modem forget-pin     send the configured PIN once more although it was not accepted; root only

  -h, --help           this text
  -V, --version        the version
";

const JSON: &str = "--json belongs to status, incidents and usage";

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Show everything at a glance.
    Status {
        /// The system.
        root: Root,
        /// For programs.
        json: bool,
    },
    /// Check a file.
    ConfigCheck(PathBuf),
    /// Import the configuration from the card.
    ConfigImport(Root),
    /// Ask a daemon for something.
    Ask(Root, Request),
    /// Route 53's failover records; what is wanted of them is not looked at here.
    Dns(Root, Vec<OsString>),
    /// Ask the dialer to send the PIN once more.
    ModemForgetPin(Root),
    /// Show what went wrong.
    Incidents {
        /// The system.
        root: Root,
        /// For programs.
        json: bool,
    },
    /// Show what the metered line has carried.
    Usage {
        /// The system.
        root: Root,
        /// For programs.
        json: bool,
    },
    /// Take the provider's figure.
    UsageSet(Root, String),
    /// Send a test message by every way.
    NotifyTest(Root),
    /// Ask for pages; the words are for the program that does it.
    Probe(Root, Vec<OsString>),
    /// Show the stick.
    Modem(Root),
    /// Ask the stick.
    ModemAt(Root, String),
    /// Switch the stick's CD-ROM, persistently.
    ModemCdrom {
        /// The system.
        root: Root,
        /// Off or on.
        disable: bool,
        /// Whether the warning was read.
        yes: bool,
    },
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

impl Command {
    /// Parses the words after the program's name.
    ///
    /// # Errors
    /// If they make no command.
    pub fn parse<I: IntoIterator<Item = OsString>>(words: I) -> Result<Self, lexopt::Error> {
        let mut parser = lexopt::Parser::from_args(words);
        let (mut root, mut json, mut yes, mut verbs) = (Root::system(), false, false, Vec::new());
        while let Some(arg) = parser.next()? {
            match arg {
                Arg::Short('h') | Arg::Long("help") => return Ok(Self::Help),
                Arg::Short('V') | Arg::Long("version") => return Ok(Self::Version),
                // For tests and for looking into another system's files; not in the help.
                Arg::Long("root") => root = Root::at(parser.value()?),
                Arg::Long("json") => json = true,
                Arg::Long("yes") => yes = true,
                Arg::Value(verb) if verbs.is_empty() && verb == "dns" => {
                    return Ok(Self::Dns(root, parser.raw_args()?.collect()));
                }
                Arg::Value(verb) if verbs.is_empty() && verb == "probe" => {
                    return Ok(Self::Probe(root, parser.raw_args()?.collect()));
                }
                Arg::Value(verb) => verbs.push(verb),
                other => return Err(other.unexpected()),
            }
        }
        let words: Vec<&str> = verbs.iter().map(|v| v.to_str().unwrap_or_default()).collect();
        let command = match words.as_slice() {
            ["status"] => return Ok(Self::Status { root, json }),
            ["incidents"] => return Ok(Self::Incidents { root, json }),
            ["usage"] => return Ok(Self::Usage { root, json }),
            ["usage", "set", amount] => Self::UsageSet(root, (*amount).to_owned()),
            ["usage", "set", ..] => return Err("usage set takes one amount, in quotes: '3.2 GB'".into()),
            ["config", "check", _] => Self::ConfigCheck(PathBuf::from(&verbs[2])),
            ["config", "import"] => Self::ConfigImport(root),
            ["redial"] => Self::Ask(root, Request::Redial),
            ["dial"] => Self::Ask(root, Request::Dial),
            ["hangup"] => Self::Ask(root, Request::HangUp),
            ["dyndns", "retry"] => Self::Ask(root, Request::RetryNames),
            ["notify", "test"] => Self::NotifyTest(root),
            ["modem"] => Self::Modem(root),
            ["modem", "at", command] => Self::ModemAt(root, (*command).to_owned()),
            ["modem", "at"] => return Err("modem at needs a command, such as 'AT+CSQ'".into()),
            ["modem", "at", ..] => return Err("modem at takes one command: put it in quotes".into()),
            ["modem", "disable-cdrom"] => {
                return if json {
                    Err(JSON.into())
                } else {
                    Ok(Self::ModemCdrom { root, disable: true, yes })
                };
            }
            ["modem", "forget-pin"] => Self::ModemForgetPin(root),
            ["modem", "enable-cdrom"] => Self::ModemCdrom { root, disable: false, yes: false },
            ["config", "check"] => return Err("config check needs a file".into()),
            [] => return Err("a command is missing".into()),
            _ => return Err(format!("unknown command {:?}", words.join(" ")).into()),
        };
        match (json, yes) {
            (true, _) => Err(JSON.into()),
            (_, true) => Err("--yes belongs to modem disable-cdrom".into()),
            _ => Ok(command),
        }
    }

    /// Does it; what went wrong is told on standard error.
    pub fn run(self) -> ExitCode {
        let code = match self {
            Self::Help => {
                print!("{HELP}");
                exit::OK
            }
            Self::Version => {
                println!("failberry {}", env!("CARGO_PKG_VERSION"));
                exit::OK
            }
            Self::Status { root, json } => status::run(&root, json),
            Self::ConfigCheck(file) => config_check::run(&file),
            Self::ConfigImport(root) => import::run(&root),
            Self::Ask(root, what) => request::run(&root, what),
            Self::Dns(root, words) => exec::run(&root, "dyndns", "dns", &words),
            Self::Incidents { root, json } => incidents::run(&root, json),
            Self::Usage { root, json } => usage::run(&root, json),
            Self::UsageSet(root, amount) => usage::set(&root, &amount),
            Self::NotifyTest(root) => notify::test(&root),
            Self::Probe(root, words) => exec::run(&root, "prober", "probe", &words),
            Self::Modem(root) => modem::status(&root),
            Self::ModemAt(root, command) => modem::at(&root, &command),
            Self::ModemForgetPin(root) => modem::forget_pin(&root),
            Self::ModemCdrom { root, disable, yes } => modem::cdrom(&root, disable, yes),
        };
        ExitCode::from(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Command, lexopt::Error> {
        Command::parse(words.iter().map(OsString::from))
    }

    #[test]
    fn the_documented_commands_are_understood() {
        let root = Root::system();
        assert_eq!(parse(&["status"]).unwrap(), Command::Status { root: root.clone(), json: false });
        assert_eq!(parse(&["status", "--json"]).unwrap(), Command::Status { root: root.clone(), json: true });
        assert_eq!(parse(&["config", "check", "f"]).unwrap(), Command::ConfigCheck("f".into()));
        assert_eq!(parse(&["config", "import"]).unwrap(), Command::ConfigImport(root.clone()));
        let incidents = Command::Incidents { root: root.clone(), json: true };
        assert_eq!(parse(&["incidents", "--json"]).unwrap(), incidents);
        let usage = Command::Usage { root: root.clone(), json: true };
        assert_eq!(parse(&["usage", "--json"]).unwrap(), usage);
        let set = Command::UsageSet(root.clone(), "3.2 GB".into());
        assert_eq!(parse(&["usage", "set", "3.2 GB"]).unwrap(), set);
        let retry = Command::Ask(root.clone(), Request::RetryNames);
        assert_eq!(parse(&["dyndns", "retry"]).unwrap(), retry);
        let words = ["apply", "--yes", "--wired", "203.0.113.5", "--help"];
        let dns = Command::Dns(root.clone(), words.map(OsString::from).to_vec());
        assert_eq!(parse(&[&["dns"], &words[..]].concat()).unwrap(), dns);
        for (word, request) in
            [("redial", Request::Redial), ("dial", Request::Dial), ("hangup", Request::HangUp)]
        {
            assert_eq!(parse(&[word]).unwrap(), Command::Ask(root.clone(), request));
        }
        assert_eq!(parse(&["notify", "test"]).unwrap(), Command::NotifyTest(root.clone()));
        let words = ["example.org", "--line", "wired", "--help"];
        let probe = Command::Probe(root.clone(), words.map(OsString::from).to_vec());
        assert_eq!(parse(&[&["probe"], &words[..]].concat()).unwrap(), probe);
        assert_eq!(parse(&["redial", "--help"]).unwrap(), Command::Help);
        let root = Root::system();
        assert_eq!(parse(&["modem"]).unwrap(), Command::Modem(root.clone()));
        assert_eq!(
            parse(&["modem", "at", "AT+CSQ"]).unwrap(),
            Command::ModemAt(root.clone(), "AT+CSQ".into())
        );
        let switch = |disable, yes| Command::ModemCdrom { root: Root::system(), disable, yes };
        assert_eq!(parse(&["modem", "disable-cdrom", "--yes"]).unwrap(), switch(true, true));
        assert_eq!(parse(&["modem", "disable-cdrom"]).unwrap(), switch(true, false));
        assert_eq!(parse(&["modem", "forget-pin"]).unwrap(), Command::ModemForgetPin(root.clone()));
        assert_eq!(parse(&["modem", "enable-cdrom"]).unwrap(), switch(false, false));
    }

    #[test]
    fn anything_else_is_refused() {
        let wrong: &[&[&str]] = &[
            &[],
            &["statsu"],
            &["status", "now"],
            &["status", "--jsn"],
            &["config"],
            &["config", "check"],
            &["config", "check", "a", "b"],
            &["redial", "--json"],
            &["redial", "--yes"],
            &["dial", "112"],
            &["hangup", "--json"],
            &["usage", "set"],
            &["usage", "set", "3.2", "GB"],
            &["notify"],
            &["dyndns"],
            &["dyndns", "retry", "--json"],
            &["notify", "test", "--json"],
            &["modem", "at"],
            &["modem", "at", "AT", "+CSQ"],
            &["modem", "disable-cdrom", "--json"],
            &["modem", "x"],
        ];
        for words in wrong {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
