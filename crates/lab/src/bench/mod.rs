//! `scripts/bench`: ours beside the named peers, in one run on one machine. Seconds of one machine
//! say little about another's; ratios of one run do.

mod cost;
pub mod detection;
pub mod guard;
pub mod idle_data;
pub mod ping;
mod recovery;

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::stop::Stop;

/// What a case took, run by run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Case {
    /// Seconds of each run; null where the limit passed first.
    pub seconds: Vec<Option<f64>>,
    /// Their median; null when most runs did not get there.
    pub median: Option<f64>,
    /// How long was waited before a run counted as never.
    pub limit: f64,
}

impl Case {
    fn of(seconds: Vec<Option<f64>>, limit: f64) -> Self {
        let median = median(&seconds);
        Self { seconds, median, limit }
    }
}

/// Cases by name.
pub type Cases = BTreeMap<String, Case>;

/// A benchmark's result, as `--json` writes it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Ours.
    pub ours: Cases,
    /// Each peer's cases, or the word `absent`.
    pub peers: BTreeMap<String, Peer>,
    /// Peer's median by ours: above 1, ours is quicker. Null: the peer never got there.
    pub ratios: BTreeMap<String, BTreeMap<String, Option<f64>>>,
    /// What it ran on.
    pub machine: Value,
    /// What a reader of a peer's figures must know.
    pub notes: BTreeMap<String, String>,
}

/// A peer.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Peer {
    /// It was measured.
    Measured(Cases),
    /// It could not be installed.
    Absent(&'static str),
}

/// A peer that could not be installed: never guessed.
pub const ABSENT: Peer = Peer::Absent("absent");

impl Report {
    fn new(
        ours: Cases,
        peers: BTreeMap<String, Peer>,
        machine: Value,
        notes: BTreeMap<String, String>,
    ) -> Self {
        let ratios = peers.iter().filter_map(|(name, peer)| match peer {
            Peer::Measured(cases) => Some((name.clone(), ratios(&ours, cases))),
            Peer::Absent(_) => None,
        });
        let ratios = ratios.collect();
        Self { ours, peers, ratios, machine, notes }
    }
}

fn ratios(ours: &Cases, peer: &Cases) -> BTreeMap<String, Option<f64>> {
    let ratio = |case: &Case, own: &Case| Some(round(case.median? / own.median?));
    let pair =
        |(name, case): (&String, &Case)| (name.clone(), ours.get(name).and_then(|own| ratio(case, own)));
    peer.iter().map(pair).collect()
}

/// The middle one, a run without an end counting as longer than any; of an even number the later.
fn median(seconds: &[Option<f64>]) -> Option<f64> {
    let mut sorted: Vec<f64> = seconds.iter().map(|run| run.unwrap_or(f64::INFINITY)).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().filter(|middle| middle.is_finite())
}

/// To the hundredth: the way of measuring is no finer.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Runs the benchmark of this name.
///
/// # Errors
/// When there is none, or the lab fails.
pub fn run(name: &str, image: &Path, folder: &Path, runs: usize, stop: &Stop) -> Result<Report> {
    match name {
        "recovery" => recovery::run(image, folder, runs, stop),
        other => Err(Error::Unexpected(format!(
            "no benchmark is called {other}; there are: recovery, detection, idle-data, guard, ping"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(seconds: &[Option<f64>]) -> Cases {
        BTreeMap::from([("hang".to_owned(), Case::of(seconds.to_vec(), 9.0))])
    }

    #[test]
    fn a_run_that_never_ended_is_longer_than_any() {
        assert_eq!(median(&[Some(3.0), Some(1.0), Some(2.0)]), Some(2.0));
        assert_eq!(median(&[Some(3.0), None, Some(2.0)]), Some(3.0));
        assert_eq!(median(&[None, None, Some(2.0)]), None);
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn a_peer_that_never_recovers_has_no_ratio_and_an_absent_one_no_place_among_them() {
        let peers = BTreeMap::from([
            ("slow".to_owned(), Peer::Measured(case(&[Some(6.0)]))),
            ("never".to_owned(), Peer::Measured(case(&[None]))),
            ("missing".to_owned(), ABSENT),
        ]);
        let report = Report::new(case(&[Some(2.0)]), peers, Value::Null, BTreeMap::new());
        assert_eq!(report.ratios["slow"]["hang"], Some(3.0));
        assert_eq!(report.ratios["never"]["hang"], None);
        assert!(!report.ratios.contains_key("missing"));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["peers"]["missing"], "absent");
        assert_eq!(json["peers"]["never"]["hang"]["seconds"], serde_json::json!([null]));
    }
}
