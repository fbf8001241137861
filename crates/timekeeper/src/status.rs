//! What `timekeeper` says about itself: whose word the clock has, and why it has none.

use std::time::Duration;

use serde_json::{Value, json};
use snapshot::{Condition, Report, Severity};
use sysio::Monotonic;

use crate::machine::{LONGEST_PAUSE, Machine, Round, Source, Trouble};
use crate::utc::Utc;
use crate::votes::Vote;

/// With a line, timesyncd needs a second and this program half a minute; then it is somebody's business.
pub const UNSET_SHOWN: Duration = Duration::from_secs(120);

/// The snapshot; `bytes` is what asking cost.
pub fn report(machine: &Machine, now: Monotonic, bytes: u64) -> Report {
    let state = match () {
        () if machine.synchronised() => "synchronised",
        () if machine.believed().is_some() => "set",
        () if machine.usable_since().is_none() => "waiting-for-line",
        () => "asking",
    };
    let by = machine.believed().map(|b| match b.by {
        Source::Ntp => "ntp",
        Source::Pages => "pages",
    });
    Report::new(state)
        .field("by", by.map_or(Value::Null, Value::from))
        .field("moved_ms", machine.believed().map_or(Value::Null, |b| b.moved_ms.into()))
        .field("heard", heard(machine, now))
        .field("bytes", bytes)
        .condition(unset(machine, now))
        .condition(disagree(machine, now))
}

/// Every answer of the last rounds, as a time it was at that moment.
fn heard(machine: &Machine, now: Monotonic) -> Value {
    let (ntp, pages) = machine.rounds();
    let all = [("ntp", ntp), ("pages", pages)];
    // Of this minute, so that the snapshot is not another one in each turn.
    let at = Monotonic::from_secs(now.since_boot().as_secs() / 60 * 60);
    let one = |by: &str, vote: &Vote| {
        let time = vote.booted_at.at(at).words();
        json!({"by": by, "operator": vote.operator, "line": vote.line.name(), "time": time})
    };
    all.iter().flat_map(|(by, round)| round.votes.iter().map(move |vote| one(by, vote))).collect()
}

/// Still in nobody's word, although somebody could be asked.
fn pending(machine: &Machine) -> bool {
    machine.believed().is_none() && !machine.synchronised() && machine.usable_since().is_some()
}

fn unset(machine: &Machine, now: Monotonic) -> Option<Condition> {
    let since = machine.usable_since().filter(|_| pending(machine))?;
    (now.since(since) >= UNSET_SHOWN).then_some(())?;
    let why = match machine.trouble() {
        Some(Trouble::Ahead(ms)) => format!(
            "The clock is {} ahead of what the time servers say, and is set back by nobody but systemd-timesyncd. ",
            humantime::format_duration(Duration::from_secs(ms.unsigned_abs() / 1000))
        ),
        Some(Trouble::Incredible(utc)) => {
            format!("What the servers say cannot be: {}. ", utc.words())
        }
        Some(Trouble::CannotSet(why)) => format!("{why}. "),
        None => String::new(),
    };
    let (ntp, pages) = machine.rounds();
    let detail = format!(
        "{why}Asked last: {}; {}. Asked again at least every {} minutes. Certificates may be called not valid \
         until then: let NTP (UDP port 123) or plain web pages through on one of the lines.",
        told("time servers", ntp),
        told("web pages", pages),
        LONGEST_PAUSE.as_secs() / 60
    );
    Some(Condition::new("clock-not-set", Severity::Warning, "nobody could be asked what time it is", detail))
}

fn told(whom: &str, round: &Round) -> String {
    if round.asked == 0 {
        return format!("no {whom}");
    }
    let notes = if round.notes.is_empty() { String::new() } else { format!(" ({})", round.notes.join("; ")) };
    format!("{} {whom}, {} answered{notes}", round.asked, round.votes.len())
}

fn disagree(machine: &Machine, now: Monotonic) -> Option<Condition> {
    let (ntp, pages) = machine.rounds();
    let round = [ntp, pages].into_iter().find(|round| round.disagreed).filter(|_| pending(machine))?;
    let first = round.votes.iter().map(|vote| vote.booted_at).min()?;
    let apart = |vote: &Vote| Duration::from_millis(vote.booted_at.0.abs_diff(first.0)).as_secs();
    let votes: Vec<String> = round
        .votes
        .iter()
        .map(|vote| format!("{} over the {} line: {} s later", vote.operator, vote.line.name(), apart(vote)))
        .collect();
    let Utc(earliest) = first.at(now);
    // To the day: the condition is not another one in each turn.
    let day = Utc(earliest / 86_400_000 * 86_400_000).words();
    let detail = format!(
        "Measured from the earliest, on {}: {}. A router may be answering for everybody (redirected NTP); the \
         clock is not set until a majority agrees.",
        day.split('T').next().unwrap_or_default(),
        votes.join("; ")
    );
    let summary = "time servers do not agree what time it is";
    Some(Condition::new("clock-servers-disagree", Severity::Warning, summary, detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::Usable;
    use crate::machine::{Action, Event, Now};
    use crate::utc::BootedAt;
    use inquiry::Way;
    use ruleset::marks::Line;

    const BUILT: Utc = Utc::from_secs(1_780_000_000);

    /// A machine with a line since 10 s, at `secs`; each question is answered as `tell` says.
    fn machine(secs: u64, tell: fn(&str) -> Option<i64>) -> Machine {
        let mut machine = Machine::new(BUILT);
        let way = Way { line: Line::Wired, interface: "eth0".to_owned() };
        let mut events = vec![Event::Lines(vec![Usable { way, v4: true, v6: false, metered: false }])];
        let mut at = Monotonic::from_secs(10);
        while let Some(event) = events.pop() {
            let now = Now { boot: at, wall: BUILT };
            for action in machine.step(now, event) {
                if let Action::Ask { ask, question, .. } = action
                    && let Some(ms) = tell(question.operator())
                {
                    events.push(Event::Answered { ask, booted_at: BootedAt(1_790_000_000_000 + ms) });
                }
            }
            if events.is_empty()
                && let Some(next) = machine.deadline().filter(|next| *next <= Monotonic::from_secs(secs))
            {
                at = next;
                events.push(Event::Deadline);
            }
        }
        machine
    }

    fn ids(report: &Report) -> Vec<&str> {
        report.conditions.iter().map(|c| c.id.as_str()).collect()
    }

    #[test]
    fn a_clock_nobody_could_set_is_told_after_two_minutes_with_what_was_asked() {
        let silent = machine(140, |_| None);
        let at = |secs| report(&silent, Monotonic::from_secs(secs), 0);
        assert!(ids(&at(129)).is_empty());
        let told = at(131);
        assert_eq!(ids(&told), ["clock-not-set"]);
        let detail = &told.conditions[0].detail;
        assert!(detail.contains("3 time servers, 0 answered"), "{detail}");
        assert!(detail.contains("4 web pages, 0 answered"), "{detail}");
        assert!(detail.contains("netnod over the wired line: no answer"), "{detail}");
        assert_eq!(told.state, "asking");
    }

    #[test]
    fn servers_that_disagree_are_named_with_how_far_they_are_apart() {
        let apart = machine(20, |operator| match operator {
            "cloudflare" => Some(0),
            "google" => Some(60_000),
            _ => None,
        });
        let told = report(&apart, Monotonic::from_secs(20), 0);
        assert_eq!(ids(&told), ["clock-servers-disagree"]);
        let detail = &told.conditions[0].detail;
        assert!(detail.contains("2026-09-21: "), "{detail}");
        assert!(detail.contains("google over the wired line: 60 s later"), "{detail}");
    }

    #[test]
    fn nothing_is_wrong_without_a_line_nor_with_timesyncds_word() {
        let mut without = Machine::new(BUILT);
        assert_eq!(report(&without, Monotonic::from_secs(999), 0).state, "waiting-for-line");
        without.step(Now { boot: Monotonic::from_secs(999), wall: BUILT }, Event::Synchronised);
        let done = report(&without, Monotonic::from_secs(999), 0);
        assert_eq!((done.state.as_str(), done.conditions.len()), ("synchronised", 0));
    }

    #[test]
    fn every_condition_has_a_page() {
        for id in ["clock-not-set", "clock-servers-disagree"] {
            assert!(include_str!("status.rs").matches(&format!("new(\"{id}\"")).count() == 1);
            let pages = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conditions");
            assert!(pages.join(format!("{id}.md")).exists(), "{id}");
        }
        assert_eq!(include_str!("status.rs").matches("Condition::new(\"").count(), 2);
    }
}
