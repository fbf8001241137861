//! The section of the pages that `prober` asks for: status, times, and why not.

use std::fmt::{self, Write as _};

use overview::{Overview, ago};
use serde_json::Value;

use crate::page::Escaped;

/// Who asks for them.
const PROBER: &str = "prober";
/// Times of phases, and what people call them.
const PHASES: [(&str, &str); 4] = [
    ("dns_ms", "name"),
    ("connect_ms", "connection"),
    ("tls_ms", "certificate"),
    ("first_byte_ms", "first byte"),
];

/// Writes the section; nothing where there are no pages, or nothing recent is known of them.
pub(crate) fn section(out: &mut String, overview: &Overview) -> fmt::Result {
    let part = overview.parts.iter().find(|part| part.daemon == PROBER);
    let targets = part.and_then(|part| part.known.as_ref().ok()?.fields.get("targets")?.as_array());
    let Some(targets) = targets.filter(|targets| !targets.is_empty()) else { return Ok(()) };
    out.push_str("<section>\n<h2>Pages asked for</h2>\n");
    for target in targets {
        card(out, overview, target)?;
    }
    out.push_str("</section>\n");
    Ok(())
}

fn card(out: &mut String, overview: &Overview, target: &Value) -> fmt::Result {
    let text = |key: &str| target.get(key).and_then(Value::as_str);
    let number = |key: &str| target.get(key).and_then(Value::as_f64);
    let (state, line) = (text("state").unwrap_or("unknown"), text("line").unwrap_or("?"));
    let class = match state {
        "ok" => "healthy",
        "failing" => "degraded",
        _ => "unknown",
    };
    let status = target.get("status").and_then(Value::as_u64).map(|status| status.to_string());
    let shown =
        status.as_deref().unwrap_or(if text("why").is_some() { "no answer" } else { "not yet asked" });
    let url = text("url").unwrap_or("?");
    writeln!(out, "<article class=\"{class}\">\n<h3>{} <span>{shown}</span></h3>", Escaped(url))?;
    if let Some(why) = text("why") {
        writeln!(out, "<p>{}</p>", Escaped(why))?;
    }
    if let Some(total) = number("total_ms") {
        let parts = PHASES.iter().filter_map(|(key, word)| Some(format!("{word} {:.0}", number(key)?)));
        let parts = parts.collect::<Vec<_>>().join(", ");
        let parts = if parts.is_empty() { parts } else { format!(" ({parts})") };
        writeln!(out, "<p>{total:.0} ms{parts}</p>")?;
    }
    let count = |key: &str| target.get(key).and_then(Value::as_u64).unwrap_or(0);
    let at = target.get("at_ms").and_then(Value::as_u64);
    let when = at.map(|at| format!(", last {} ago", ago(overview.since(at)))).unwrap_or_default();
    writeln!(
        out,
        "<p class=\"small\">line: {}{when} · {} of {} failed</p>\n</article>",
        Escaped(line),
        count("failed"),
        count("sent")
    )
}
