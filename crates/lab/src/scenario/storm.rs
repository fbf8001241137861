//! Storms: seeded random sequences of faults. After each of them the appliance must be online again
//! within that fault's bound, without a person's hand.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::run::{round, unit};
use crate::appliance::Appliance;
use crate::error::{Error, Result};
use crate::fault::{Cure, Fault, Kind, catalogue::CATALOGUE};
use crate::scenario::action::Action;
use crate::scenario::expect::{Expectation, Fetch};
use crate::stop::Stop;
use crate::world::Via;

/// The page whose way through the stick says that the appliance is online.
const PAGE: &str = "http://web.test/";
/// Longest pause between being online and the next fault.
const CALM: Duration = Duration::from_secs(5);
/// The blow that is no fault of the stick.
const POWER_CUT: &str = "power-cut";
/// After a power cut everything boots: the limit of `first-boot` for a modem that is up.
const BOOT: Duration = Duration::from_secs(180);

/// What a storm is made of.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Storm {
    /// How long it goes on, in seconds of the appliance's time.
    pub seconds: f64,
    /// Only these; otherwise every fault that no person is needed for.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// Never these.
    #[serde(default)]
    pub without: Vec<Kind>,
    /// Whether the power of the appliance is cut as well.
    #[serde(default)]
    pub power_cuts: bool,
}

#[derive(Debug, Clone, Copy)]
enum Blow {
    Fault(Fault),
    PowerCut,
}

impl Storm {
    /// Every blow this storm may deal.
    fn blows(&self) -> Vec<Blow> {
        let all = CATALOGUE.iter().filter(|row| row.cure != Cure::Person).map(|row| Fault::from(row.kind));
        let chosen: Vec<Fault> = if self.faults.is_empty() { all.collect() } else { self.faults.clone() };
        let mut blows: Vec<Blow> =
            chosen.into_iter().filter(|fault| !self.without.contains(&fault.kind)).map(Blow::Fault).collect();
        if self.power_cuts {
            blows.push(Blow::PowerCut);
        }
        blows
    }

    /// Blows until its time is over; seconds of every recovery go to `seconds`, named by number and
    /// fault.
    ///
    /// # Errors
    /// The first recovery that took too long, or what the lab could not do.
    pub fn rage(
        &self,
        appliance: &mut Appliance,
        stop: &Stop,
        random: &mut u64,
        seconds: &mut BTreeMap<String, f64>,
    ) -> Result<()> {
        let end = appliance.console.now() + Duration::from_secs_f64(self.seconds.max(0.0));
        let blows = self.blows();
        let mut deck: Vec<Blow> = Vec::new();
        let mut number = 0;
        while appliance.console.now() < end {
            if deck.is_empty() {
                // Every blow once before any comes twice, each time in another order.
                deck = shuffled(&blows, random);
            }
            let Some(blow) = deck.pop() else { return Ok(()) };
            number += 1;
            stop.pause(CALM.mul_f64(unit(random)))?;
            let took = strike(blow, appliance, stop)?;
            eprintln!("  {:7.1} s  {number}: {} took {took:.1?}", now(appliance), name(blow));
            seconds.insert(format!("{number:03}-{}", name(blow)), round(took));
        }
        only_reboots_of_the_ladder(appliance)
    }
}

/// Every reboot must be one that the ladder's last rung has on its record.
fn only_reboots_of_the_ladder(appliance: &Appliance) -> Result<()> {
    let seen = appliance.reboots();
    if seen == 0 {
        return Ok(());
    }
    let status = appliance.status(BOOT)?;
    let recorded = status.pointer("/daemons/hub-reset/rungs/reboot/today").and_then(Value::as_u64);
    if recorded.unwrap_or_default() >= u64::from(seen) {
        return Ok(());
    }
    Err(Error::Unexpected(format!("storm: {seen} reboots, of which the ladder recorded {recorded:?}")))
}

fn now(appliance: &Appliance) -> f64 {
    appliance.console.now().as_secs_f64()
}

fn name(blow: Blow) -> &'static str {
    match blow {
        Blow::Fault(fault) => fault.kind.row().name,
        Blow::PowerCut => POWER_CUT,
    }
}

/// Fisher and Yates.
fn shuffled(blows: &[Blow], random: &mut u64) -> Vec<Blow> {
    let mut deck = blows.to_vec();
    for last in (1..deck.len()).rev() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the length")]
        #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
        let other = (unit(random) * (last + 1) as f64) as usize;
        deck.swap(last, other.min(last));
    }
    deck
}

/// Deals a blow and waits for the appliance; how long it took.
fn strike(blow: Blow, appliance: &mut Appliance, stop: &Stop) -> Result<Duration> {
    eprintln!("  {:7.1} s  {}", now(appliance), name(blow));
    let begin = appliance.console.now();
    let calls = appliance.stick()?.state().carrier.calls;
    let bound = match blow {
        Blow::PowerCut => {
            Action::PowerCut.perform(appliance)?;
            BOOT
        }
        Blow::Fault(fault) => {
            Action::Fault(fault).perform(appliance)?;
            // What shows at the next call only needs one.
            if !fault.kind.row().ends_call {
                appliance.stick()?.carrier().drop_call();
            }
            fault.bound()
        }
    };
    let online = Expectation::ClientFetches(Fetch { url: PAGE.to_owned(), via: Via::Cellular });
    let mut why = String::new();
    let waited = stop.wait("", bound, || {
        appliance.check()?;
        let state = appliance.stick()?.state();
        if state.carrier.calls == calls {
            "no new call yet".clone_into(&mut why);
            return Ok(None);
        }
        match online.ask(appliance, &mut 0) {
            Ok(_) => Ok(Some(appliance.console.now())),
            Err(cause) => {
                why = cause;
                Ok(None)
            }
        }
    });
    match waited {
        Ok(online) => Ok(online.saturating_sub(begin)),
        Err(Error::Timeout { .. }) => Err(Error::Unexpected(format!(
            "storm: {}: not online within {:.0} s: {why}",
            name(blow),
            bound.as_secs_f64()
        ))),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn storm() -> Storm {
        Storm { seconds: 1.0, faults: Vec::new(), without: vec![Kind::NoTraffic], power_cuts: true }
    }

    #[test]
    fn a_storm_has_no_fault_that_needs_a_person() {
        let blows = storm().blows();
        assert!(blows.iter().any(|blow| matches!(blow, Blow::PowerCut)));
        for blow in blows {
            if let Blow::Fault(fault) = blow {
                assert!(fault.cure != Cure::Person && fault.kind != Kind::NoTraffic);
            }
        }
    }

    #[test]
    fn the_same_seed_is_the_same_storm() {
        let names = |seed: u64| {
            let mut random = seed;
            shuffled(&storm().blows(), &mut random).into_iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names(7), names(7));
        assert_ne!(names(7), names(8));
        assert_eq!(names(7).len(), storm().blows().len());
    }
}
