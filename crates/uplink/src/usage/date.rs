//! Days and billing periods. All in UTC: the appliance has no time zone, and a provider's midnight is
//! anybody's guess.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

/// The first second of the year 10000, which RFC 3339 cannot write.
const END_OF_DATES: Duration = Duration::from_secs(253_402_300_800);
/// Seconds of a day; UTC in Unix time knows no leap seconds.
const DAY: u64 = 86_400;

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// The day of a moment; none before 1970 and after 9999.
    pub(crate) fn of(time: SystemTime) -> Option<Self> {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        if since >= END_OF_DATES {
            return None;
        }
        humantime::format_rfc3339_seconds(time).to_string().get(..10)?.parse().ok()
    }

    /// Its beginning, in seconds since 1970.
    fn seconds(self) -> u64 {
        let midnight = humantime::parse_rfc3339(&format!("{self}T00:00:00Z"));
        let since = midnight.ok().and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        since.unwrap_or_default().as_secs()
    }

    /// Whole days from `earlier` to this one; 0 if that is later.
    pub(crate) fn days_since(self, earlier: Self) -> u64 {
        self.seconds().saturating_sub(earlier.seconds()) / DAY
    }

    /// The day of this month on which a period begins.
    fn begin(self, billing_day: u8) -> Self {
        Self { day: billing_day.clamp(1, length(self.year, self.month)), ..self }
    }

    fn month_before(self) -> Self {
        match self.month {
            1 => Self { year: self.year.saturating_sub(1), month: 12, ..self },
            month => Self { month: month - 1, ..self },
        }
    }

    fn month_after(self) -> Self {
        match self.month {
            12 => Self { year: self.year.saturating_add(1), month: 1, ..self },
            month => Self { month: month + 1, ..self },
        }
    }

    /// The first day of the billing period this day is in.
    pub(crate) fn period(self, billing_day: u8) -> Self {
        let begin = self.begin(billing_day);
        if begin <= self { begin } else { self.month_before().begin(billing_day) }
    }

    /// The first day of the period after the one that begins on this day.
    pub(crate) fn next_period(self, billing_day: u8) -> Self {
        self.month_after().begin(billing_day)
    }
}

fn length(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// Not `YYYY-MM-DD`, or no such day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a date")]
pub(crate) struct NoDate;

impl FromStr for Date {
    type Err = NoDate;

    fn from_str(text: &str) -> Result<Self, NoDate> {
        let part = |range: std::ops::Range<usize>| {
            let digits = text.get(range).filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
            digits.and_then(|digits| digits.parse::<u16>().ok()).ok_or(NoDate)
        };
        let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
        let (month, day) = (u8::try_from(month).map_err(|_| NoDate)?, u8::try_from(day).map_err(|_| NoDate)?);
        let date = Self { year, month, day };
        let sound = text.len() == 10 && (1970..=9999).contains(&year) && (1..=12).contains(&month);
        let exists = sound && (1..=length(year, month)).contains(&day);
        if exists && date.to_string() == text { Ok(date) } else { Err(NoDate) }
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn a_period_begins_on_the_billing_day_or_the_last_day_of_a_shorter_month() {
        for (today, billing_day, begin, next) in [
            ("2026-11-21", 1, "2026-11-01", "2026-12-01"),
            ("2026-11-21", 21, "2026-11-21", "2026-12-21"),
            ("2026-11-21", 22, "2026-10-22", "2026-11-22"),
            ("2026-11-29", 31, "2026-10-31", "2026-11-30"),
            ("2026-11-30", 31, "2026-11-30", "2026-12-31"),
            ("2027-02-28", 31, "2027-02-28", "2027-03-31"),
            ("2028-02-28", 31, "2028-01-31", "2028-02-29"),
            ("2027-01-05", 15, "2026-12-15", "2027-01-15"),
        ] {
            let period = date(today).period(billing_day);
            assert_eq!(period.to_string(), begin, "{today} {billing_day}");
            assert_eq!(period.next_period(billing_day).to_string(), next, "{today} {billing_day}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for bad in ["", "2026-11-31", "2026-13-01", "2026-1-01", "2027-02-29", "+026-11-01", "2026-11-01x"] {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
        assert_eq!(Date::of(SystemTime::UNIX_EPOCH + END_OF_DATES), None);
        assert_eq!(date("2026-12-01").days_since(date("2026-11-01")), 30);
    }

    proptest! {
        #[test]
        fn every_day_lies_in_its_period_and_no_two_periods_overlap(seconds in 0..253_402_300_800_u64, billing in 1..=31_u8) {
            let today = Date::of(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
            let begin = today.period(billing);
            let next = begin.next_period(billing);
            prop_assert!(begin <= today && today < next);
            prop_assert_eq!(begin.period(billing), begin);
            prop_assert!(next.period(billing) == next);
            prop_assert!((28..=31).contains(&next.days_since(begin)) || next.to_string().starts_with("10000"));
        }
    }
}
