//! What `uplink` found in the last day, folded into quarters of an hour while it is read: the record
//! has a point a minute and target, megabytes of text, and a small box shall not hold that.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// Where it is.
pub(crate) const FILE: &str = "/run/failberry-uplink/history.json";
/// A day of 160 targets is less.
const LARGEST: u64 = 32 * 1024 * 1024;
const SCHEMA: u32 = 1;
/// A bar of a chart: a day is 96 of them.
pub(crate) const BAR_MS: i64 = 15 * 60 * 1000;
/// Bars kept of a target; a day and what is about to be forgotten.
const MOST_BARS: usize = 200;

/// The record.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct History {
    schema: u32,
    pub(crate) boot_id: String,
    pub(crate) links: Vec<Link>,
}

/// One line.
#[derive(Debug, Deserialize)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) targets: Vec<Target>,
}

/// One target.
#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) operator: String,
    pub(crate) kind: String,
    #[serde(rename = "points", deserialize_with = "folded")]
    pub(crate) bars: BTreeMap<i64, Bar>,
}

/// What happened within a bar.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bar {
    pub(crate) sent: u64,
    pub(crate) lost: u64,
    /// Sum and number of the minutes' medians, for their mean.
    latency: (f64, u32),
    pub(crate) worst_ms: f64,
}

#[derive(Deserialize)]
struct Point {
    ms: i64,
    #[serde(default)]
    sent: u64,
    #[serde(default)]
    lost: u64,
    median_ms: Option<f64>,
    worst_ms: Option<f64>,
}

impl Bar {
    fn add(&mut self, point: &Point) {
        self.sent += point.sent;
        self.lost += point.lost.min(point.sent);
        if let Some(ms) = point.median_ms.filter(|ms| ms.is_finite() && *ms >= 0.0) {
            self.latency = (self.latency.0 + ms, self.latency.1 + 1);
        }
        self.worst_ms = self.worst_ms.max(point.worst_ms.filter(|ms| ms.is_finite()).unwrap_or(0.0));
    }

    fn join(&mut self, other: &Self) {
        self.sent += other.sent;
        self.lost += other.lost;
        self.latency = (self.latency.0 + other.latency.0, self.latency.1 + other.latency.1);
        self.worst_ms = self.worst_ms.max(other.worst_ms);
    }

    /// Mean of the minutes' medians.
    pub(crate) fn latency_ms(&self) -> Option<f64> {
        (self.latency.1 > 0).then(|| self.latency.0 / f64::from(self.latency.1))
    }

    /// The lost share, 0 to 1.
    #[expect(clippy::cast_precision_loss, reason = "a share of some thousand probes")]
    pub(crate) fn lost_share(&self) -> Option<f64> {
        (self.sent > 0).then(|| self.lost as f64 / self.sent as f64)
    }
}

impl Link {
    /// All targets together, by bar.
    pub(crate) fn bars(&self) -> BTreeMap<i64, Bar> {
        let mut all: BTreeMap<i64, Bar> = BTreeMap::new();
        for (at, bar) in self.targets.iter().flat_map(|target| &target.bars) {
            all.entry(*at).or_default().join(bar);
        }
        all
    }
}

fn folded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<i64, Bar>, D::Error> {
    struct Fold;
    impl<'de> Visitor<'de> for Fold {
        type Value = BTreeMap<i64, Bar>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of points")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut points: A) -> Result<Self::Value, A::Error> {
            let mut bars: BTreeMap<i64, Bar> = BTreeMap::new();
            while let Some(point) = points.next_element::<Point>()? {
                bars.entry(point.ms.div_euclid(BAR_MS)).or_default().add(&point);
                if bars.len() > MOST_BARS {
                    bars.pop_first();
                }
            }
            Ok(bars)
        }
    }
    deserializer.deserialize_seq(Fold)
}

/// Reads the record; an error in words where there is one that cannot be read.
pub(crate) fn read(path: &Path) -> Result<Option<History>, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let history: History =
        serde_json::from_reader(BufReader::new(file.take(LARGEST))).map_err(|error| error.to_string())?;
    match history.schema {
        SCHEMA => Ok(Some(history)),
        other => Err(format!("schema {other}, this program knows {SCHEMA}")),
    }
}

/// The same for programs: lines and targets by bar, `ms` being the bar's start in `CLOCK_BOOTTIME`,
/// negative before this boot.
pub(crate) fn to_json(history: &History) -> Value {
    let bars = |bars: &BTreeMap<i64, Bar>| -> Vec<Value> {
        let one = |(at, bar): (&i64, &Bar)| {
            json!({"ms": at * BAR_MS, "sent": bar.sent, "lost": bar.lost, "latency_ms": bar.latency_ms(),
                   "worst_ms": bar.worst_ms})
        };
        bars.iter().map(one).collect()
    };
    let links: Vec<Value> = history
        .links
        .iter()
        .map(|link| {
            let targets: Vec<Value> = link
                .targets
                .iter()
                .map(|t| json!({"name": t.name, "operator": t.operator, "kind": t.kind, "points": bars(&t.bars)}))
                .collect();
            json!({"name": link.name, "points": bars(&link.bars()), "targets": targets})
        })
        .collect();
    json!({"schema": SCHEMA, "boot_id": history.boot_id, "step_s": BAR_MS / 1000, "links": links})
}
