//! Runs scenarios one by one and says how they went: progress for people on standard error,
//! outcomes as data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::action::Action;
use super::expect::Expectation;
use super::format::{Scenario, Step};
use crate::appliance::{Appliance, CONFIG, Options};
use crate::error::{Error, Result};
use crate::stop::Stop;
use crate::world::Plan;

/// How often a person is told what is waited for.
const REMIND: Duration = Duration::from_secs(30);
/// What the last question of a state that must hold may take.
const HOLD_SLACK: Duration = Duration::from_secs(10);
/// An answer that tells when it came true may be asked for this much later: the question goes through
/// an emulated machine, and what is measured is not its speed.
const LATE: Duration = Duration::from_secs(15);
/// Lines of the console that a failure repeats.
const TAIL: usize = 25;

/// How a scenario went; the JSON others read.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// The scenario.
    pub name: String,
    /// What its random choices were made from.
    pub seed: u64,
    /// Whether everything came true in time.
    pub passed: bool,
    /// Seconds of every named phase, and `total`.
    pub seconds: BTreeMap<String, f64>,
    /// Why it failed; empty when it passed.
    pub detail: String,
}

/// Where scenarios run.
#[derive(Debug)]
pub struct Runner<'a> {
    /// The image under test.
    pub image: &'a Path,
    /// Folder below which every run has a folder of its own.
    pub logs: PathBuf,
    /// Interruption.
    pub stop: &'a Stop,
}

impl Runner<'_> {
    /// Runs one scenario.
    ///
    /// # Errors
    /// [`Error::Interrupted`] only: everything else is an outcome.
    pub fn run(&self, scenario: &Scenario, seed: u64) -> Result<Outcome> {
        let started = Instant::now();
        let folder = self.logs.join(format!("{}-{seed}", scenario.name));
        eprintln!("{} (seed {seed}): {}", scenario.name, scenario.description);
        let mut seconds = BTreeMap::new();
        let result = self.play(scenario, seed, &folder, &mut seconds);
        seconds.insert("total".to_owned(), round(started.elapsed()));
        let detail = match result {
            Ok(()) => String::new(),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => error.to_string(),
        };
        let passed = detail.is_empty();
        if !passed {
            eprintln!("  failed: {detail} (all logs: {})", folder.display());
        }
        let word = if passed { "passed" } else { "FAILED" };
        eprintln!("{} (seed {seed}): {word} in {:.1} s", scenario.name, started.elapsed().as_secs_f64());
        Ok(Outcome { name: scenario.name.clone(), seed, passed, seconds, detail })
    }

    fn play(
        &self,
        scenario: &Scenario,
        seed: u64,
        folder: &Path,
        seconds: &mut BTreeMap<String, f64>,
    ) -> Result<()> {
        let config = scenario.config.as_deref().unwrap_or(CONFIG);
        let options = Options {
            image: self.image,
            model: scenario.machine,
            folder,
            config,
            reboots: scenario.reboots,
            extras: &scenario.extras,
            plan: Plan {
                gateway: scenario.client_gateway,
                ipv6: scenario.ipv6,
                carrier_nat: scenario.carrier_nat,
                zone: scenario.zone,
                route53: scenario.route53,
                seed,
            },
        };
        let mut appliance = Appliance::boot(&options)?;
        let mut play = Play { mark: Duration::ZERO, line: 0, random: seed, end: scenario.deadline() };
        let result = play.all(scenario, &mut appliance, self.stop, seconds);
        if let Err(error) = &result
            && !matches!(error, Error::Interrupted)
        {
            eprintln!("  last lines of the console:");
            appliance.console.tail(TAIL).iter().for_each(|line| eprintln!("    {line}"));
            appliance.save_evidence();
        }
        result
    }
}

/// The state of a run; times are on the console's clock.
struct Play {
    /// Where the phase under way began.
    mark: Duration,
    /// Where the console is searched from.
    line: usize,
    /// State of the random numbers.
    random: u64,
    /// The whole run's deadline.
    end: Duration,
}

impl Play {
    fn all(
        &mut self,
        scenario: &Scenario,
        appliance: &mut Appliance,
        interrupt: &Stop,
        seconds: &mut BTreeMap<String, f64>,
    ) -> Result<()> {
        let done = scenario.steps.iter().try_for_each(|step| self.step(step, appliance, interrupt, seconds));
        for client in appliance.clients() {
            seconds.insert(format!("{}-longest-gap", client.habit.name()), round(client.longest_gap()));
        }
        done?;
        if let Some(storm) = &scenario.storm {
            storm.rage(appliance, interrupt, &mut self.random, seconds)?;
        }
        if scenario.reboots > 0 {
            let reboots = f64::from(appliance.reboots());
            seconds.insert("reboots".to_owned(), reboots);
        }
        Ok(())
    }

    fn step(
        &mut self,
        step: &Step,
        appliance: &mut Appliance,
        interrupt: &Stop,
        seconds: &mut BTreeMap<String, f64>,
    ) -> Result<()> {
        if let Some(action) = &step.action {
            if let Some(jitter) = step.jitter_seconds {
                interrupt.pause(Duration::from_secs_f64(jitter.max(0.0) * unit(&mut self.random)))?;
            }
            eprintln!("  {:7.1} s  {action:?}", appliance.console.now().as_secs_f64());
            self.mark = appliance.console.now();
            // What the console said before does not answer what is asked after.
            self.line = appliance.console.len();
            let done = action.perform(appliance);
            if matches!(action, Action::Ssh(_)) {
                // Logging in takes seconds; what the command did happened at its end.
                self.mark = appliance.console.now();
            }
            return done;
        }
        let reached = self.wait(step, appliance, interrupt)?;
        if let Some(phase) = &step.phase {
            let took = reached.saturating_sub(self.mark);
            eprintln!("  {:7.1} s  {phase}: {:.1} s", reached.as_secs_f64(), took.as_secs_f64());
            seconds.insert(phase.clone(), round(took));
        }
        self.mark = self.mark.max(reached);
        if step.expect.as_ref().is_some_and(Expectation::looks_back) {
            // What was waited to be sure is not the next step's time.
            self.mark = appliance.console.now();
        }
        if let Some(holds) = step.holds() {
            self.hold(step, holds, appliance, interrupt)?;
            // What comes next does not pay for this time.
            self.mark = appliance.console.now();
        }
        Ok(())
    }

    /// Asks again and again for a time: it must stay true.
    fn hold(&self, step: &Step, holds: Duration, appliance: &mut Appliance, interrupt: &Stop) -> Result<()> {
        let Some(expect) = &step.expect else { return Ok(()) };
        let until = appliance.console.now() + holds;
        // One second more than asked for: the last question takes its time as well.
        interrupt.wait("", holds + HOLD_SLACK, || {
            appliance.check()?;
            expect
                .ask(appliance, &mut self.line.clone())
                .map_err(|cause| Error::Unexpected(format!("{expect:?}: did not stay so: {cause}")))?;
            Ok((appliance.console.now() >= until).then_some(()))
        })
    }

    /// Asks until the answer is right, at most for the step's limit from the mark, and not beyond
    /// the run's deadline. Gives the time at which it came true.
    fn wait(&mut self, step: &Step, appliance: &mut Appliance, interrupt: &Stop) -> Result<Duration> {
        let Some(expect) = &step.expect else { return Ok(appliance.console.now()) };
        let limit = step.limit().map_err(|cause| Error::Unexpected(cause.to_owned()))?;
        let (begin, line) = (self.mark, &mut self.line);
        let patience = if expect.knows_when() { limit + LATE } else { limit };
        let left = (begin + patience).min(self.end).saturating_sub(appliance.console.now());
        let mut why = String::new();
        let mut remind = appliance.console.now() + REMIND;
        let waited = interrupt.wait("", left, || {
            appliance.check()?;
            match expect.ask(appliance, line) {
                Ok(stamp) => Ok(Some(stamp.unwrap_or_else(|| appliance.console.now()))),
                Err(cause) => {
                    why = cause;
                    if appliance.console.now() >= remind {
                        remind = appliance.console.now() + REMIND;
                        eprintln!("  {:7.1} s  waiting: {why}", appliance.console.now().as_secs_f64());
                    }
                    Ok(None)
                }
            }
        });
        let name = step.phase.clone().unwrap_or_else(|| format!("{expect:?}"));
        match waited {
            Ok(reached) if reached.saturating_sub(begin) <= limit => Ok(reached),
            Ok(reached) => Err(Error::Unexpected(format!(
                "{name}: took {:.1} s, limit {:.1} s",
                reached.saturating_sub(begin).as_secs_f64(),
                limit.as_secs_f64()
            ))),
            Err(Error::Timeout { .. }) => {
                Err(Error::Unexpected(format!("{name}: not within {:.1} s: {why}", limit.as_secs_f64())))
            }
            Err(error) => Err(error),
        }
    }
}

/// A number in [0, 1) by `SplitMix64` (Steele, Lea, Flood 2014): the same seed, the same run.
pub(crate) fn unit(state: &mut u64) -> f64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let top = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(u32::MAX);
    f64::from(top) / (f64::from(u32::MAX) + 1.0)
}

/// Seconds to the millisecond: more is noise.
pub(super) fn round(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_follow_the_seed_and_stay_in_range() {
        let draw = |seed: u64| {
            let mut state = seed;
            (0..1000).map(|_| unit(&mut state)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(3).iter().all(|number| (0.0..1.0).contains(number)));
    }

    #[test]
    fn outcomes_have_the_documented_shape() {
        let outcome = Outcome {
            name: "x".into(),
            seed: 1,
            passed: true,
            seconds: BTreeMap::from([("boot".to_owned(), 1.5)]),
            detail: String::new(),
        };
        let text = serde_json::to_string(&[outcome]).unwrap();
        assert_eq!(text, r#"[{"name":"x","seed":1,"passed":true,"seconds":{"boot":1.5},"detail":""}]"#);
    }
}
