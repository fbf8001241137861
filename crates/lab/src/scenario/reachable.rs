//! What the internet finds when it asks for the house: the health checker's findings, and where names lead.

use std::time::Duration;

use serde::Deserialize;

use crate::appliance::Appliance;
use crate::checker::Found;
use crate::line::Line;
use crate::world::{Via, way_from};

/// The zone's server is in the next room; what takes longer is asked again.
const RESOLVE: Duration = Duration::from_millis(500);

/// What the health checker has found over a line; all that is given must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Checked {
    /// Which line.
    pub line: Line,
    /// What it would tell the DNS.
    pub healthy: Option<bool>,
    /// Good answers since it was told to forget, this many or more.
    pub good_at_least: Option<u64>,
    /// Everything else since then, this many or fewer.
    pub bad_at_most: Option<u64>,
}

/// A name of the zone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Name {
    /// The name.
    pub name: String,
    /// The line its address belongs to.
    pub leads_to: Via,
}

impl Checked {
    pub(super) fn nothing(line: Line) -> Self {
        Self { line, healthy: None, good_at_least: None, bad_at_most: None }
    }

    pub(super) fn check(self, appliance: &Appliance) -> Result<(), String> {
        let checkers = appliance.checkers().map_err(|error| error.to_string())?;
        self.fits(&checkers.found(self.line))
    }

    fn fits(self, found: &Found) -> Result<(), String> {
        let right = self.healthy.is_none_or(|healthy| found.healthy == Some(healthy))
            && self.good_at_least.is_none_or(|least| found.good >= least)
            // Nothing bad in nothing at all is no finding.
            && self.bad_at_most.is_none_or(|most| found.bad <= most && found.good + found.bad > 0);
        if right { Ok(()) } else { Err(format!("the checker found {found:?}")) }
    }
}

impl Name {
    pub(super) fn check(&self, appliance: &Appliance) -> Result<(), String> {
        let address = appliance.world.zone_address(&self.name, RESOLVE).map_err(|error| error.to_string())?;
        match way_from(address, appliance.subscriber()) {
            Some(way) if way == self.leads_to => Ok(()),
            _ => Err(format!("{} is {address}", self.name)),
        }
    }
}

/// Whether Route 53's API holds every one of these words.
pub(super) fn held(appliance: &Appliance, words: &[String]) -> Result<(), String> {
    let service = appliance.world.route53.as_ref().ok_or("no such service: add route53 = true")?;
    let all = service.everything().map_err(|error| error.to_string())?;
    match words.iter().find(|word| !all.contains(word.as_str())) {
        None => Ok(()),
        Some(missing) => {
            Err(format!("no `{missing}` in: {}", all.split_whitespace().collect::<Vec<_>>().join(" ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checker_that_never_asked_has_found_nothing_good() {
        let nothing_bad = Checked { bad_at_most: Some(0), ..Checked::nothing(Line::Wired) };
        assert!(nothing_bad.fits(&Found::default()).is_err());
        assert!(nothing_bad.fits(&Found { good: 1, ..Found::default() }).is_ok());
        assert!(nothing_bad.fits(&Found { good: 1, bad: 1, ..Found::default() }).is_err());
        let healthy = Checked { healthy: Some(false), ..Checked::nothing(Line::Wired) };
        assert!(healthy.fits(&Found::default()).is_err());
        assert!(healthy.fits(&Found { healthy: Some(false), ..Found::default() }).is_ok());
    }
}
