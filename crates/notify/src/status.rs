//! What `notify` says about itself. Its own conditions are shown and never told: a message about a
//! message that cannot be delivered would not be delivered either.

use std::time::Duration;

use serde_json::{Value, json};
use snapshot::{Condition, Report, Severity};
use sysio::Monotonic;

use crate::daemon::{CLOCK_PATIENCE, Notify};

/// That the queue was lost is shown for so long: nothing can be done about it.
const LOST_SHOWN: Duration = Duration::from_secs(24 * 3600);

/// The snapshot.
pub fn report(notify: &Notify, now: Monotonic) -> Report {
    let nobody = notify.settings.targets.is_empty();
    let stuck = notify.outbox.lanes().values().any(|lane| lane.failures > 0);
    let state = match (nobody, stuck) {
        (true, _) => "silent",
        (false, true) => "retrying",
        (false, false) => "watching",
    };
    let queued = notify.outbox.messages().len();
    Report::new(state)
        .field("channels", channels(notify))
        .field("queued", queued)
        .field("told", notify.alerts.told().len())
        .field("held", notify.alerts.held().items.len())
        .field("graphite", graphite(notify))
        .field("hooks_dropped", notify.spool.dropped)
        .condition(undelivered(notify, now))
        .condition(waiting_for_clock(notify, now))
        .condition(not_saved(notify))
        .condition(lost(notify, now))
        .condition(incomplete(notify))
}

fn channels(notify: &Notify) -> Vec<Value> {
    let lanes = notify.outbox.lanes().iter();
    lanes
        .map(|(channel, lane)| {
            json!({
                "name": channel.as_str(), "delivered": lane.accepted, "failures": lane.failures,
                "failing_since_ms": lane.failing_since.map(Monotonic::as_millis), "last_error": lane.last_error,
            })
        })
        .collect()
}

fn graphite(notify: &Notify) -> Value {
    if !notify.numbers.wanted() {
        return Value::Null;
    }
    json!({"pushed": notify.numbers.pushed, "last_error": notify.numbers.failing})
}

fn undelivered(notify: &Notify, now: Monotonic) -> Option<Condition> {
    let late = notify.outbox.undelivered(now);
    let (first, _) = late.first()?;
    let all: Vec<String> = late.iter().map(|(channel, why)| format!("{}: {why}", channel.as_str())).collect();
    let summary = if late.len() == 1 {
        format!("messages cannot be delivered by {}", first.as_str())
    } else {
        "messages cannot be delivered".to_owned()
    };
    let detail = format!(
        "{}. {} in the queue; tried again ever more slowly, and at once when the line changes.",
        all.join("; "),
        notify.outbox.messages().len(),
    );
    Some(Condition::new("notify-undelivered", Severity::Warning, summary, detail))
}

fn waiting_for_clock(notify: &Notify, now: Monotonic) -> Option<Condition> {
    let waits = !notify.held_back(now).is_empty() && !notify.outbox.messages().is_empty();
    let minutes = CLOCK_PATIENCE.as_secs() / 60;
    let detail = format!(
        "The clock is not set, and an encrypted connection cannot be checked without the date. They are \
         tried all the same {minutes} minutes after the boot."
    );
    waits.then(|| {
        Condition::new("notify-waiting-for-clock", Severity::Info, "messages wait for the right time", detail)
    })
}

fn not_saved(notify: &Notify) -> Option<Condition> {
    let why = notify.unsaved.as_ref()?;
    let detail = format!("Writing failed: {why}. They are sent from memory; a power cut would lose them.");
    Some(Condition::new("notify-not-saved", Severity::Warning, "messages cannot be kept on data", detail))
}

fn lost(notify: &Notify, now: Monotonic) -> Option<Condition> {
    let why = notify.lost.as_ref().filter(|_| now.since(notify.started) < LOST_SHOWN)?;
    let detail = format!("{why}. What lasts is told anew; what had ended meanwhile is not known any more.");
    Some(Condition::new(
        "notify-state-lost",
        Severity::Warning,
        "the queue of messages could not be read",
        detail,
    ))
}

fn incomplete(notify: &Notify) -> Option<Condition> {
    let gaps = &notify.settings.gaps;
    let detail = format!("{}. Everything else is in force.", gaps.join("; "));
    let summary = "the configuration of messages is incomplete";
    (!gaps.is_empty()).then(|| Condition::new("notify-incomplete", Severity::Warning, summary, detail))
}
