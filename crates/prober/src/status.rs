//! What `prober` says about itself: the pages, and what is wrong with them.

use serde_json::{Value, json};
use snapshot::{Condition, Report, Severity};
use sysio::{Monotonic, clock};

use crate::daemon::{CLOCK_PATIENCE, Prober};
use crate::machine::{FAILURES, SUCCESSES, State, Track};
use crate::settings::line_word;

/// A certificate is told so many days before its end: authorities of the web renew theirs after two
/// thirds of 90 days, so at 14 something has failed several times.
const EXPIRING_DAYS: u64 = 14;
const DAY: u64 = 24 * 3600;
/// So many pages are named in a condition.
const NAMED: usize = 4;

/// The snapshot.
pub fn report(prober: &Prober, now: Monotonic) -> Report {
    let tracks = prober.machine.tracks();
    let state = match () {
        () if tracks.is_empty() => "idle",
        () if tracks.iter().any(|track| matches!(track.state, State::Failing(..))) => "failing",
        () => "watching",
    };
    Report::new(state)
        .field("targets", tracks.iter().map(target).collect::<Vec<_>>())
        .condition(failing(tracks, now))
        .condition(clock::unix().and_then(|unix| expiring(tracks, unix)))
        .condition(waiting(prober.waits_for_clock(now)))
}

fn target(track: &Track) -> Value {
    let (mut ok_since, mut failing_since) = (None, None);
    match track.state {
        State::Unknown(_) => {}
        State::Ok(since, _) => ok_since = Some(since.as_millis()),
        State::Failing(since, _) => failing_since = Some(since.as_millis()),
    }
    let mut target = json!({
        "url": track.page.shown,
        "line": line_word(track.page.line),
        "state": track.state.word(),
        "ok_since_ms": ok_since,
        "failing_since_ms": failing_since,
        "sent": track.sent,
        "failed": track.failed,
        "over": track.last.as_ref().map(|last| &last.line),
        "at_ms": track.last.as_ref().map(|last| last.at.as_millis()),
    });
    let found = track.last.as_ref().map(|last| &last.finding).cloned().unwrap_or_default();
    if let (Value::Object(target), Ok(Value::Object(found))) = (&mut target, serde_json::to_value(found)) {
        target.extend(found);
    }
    target
}

fn failing(tracks: &[Track], now: Monotonic) -> Option<Condition> {
    let words = |track: &Track| {
        let State::Failing(since, _) = track.state else { return None };
        // Between two successes the last finding is a good one.
        let why =
            track.last.as_ref().map_or("", |last| last.finding.why.as_deref().unwrap_or("answered once"));
        // In hours: a text that changes all the time is news to whoever compares it.
        let lasting = match now.since(since).as_secs() / 3600 {
            0 => String::new(),
            hours => format!(" for {hours} h"),
        };
        Some(format!("{} ({}){lasting}: {why}", track.page.shown, line_word(track.page.line)))
    };
    let detail = joined(tracks.iter().filter_map(words))?;
    let detail =
        format!("{detail}. It failed {FAILURES} times in a row; well again after {SUCCESSES} good answers.");
    Some(Condition::new("probe-failing", Severity::Warning, "a page that is watched fails", detail))
}

fn expiring(tracks: &[Track], unix: u64) -> Option<Condition> {
    let words = |track: &Track| {
        let until = track.last.as_ref()?.finding.certificate_until?;
        let days = until.saturating_sub(unix) / DAY;
        let name = format!("{} ({})", track.page.shown, line_word(track.page.line));
        (days < EXPIRING_DAYS).then(|| format!("{name}: {days} days left"))
    };
    let detail = format!("{}. Whoever runs the page renews it.", joined(tracks.iter().filter_map(words))?);
    let summary = "the certificate of a page that is watched expires soon";
    Some(Condition::new("probe-certificate-expiring", Severity::Warning, summary, detail))
}

fn waiting(waits: bool) -> Option<Condition> {
    let minutes = CLOCK_PATIENCE.as_secs() / 60;
    let detail = format!(
        "The clock is not set, and certificates cannot be judged without the date. Pages are asked for all the \
         same {minutes} minutes after the start."
    );
    let summary = "pages wait for the right time";
    waits.then(|| Condition::new("probe-waiting-for-clock", Severity::Info, summary, detail))
}

/// The first of them, and how many more there are.
fn joined(all: impl Iterator<Item = String>) -> Option<String> {
    let all: Vec<String> = all.collect();
    let named = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    match all.len() {
        0 => None,
        1..=NAMED => Some(named),
        more => Some(format!("{named}; and {} more", more - NAMED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Finding;
    use crate::lines::{Line, Lines};
    use crate::machine::{Event, Machine};
    use crate::settings::pages;

    /// One page, asked for as often as there are findings.
    fn tracks(findings: &[Finding]) -> Vec<Track> {
        let text = "[prober]\ntargets = [\"http://a.example/?geheim every=10\"]\n";
        let mut machine =
            Machine::new(pages(&config::parse(text.as_bytes()).unwrap()), Monotonic::default(), || 0);
        let line = Line { interface: "eth0".into(), open: true, ..Line::default() };
        let lines = Lines { active: Some("wired".into()), links: [("wired".to_owned(), line)].into() };
        machine.step(Monotonic::default(), Event::Lines(lines));
        for (n, finding) in findings.iter().enumerate() {
            let now = Monotonic::from_secs(n as u64 * 20);
            machine.step(now, Event::Tick);
            machine.step(now, Event::Landed(0, finding.clone(), 0));
        }
        machine.tracks().to_vec()
    }

    #[test]
    fn a_page_that_fails_is_named_with_phase_and_status() {
        let found = Finding { status: Some(503), total_ms: Some(12.5), ..Finding::default() };
        let tracks = tracks(&[found.clone(), found.clone(), found]);
        let condition = failing(&tracks, Monotonic::from_secs(7300)).unwrap();
        assert!(
            condition.detail.starts_with("http://a.example/ (active) for 2 h: http: status 503"),
            "{}",
            condition.detail
        );
        let target = target(&tracks[0]);
        assert_eq!(
            (&target["status"], &target["phase"], &target["failing_since_ms"]),
            (&503.into(), &"http".into(), &0.into())
        );
        assert_eq!(
            (&target["total_ms"], &target["failed"], &target["over"]),
            (&12.5.into(), &3.into(), &"wired".into())
        );
        assert!(!target.to_string().contains("geheim"));
    }

    #[test]
    fn a_certificate_is_told_two_weeks_before_its_end() {
        let now = 1_800_000_000;
        let with = |until: u64| {
            let found = Finding { status: Some(200), certificate_until: Some(until), ..Finding::default() };
            expiring(&tracks(&[found]), now)
        };
        assert_eq!(with(now + EXPIRING_DAYS * DAY), None);
        let condition = with(now + EXPIRING_DAYS * DAY - 1).unwrap();
        assert!(condition.detail.contains("13 days left"), "{}", condition.detail);
        assert!(with(now - 1).unwrap().detail.contains("0 days left"));
    }

    #[test]
    fn a_long_list_is_cut() {
        let words = |n: usize| joined((0..n).map(|n| n.to_string()));
        assert_eq!(words(0), None);
        assert_eq!(words(4).unwrap(), "0; 1; 2; 3");
        assert_eq!(words(9).unwrap(), "0; 1; 2; 3; and 5 more");
    }
}
