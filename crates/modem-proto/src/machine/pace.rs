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
/// A freshly enumerated stick may refuse to be opened, or be deaf, for some seconds:
/// `ModemManager` probes several times with 3 s each.
pub(super) const PATIENT_PROBES: Probes =
    Probes { tries: 4, each: Duration::from_secs(3), open: OPEN_PATIENT };
/// A stick that answered since it was plugged in does so within milliseconds, or it hangs.
pub(super) const QUICK_PROBES: Probes =
    Probes { tries: 2, each: Duration::from_secs(2), open: Duration::from_secs(3) };
/// Opening sets DTR by a control transfer, which the kernel gives up after 5 s
/// (`usb_wwan_send_setup` in `drivers/usb/serial/usb_wwan.c`, `USB_CTRL_SET_TIMEOUT`).
const OPEN_PATIENT: Duration = Duration::from_secs(6);
/// So long after it appeared, a stick that never answered is called stuck: their firmware is up
/// some 5 to 20 s after power.
pub(super) const STICK_BOOTS: Duration = Duration::from_secs(25);
/// Before the ports of a stick that fell silent are opened anew: the old ones close meanwhile.
pub(super) const REOPEN: Duration = Duration::from_millis(250);
/// A stick that a reset from outside did not bring back within this is left for another one.
pub(super) const USE_ANOTHER: Duration = Duration::from_secs(120);
/// From `CONNECT` to addresses: LCP and IPCP get 10 and 30 requests of 1 s each (see the options
/// in `modem-dialer`), and authentication some seconds between.
pub(super) const NEGOTIATION: Duration = Duration::from_secs(45);
/// A call that held this long settles the failures before it. The end of a call is answered at
/// once, unless failures are still unsettled: calls that do not hold must not become a storm.
pub(super) const HELD: Duration = Duration::from_secs(10);
/// DTR is low for this long to hang up, as `ModemManager` and pppd (tty.c, `finish_tty`) have it.
pub(super) const HANG_UP: Duration = Duration::from_secs(1);
/// What pppd gets to end: a terminate request is repeated once after 1 s (`lcp-max-terminate` 2);
/// then it is killed.
pub(super) const SESSION_END: Duration = Duration::from_secs(10);
/// What pppd gets to say why, after it said that the link is down: the two terminate requests.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(2500);
/// How often what needs a person is looked at again.
pub(super) const BLOCKED_RECHECK: Duration = Duration::from_secs(10);
/// SIM cards are busy after power-up; `ModemManager` asks for about 20 s.
pub(super) const SIM_STARTS: Duration = Duration::from_secs(30);
/// One that has worked since the stick was plugged in is not starting any more.
pub(super) const SIM_RECOVERS: Duration = Duration::from_secs(15);
/// Between two questions to a busy SIM.
pub(super) const SIM_PAUSE: Duration = Duration::from_secs(1);
/// A first registration takes up to some minutes where the stick has to search every band.
pub(super) const REGISTRATION: Duration = Duration::from_secs(180);
/// Between two questions while it searches.
pub(super) const REGISTRATION_PAUSE: Duration = Duration::from_secs(1);
/// After the radio was switched on, before the SIM is asked.
pub(super) const RADIO_STARTS: Duration = Duration::from_secs(2);
/// How often an idle stick is asked for network and signal while no call is wanted.
pub(super) const STANDBY_LOOK: Duration = Duration::from_secs(30);
/// A call a person asked for ends by itself after this while the wired line works: long enough to
/// try everything out, short enough that a forgotten one does not cost a second day.
pub(super) const ASKED_CALL: Duration = Duration::from_secs(3600);
/// The wired line must be down for so long before a day's fee is spent: a plug that is moved, and a
/// switch or router port that negotiates anew, is back within a few seconds.
pub(super) const DOWN_HOLDS: Duration = Duration::from_secs(5);
/// The wired line's state is not known for so long: it counts as down. Longer than a boot needs
/// for its first snapshot, and than a restart of the daemon that writes it.
pub(super) const UNKNOWN_IS_DOWN: Duration = Duration::from_secs(60);

/// How a port is asked whether anybody is there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probes {
    /// How often.
    pub(super) tries: u8,
    /// How long each time.
    pub(super) each: Duration,
    /// How long opening may take.
    pub(super) open: Duration,
}

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
