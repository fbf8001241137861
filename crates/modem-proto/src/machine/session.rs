//! How pppd ended, in words and with what to do about it (pppd(8), section EXIT STATUS).

use super::{SessionEnd, Trouble};

/// The stick dropped carrier detect.
pub(super) const HUNG_UP: i32 = 16;
/// The peer stopped answering echoes. The peer is the stick itself (PPP ends there, 3GPP TS
/// 27.060 section 7), so this is the stick falling silent, not the network.
const PEER_DEAD: i32 = 15;
/// We did not authenticate ourselves to the peer's satisfaction.
const OUR_AUTHENTICATION: i32 = 19;
/// The highest code pppd has.
#[cfg(test)]
const LAST: i32 = 21;

/// Cause and next step of an exit code.
fn words(code: i32) -> Option<(&'static str, &'static str)> {
    Some(match code {
        0 => ("the session ended", "it is dialled again"),
        1 => ("pppd had a fatal error", "its log says which: journalctl -t pppd"),
        2 => ("pppd did not understand its options", "this is a fault of the appliance; please report it"),
        3 => ("pppd may not run: it needs root", "this is a fault of the appliance; please report it"),
        4 => ("the kernel lacks PPP support", "this is a fault of the image; please report it"),
        5 => ("the session was ended on request", "it is dialled again"),
        6 => ("the serial port is locked by another program", "stop that program"),
        7 => ("the serial port could not be opened", "the stick is probed again"),
        8 => ("the connect script failed", "it is dialled again"),
        9 => ("the program behind the port could not be run", "it is dialled again"),
        10 => ("stick and pppd did not agree on addresses", "check the APN and modem.pdp-type"),
        11 => ("the provider did not authenticate itself", "nothing asks it to; please report it"),
        12 => ("the link was idle too long", "it is dialled again"),
        13 => ("the session reached its time limit", "it is dialled again"),
        14 => ("the provider wants to call back", "ask the provider for an access point without call-back"),
        PEER_DEAD => ("the stick stopped answering (LCP echo)", "its ports are probed"),
        HUNG_UP => ("the call was ended (modem hang-up)", "it is dialled again"),
        17 => ("the line is looped back", "the stick echoes: its ports are probed"),
        18 => ("the initialisation script failed", "it is dialled again"),
        OUR_AUTHENTICATION => {
            ("the provider refuses user and password", "check modem.user, modem.password and modem.auth")
        }
        20 => ("the session reached its traffic limit", "it is dialled again"),
        21 => ("the provider refused the caller's number", "ask the provider whether the SIM is active"),
        // A child that could not be executed: sh(1) and pppd's own convention.
        99 | 126 | 127 => ("pppd could not be executed", "this is a fault of the image; please report it"),
        _ => return None,
    })
}

/// What an end of the session means.
pub(super) fn trouble_of(end: &SessionEnd) -> Trouble {
    match end {
        SessionEnd::Signal(signal) => {
            Trouble::CallFailed(format!("pppd was killed by signal {signal}: it did not end by itself"))
        }
        SessionEnd::NotStarted(why) => {
            Trouble::CallFailed(format!("the session could not be started: {why}"))
        }
        SessionEnd::Card { why, silent: true } => Trouble::NoAnswer(why.clone()),
        SessionEnd::Card { why, silent: false } => Trouble::CallFailed(why.clone()),
        SessionEnd::Code(code) => {
            let detail = match words(*code) {
                Some((cause, next)) => format!("{cause} (pppd {code}); {next}"),
                None => format!("pppd ended with code {code}, which pppd(8) does not know"),
            };
            if *code == OUR_AUTHENTICATION {
                Trouble::AuthRefused(detail)
            } else {
                Trouble::CallFailed(detail)
            }
        }
    }
}

/// Whether the stick itself is in doubt, so that its ports are to be probed before a new call.
pub(super) fn doubts_the_stick(end: &SessionEnd) -> bool {
    matches!(end, SessionEnd::Code(7 | PEER_DEAD | 17) | SessionEnd::Signal(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_has_a_cause_and_a_next_step() {
        for code in (0..=LAST).chain([99, 126, 127]) {
            let (cause, next) = words(code).unwrap_or_else(|| panic!("pppd {code}"));
            assert!(cause.len() > 10 && next.len() > 10, "pppd {code}");
        }
        assert_eq!(words(LAST + 1), None);
    }

    #[test]
    fn a_refused_password_is_told_apart_from_a_failed_call() {
        assert!(matches!(trouble_of(&SessionEnd::Code(19)), Trouble::AuthRefused(_)));
        assert!(matches!(trouble_of(&SessionEnd::Code(10)), Trouble::CallFailed(_)));
        assert!(trouble_of(&SessionEnd::Code(77)).to_string().contains("77"));
    }
}
