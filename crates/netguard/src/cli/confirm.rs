//! `netguard confirm`: the new rules let me in, they shall stay.

use super::{OK, REFUSED, Words, usage};
use crate::{filter, private};
use sysio::{Root, clock, file};

pub(super) const HELP: &str = "Keeps the rules of a waiting `netguard apply --confirm`.";

/// While an apply without the daemon waits, this private file is there.
pub(super) const WAITING: &str = "waiting";
/// Tells it that somebody confirmed.
pub(super) const CONFIRMED: &str = "confirmed";
/// The daemon's requests.
pub(super) const REQUESTS: &str = "/run/failberry/requests/netguard";
/// Root alone may say so.
pub(super) const PRIVATE: u32 = 0o600;

pub(super) fn run(words: &Words) -> u8 {
    if !words.values.is_empty() {
        return usage("confirm takes no operands");
    }
    let root = words.root.clone().unwrap_or_else(Root::system);
    let asked = if daemon(&root).is_some_and(|tried| tried.state == "waiting") {
        file::write_atomic(&root.path(REQUESTS).join(filter::CONFIRM), b"", PRIVATE)
    } else if private::path(&root, WAITING).exists() {
        file::write_atomic(&private::path(&root, CONFIRMED), b"", PRIVATE)
    } else {
        eprintln!(
            "netguard: nothing waits to be confirmed; the time may be over, and the rules before are back"
        );
        return REFUSED;
    };
    match asked {
        Ok(()) => {
            println!("confirmed: the new rules stay");
            OK
        }
        Err(error) => {
            eprintln!("netguard: confirm: {error}; only root may");
            REFUSED
        }
    }
}

/// What the daemon says of the last trial; all empty if there was none.
#[derive(Debug, Default)]
pub(super) struct Tried {
    pub(super) id: String,
    pub(super) state: String,
    pub(super) why: String,
}

/// Asks the daemon's snapshot; none while no daemon runs.
pub(super) fn daemon(root: &Root) -> Option<Tried> {
    let boot_id = snapshot::boot_id(root).ok()?;
    let verdict = snapshot::read(root, "netguard", &boot_id, clock::now());
    let trial = verdict.fresh()?.fields.get("trial").cloned().unwrap_or_default();
    let word = |key: &str| trial.get(key).and_then(|word| word.as_str()).unwrap_or("").to_owned();
    Some(Tried { id: word("id"), state: word("state"), why: word("why") })
}
