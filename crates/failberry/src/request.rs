//! `failberry redial`, `dial` and `hangup`: requests for the dialer.

use std::io::ErrorKind;

use sysio::{Root, file};

use crate::exit;

/// Where the dialer looks for requests.
const REQUESTS: &str = "/run/failberry/requests/modem-dialer";

/// What is asked of the dialer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// Hang up and call again.
    Redial,
    /// Call, although the wired line is up.
    Dial,
    /// Hang up, although it is down.
    HangUp,
}

impl Request {
    fn name(self) -> &'static str {
        match self {
            Self::Redial => "redial",
            Self::Dial => "dial",
            Self::HangUp => "hangup",
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
        }
    }
}

/// Leaves the request; the dialer removes it when it takes it.
pub(crate) fn run(root: &Root, request: Request) -> u8 {
    let path = format!("{REQUESTS}/{}", request.name());
    let Err(error) = file::write_atomic(&root.path(&path), b"", 0o644) else {
        println!("{}", request.done());
        return exit::OK;
    };
    let (hint, code) = match error.kind() {
        ErrorKind::PermissionDenied => ("only root may ask; log in as root", exit::NO_PERMISSION),
        ErrorKind::NotFound => {
            ("modem-dialer is not installed here; is this the appliance?", exit::UNAVAILABLE)
        }
        _ => ("see journalctl -u modem-dialer", exit::IO),
    };
    eprintln!("failberry: write {path}: {error}; {hint}");
    code
}
