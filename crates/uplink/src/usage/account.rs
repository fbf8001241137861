//! What the metered line has carried, what it may carry, and when that has to be saved. Pure.

use super::date::Date;
use super::ledger::Ledger;
use super::meter::Meter;
use netlink::Counters;
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};
use sysio::Monotonic;

/// While bytes flow, what a power cut can lose is never older than this and the time a card takes.
/// One save is a file of up to 8 KiB and its directory, some 24 KiB with the journal; at 3456 saves a day
/// that is 83 MB, and 30 GB a year, of the thousands of gigabytes a card is good for.
const SAVE_AFTER: Duration = Duration::from_secs(25);
/// Nor is it more than this and what comes until the next look: the saves this causes are bounded by the
/// bytes paid for (500 a gigabyte, 12 MB of writing).
const SAVE_BYTES: u64 = 2_000_000;
/// No two saves within this; a card that is asked all the time has no time for anything else.
const SAVE_GAP: Duration = Duration::from_secs(1);
/// How often to look at the counters.
const LOOK: Duration = Duration::from_secs(2);
/// While the line is busy, so that no look finds much more than [`SAVE_BYTES`] up to 32 Mbit/s.
const LOOK_BUSY: Duration = Duration::from_millis(500);
/// From here on it is busy.
const BUSY: u64 = 250_000;

/// When people are told, in percent of the quota.
pub(crate) const EARLY: u64 = 75;
pub(crate) const LATE: u64 = 90;

/// The owner's part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) quota: Option<u64>,
    pub(crate) billing_day: u8,
}

/// What is kept on the card: sums, and where the counters stood when they were made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Books {
    pub(crate) ledger: Ledger,
    pub(crate) meter: Meter,
}

/// Counts and decides.
#[derive(Debug)]
pub(crate) struct Account {
    plan: Plan,
    books: Books,
    next_look: Monotonic,
    /// Counted since the books were last handed over for saving.
    unsaved: u64,
    /// Something else changed since.
    changed: bool,
    handed_over: Monotonic,
    saved: Option<Monotonic>,
    save_failed: Option<String>,
    /// What the hand-over under way carries, for the case that it fails.
    under_way: u64,
}

impl Account {
    /// Goes on with the books as they were found.
    pub(crate) fn new(plan: Plan, books: Books, boot_id: &str) -> Self {
        let books = Books { meter: books.meter.resume(boot_id), ..books };
        Self {
            plan,
            books,
            next_look: Monotonic::default(),
            unsaved: 0,
            changed: false,
            handed_over: Monotonic::default(),
            saved: None,
            save_failed: None,
            under_way: 0,
        }
    }

    /// When to look at the counters again.
    pub(crate) fn next_look(&self) -> Monotonic {
        self.next_look
    }

    /// Takes what the counters say; whether that is anything new. `wall` is none while the clock
    /// cannot be right.
    pub(crate) fn look(
        &mut self,
        now: Monotonic,
        wall: Option<SystemTime>,
        interface: Option<&str>,
        gone: &[Counters],
        there: &[Counters],
    ) -> bool {
        let before = (self.books.meter.sessions(), self.books.ledger.current(), self.cut());
        let bytes = self.books.meter.look(now, interface, gone, there);
        let today = wall.and_then(Date::of);
        self.books.ledger.add(bytes, today, self.plan.billing_day);
        self.unsaved += bytes;
        // A session that begins or ends, a period that does, a cut: at once.
        let after = (self.books.meter.sessions(), self.books.ledger.current(), self.cut());
        self.changed |= before != after;
        self.next_look = now + if bytes >= BUSY { LOOK_BUSY } else { LOOK };
        bytes > 0 || before != after
    }

    /// Puts the period in force right, as the provider says it.
    pub(crate) fn correct(&mut self, bytes: u64) {
        self.books.ledger.correct(bytes);
        self.changed = true;
    }

    /// The books, if it is time to save them; they then count as handed over.
    pub(crate) fn hand_over(&mut self, now: Monotonic) -> Option<&Books> {
        let since = now.since(self.handed_over);
        let first = self.handed_over == Monotonic::default();
        let due = self.changed || self.unsaved >= SAVE_BYTES || (self.unsaved > 0 && since >= SAVE_AFTER);
        if !due || (since < SAVE_GAP && !first) {
            return None;
        }
        self.take_over(now)
    }

    /// The books if anything in them is new; for the end of the process.
    pub(crate) fn hand_over_last(&mut self, now: Monotonic) -> Option<&Books> {
        if self.unsaved > 0 || self.changed { self.take_over(now) } else { None }
    }

    #[expect(clippy::unnecessary_wraps, reason = "what both callers give")]
    fn take_over(&mut self, now: Monotonic) -> Option<&Books> {
        self.handed_over = now;
        self.under_way = self.unsaved;
        (self.unsaved, self.changed) = (0, false);
        Some(&self.books)
    }

    /// How saving went.
    pub(crate) fn saved(&mut self, result: Result<(), String>) {
        match result {
            Ok(()) => {
                self.saved = Some(self.handed_over);
                self.save_failed = None;
            }
            Err(error) => {
                // Tried again as if nothing had been handed over, no sooner than a save is due.
                self.unsaved += self.under_way.max(1);
                self.save_failed = Some(error);
            }
        }
        self.under_way = 0;
    }

    /// Whether the quota is spent.
    pub(crate) fn cut(&self) -> bool {
        self.plan.quota.is_some_and(|quota| self.used() >= quota)
    }

    /// Whole percent of the quota.
    pub(crate) fn percent(&self) -> Option<u64> {
        let quota = u128::from(self.plan.quota?);
        let percent = u128::from(self.used()) * 100 / quota.max(1);
        Some(u64::try_from(percent).unwrap_or(u64::MAX))
    }

    /// Bytes of the period in force.
    pub(crate) fn used(&self) -> u64 {
        self.books.ledger.used()
    }

    pub(crate) fn plan(&self) -> Plan {
        self.plan
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.books.ledger
    }

    pub(crate) fn last_saved(&self) -> Option<Monotonic> {
        self.saved
    }

    pub(crate) fn save_failure(&self) -> Option<&str> {
        self.save_failed.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GB: u64 = 1_000_000_000;

    fn at(seconds: u64) -> Monotonic {
        Monotonic::from_secs(seconds)
    }

    fn wall(text: &str) -> Option<SystemTime> {
        humantime::parse_rfc3339(&format!("{text}T12:00:00Z")).ok()
    }

    fn account(quota: Option<u64>) -> Account {
        Account::new(Plan { quota, billing_day: 1 }, Books::default(), "boot")
    }

    fn flows(account: &mut Account, second: u64, day: &str, total: u64) {
        flows_at(account, at(second), day, total);
    }

    fn flows_at(account: &mut Account, now: Monotonic, day: &str, total: u64) {
        let counters = Counters {
            index: 7,
            name: "ppp0".to_owned(),
            received_bytes: total,
            sent_bytes: 0,
            received_packets: 0,
            sent_packets: 0,
        };
        account.look(now, wall(day), Some("ppp0"), &[], &[counters]);
    }

    #[test]
    fn a_spent_quota_cuts_and_a_new_period_or_quota_opens_at_once() {
        let mut account = account(Some(5 * GB));
        flows(&mut account, 100, "2026-11-21", 4 * GB);
        assert_eq!((account.cut(), account.percent()), (false, Some(80)));
        flows(&mut account, 200, "2026-11-21", 5 * GB);
        assert_eq!((account.cut(), account.percent()), (true, Some(100)));
        // Without a clock it stays as it is.
        account.look(at(202), None, Some("ppp0"), &[], &[]);
        assert!(account.cut());
        let larger =
            Account::new(Plan { quota: Some(6 * GB), billing_day: 1 }, account.books.clone(), "boot");
        assert!(!larger.cut());
        account.look(at(204), wall("2026-12-01"), Some("ppp0"), &[], &[]);
        assert_eq!((account.cut(), account.used()), (false, 0));
        account.correct(5 * GB);
        assert!(account.cut());
    }

    #[test]
    fn it_is_saved_after_time_after_bytes_and_at_every_turn_of_events_but_not_all_the_time() {
        let mut account = account(None);
        flows(&mut account, 100, "2026-11-21", 10);
        assert!(account.hand_over(at(100)).is_some(), "a session began");
        account.saved(Ok(()));
        flows(&mut account, 102, "2026-11-21", 20);
        assert!(account.hand_over(at(102)).is_none());
        assert!(account.hand_over(at(124)).is_none());
        assert!(account.hand_over(at(125)).is_some());
        account.saved(Ok(()));
        assert!(account.hand_over(at(300)).is_none(), "nothing flows, nothing is written");
        flows(&mut account, 302, "2026-11-21", 20 + SAVE_BYTES);
        assert!(account.hand_over(at(302)).is_some());
        account.saved(Ok(()));
        assert_eq!(account.next_look(), at(302) + LOOK_BUSY);
        let soon = at(302) + LOOK_BUSY;
        flows_at(&mut account, soon, "2026-11-21", 20 + 2 * SAVE_BYTES);
        assert!(account.hand_over(soon).is_none(), "never twice within a second");
        assert!(account.hand_over(at(303)).is_some());
    }

    #[test]
    fn a_failed_save_is_tried_again_and_said() {
        let mut account = account(None);
        flows(&mut account, 100, "2026-11-21", 10);
        assert!(account.hand_over(at(100)).is_some());
        account.saved(Err("read-only file system".to_owned()));
        assert_eq!(account.save_failure(), Some("read-only file system"));
        assert!(account.hand_over(at(125)).is_some());
        account.saved(Ok(()));
        assert_eq!((account.save_failure(), account.last_saved()), (None, Some(at(125))));
        assert!(account.hand_over_last(at(126)).is_none());
    }
}
