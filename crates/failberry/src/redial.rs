//! `failberry redial`: a request for the dialer.

use std::io::ErrorKind;

use sysio::{Root, file};

use crate::exit;

/// Where the dialer looks for requests.
const REQUEST: &str = "/run/failberry/requests/modem-dialer/redial";

/// Leaves the request; the dialer removes it when it takes it.
pub(crate) fn run(root: &Root) -> u8 {
    let Err(error) = file::write_atomic(&root.path(REQUEST), b"", 0o644) else {
        println!("asked modem-dialer to call again; failberry status shows how it goes");
        return exit::OK;
    };
    let (hint, code) = match error.kind() {
        ErrorKind::PermissionDenied => ("only root may ask; log in as root", exit::NO_PERMISSION),
        ErrorKind::NotFound => {
            ("modem-dialer is not installed here; is this the appliance?", exit::UNAVAILABLE)
        }
        _ => ("see journalctl -u modem-dialer", exit::IO),
    };
    eprintln!("failberry: write {REQUEST}: {error}; {hint}");
    code
}
