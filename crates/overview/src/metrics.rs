//! The overview as numbers: one set of families, rendered for Prometheus (text format 0.0.4) and for
//! Graphite (plaintext protocol). Names and units follow
//! <https://prometheus.io/docs/practices/naming/>: base units, `_total` for what only grows.
//!
//! Pure. What is not known has no sample: a gap in a graph is honest, a zero is not.

mod graphite;
mod prometheus;
mod read;

pub use graphite::graphite;
pub use prometheus::prometheus;

use snapshot::Severity;

use crate::{Health, Overview};

/// More samples than this are cut off: a box has some hundred.
pub const MOST_SAMPLES: usize = 2000;
/// A label's value is a name; longer ones are cut.
const LABEL: usize = 100;

/// What a family's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Goes up and down.
    Gauge,
    /// Only grows, until it starts anew.
    Counter,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// All values of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct Family {
    /// Its name, with unit.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// What its values are.
    pub kind: Type,
    /// The values.
    pub samples: Vec<Sample>,
}

/// Collects families in the order in which they are first named.
#[derive(Debug, Default)]
struct Families {
    all: Vec<Family>,
    samples: usize,
}

impl Families {
    fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: impl Into<Option<f64>>,
    ) {
        self.add(name, help, Type::Gauge, labels, value.into());
    }

    fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: impl Into<Option<f64>>,
    ) {
        self.add(name, help, Type::Counter, labels, value.into());
    }

    fn add(
        &mut self,
        name: &'static str,
        help: &'static str,
        kind: Type,
        labels: &[(&'static str, &str)],
        value: Option<f64>,
    ) {
        let Some(value) = value.filter(|value| value.is_finite()) else { return };
        if self.samples >= MOST_SAMPLES {
            return;
        }
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| (*name, value.chars().take(LABEL).collect())).collect();
        let at = self.all.iter().position(|family| family.name == name).unwrap_or_else(|| {
            self.all.push(Family { name, help, kind, samples: Vec::new() });
            self.all.len() - 1
        });
        let samples = &mut self.all[at].samples;
        // Two lines of one name and the same labels make a whole page invalid.
        if !samples.iter().any(|sample| sample.labels == labels) {
            samples.push(Sample { labels, value });
            self.samples += 1;
        }
    }
}

/// Everything that can be said in numbers.
pub fn families(overview: &Overview, version: &str) -> Vec<Family> {
    let mut all = Families::default();
    all.gauge("failberry_build_info", "Version of the appliance's programs.", &[("version", version)], 1.0);
    all.gauge(
        "failberry_uptime_seconds",
        "Time since the kernel started.",
        &[],
        overview.now.since_boot().as_secs_f64(),
    );
    for health in [Health::Healthy, Health::Degraded, Health::Failed, Health::Unknown] {
        let is = f64::from(u8::from(overview.health() == health));
        all.gauge(
            "failberry_health",
            "How the whole is: 1 at the word that holds.",
            &[("state", health.as_str())],
            is,
        );
    }
    for part in &overview.parts {
        let heard = f64::from(u8::from(part.known.is_ok()));
        let help = "Whether the daemon's snapshot can be believed.";
        all.gauge("failberry_daemon_up", help, &[("daemon", &part.daemon)], heard);
    }
    for (daemon, condition) in overview.conditions() {
        let severity = match condition.severity {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let labels = [("id", condition.id.as_str()), ("severity", severity), ("daemon", daemon)];
        all.gauge("failberry_condition", "What is so now; see the page of that id.", &labels, 1.0);
    }
    for document in overview.parts.iter().filter_map(|part| part.known.as_ref().ok()) {
        read::daemon(&mut all, document);
    }
    all.all
}

#[cfg(test)]
#[path = "metrics/tests.rs"]
mod tests;
