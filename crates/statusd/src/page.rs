//! The page itself: HTML without scripts, pictures or anything from elsewhere.

use std::fmt::{self, Display, Write as _};

use overview::{Health, Overview, Part, ago, facts, meaning};
use snapshot::{Condition, Severity};

/// Seconds between reloads. Snapshots come at least every ten.
const RELOAD: u32 = 10;

pub(crate) const STYLE: &str = include_str!("style.css");

/// The whole page; `charts` is a section already made.
pub fn page(overview: &Overview, charts: &str) -> String {
    let mut out = String::with_capacity(8192);
    let name = if overview.hostname.is_empty() { "failberry" } else { &overview.hostname };
    let health = overview.health();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"refresh\" content=\"{RELOAD}\">\n<title>{}: {}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<header class=\"{}\">\n<h1>{}</h1>\n\
         <p class=\"health\">{}</p>\n<p>{}</p>\n</header>\n<main>\n",
        Escaped(name),
        health.as_str(),
        health.as_str(),
        Escaped(name),
        health.as_str(),
        headline(overview, health),
    );
    let _ = conditions(&mut out, overview);
    out.push_str(charts);
    let _ = crate::pages::section(&mut out, overview);
    out.push_str("<section>\n<h2>What is running</h2>\n");
    for part in &overview.parts {
        let _ = card(&mut out, overview, part);
    }
    let _ = write!(out, "</section>\n</main>\n<footer>{}</footer>\n</body>\n</html>\n", moment(overview));
    out
}

fn headline(overview: &Overview, health: Health) -> String {
    let unknown = overview.parts.iter().filter(|p| p.known.is_err()).count();
    let trouble = overview.conditions().iter().filter(|(_, c)| c.severity > Severity::Info).count();
    match (health, trouble, unknown) {
        (Health::Healthy, ..) => "Everything is as it should be.".to_owned(),
        (Health::Unknown, ..) => "Nothing recent is known of any part.".to_owned(),
        (_, 0, n) => format!("{n} of {} parts are not heard of.", overview.parts.len()),
        (_, 1, 0) => "One thing is wrong.".to_owned(),
        (_, t, 0) => format!("{t} things are wrong."),
        (_, t, n) => format!("{t} wrong, and {n} of {} parts are not heard of.", overview.parts.len()),
    }
}

fn conditions(out: &mut String, overview: &Overview) -> fmt::Result {
    let all = overview.conditions();
    if all.is_empty() {
        return Ok(());
    }
    out.push_str("<section>\n<h2>What is to be known</h2>\n");
    for (daemon, condition) in all {
        let Condition { id, severity, since, summary, detail } = condition;
        writeln!(
            out,
            "<article class=\"{}\">\n<h3>{}</h3>\n<p class=\"detail\">{}</p>\n\
             <p class=\"small\">{} · <a href=\"/conditions/{id}\">{id}</a> · for {}</p>\n</article>",
            severity_class(*severity),
            Escaped(summary),
            Escaped(detail),
            Escaped(daemon),
            ago(overview.since(*since)),
            id = Escaped(id),
        )?;
    }
    out.push_str("</section>\n");
    Ok(())
}

fn card(out: &mut String, overview: &Overview, part: &Part) -> fmt::Result {
    let state = part.state();
    writeln!(out, "<article class=\"{}\">", part.health().as_str())?;
    writeln!(out, "<h3>{} <span>{}</span></h3>", Escaped(&part.daemon), Escaped(state))?;
    match &part.known {
        Ok(document) => {
            writeln!(
                out,
                "<p>{}</p>\n<p class=\"small\">for {}</p>",
                Escaped(meaning(&part.daemon, state)),
                ago(overview.since(document.since_ms)),
            )?;
            let facts = facts(document);
            if !facts.is_empty() {
                out.push_str("<dl>\n");
                for (label, value) in facts {
                    writeln!(out, "<dt>{label}</dt><dd>{}</dd>", Escaped(&value))?;
                }
                out.push_str("</dl>\n");
            }
        }
        Err(doubt) => {
            writeln!(out, "<p>{}</p>", Escaped(&doubt.reason))?;
            if let Some(last) = &doubt.last {
                writeln!(out, "<p class=\"small\">the last it said was: {}</p>", Escaped(&last.state))?;
            }
        }
    }
    out.push_str("</article>\n");
    Ok(())
}

fn moment(overview: &Overview) -> String {
    let json = overview.to_json();
    let wall = json["wall"].as_str().unwrap_or("the clock is not set yet");
    format!(
        "running for {} · {} · <a href=\"/api/status\">as JSON</a>",
        ago(overview.now.as_millis()),
        Escaped(wall)
    )
}

fn severity_class(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "degraded",
        Severity::Error => "failed",
    }
}

/// Text that cannot become markup: much of what is shown was said by a stick or a network.
pub(crate) struct Escaped<'t>(pub(crate) &'t str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if c.is_control() && c != '\n' => f.write_str("\u{fffd}")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}
