//! The few arguments every daemon takes.

use std::path::PathBuf;

use sysio::Root;

/// Where a daemon finds the system and its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The system.
    pub root: Root,
    /// The daemon's slice of the configuration.
    pub config: PathBuf,
}

impl Arguments {
    /// Parses the command line of `daemon`; prints help or version and exits where asked to,
    /// exits 64 (sysexits `EX_USAGE`) on a word it does not know.
    pub fn parse(daemon: &str, version: &str) -> Self {
        match Self::from_args(daemon, std::env::args_os().skip(1)) {
            Ok(Parsed::Run(arguments)) => arguments,
            Ok(Parsed::Version) => {
                println!("{daemon} {version}");
                std::process::exit(0)
            }
            Ok(Parsed::Help) => {
                println!("usage: {daemon} [--config FILE] [--root DIR] [--version]");
                std::process::exit(0)
            }
            Err(error) => {
                eprintln!("{daemon}: {error}; see {daemon} --help");
                std::process::exit(64)
            }
        }
    }

    fn from_args<I>(daemon: &str, args: I) -> Result<Parsed, lexopt::Error>
    where
        I: IntoIterator<Item = std::ffi::OsString>,
    {
        let mut parser = lexopt::Parser::from_args(args);
        let (mut root, mut config) = (Root::system(), None);
        while let Some(arg) = parser.next()? {
            match arg {
                lexopt::Arg::Long("root") => root = Root::at(parser.value()?),
                lexopt::Arg::Long("config") => config = Some(PathBuf::from(parser.value()?)),
                lexopt::Arg::Long("version") => return Ok(Parsed::Version),
                lexopt::Arg::Long("help") | lexopt::Arg::Short('h') => return Ok(Parsed::Help),
                other => return Err(other.unexpected()),
            }
        }
        let config = config.unwrap_or_else(|| root.path(format!("/run/failberry/config/{daemon}.toml")));
        Ok(Parsed::Run(Self { root, config }))
    }
}

enum Parsed {
    Run(Arguments),
    Version,
    Help,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Parsed, lexopt::Error> {
        Arguments::from_args("uplink", args.iter().map(Into::into))
    }

    #[test]
    fn the_configuration_lies_below_the_root() {
        let Ok(Parsed::Run(arguments)) = parse(&["--root", "/tmp/x"]) else { panic!("runs") };
        assert_eq!(arguments.config, PathBuf::from("/tmp/x/run/failberry/config/uplink.toml"));
    }

    #[test]
    fn an_unknown_word_is_refused() {
        assert!(parse(&["--rot", "/tmp/x"]).is_err());
    }
}
