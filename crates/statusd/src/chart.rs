//! The last day of a line as a small picture: latency as a line, the lost share as bars from below.
//!
//! SVG inside the page: no script, nothing to load, sharp on every screen. A bar without probes stays
//! empty; what was before the restart is marked as such.

use std::fmt::Write as _;

use crate::history::{BAR_MS, History, Link};
use crate::page::Escaped;

/// A day of bars.
const BARS: i64 = 24 * 60 * 60 * 1000 / BAR_MS;
/// Width of a bar in the picture's own units.
const STEP: i64 = 5;
/// Height of the picture.
const HEIGHT: f64 = 100.0;
/// The scale's end is never below this, or noise would look like mountains.
const LEAST_SCALE_MS: f64 = 50.0;

/// All lines of `history`, as seen `now_ms` after the start of boot `boot_id`.
pub(crate) fn section(history: &Result<Option<History>, String>, boot_id: &str, now_ms: i64) -> String {
    let history = match history {
        Ok(None) => return String::new(),
        Err(error) => return note(&format!("the record cannot be read: {error}")),
        Ok(Some(history)) if history.boot_id != boot_id => {
            return note("the record is of before the restart; a new one begins soon");
        }
        Ok(Some(history)) if history.links.is_empty() => return note("nothing was measured yet"),
        Ok(Some(history)) => history,
    };
    let charts: String = history.links.iter().map(|link| article(link, now_ms)).collect();
    format!("<section>\n<h2>The last day</h2>\n{charts}</section>\n")
}

fn note(text: &str) -> String {
    format!("<section>\n<h2>The last day</h2>\n<p class=\"small\">{}</p>\n</section>\n", Escaped(text))
}

fn article(link: &Link, now_ms: i64) -> String {
    let newest = now_ms.div_euclid(BAR_MS);
    let first = newest - BARS + 1;
    let bars = link.bars();
    let seen: Vec<_> = bars.range(first..=newest).collect();
    let (sent, lost) = seen.iter().fold((0, 0), |(sent, lost), (_, bar)| (sent + bar.sent, lost + bar.lost));
    let highest = seen.iter().filter_map(|(_, bar)| bar.latency_ms()).fold(0.0, f64::max);
    let scale = highest.max(LEAST_SCALE_MS) * 1.1;
    let mut svg = String::new();
    let x = |at: i64| (at - first) * STEP;
    for (at, bar) in &seen {
        let Some(share) = bar.lost_share().filter(|share| *share > 0.0) else { continue };
        let height = share * HEIGHT;
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<rect class=\"lost\" x=\"{}\" y=\"{:.1}\" width=\"{STEP}\" height=\"{height:.1}\"/>",
            x(**at),
            HEIGHT - height
        );
    }
    for run in runs(&seen.iter().filter_map(|(at, bar)| Some((**at, bar.latency_ms()?))).collect::<Vec<_>>())
    {
        let points: Vec<String> = run
            .iter()
            .flat_map(|(at, ms)| {
                let y = HEIGHT - ms / scale * HEIGHT;
                // Both ends of the bar, so that a single one is still a line.
                [format!("{},{y:.1}", x(*at)), format!("{},{y:.1}", x(*at) + STEP)]
            })
            .collect();
        let _ = writeln!(svg, "<polyline class=\"latency\" points=\"{}\"/>", points.join(" "));
    }
    if (first..=newest).contains(&0) && bars.range(first..0).next().is_some() {
        let _ = writeln!(svg, "<line class=\"boot\" x1=\"{0}\" x2=\"{0}\" y1=\"0\" y2=\"{HEIGHT}\"/>", x(0));
    }
    let restart = if svg.contains("class=\"boot\"") { " · dashed: the restart" } else { "" };
    let numbers = if sent == 0 {
        "nothing was measured in the last day".to_owned()
    } else {
        format!("latency up to {highest:.0} ms · {lost} of {sent} probes lost{restart}")
    };
    format!(
        "<article class=\"info\">\n<h3>{name}</h3>\n<svg class=\"chart\" viewBox=\"0 0 {width} {HEIGHT}\" \
         preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{name}: {numbers}\">\n{svg}</svg>\n\
         <p class=\"small axis\"><span>24 h ago</span><span>now</span></p>\n<p class=\"small\">{numbers}</p>\n</article>\n",
        name = Escaped(&link.name),
        width = BARS * STEP,
    )
}

/// Neighbouring bars in runs: a gap in the record is a gap in the line.
fn runs(points: &[(i64, f64)]) -> Vec<Vec<(i64, f64)>> {
    let mut runs: Vec<Vec<(i64, f64)>> = Vec::new();
    for point in points {
        match runs.last_mut().filter(|run| run.last().is_some_and(|last| last.0 + 1 == point.0)) {
            Some(run) => run.push(*point),
            None => runs.push(vec![*point]),
        }
    }
    runs
}
