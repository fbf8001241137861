//! `failberry redial`, `dial`, `hangup` and `dyndns retry`: requests that need no answer.

use std::io::ErrorKind;

use sysio::{Root, file};

use crate::exit;

/// Where daemons look for requests, each in a folder of its own.
const REQUESTS: &str = "/run/failberry/requests";

/// What is asked, and of whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Hang up and call again.
    Redial,
    /// Call, although the wired line is up.
    Dial,
    /// Hang up, although it is down.
    HangUp,
    /// Tell providers again that had said to stop.
    RetryNames,
}

impl Request {
    fn daemon(self) -> &'static str {
        match self {
            Self::Redial | Self::Dial | Self::HangUp => "modem-dialer",
            Self::RetryNames => "dyndns",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Redial => "redial",
            Self::Dial => "dial",
            Self::HangUp => "hangup",
            Self::RetryNames => "retry",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Redial => "asked modem-dialer to call again; failberry status shows how it goes",
            Self::Dial => {
                "asked modem-dialer to call, which it does with modem.dial = \"on-demand\"; \
                 failberry status shows how it goes, failberry hangup ends it"
            }
            Self::HangUp => {
                "asked modem-dialer to hang up, which it does with modem.dial = \"on-demand\"; \
                 failberry status shows how it goes"
            }
            Self::RetryNames => {
                "asked dyndns to tell providers once more that had said to stop; failberry status shows how \
                 it goes"
            }
        }
    }
}

/// Leaves the request; the daemon removes it when it takes it.
pub(crate) fn run(root: &Root, request: Request) -> u8 {
    let daemon = request.daemon();
    let path = format!("{REQUESTS}/{daemon}/{}", request.name());
    let Err(error) = file::write_atomic(&root.path(&path), b"", 0o644) else {
        println!("{}", request.done());
        return exit::OK;
    };
    let (hint, code) = match error.kind() {
        ErrorKind::PermissionDenied => ("only root may ask; log in as root".to_owned(), exit::NO_PERMISSION),
        ErrorKind::NotFound => {
            (format!("{daemon} is not installed here; is this the appliance?"), exit::UNAVAILABLE)
        }
        _ => (format!("see journalctl -u {daemon}"), exit::IO),
    };
    eprintln!("failberry: write {path}: {error}; {hint}");
    code
}
