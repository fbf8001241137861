//! How long things may take and how soon they are tried again.

use std::time::Duration;

use super::Trouble;

/// A stick is missed after this: long enough for boot, and for a mode switch, which
/// usb-modeswitch-data grants the MF180 up to 20 s (`CheckSuccess=20`).
pub(super) const ABSENCE_NOTICED: Duration = Duration::from_secs(25);
/// Kernel events tell of a new stick at once; this is for the event that was lost.
pub(super) const LOOK_WHILE_ABSENT: Duration = Duration::from_secs(2);
/// As above while the link is up and a look should cost nothing.
pub(super) const LOOK_WHILE_CONNECTED: Duration = Duration::from_secs(60);
/// udev starts `usb_modeswitch` within a second or two of the CD-ROM; after this it will not.
pub(super) const SWITCH_OURSELVES: Duration = Duration::from_secs(15);
/// Serial ports appear one by one; the last one within a fraction of a second.
pub(super) const PORTS_APPEAR: Duration = Duration::from_secs(10);
/// A freshly enumerated stick may refuse to be opened, or be deaf, for some seconds.
pub(super) const PROBES: u8 = 4;
/// From `CONNECT` to addresses: pppd itself gives up after 10 requests of 3 s each (RFC 1661
/// section 4.6), for LCP and IPCP in turn.
pub(super) const NEGOTIATION: Duration = Duration::from_secs(60);
/// A call that held this long counts as having worked: its end is answered at once.
pub(super) const HELD: Duration = Duration::from_secs(10);
/// DTR is low for this long to hang up, as `ModemManager` and pppd (tty.c, `finish_tty`) have it.
pub(super) const HANG_UP: Duration = Duration::from_secs(1);
/// What pppd gets to end: a terminate request is repeated once after 3 s (`lcp-max-terminate` 2),
/// dropping DTR takes 1 s; then it is killed.
pub(super) const SESSION_END: Duration = Duration::from_secs(10);
/// How often what needs a person is looked at again.
pub(super) const BLOCKED_RECHECK: Duration = Duration::from_secs(30);
/// SIM cards are busy after power-up; `ModemManager` asks for about 20 s.
pub(super) const SIM_STARTS: Duration = Duration::from_secs(30);
/// Between two questions to a busy SIM.
pub(super) const SIM_PAUSE: Duration = Duration::from_secs(1);
/// A first registration takes up to some minutes where the stick has to search every band.
pub(super) const REGISTRATION: Duration = Duration::from_secs(180);
/// Between two questions while it searches.
pub(super) const REGISTRATION_PAUSE: Duration = Duration::from_secs(1);

/// The first waits, doubling from 1 s: calling costs nothing, and a network that answers again
/// must not wait for us longer than this cap.
const FIRST: Duration = Duration::from_secs(1);
const EAGER_CAP: Duration = Duration::from_secs(4);
/// About five minutes of failures with the eager cap; then it is not a short outage.
const EAGER_ATTEMPTS: u32 = 60;
const PATIENT_CAP: Duration = Duration::from_secs(60);
/// A wrong password stays wrong until a person changes it; providers lock accounts that hammer.
const AFTER_AUTH_REFUSED: Duration = Duration::from_secs(60);

/// The wait before try number `attempt` + 1: doubling, capped, spread by ±25 %.
pub(super) fn backoff(attempt: u32, jitter: u8) -> Duration {
    let cap = if attempt <= EAGER_ATTEMPTS { EAGER_CAP } else { PATIENT_CAP };
    let late = attempt.saturating_sub(EAGER_ATTEMPTS);
    let doublings = if late > 0 { late + 2 } else { attempt.saturating_sub(1) };
    let wait = FIRST.saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX).max(1)).min(cap);
    wait * (75 + u32::from(jitter.min(100)) / 2) / 100
}

/// Trouble that is not helped by haste.
pub(super) fn least_wait(trouble: &Trouble) -> Duration {
    match trouble {
        Trouble::AuthRefused(_) => AFTER_AUTH_REFUSED,
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_caps_and_never_to_nothing() {
        let seconds = |attempt| backoff(attempt, 50).as_secs();
        assert_eq!([1, 2, 3, 4, 60].map(seconds), [1, 2, 4, 4, 4]);
        assert_eq!([61, 62, 63, 64, 1000, u32::MAX].map(seconds), [8, 16, 32, 60, 60, 60]);
        assert_eq!(backoff(3, 0), Duration::from_secs(3));
        assert_eq!(backoff(3, 100), Duration::from_secs(5));
    }
}
