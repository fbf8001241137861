//! `failberry incidents`: what went wrong, what each rung of the ladder did about it, how long it took.

use std::fmt::Write as _;
use std::io::ErrorKind;

use overview::ago;
use serde_json::{Value, json};
use sysio::{Root, file};

use crate::exit;

/// The record as it is now, and as it was last saved.
const PLACES: [&str; 2] =
    ["/run/failberry-hub-reset/incidents.json", "/data/failberry/hub-reset/incidents.json"];
/// Twice what `hub-reset` writes.
const LIMIT: u64 = 256 * 1024;

/// Prints them, the newest first.
pub(crate) fn run(root: &Root, json: bool) -> u8 {
    let incidents = match read(root) {
        Ok(incidents) => incidents,
        Err(problem) => {
            eprintln!("failberry: {problem}");
            return exit::IO;
        }
    };
    if json {
        println!("{}", json!({"incidents": incidents}));
    } else {
        print!("{}", text(&incidents));
    }
    exit::OK
}

fn read(root: &Root) -> Result<Vec<Value>, String> {
    for place in PLACES {
        let content = match file::read_bounded(&root.path(place), LIMIT) {
            Ok(content) => content,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(format!("read {place}: {error}; see journalctl -u hub-reset")),
        };
        let document: Value = serde_json::from_slice(&content)
            .map_err(|error| format!("parse {place}: {error}; hub-reset writes it anew with the next one"))?;
        let list = document.get("incidents").and_then(Value::as_array).cloned();
        return Ok(list.unwrap_or_default());
    }
    Ok(Vec::new())
}

/// For people.
fn text(incidents: &[Value]) -> String {
    if incidents.is_empty() {
        return "nothing has happened yet\n".to_owned();
    }
    let mut out = String::new();
    for incident in incidents.iter().rev() {
        head(&mut out, incident);
        for step in list(incident, "steps") {
            line(&mut out, step);
        }
        if let Some(dropped) = number(incident, "dropped").filter(|n| *n > 0) {
            let _ = writeln!(out, "  … and {dropped} more");
        }
        out.push('\n');
    }
    out
}

fn head(out: &mut String, incident: &Value) {
    let since = number(incident, "since_ms").unwrap_or_default();
    let boot = number(incident, "boot").unwrap_or_default();
    let when = match word(incident, "wall") {
        "" => format!("boot {boot}, {} after its start", ago(since)),
        wall => wall.to_owned(),
    };
    let end = incident.get("ended").and_then(Value::as_array);
    let took = match end.map(|end| (end.first().and_then(Value::as_u64), end.get(1).and_then(Value::as_u64)))
    {
        Some((Some(at), Some(ms))) if at == boot => {
            format!("over after {}", seconds(ms.saturating_sub(since)))
        }
        Some(_) => "over after a reboot".to_owned(),
        None => "not over".to_owned(),
    };
    let _ = writeln!(out, "{when}: {}", printable(word(incident, "cause")));
    let stick = Some(word(incident, "stick")).filter(|s| !s.is_empty()).map(|s| format!(" (stick {s})"));
    let outcome = Some(word(incident, "outcome")).filter(|s| !s.is_empty()).map(|s| format!(": {s}"));
    let tail = format!("{}{}", outcome.unwrap_or_default(), stick.unwrap_or_default());
    let _ = writeln!(out, "  {took}{}", printable(&tail));
}

fn line(out: &mut String, step: &Value) {
    let rung = number(step, "rung").unwrap_or_default();
    let took = match (number(step, "started_ms"), number(step, "ended_ms")) {
        (Some(start), Some(end)) if end >= start => seconds(end - start),
        _ => "-".to_owned(),
    };
    let outcome =
        if step.get("ended_ms").is_some_and(Value::is_null) { "under way" } else { word(step, "outcome") };
    let action = printable(word(step, "action"));
    let _ = writeln!(out, "  rung {rung}  {took:>8}  {action}: {}", printable(outcome));
}

/// Short times matter here: tenths of a second.
fn seconds(ms: u64) -> String {
    if ms < 60_000 { format!("{}.{} s", ms / 1000, ms % 1000 / 100) } else { ago(ms) }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, key: &str) -> Option<u64> {
    value.get(key)?.as_u64()
}

/// Without what could steer a terminal: some of it was said by a stick.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rung_is_told_with_what_it_did_and_how_long_it_took() {
        let incident = json!({"cause": "no answer\u{1b}[2J", "stick": "1-1.1 19d2:0031", "boot": 2,
            "since_ms": 90_000, "wall": null, "dropped": 3, "ended": [2, 99_500], "outcome": "the stick is back",
            "steps": [
                {"rung": 4, "action": "USB reset", "boot": 2, "started_ms": 90_000, "ended_ms": 91_200,
                 "outcome": "skipped"},
                {"rung": 5, "action": "power cycle", "boot": 2, "started_ms": 91_200, "ended_ms": null,
                 "outcome": ""}]});
        let text = text(&[incident]);
        for wanted in [
            "boot 2, 1 min 30 s after its start",
            "over after 9.5 s: the stick is back",
            "rung 4     1.2 s  USB reset: skipped",
            "power cycle: under way",
            "and 3 more",
        ] {
            assert!(text.contains(wanted), "{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn what_is_newer_in_memory_comes_before_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        assert_eq!(read(&root), Ok(Vec::new()));
        for (place, content) in PLACES.iter().zip([r#"{"incidents": [1]}"#, r#"{"incidents": []}"#]).rev() {
            let path = root.path(place);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        assert_eq!(read(&root), Ok(vec![json!(1)]));
        std::fs::write(root.path(PLACES[0]), "{").unwrap();
        assert!(read(&root).unwrap_err().starts_with("parse /run/"));
    }
}
