//! Sticks of a known id that are silent on every port their quirk file names.
//!
//! Another firmware may have its ports elsewhere. But a stick that ever answered there does have them
//! there: its silence is a hang, and other ports would only cost the time until its reset.

use std::collections::BTreeSet;

use modem_proto::machine::{Machine, Trouble};
use sysio::Monotonic;

#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// Ids that answered once.
    proven: BTreeSet<String>,
    /// Ids that never did, though they were asked on every named port.
    doubted: BTreeSet<String>,
}

impl Doubt {
    /// Whose other ports are to be tried as well.
    pub(super) fn ids(&self) -> &BTreeSet<String> {
        &self.doubted
    }

    /// Takes note of how the dialer stands; whether there is a new doubt, so that a look at the bus
    /// finds more ports.
    pub(super) fn follow(&mut self, machine: &Machine, now: Monotonic) -> bool {
        // Not before its time to boot is over: a port that speaks early need not be the one for calls.
        let silent = machine.stuck().is_some() && matches!(machine.trouble(now), Some(Trouble::NoAnswer(_)));
        match machine.modem().map(|stick| stick.id.as_str()) {
            Some(id) => self.note(id, silent, has_answered(machine.name())),
            None => false,
        }
    }

    fn note(&mut self, id: &str, silent: bool, answers: bool) -> bool {
        if answers && !self.proven.contains(id) {
            self.proven.insert(id.to_owned());
        }
        silent && !self.proven.contains(id) && self.doubted.insert(id.to_owned())
    }
}

/// States that come behind the first answer.
fn has_answered(state: &str) -> bool {
    ["initialising", "registering", "dialling", "connected", "standby"].contains(&state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stick_that_answered_once_is_not_doubted() {
        let mut doubt = Doubt::default();
        assert!(!doubt.note("12d1:1406", false, true));
        assert!(!doubt.note("12d1:1406", true, false));
        assert!(doubt.ids().is_empty());
    }

    #[test]
    fn one_that_never_answered_is_doubted_once() {
        let mut doubt = Doubt::default();
        assert!(!doubt.note("12d1:1406", false, false));
        assert!(doubt.note("12d1:1406", true, false));
        assert!(!doubt.note("12d1:1406", true, false));
        assert!(doubt.ids().contains("12d1:1406"));
    }
}
