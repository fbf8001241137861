//! The file format of scenarios. Unknown keys are errors: a typo must not weaken a test.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::action::Action;
use super::expect::{Expectation, Fetch};
use super::snapshots::Field;
use super::storm::Storm;
use crate::error::{Context, Error, Result};
use crate::qemu::{Extra, Model};
use crate::world::{Gateway, Via};

/// A scenario: a machine and a timeline.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of the world")]
pub struct Scenario {
    /// The file's name without `.toml`.
    #[serde(skip)]
    pub name: String,
    /// One line for `lab list`.
    pub description: String,
    /// Which machine it runs on.
    pub machine: Model,
    /// Words to choose scenarios by: `quick` for every commit.
    #[serde(default)]
    pub tags: Vec<String>,
    /// `failberry.toml` on the card, when it is not the lab's usual one.
    pub config: Option<String>,
    /// Limit for the whole run.
    pub deadline_seconds: f64,
    /// What is in place before the first step.
    pub begin: Option<Begin>,
    /// How often the appliance may reboot by itself. Without it a reboot ends the run.
    #[serde(default)]
    pub reboots: u32,
    /// Further devices on the bench.
    #[serde(default)]
    pub extras: Vec<Extra>,
    /// Whom the LAN client sends its packets to.
    #[serde(default)]
    pub client_gateway: Gateway,
    /// Whether both lines carry IPv6, and the house has a network of its own.
    #[serde(default)]
    pub ipv6: bool,
    /// Whether the carrier gives its subscriber an address that it shares among many.
    #[serde(default)]
    pub carrier_nat: bool,
    /// Whether the internet has the zone `dyn.test` on a name server that takes updates.
    #[serde(default)]
    pub zone: bool,
    /// Whether the internet has Route 53's API, with a hosted zone of that name.
    #[serde(default)]
    pub route53: bool,
    /// What happens, in order.
    #[serde(default)]
    pub steps: Vec<Step>,
    /// Random faults after the last step.
    pub storm: Option<Storm>,
}

/// What is in place before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Begin {
    /// The stick is up.
    Connected,
    /// The stick is up, the wired line is down, and a LAN client reaches the internet through the
    /// stick.
    Cellular,
}

/// A fresh card's boot and first call, and a fail-over: the limits of `first-boot` and
/// `lan-client-via-modem`.
const CONNECTED_SECONDS: f64 = 240.0;
const CELLULAR_SECONDS: f64 = 15.0;

impl Begin {
    fn steps(self) -> Vec<Step> {
        let connected = Field {
            path: "modem-dialer.state".to_owned(),
            equals: Some("connected".into()),
            ..Field::default()
        };
        let connected = Step::expect(Expectation::Status(connected), CONNECTED_SECONDS);
        let mut steps = vec![Step { phase: Some("modem".to_owned()), ..connected }];
        if self == Self::Cellular {
            let page = Fetch { url: "http://web.test/".to_owned(), via: Via::Cellular };
            steps.push(Step { action: Some(Action::WiredDown), ..Step::default() });
            steps.push(Step::expect(Expectation::ClientFetches(page), CELLULAR_SECONDS));
        }
        steps
    }
}

/// One step: something done, or something expected.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Step {
    /// What is done to the world.
    #[serde(rename = "do")]
    pub action: Option<Action>,
    /// Before an action: pause for a random part of this, chosen by the seed.
    pub jitter_seconds: Option<f64>,
    /// What must come true.
    pub expect: Option<Expectation>,
    /// In what time, counted from the end of the step before, or the beginning of an action.
    pub within_seconds: Option<f64>,
    /// For how long it must stay true from then on.
    pub holds_seconds: Option<f64>,
    /// Name under which that time is reported.
    pub phase: Option<String>,
}

impl Scenario {
    /// Reads a scenario from TOML.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(name: &str, text: &str) -> std::result::Result<Self, String> {
        let mut scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        name.clone_into(&mut scenario.name);
        if scenario.steps.is_empty() && scenario.storm.is_none() {
            return Err("no steps".to_owned());
        }
        seconds(scenario.deadline_seconds).ok_or("deadline-seconds: not a positive number")?;
        for (number, step) in scenario.steps.iter().enumerate() {
            step.check().map_err(|cause| format!("step {}: {cause}", number + 1))?;
        }
        if let Some(begin) = scenario.begin {
            scenario.steps.splice(0..0, begin.steps());
        }
        Ok(scenario)
    }

    /// Reads every scenario of a folder, sorted by name.
    ///
    /// # Errors
    /// When a file cannot be read or is malformed.
    pub fn load_all(folder: &Path) -> Result<Vec<Self>> {
        let entries = fs::read_dir(folder).context(format!("list {}", folder.display()))?;
        let mut scenarios = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_none_or(|extension| extension != "toml") {
                continue;
            }
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).context(format!("read {}", path.display()))?;
            scenarios.push(Self::parse(&name, &text).map_err(|cause| Error::Malformed { path, cause })?);
        }
        scenarios.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(scenarios)
    }

    /// The limit for the whole run.
    pub fn deadline(&self) -> Duration {
        seconds(self.deadline_seconds).unwrap_or_default()
    }
}

impl Step {
    fn expect(expect: Expectation, within_seconds: f64) -> Self {
        Self { expect: Some(expect), within_seconds: Some(within_seconds), ..Self::default() }
    }

    fn check(&self) -> std::result::Result<(), &'static str> {
        match (&self.action, &self.expect) {
            (Some(_), None)
                if self.within_seconds.is_none() && self.phase.is_none() && self.holds_seconds.is_none() =>
            {
                Ok(())
            }
            (None, Some(expect)) if self.jitter_seconds.is_none() => {
                expect.asks_something()?;
                self.limit().map(drop)
            }
            _ => Err("either `do` (with `jitter-seconds`) or `expect` with `within-seconds` and `phase`"),
        }
    }

    /// For how long an expectation must stay true.
    pub fn holds(&self) -> Option<Duration> {
        self.holds_seconds.and_then(seconds)
    }

    /// The time an expectation has.
    ///
    /// # Errors
    /// When the step names none.
    pub fn limit(&self) -> std::result::Result<Duration, &'static str> {
        self.within_seconds.and_then(seconds).ok_or("`expect` needs a positive `within-seconds`")
    }
}

fn seconds(value: f64) -> Option<Duration> {
    (value > 0.0).then(|| Duration::try_from_secs_f64(value).ok()).flatten()
}

/// Whether `name` matches `pattern`, in which `*` stands for anything and `?` for one character.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.chars().next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = &pattern[1..];
            name.char_indices().any(|(at, _)| matches(rest, &name[at..])) || matches(rest, "")
        }
        Some(wanted) => name.chars().next().is_some_and(|found| {
            (wanted == '?' || wanted == found)
                && matches(&pattern[wanted.len_utf8()..], &name[found.len_utf8()..])
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "description = \"x\"\nmachine = \"bench\"\ndeadline-seconds = 10\n[[steps]]\n";

    fn problem(step: &str) -> String {
        Scenario::parse("x", &format!("{HEAD}{step}")).unwrap_err()
    }

    #[test]
    fn a_step_does_or_expects() {
        assert!(Scenario::parse("x", &format!("{HEAD}do = \"wired-down\"")).is_ok());
        assert!(problem("phase = \"x\"").contains("step 1: either `do`"));
        assert!(problem("do = \"wired-down\"\nexpect = \"daemons-healthy\"").contains("either `do`"));
    }

    #[test]
    fn an_expectation_has_a_limit() {
        assert!(problem("expect = \"daemons-healthy\"").contains("within-seconds"));
        assert!(problem("expect = \"daemons-healthy\"\nwithin-seconds = -1").contains("within-seconds"));
    }

    #[test]
    fn an_expectation_asks_something() {
        for empty in ["stick = {}", "status = { path = \"uplink.state\" }"] {
            let text = problem(&format!("expect = {{ {empty} }}\nwithin-seconds = 1"));
            assert!(text.contains("must hold"), "{text}");
        }
    }

    #[test]
    fn typos_are_refused() {
        assert!(problem("do = \"wired-donw\"").contains("wired-donw"));
        assert!(problem("expct = \"daemons-healthy\"").contains("expct"));
    }

    #[test]
    fn shipped_scenarios_are_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
        assert!(!Scenario::load_all(&folder).unwrap().is_empty());
    }

    #[test]
    fn globs() {
        assert!(matches("carrier-*", "carrier-drop"));
        assert!(matches("*-drop", "carrier-drop"));
        assert!(matches("*", ""));
        assert!(matches("c?rrier-drop", "carrier-drop"));
        assert!(!matches("carrier", "carrier-drop"));
        assert!(!matches("?", ""));
    }
}
