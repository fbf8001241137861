//! What is said about usage: the snapshot's `usage`, and conditions.

use super::account::{Account, EARLY, LATE, Plan};
use serde_json::{Value, json};
use snapshot::{Condition, Report, Severity};

/// A year of periods; more is in the books.
const PAST: usize = 12;

pub(crate) fn add(report: Report, account: &Account, trouble: &[String], look: Option<&str>) -> Report {
    let report = report.field("usage", usage(account));
    quota(account)
        .into_iter()
        .fold(report, Report::condition)
        .condition(not_saved(account))
        .condition(not_counted(look))
        .condition(lost(trouble))
}

fn usage(account: &Account) -> Value {
    let Plan { quota, billing_day } = account.plan();
    let ledger = account.ledger();
    let begin = ledger.current();
    let today = ledger.today();
    let past = ledger.past().into_iter().take(PAST);
    let past: Vec<Value> =
        past.map(|entry| json!({"start": entry.begin.to_string(), "used_bytes": entry.bytes})).collect();
    let elapsed = begin.zip(today).map(|(begin, (day, _))| day.days_since(begin) + 1);
    let left = begin.zip(today).map(|(begin, (day, _))| begin.next_period(billing_day).days_since(day));
    json!({
        "link": "cellular",
        "period_start": begin.map(|date| date.to_string()),
        "period_end": begin.map(|date| date.next_period(billing_day).to_string()),
        "days_elapsed": elapsed,
        "days_left": left,
        "used_bytes": account.used(),
        "undated_bytes": ledger.undated(),
        "quota_bytes": quota,
        "percent": account.percent(),
        "today_bytes": today.map_or(0, |(_, bytes)| bytes),
        "saved_ms": account.last_saved().map(sysio::Monotonic::as_millis),
        "guard": if account.cut() { "cut" } else { "open" },
        "periods": past,
    })
}

/// Every threshold that is passed, the higher beside the lower: one that went when the next came would
/// look like a recovery.
fn quota(account: &Account) -> Vec<Condition> {
    let (Some(quota), Some(percent)) = (account.plan().quota, account.percent()) else { return Vec::new() };
    let until = account.ledger().current().map(|date| date.next_period(account.plan().billing_day));
    let until = until.map_or_else(|| "the clock is known".to_owned(), |date| date.to_string());
    passed(percent, account.used(), quota, &until)
}

fn passed(percent: u64, used: u64, quota: u64, until: &str) -> Vec<Condition> {
    let used = format!("{} of {} MB", used / 1_000_000, quota / 1_000_000);
    let list = [
        (
            EARLY,
            "usage-quota-75",
            Severity::Warning,
            "three quarters of the cellular quota are used",
            format!("it lasts until {until}"),
        ),
        (
            LATE,
            "usage-quota-90",
            Severity::Warning,
            "the cellular quota is nearly spent",
            format!("at 100 % all but the devices named in metered.essential are cut off until {until}"),
        ),
        (
            100,
            "usage-quota-spent",
            Severity::Error,
            "the cellular quota is spent",
            format!(
                "until {until} only devices named in metered.essential, and this box itself, use the cellular line"
            ),
        ),
    ];
    let passed = list.into_iter().filter(|(from, ..)| percent >= *from);
    passed
        .map(|(_, id, severity, summary, next)| {
            Condition::new(id, severity, summary, format!("{used} used; {next}"))
        })
        .collect()
}

fn not_saved(account: &Account) -> Option<Condition> {
    let error = account.save_failure()?;
    let detail =
        format!("{error}; trying again; a power cut now would lose what was counted since the last save");
    Some(Condition::new("usage-not-saved", Severity::Warning, "cellular usage cannot be saved", detail))
}

fn not_counted(look: Option<&str>) -> Option<Condition> {
    let detail = format!("{}; trying again every 2 s; nothing is lost while the line stays up", look?);
    Some(Condition::new("usage-not-counted", Severity::Warning, "cellular usage cannot be counted", detail))
}

/// One book was spoilt: the other is at most one save older. Both: this period begins at nothing.
fn lost(trouble: &[String]) -> Option<Condition> {
    let severity = match trouble.len() {
        0 => return None,
        1 => Severity::Info,
        _ => Severity::Warning,
    };
    let next = if trouble.len() == 1 {
        "the other copy is used"
    } else {
        "this period is counted from nothing; `failberry usage set` takes the provider's figure"
    };
    let detail = format!("{}; {next}", trouble.join("; "));
    Some(Condition::new("usage-record-lost", severity, "a record of cellular usage was unreadable", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_stays_said_when_more_is() {
        let at = |percent| {
            let list = passed(percent, percent * 10_000_000, 1_000_000_000, "2026-12-01");
            list.into_iter().map(|c| (c.id, c.severity)).collect::<Vec<_>>()
        };
        let (warning, error) = (Severity::Warning, Severity::Error);
        let all = [("usage-quota-75", warning), ("usage-quota-90", warning), ("usage-quota-spent", error)]
            .map(|(id, severity)| (id.to_owned(), severity));
        for (percent, count) in [(0, 0), (74, 0), (75, 1), (89, 1), (90, 2), (99, 2), (100, 3), (250, 3)] {
            assert_eq!(at(percent), all[..count], "{percent} %");
        }
    }
}
