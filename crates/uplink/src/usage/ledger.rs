//! How much was used in which billing period and on which day.
//!
//! Every period has a record of its own, by its first day, so that a clock that jumps by years, in
//! either direction, moves nothing: it opens another record, and finds the old one when it is back.

use super::date::Date;
use serde::{Deserialize, Serialize};

/// Two years of periods.
const PERIODS: usize = 24;
/// The longest period and some days for a changed billing day.
const DAYS: usize = 40;

/// The bytes of a day or period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) begin: Date,
    pub(crate) bytes: u64,
    /// The part of them that came while the clock was not known.
    #[serde(default)]
    pub(crate) undated: u64,
    /// When it was last of use, in turns: what a wrong clock opened goes before what is in use.
    used: u64,
}

/// The records.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    periods: Vec<Entry>,
    days: Vec<Entry>,
    /// The period in force, by its first day.
    #[serde(default)]
    current: Option<Date>,
    /// The day in force.
    #[serde(default)]
    today: Option<Date>,
    /// Bytes before any period was known: the first start, without a clock.
    #[serde(default)]
    early: u64,
    turn: u64,
}

impl Ledger {
    /// Adds bytes at a moment of which the day may be known. Without a clock they go to the period
    /// that was last in force.
    pub(crate) fn add(&mut self, bytes: u64, today: Option<Date>, billing_day: u8) {
        if let Some(day) = today {
            self.enter(day, billing_day);
        }
        let undated = if today.is_none() { bytes } else { 0 };
        let turn = self.turn;
        match self.current_mut() {
            Some(entry) => {
                entry.bytes = entry.bytes.saturating_add(bytes);
                entry.undated = entry.undated.saturating_add(undated);
                entry.used = turn;
            }
            None => self.early = self.early.saturating_add(bytes),
        }
        if today.is_some()
            && let Some(entry) = self.days.iter_mut().find(|entry| Some(entry.begin) == today)
        {
            entry.bytes = entry.bytes.saturating_add(bytes);
        }
    }

    /// Puts the period in force right, as the provider says it.
    pub(crate) fn correct(&mut self, bytes: u64) {
        match self.current_mut() {
            Some(entry) => entry.bytes = bytes,
            None => self.early = bytes,
        }
    }

    /// Bytes of the period in force.
    pub(crate) fn used(&self) -> u64 {
        self.period().map_or(self.early, |entry| entry.bytes)
    }

    /// The part of them that came while the clock was not known.
    pub(crate) fn undated(&self) -> u64 {
        self.period().map_or(self.early, |entry| entry.undated)
    }

    /// The first day of the period in force.
    pub(crate) fn current(&self) -> Option<Date> {
        self.current
    }

    /// The bytes of the last known day.
    pub(crate) fn today(&self) -> Option<(Date, u64)> {
        let entry = self.days.iter().find(|entry| Some(entry.begin) == self.today)?;
        Some((entry.begin, entry.bytes))
    }

    /// The other periods, the newest first.
    pub(crate) fn past(&self) -> Vec<&Entry> {
        let mut past: Vec<_> =
            self.periods.iter().filter(|entry| Some(entry.begin) != self.current).collect();
        past.sort_by_key(|entry| std::cmp::Reverse(entry.begin));
        past
    }

    fn period(&self) -> Option<&Entry> {
        self.periods.iter().find(|entry| Some(entry.begin) == self.current)
    }

    fn current_mut(&mut self) -> Option<&mut Entry> {
        self.periods.iter_mut().find(|entry| Some(entry.begin) == self.current)
    }

    /// It is this day: its period is in force.
    fn enter(&mut self, day: Date, billing_day: u8) {
        let begin = day.period(billing_day);
        if self.today == Some(day) && self.current == Some(begin) {
            return;
        }
        self.turn += 1;
        if !self.periods.iter().any(|entry| entry.begin == begin) {
            // After the billing day was changed: what the days know of the new period.
            let next = begin.next_period(billing_day);
            let known = self.days.iter().filter(|entry| (begin..next).contains(&entry.begin));
            let bytes = known.map(|entry| entry.bytes).sum();
            self.periods.push(Entry { begin, bytes, undated: 0, used: self.turn });
        }
        if !self.days.iter().any(|entry| entry.begin == day) {
            self.days.push(Entry { begin: day, bytes: 0, undated: 0, used: self.turn });
        }
        (self.current, self.today) = (Some(begin), Some(day));
        let (turn, early) = (self.turn, std::mem::take(&mut self.early));
        for entry in self.days.iter_mut().filter(|entry| entry.begin == day) {
            entry.used = turn;
        }
        if let Some(entry) = self.current_mut() {
            entry.used = turn;
            entry.bytes = entry.bytes.saturating_add(early);
            entry.undated = entry.undated.saturating_add(early);
        }
        forget(&mut self.periods, PERIODS);
        forget(&mut self.days, DAYS);
    }
}

/// Keeps what was used last.
fn forget(entries: &mut Vec<Entry>, most: usize) {
    if entries.len() > most {
        entries.sort_by_key(|entry| std::cmp::Reverse((entry.used, entry.begin)));
        entries.truncate(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> Option<Date> {
        text.parse().ok()
    }

    #[test]
    fn a_new_period_begins_with_nothing_and_the_old_one_is_kept() {
        let mut ledger = Ledger::default();
        ledger.add(100, day("2026-11-30"), 1);
        ledger.add(0, day("2026-12-01"), 1);
        assert_eq!((ledger.used(), ledger.current()), (0, day("2026-12-01")));
        assert_eq!(ledger.today(), Some((day("2026-12-01").unwrap(), 0)));
        ledger.add(7, day("2026-12-01"), 1);
        assert_eq!(ledger.used(), 7);
        assert_eq!(ledger.past().iter().map(|e| e.bytes).collect::<Vec<_>>(), [100]);
    }

    #[test]
    fn without_a_clock_the_last_known_period_is_charged_and_it_is_said() {
        let mut ledger = Ledger::default();
        ledger.add(5, None, 1);
        assert_eq!((ledger.used(), ledger.undated(), ledger.current()), (5, 5, None));
        ledger.add(100, day("2026-11-21"), 1);
        assert_eq!((ledger.used(), ledger.undated()), (105, 5));
        ledger.add(10, None, 1);
        assert_eq!((ledger.used(), ledger.undated()), (115, 15));
        assert_eq!(ledger.today().unwrap().1, 100);
    }

    #[test]
    fn a_clock_that_jumps_by_years_moves_nothing() {
        let mut ledger = Ledger::default();
        ledger.add(100, day("2026-11-21"), 1);
        for year in 2027..2300 {
            ledger.add(1, day(&format!("{year}-05-05")), 1);
            ledger.add(1, day("2026-11-21"), 1);
        }
        for _ in 0..30 {
            ledger.add(1, day("1999-05-05"), 1);
        }
        ledger.add(0, day("2026-11-21"), 1);
        assert_eq!(ledger.used(), 100 + 273);
        assert!(ledger.periods.len() <= PERIODS && ledger.days.len() <= DAYS);
    }

    #[test]
    fn a_changed_billing_day_finds_the_days_that_are_known() {
        let mut ledger = Ledger::default();
        for (text, bytes) in [("2026-11-05", 10), ("2026-11-14", 20), ("2026-11-15", 30), ("2026-11-21", 40)]
        {
            ledger.add(bytes, day(text), 1);
        }
        ledger.add(0, day("2026-11-21"), 15);
        assert_eq!((ledger.used(), ledger.current()), (70, day("2026-11-15")));
        ledger.add(0, day("2026-11-21"), 1);
        assert_eq!(ledger.used(), 100);
    }

    #[test]
    fn what_the_provider_says_replaces_what_was_counted() {
        let mut ledger = Ledger::default();
        ledger.add(100, day("2026-11-21"), 1);
        ledger.correct(400);
        ledger.add(1, day("2026-11-21"), 1);
        assert_eq!(ledger.used(), 401);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_while_the_clock_stays_within_two_years(adds in proptest::collection::vec((0..1000_u64, 0..23_u16, 1..29_u8, any::<bool>()), 0..80)) {
            let (mut ledger, mut sum) = (Ledger::default(), 0);
            for (bytes, month, d, known) in adds {
                let date = day(&format!("{}-{:02}-{d:02}", 2026 + month / 12, month % 12 + 1));
                ledger.add(bytes, date.filter(|_| known), 1);
                sum += bytes;
                let saved = serde_json::to_string(&ledger).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Ledger>(&saved).unwrap(), &ledger);
            }
            let all: u64 = ledger.periods.iter().map(|e| e.bytes).sum();
            prop_assert_eq!(all + ledger.early, sum);
        }
    }
}
