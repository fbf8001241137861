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
/// Pause between being online and the next fault: as long as a call must hold to settle what was before
/// (the dialer's `HELD`, hub-reset's `STEADY`: 10 s), and some more. Faults that come quicker are one
/// stick failing for good, which ends in a reboot, and rightly.
const CALM: Duration = Duration::from_secs(12);
const MORE_CALM: Duration = Duration::from_secs(4);
/// The blow that is no fault of the stick.
const POWER_CUT: &str = "power-cut";
/// After a power cut everything boots: the limit of `first-boot` for a modem that is up.
const BOOT: Duration = Duration::from_secs(180);

/// Most curing events a fault of a storm takes: the power cycles of one round of the ladder.
const HARDEST: usize = 3;
/// What registration can be without a network (TS 27.007 section 7.2).
const NOT_REGISTERED: [u8; 4] = [0, 2, 3, 4];

/// What a storm is made of.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Storm {
    /// How long it goes on, in seconds of the appliance's time.
    pub seconds: f64,
    /// Whether it goes on until every blow was dealt once, however long that takes.
    #[serde(default)]
    pub whole_deck: bool,
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
        while (self.whole_deck && number < blows.len()) || appliance.console.now() < end {
            if deck.is_empty() {
                // Every blow once before any comes twice, each time in another order.
                deck = shuffled(&blows, random);
            }
            let Some(blow) = deck.pop() else { return Ok(()) };
            let blow = blow.varied(random);
            number += 1;
            stop.pause(CALM + MORE_CALM.mul_f64(unit(random)))?;
            let took = strike(blow, appliance, stop)?;
            eprintln!("  {:7.1} s  {number}: {} took {took:.1?}", now(appliance), name(blow));
            seconds.insert(format!("{number:03}-{}", name(blow)), round(took));
        }
        eprintln!("  {number} blows, of {} kinds", blows.len());
        seconds.insert("blows".to_owned(), f64::from(u32::try_from(number).unwrap_or(u32::MAX)));
        only_reboots_of_the_ladder(appliance)
    }
}

impl Blow {
    /// The same blow, harder or easier: what is dealt is not always the catalogue's default. Faults
    /// of a scenario's own list stay as they are written, except where they say what the catalogue
    /// says.
    fn varied(self, random: &mut u64) -> Self {
        let Self::Fault(mut fault) = self else { return self };
        if fault != Fault::from(fault.kind) {
            return self;
        }
        // Of the other cures, one is enough by what they are.
        if matches!(fault.cure, Cure::Redial | Cure::UsbReset | Cure::Power) {
            fault.cycles = 1 + u32::try_from(below(HARDEST, random)).unwrap_or(0);
        }
        if fault.kind == Kind::RegistrationLost {
            fault.code = Some(NOT_REGISTERED[below(NOT_REGISTERED.len(), random)]);
        }
        Self::Fault(fault)
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
        deck.swap(last, below(last + 1, random));
    }
    deck
}

/// A whole number below `end`, which is small and not 0.
fn below(end: usize, random: &mut u64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the end")]
    #[expect(clippy::cast_precision_loss, reason = "a few dozen")]
    let drawn = (unit(random) * end as f64) as usize;
    drawn.min(end - 1)
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
        Storm {
            seconds: 1.0,
            whole_deck: false,
            faults: Vec::new(),
            without: vec![Kind::NoTraffic],
            power_cuts: true,
        }
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
    fn blows_differ_in_cycles_and_codes() {
        let mut random = 1;
        let mut draw = |kind: Kind| match Blow::Fault(kind.into()).varied(&mut random) {
            Blow::Fault(fault) => (fault.cycles, fault.code),
            Blow::PowerCut => unreachable!("a fault stays one"),
        };
        let hangs: std::collections::BTreeSet<_> = (0..100).map(|_| draw(Kind::Hang).0).collect();
        assert_eq!(hangs.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
        let codes: std::collections::BTreeSet<_> = (0..100).map(|_| draw(Kind::RegistrationLost).1).collect();
        assert_eq!(codes.into_iter().flatten().collect::<Vec<_>>(), NOT_REGISTERED);
        assert_eq!(draw(Kind::SimBusy), (1, None));
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
