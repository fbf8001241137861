//! What the service is asked and told, and what it refuses. Blocks; for the command alone.

use std::time::Duration;

use crate::provider::Account;
use crate::provider::route53::health::{self, HealthCheck, HealthChecks, HealthConfig, Observation};
use crate::provider::route53::xml::{self, Accepted, Change, RecordSet, RecordSets, normal};
use crate::provider::route53::{self, refusal};
use crate::talk::{Answer, Http, Request, Verdict};

/// So often something is asked that the service has no time for; the waits between double from a second,
/// half a minute in all. An account has five requests a second for all its programs.
const TRIES: u32 = 6;
/// Pages of record sets of one name: a name has two sets for each family, and at most some others.
const MOST_SET_PAGES: usize = 10;
/// Pages of health checks: an account may have 200 unless AWS allowed it more.
const MOST_CHECK_PAGES: usize = 100;
/// Codes that pass by themselves. Throttling comes as status 400.
const PASSING: [&str; 5] =
    ["Throttling", "ThrottlingException", "PriorRequestNotComplete", "ServiceUnavailable", "InternalFailure"];

/// So long it is waited until a change has arrived everywhere, which takes up to a minute (API reference,
/// `ChangeResourceRecordSets`), ...
pub const SYNC: Duration = Duration::from_secs(120);
/// ... and so often it is asked.
const SYNC_POLL: Duration = Duration::from_secs(5);

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The service said no.
    #[error("{operation}: {why}")]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// The service's word, where it has one.
        code: String,
        /// In words, without secrets.
        why: String,
    },
    /// More than anybody can have.
    #[error("{0}: the list does not end; is that Route 53?")]
    Endless(&'static str),
    /// Every reference that may be tried belonged to a check that was deleted.
    #[error("make the health check: {0} references in a row are used up; try again in some days")]
    UsedUp(u32),
}

/// What came of asking for a health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// This one, new or made by a request with the same reference and settings before.
    Made(HealthCheck),
    /// The reference belongs to another one, or to one that was deleted.
    Taken,
}

/// What applying a plan needs of Route 53.
pub trait Service {
    /// All record sets of the name.
    ///
    /// # Errors
    /// If the service refuses or cannot be understood.
    fn sets(&mut self, name: &str) -> Result<Vec<RecordSet>, ServiceError>;
    /// All health checks of the account.
    ///
    /// # Errors
    /// The same.
    fn checks(&mut self) -> Result<Vec<HealthCheck>, ServiceError>;
    /// Makes one.
    ///
    /// # Errors
    /// The same.
    fn create_check(&mut self, reference: &str, config: &HealthConfig) -> Result<Created, ServiceError>;
    /// Changes one, if it is still of `version`.
    ///
    /// # Errors
    /// The same.
    fn update_check(&mut self, id: &str, version: u64, config: &HealthConfig) -> Result<(), ServiceError>;
    /// Makes all changes or none.
    ///
    /// # Errors
    /// The same.
    fn change(&mut self, changes: &[Change]) -> Result<Accepted, ServiceError>;
}

/// Sends one request off and gives the answer, or says in words why there is none.
pub type Ask<'a> = dyn Fn(&Http) -> Result<Answer, String> + 'a;

/// The real one.
pub struct Remote<'a> {
    /// Whose.
    pub account: route53::Account,
    /// How it is asked.
    pub ask: &'a Ask<'a>,
    /// Seconds since 1970.
    pub unix: fn() -> u64,
    /// Waits.
    pub pause: fn(Duration),
}

impl Remote<'_> {
    /// What the checkers of a health check see.
    ///
    /// # Errors
    /// If the service refuses or cannot be understood.
    pub fn observations(&self, id: &str) -> Result<Vec<Observation>, ServiceError> {
        const WHAT: &str = "ask how the health check is";
        let answer = self.call(WHAT, |unix| self.account.health_status(id, unix))?;
        health::observations(&answer.body).map_err(|error| self.nonsense(WHAT, &error))
    }

    /// What they saw last that was bad.
    ///
    /// # Errors
    /// The same.
    pub fn last_failures(&self, id: &str) -> Result<Vec<Observation>, ServiceError> {
        const WHAT: &str = "ask why the health check failed last";
        let answer = self.call(WHAT, |unix| self.account.health_failure(id, unix))?;
        health::observations(&answer.body).map_err(|error| self.nonsense(WHAT, &error))
    }

    /// Waits until all of the service's name servers have a change, [`SYNC`] at most; whether they do.
    ///
    /// # Errors
    /// The same.
    pub fn await_sync(&self, id: &str) -> Result<bool, ServiceError> {
        const WHAT: &str = "ask whether the change has arrived";
        for _ in 0..SYNC.as_secs() / SYNC_POLL.as_secs() {
            (self.pause)(SYNC_POLL);
            let answer = self.call(WHAT, |unix| self.account.progress(id, unix))?;
            let accepted = xml::accepted(&answer.body).ok_or_else(|| self.nonsense(WHAT, &"no change"))?;
            if accepted.synced {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Asks until there is an answer that is no passing refusal.
    fn call(
        &self,
        operation: &'static str,
        request: impl Fn(u64) -> Option<Request>,
    ) -> Result<Answer, ServiceError> {
        for again in 0..TRIES {
            // Signed anew each time: a signature is good for minutes.
            let Some(Request::Http(http)) = request((self.unix)()) else {
                return Err(self.nonsense(operation, &"an impossible id"));
            };
            let answer = (self.ask)(&http).map_err(|why| self.refused(operation, String::new(), &why))?;
            let Some(verdict) = refusal(&answer) else { return Ok(answer) };
            let code = xml::fault(&answer.body).map(|fault| fault.code).unwrap_or_default();
            if again + 1 < TRIES && (PASSING.contains(&code.as_str()) || answer.status == 503) {
                (self.pause)(Duration::from_secs(1 << again));
                continue;
            }
            let (Verdict::Later { why, .. } | Verdict::Stop { why, .. }) = verdict else { return Ok(answer) };
            return Err(self.refused(operation, code, &why));
        }
        Err(self.refused(operation, String::new(), "the service has no time"))
    }

    fn refused(&self, operation: &'static str, code: String, why: &str) -> ServiceError {
        let why = Account::Route53(self.account.clone()).scrub(why);
        ServiceError::Refused { operation, code, why }
    }

    fn nonsense(&self, operation: &'static str, what: &dyn std::fmt::Display) -> ServiceError {
        self.refused(operation, String::new(), &format!("read the service's answer: {what}"))
    }
}

impl Service for Remote<'_> {
    fn sets(&mut self, name: &str) -> Result<Vec<RecordSet>, ServiceError> {
        const WHAT: &str = "list the record sets of the name";
        let (name, mut all) = (normal(name), Vec::new());
        let mut from = (name.clone(), None::<String>, None::<String>);
        for _ in 0..MOST_SET_PAGES {
            let answer = self.call(WHAT, |unix| {
                let mut pairs = vec![("name", from.0.as_str())];
                pairs.extend(from.1.as_deref().map(|kind| ("type", kind)));
                pairs.extend(from.2.as_deref().map(|identifier| ("identifier", identifier)));
                Some(self.account.sets(&pairs, unix))
            })?;
            let page = RecordSets::parse(&answer.body).map_err(|error| self.nonsense(WHAT, &error))?;
            all.extend(page.sets.into_iter().filter(|set| set.name == name));
            match page.next {
                Some(next) if next.name == name => from = (next.name, Some(next.kind), next.identifier),
                _ => return Ok(all),
            }
        }
        Err(ServiceError::Endless(WHAT))
    }

    fn checks(&mut self) -> Result<Vec<HealthCheck>, ServiceError> {
        const WHAT: &str = "list the health checks";
        let (mut all, mut marker) = (Vec::new(), None::<String>);
        for _ in 0..MOST_CHECK_PAGES {
            let answer = self.call(WHAT, |unix| Some(self.account.health_checks(marker.as_deref(), unix)))?;
            let page = HealthChecks::parse(&answer.body).map_err(|error| self.nonsense(WHAT, &error))?;
            all.extend(page.checks);
            match page.next {
                Some(next) => marker = Some(next),
                None => return Ok(all),
            }
        }
        Err(ServiceError::Endless(WHAT))
    }

    fn create_check(&mut self, reference: &str, config: &HealthConfig) -> Result<Created, ServiceError> {
        const WHAT: &str = "make the health check";
        match self.call(WHAT, |unix| Some(self.account.create_check(reference, config, unix))) {
            Ok(answer) => HealthCheck::parse(&answer.body)
                .map(Created::Made)
                .map_err(|error| self.nonsense(WHAT, &error)),
            Err(ServiceError::Refused { code, .. }) if code == "HealthCheckAlreadyExists" => {
                Ok(Created::Taken)
            }
            Err(error) => Err(error),
        }
    }

    fn update_check(&mut self, id: &str, version: u64, config: &HealthConfig) -> Result<(), ServiceError> {
        const WHAT: &str = "change the health check";
        self.call(WHAT, |unix| self.account.update_check(id, version, config, unix)).map(drop)
    }

    fn change(&mut self, changes: &[Change]) -> Result<Accepted, ServiceError> {
        const WHAT: &str = "change the record sets";
        let answer = self.call(WHAT, |unix| Some(self.account.change(changes, unix)))?;
        xml::accepted(&answer.body).ok_or_else(|| self.nonsense(WHAT, &"no change"))
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
