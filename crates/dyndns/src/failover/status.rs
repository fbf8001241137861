//! How it is: what is set up, what the checkers see, and what the world is told.

use std::net::IpAddr;

use crate::deliver;
use crate::dns::{Message, Name, question};
use crate::failover::plan::{Plan, plan};
use crate::failover::service::{Remote, Service, ServiceError};
use crate::failover::wanted::Wanted;
use crate::failover::{WIRED_SET, plan::Found, show};
use crate::provider::route53::health::HealthCheck;
use crate::provider::route53::xml::RecordSet;
use crate::socket;
use crate::talk::{Family, WORDS, quote};

/// Route 53 calls an endpoint healthy when more than so many of a hundred checkers do (developer guide,
/// "How Amazon Route 53 determines whether a health check is healthy").
const HEALTHY_PERCENT: usize = 18;

/// What is known of one name and family.
#[derive(Clone, Debug)]
pub struct State {
    /// Its record sets.
    pub sets: Vec<RecordSet>,
    /// What is still to be done.
    pub plan: Plan,
    /// What the checkers see, if there is a check.
    pub health: Option<Health>,
    /// What resolvers answer.
    pub answers: Vec<Resolved>,
}

/// What the checkers of the wired line see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The check.
    pub id: String,
    /// Checkers that call it healthy.
    pub good: usize,
    /// Checkers that say anything.
    pub all: usize,
    /// The last failure somebody saw, with where from.
    pub last_failure: Option<String>,
}

/// What one resolver says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Which.
    pub server: IpAddr,
    /// The addresses, or why there are none.
    pub addresses: Result<Vec<IpAddr>, String>,
}

impl Health {
    /// Route 53's verdict; nothing while no checker has spoken.
    pub fn healthy(&self) -> Option<bool> {
        (self.all > 0).then(|| self.good * 100 > self.all * HEALTHY_PERCENT)
    }
}

impl State {
    /// Whether everything is set up, the checkers see the wired line, and the world is told one of the
    /// lines.
    pub fn fits(&self) -> bool {
        let set_up = self.plan.changes() == 0 && self.plan.blocked.is_empty();
        set_up && !self.is_unhealthy() && self.strangers().is_empty() && self.unserved().is_none()
    }

    /// Why nobody is told a line's address, or nobody knows whether. One resolver's silence beside
    /// another's answer says nothing.
    fn unserved(&self) -> Option<&'static str> {
        let mut said = self.answers.iter().filter_map(|answer| answer.addresses.as_ref().ok()).peekable();
        if said.peek().is_none() {
            let unknown = "set up, but no resolver gave an answer, so what the world is told is not known";
            return (!self.answers.is_empty()).then_some(unknown);
        }
        said.any(Vec::is_empty).then_some(
            "set up, but resolvers find no address: the zone is not delegated to Route 53, or they asked \
             before the change",
        )
    }

    fn is_unhealthy(&self) -> bool {
        self.health.as_ref().and_then(Health::healthy) == Some(false)
    }

    /// In a line.
    pub fn verdict(&self) -> String {
        if self.plan.changes() > 0 {
            return format!("to be mended, {}: failberry dns plan", show::changes(self.plan.changes()));
        }
        if let Some(why) = self.plan.blocked.first() {
            return why.clone();
        }
        let strangers = self.strangers();
        if !strangers.is_empty() {
            let list = strangers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return format!(
                "set up, but resolvers answer {list}: another zone, or a change that is still under way"
            );
        }
        if let Some(why) = self.unserved() {
            return why.to_owned();
        }
        if self.is_unhealthy() {
            return "set up, but the checkers do not see the wired line well, so the cellular address is the \
                    answer; if the line works, is port 9000 forwarded to the appliance?"
                .to_owned();
        }
        "as it should be".to_owned()
    }

    /// Answers that are of neither line.
    fn strangers(&self) -> Vec<IpAddr> {
        let ours: Vec<IpAddr> =
            self.sets.iter().flat_map(|set| &set.values).filter_map(|value| value.parse().ok()).collect();
        let said = self.answers.iter().filter_map(|answer| answer.addresses.as_ref().ok());
        said.flatten().filter(|address| !ours.contains(address)).copied().collect()
    }
}

/// Finds it all out.
///
/// # Errors
/// If the service refuses. What checkers and resolvers do not say is no error.
pub fn look(
    wanted: &Wanted,
    remote: &mut Remote<'_>,
    checks: &[HealthCheck],
    resolvers: &[IpAddr],
) -> Result<State, ServiceError> {
    let found = Found { sets: remote.sets(&wanted.name)?, checks: checks.to_vec() };
    let plan = plan(wanted, &found);
    let kind = wanted.family.record();
    let sets: Vec<RecordSet> = found.sets.into_iter().filter(|set| set.kind == kind).collect();
    let first = sets.iter().find(|set| set.identifier.as_deref() == Some(WIRED_SET));
    let check = first.and_then(|set| set.health_check.clone());
    let health = check.filter(|id| checks.iter().any(|check| check.id == *id)).map(|id| health(remote, id));
    let answers = resolvers
        .iter()
        .map(|server| Resolved { server: *server, addresses: ask(*server, &wanted.name, wanted.family) });
    Ok(State { sets, plan, health: health.transpose()?, answers: answers.collect() })
}

fn health(remote: &Remote<'_>, id: String) -> Result<Health, ServiceError> {
    let seen = remote.observations(&id)?;
    // Why it failed last is worth less than how it is: without the right to ask, it is left out.
    let failures = remote.last_failures(&id).unwrap_or_default();
    let failure =
        failures.first().map(|seen| format!("{} ({})", quote(&seen.status, WORDS), quote(&seen.region, 20)));
    let good = seen.iter().filter(|seen| seen.good()).count();
    Ok(Health { id, good, all: seen.len(), last_failure: failure })
}

fn ask(server: IpAddr, name: &str, family: Family) -> Result<Vec<IpAddr>, String> {
    let wire = Name::parse(name).map_err(|error| error.to_string())?;
    let id = deliver::random();
    let answer = socket::resolve(&format!("nameserver {server}\n"), &question(id, &wire, family));
    let answer = answer.map_err(|error| error.to_string())?;
    let message = Message::parse(&answer, id, false).map_err(|error| error.to_string())?;
    match message.rcode {
        // No such name is an answer, too.
        0 | 3 => Ok(message.addresses(family)),
        code => Err(format!("code {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(good: usize, answers: &[&str]) -> State {
        let set = |value: &str| RecordSet { values: vec![value.into()], ..RecordSet::simple("h", "A", 60) };
        let answer = |text: &&str| Resolved {
            server: "192.0.2.53".parse().unwrap(),
            addresses: Ok(vec![text.parse().unwrap()]),
        };
        let plan = Plan {
            name: "h".into(),
            kind: "A",
            reference: String::new(),
            check: None,
            records: Vec::new(),
            removals: Vec::new(),
            blocked: Vec::new(),
            notes: Vec::new(),
        };
        State {
            sets: vec![set("203.0.113.5"), set("198.51.100.7")],
            plan,
            health: Some(Health { id: "h".into(), good, all: 16, last_failure: None }),
            answers: answers.iter().map(answer).collect(),
        }
    }

    #[test]
    fn it_fits_when_it_is_set_up_seen_and_served() {
        assert!(state(16, &["203.0.113.5", "198.51.100.7"]).fits());
        let unseen = state(1, &["198.51.100.7"]);
        assert!(!unseen.fits() && unseen.verdict().contains("port 9000"), "{}", unseen.verdict());
        let elsewhere = state(16, &["203.0.113.5", "192.0.2.99"]);
        assert!(!elsewhere.fits() && elsewhere.verdict().contains("192.0.2.99"), "{}", elsewhere.verdict());
        let blocked =
            State { plan: Plan { blocked: vec!["why".into()], ..state(16, &[]).plan }, ..state(16, &[]) };
        assert!(!blocked.fits() && blocked.verdict() == "why");
    }

    #[test]
    fn what_nobody_answers_is_unknown_and_what_nobody_finds_is_wrong() {
        let says = |addresses| Resolved { server: "192.0.2.53".parse().unwrap(), addresses };
        let silent = || says(Err("no answer".into()));
        let with = |answers| State { answers, ..state(16, &[]) };
        let unknown = with(vec![silent(), silent()]);
        assert!(!unknown.fits() && unknown.verdict().contains("not known"), "{}", unknown.verdict());
        assert!(with(vec![silent(), says(Ok(vec!["203.0.113.5".parse().unwrap()]))]).fits());
        let unfound = with(vec![says(Ok(Vec::new())), silent()]);
        assert!(!unfound.fits() && unfound.verdict().contains("delegated"), "{}", unfound.verdict());
        // Who has nobody to ask asked for no more.
        assert!(with(Vec::new()).fits());
    }

    #[test]
    fn healthy_is_what_route_53_calls_so() {
        let health = |good, all| Health { id: "h".into(), good, all, last_failure: None }.healthy();
        assert_eq!((health(0, 0), health(16, 16), health(0, 16)), (None, Some(true), Some(false)));
        // 18 % of 100 is not more than 18 %.
        assert_eq!((health(18, 100), health(19, 100)), (Some(false), Some(true)));
    }
}
