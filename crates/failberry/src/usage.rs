//! `failberry usage`: what the metered line has carried in this billing period, of how much, and what
//! that means for the rest of it.

use std::fmt::Write as _;

use config::Bytes;
use serde_json::{Value, json};
use snapshot::Verdict;
use sysio::{Root, clock, file};

use crate::exit;

/// Who counts, and takes corrections.
const ACCOUNTANT: &str = "uplink";
/// Who refuses.
const GUARD: &str = "netguard";
/// The request that corrects the period in force.
const CORRECT: &str = "/run/failberry/requests/uplink/usage-set";

/// Prints it.
pub(crate) fn run(root: &Root, json: bool) -> u8 {
    let (usage, stale) = match read(root) {
        Ok(usage) => usage,
        Err(problem) => {
            eprintln!("failberry: {problem}");
            return exit::UNAVAILABLE;
        }
    };
    let guard = guard(root, &usage);
    if json {
        println!("{}", json!({"usage": usage, "guard": guard, "stale": stale}));
    } else {
        print!("{}", text(&usage, guard.as_deref(), stale));
    }
    exit::OK
}

/// The usage, and whether it is older than it should be.
fn read(root: &Root) -> Result<(Value, bool), String> {
    let (document, stale) = match fresh(root, ACCOUNTANT)? {
        Verdict::Fresh(document) => (document, false),
        Verdict::Stale(document, _) => (document, true),
        Verdict::Broken(error) => return Err(format!("{error}; uplink writes it anew within 10 s")),
        Verdict::Missing | Verdict::OtherBoot(_) => {
            return Err("uplink has said nothing since the start; see journalctl -u uplink".to_owned());
        }
    };
    Ok((document.fields.get("usage").cloned().unwrap_or_default(), stale))
}

fn fresh(root: &Root, daemon: &str) -> Result<Verdict, String> {
    let boot_id = snapshot::boot_id(root).map_err(|error| format!("read the boot id: {error}"))?;
    Ok(snapshot::read(root, daemon, &boot_id, clock::now()))
}

/// What is enforced, by the word of who enforces it; what should be, where that is silent.
fn guard(root: &Root, usage: &Value) -> Option<String> {
    let enforced = fresh(root, GUARD).ok().and_then(|verdict| {
        let metered = verdict.fresh()?.fields.get("metered")?.get("guard")?.as_str()?.to_owned();
        Some(metered)
    });
    enforced.or_else(|| usage.get("guard")?.as_str().map(str::to_owned))
}

/// For people.
fn text(usage: &Value, guard: Option<&str>, stale: bool) -> String {
    let mut out = String::new();
    let Some(used) = number(usage, "used_bytes") else {
        return "the cellular line is not metered (metered.metered = false): nothing is counted\n".to_owned();
    };
    if stale {
        out.push_str("uplink has been silent for more than 30 s; this is what it said last\n");
    }
    period(&mut out, usage);
    let quota = number(usage, "quota_bytes");
    let _ = match (quota, number(usage, "percent")) {
        (Some(quota), Some(percent)) => {
            writeln!(out, "used       {} of {}, {percent} %", amount(used), amount(quota))
        }
        _ => writeln!(out, "used       {}, no quota is set", amount(used)),
    };
    if let Some(today) = number(usage, "today_bytes") {
        let _ = writeln!(out, "today      {}", amount(today));
    }
    pace(&mut out, usage, used, quota);
    if let Some(undated) = number(usage, "undated_bytes").filter(|bytes| *bytes > 0) {
        let _ = writeln!(out, "           {} of it came while the clock was not known", amount(undated));
    }
    let meaning = match guard {
        Some("open") => "open: every device may use the cellular line",
        Some("allowlist") => "allowlist: devices of metered.allow and metered.essential may",
        Some("cut") => "cut: only devices of metered.essential, and the appliance itself, may",
        _ => "unknown: netguard is silent",
    };
    let _ = writeln!(out, "guard      {meaning}");
    let past = usage.get("periods").and_then(Value::as_array);
    for (n, period) in past.into_iter().flatten().enumerate() {
        let begin = period.get("start").and_then(Value::as_str).unwrap_or("?");
        let bytes = number(period, "used_bytes").unwrap_or_default();
        let _ = writeln!(out, "{:<10} from {begin}: {}", if n == 0 { "before" } else { "" }, amount(bytes));
    }
    out
}

fn period(out: &mut String, usage: &Value) {
    let date = |key| usage.get(key).and_then(Value::as_str);
    let _ = match (date("period_start"), date("period_end"), number(usage, "days_left")) {
        (Some(begin), Some(end), Some(left)) => {
            writeln!(out, "period     from {begin}, the next begins on {end} (in {})", days(left))
        }
        _ => writeln!(out, "period     not known until the clock is right"),
    };
}

/// Days so far and days in all give what to expect. The first day says nothing yet.
fn pace(out: &mut String, usage: &Value, used: u64, quota: Option<u64>) {
    let (Some(elapsed), Some(left)) = (number(usage, "days_elapsed"), number(usage, "days_left")) else {
        return;
    };
    if elapsed < 2 {
        return;
    }
    // `days_left` counts today, too.
    let whole = u128::from(elapsed + left - 1);
    let expected = u64::try_from(u128::from(used) * whole / u128::from(elapsed)).unwrap_or(u64::MAX);
    let more = quota.filter(|quota| expected > *quota).map_or("", |_| ", more than the quota");
    let _ = writeln!(out, "expected   {} at this pace{more}", amount(expected));
}

fn days(count: u64) -> String {
    if count == 1 { "1 day".to_owned() } else { format!("{count} days") }
}

/// Decimal units with one or two digits behind the point, as providers write them.
fn amount(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{}.{} kB", bytes / 1_000, bytes % 1_000 / 100),
        1_000_000..1_000_000_000 => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
        _ => format!("{}.{:02} GB", bytes / 1_000_000_000, bytes % 1_000_000_000 / 10_000_000),
    }
}

fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key)?.as_u64()
}

/// Leaves the provider's figure for `uplink` to take over.
pub(crate) fn set(root: &Root, amount: &str) -> u8 {
    let nothing = ["0", "0 B"].contains(&amount);
    if let Some(error) = Bytes::from_text(amount).err().filter(|_| !nothing) {
        eprintln!("failberry: usage set {amount:?}: {error}");
        return exit::USAGE;
    }
    let Err(error) = file::write_atomic(&root.path(CORRECT), amount.as_bytes(), 0o644) else {
        println!("asked uplink to take {amount} as this period's usage; failberry usage shows it");
        return exit::OK;
    };
    let (hint, code) = match error.kind() {
        std::io::ErrorKind::PermissionDenied => ("only root may; log in as root", exit::NO_PERMISSION),
        std::io::ErrorKind::NotFound => {
            ("uplink is not installed here; is this the appliance?", exit::UNAVAILABLE)
        }
        _ => ("see journalctl -u uplink", exit::IO),
    };
    eprintln!("failberry: write {CORRECT}: {error}; {hint}");
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_providers_do() {
        for (bytes, text) in [
            (999, "999 B"),
            (1_500, "1.5 kB"),
            (999_999_999, "999.9 MB"),
            (5_000_000_000, "5.00 GB"),
            (1_234_567_890_123, "1234.56 GB"),
        ] {
            assert_eq!(amount(bytes), text);
        }
    }

    #[test]
    fn the_pace_is_told_from_the_second_day_on() {
        let usage = |elapsed: u64| {
            json!({"used_bytes": 2_000_000_000_u64, "quota_bytes": 5_000_000_000_u64, "percent": 40,
                "today_bytes": 7, "undated_bytes": 12_000, "period_start": "2026-11-01",
                "period_end": "2026-12-01", "days_elapsed": elapsed, "days_left": 31 - elapsed, "guard": "open",
                "periods": [{"start": "2026-10-01", "used_bytes": 700_000_000}]})
        };
        let tenth = text(&usage(10), Some("allowlist"), false);
        for wanted in [
            "period     from 2026-11-01, the next begins on 2026-12-01 (in 21 days)\n",
            "used       2.00 GB of 5.00 GB, 40 %\n",
            "expected   6.00 GB at this pace, more than the quota\n",
            "12.0 kB of it came while the clock was not known\n",
            "guard      allowlist: ",
            "before     from 2026-10-01: 700.0 MB\n",
        ] {
            assert!(tenth.contains(wanted), "{wanted} in {tenth}");
        }
        assert!(!text(&usage(1), None, false).contains("expected"));
        assert!(text(&Value::Null, None, false).contains("not metered"));
        assert!(text(&usage(10), Some("cut"), true).starts_with("uplink has been silent"));
    }
}
