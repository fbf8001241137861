//! `failberry status`: everything at a glance, for 80 columns or for a program.

use std::fmt::{self, Write as _};

use overview::{Health, Overview, Part, ago, facts, meaning};
use snapshot::Severity;
use sysio::Root;

use crate::exit;

/// Width of the terminal we write for.
const WIDTH: usize = 80;
/// Where the second column starts: after the longest name of a daemon.
const COLUMN: usize = 16;

/// Prints the status; the exit code is the health.
pub(crate) fn run(root: &Root, json: bool) -> u8 {
    let overview = match Overview::gather(root) {
        Ok(overview) => overview,
        Err(error) => {
            eprintln!("failberry: read the identity of this boot: {error}; is this the appliance?");
            return exit::FAILED;
        }
    };
    if json {
        println!("{}", overview.to_json());
    } else {
        print!("{}", text(&overview));
    }
    code(overview.health())
}

/// The exit code for a health.
pub fn code(health: Health) -> u8 {
    match health {
        Health::Healthy => exit::OK,
        Health::Degraded | Health::Unknown => exit::DEGRADED,
        Health::Failed => exit::FAILED,
    }
}

/// The status for people.
pub fn text(overview: &Overview) -> String {
    let mut out = String::new();
    let name = if overview.hostname.is_empty() { "failberry" } else { &overview.hostname };
    let up = format!("up {}", ago(overview.now.as_millis()));
    let title = format!("{} is {}", printable(name), overview.health().as_str());
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{title}{up:>rest$}", rest = WIDTH.saturating_sub(title.chars().count()));
    let _ = conditions(&mut out, overview);
    out.push('\n');
    for part in &overview.parts {
        let _ = daemon(&mut out, overview, part);
    }
    out
}

fn conditions(out: &mut String, overview: &Overview) -> fmt::Result {
    for (daemon, condition) in overview.conditions() {
        let mark = match condition.severity {
            Severity::Error => "ERROR",
            Severity::Warning => "WARNING",
            Severity::Info => "NOTE",
        };
        let since = ago(overview.since(condition.since));
        writeln!(out, "\n{mark} {} ({daemon}, for {since})", printable(&condition.id))?;
        wrapped(out, &condition.summary, 2);
        wrapped(out, &condition.detail, 4);
    }
    Ok(())
}

fn daemon(out: &mut String, overview: &Overview, part: &Part) -> fmt::Result {
    let name = printable(&part.daemon);
    match &part.known {
        Ok(document) => {
            let since = format!("for {}", ago(overview.since(document.since_ms)));
            let state = printable(&document.state);
            let rest = WIDTH.saturating_sub(COLUMN + state.chars().count());
            writeln!(out, "{name:<COLUMN$}{state}{since:>rest$}")?;
            wrapped(out, meaning(&part.daemon, &document.state), COLUMN);
            for (label, value) in facts(document) {
                wrapped(out, &format!("{label}: {value}"), COLUMN);
            }
        }
        Err(doubt) => {
            writeln!(out, "{name:<COLUMN$}unknown")?;
            wrapped(out, &doubt.reason, COLUMN);
            if let Some(last) = &doubt.last {
                wrapped(out, &format!("the last it said was: {}", last.state), COLUMN);
            }
        }
    }
    Ok(())
}

/// Appends `text` in lines of at most [`WIDTH`], each indented; its own line ends are kept.
fn wrapped(out: &mut String, text: &str, indent: usize) {
    for paragraph in text.lines() {
        let mut column = 0;
        for word in paragraph.split_whitespace().map(printable) {
            let length = word.chars().count();
            if column > 0 && column + 1 + length > WIDTH {
                out.push('\n');
                column = 0;
            }
            if column == 0 {
                out.extend(std::iter::repeat_n(' ', indent));
                column = indent;
            } else {
                out.push(' ');
                column += 1;
            }
            out.push_str(&word);
            column += length;
        }
        if column > 0 {
            out.push('\n');
        }
    }
}

/// Without what could steer a terminal: much of it was said by a stick or a network.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
