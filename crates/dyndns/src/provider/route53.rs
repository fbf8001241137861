//! Route 53's API: find the record set, change its value and nothing else of it.
//!
//! Requests and answers ([`xml`]) are also what the failover records are set up with. A record set is
//! written as a whole, so what is kept (its TTL, failover role and health check) is read first, and one
//! with parts this program does not know is left alone.

pub mod health;
pub mod xml;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failover::WIRED_SET;
use crate::sigv4::{Signed, Signer, query};
use crate::talk::{Answer, Http, IN_TROUBLE, Order, Request, SOON, Step, Verdict, WORDS, quote};
use health::{HealthCheck, HealthConfig};
use xml::{Action, Change, RecordSet, RecordSets};

/// The service, for the whole world.
pub const URL: &str = "https://route53.amazonaws.com";
/// The version of the API, the first part of every path.
const VERSION: &str = "2013-04-01";
/// Record sets asked for; those of one name stand together, and failover has two.
const MOST_SETS: &str = "10";
/// Health checks asked for at once: a page of them stays far below [`crate::talk::LARGEST_ANSWER`].
const MOST_CHECKS: &str = "20";
/// What the references of health checks begin with that this program made: all others are left alone.
pub const REFERENCE: &str = "failberry-";

/// What its owner gave us.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// [`URL`], or another in a laboratory.
    pub url: String,
    /// The hosted zone's id.
    pub zone: String,
    /// Access key id.
    pub key_id: String,
    /// Secret access key.
    pub secret: String,
    /// Which record set, where failover has made several of a name.
    pub set: Option<String>,
    /// Whether that is a set of our own making (`failberry dns apply`), whose health check follows the
    /// address, too.
    pub failover: bool,
}

/// The zone alone, so that no debug output shows more.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "route53 {}", self.zone)
    }
}

impl Account {
    /// The question for the record sets from this name and type on.
    pub fn list(&self, name: &str, kind: &str, unix: u64) -> Request {
        self.sets(&[("name", name), ("type", kind)], unix)
    }

    /// The question for the record sets from where `from` (name, type, identifier) says.
    pub fn sets(&self, from: &[(&str, &str)], unix: u64) -> Request {
        let pairs: Vec<_> = from.iter().copied().chain([("maxitems", MOST_SETS)]).collect();
        self.request("GET", &format!("/hostedzone/{}/rrset", self.zone), &pairs, String::new(), unix)
    }

    /// The request for changes, all or none of which happen.
    pub fn change(&self, changes: &[Change], unix: u64) -> Request {
        // With a slash at its end, unlike the list: so the API's model has it.
        self.request("POST", &format!("/hostedzone/{}/rrset/", self.zone), &[], xml::changes(changes), unix)
    }

    /// The question how far a change is.
    pub fn progress(&self, id: &str, unix: u64) -> Option<Request> {
        self.about(id.strip_prefix("/change/").unwrap_or(id), |id| format!("/change/{id}"), unix)
    }

    /// The question for the account's health checks, from a page's end on.
    pub fn health_checks(&self, marker: Option<&str>, unix: u64) -> Request {
        let pairs: Vec<_> =
            marker.map(|marker| ("marker", marker)).into_iter().chain([("maxitems", MOST_CHECKS)]).collect();
        self.request("GET", "/healthcheck", &pairs, String::new(), unix)
    }

    /// The question for one health check.
    pub fn health_check(&self, id: &str, unix: u64) -> Option<Request> {
        self.about(id, |id| format!("/healthcheck/{id}"), unix)
    }

    /// The question what its checkers see.
    pub fn health_status(&self, id: &str, unix: u64) -> Option<Request> {
        self.about(id, |id| format!("/healthcheck/{id}/status"), unix)
    }

    /// The question what they saw last that was bad.
    pub fn health_failure(&self, id: &str, unix: u64) -> Option<Request> {
        self.about(id, |id| format!("/healthcheck/{id}/lastfailurereason"), unix)
    }

    /// The request that makes a health check.
    pub fn create_check(&self, reference: &str, config: &HealthConfig, unix: u64) -> Request {
        self.request("POST", "/healthcheck", &[], health::create(reference, config), unix)
    }

    /// The request that changes one, if it is still of `version`.
    pub fn update_check(&self, id: &str, version: u64, config: &HealthConfig, unix: u64) -> Option<Request> {
        let path = format!("/healthcheck/{id}");
        is_id(id).then(|| self.request("POST", &path, &[], health::update(version, config), unix))
    }

    /// Whether the zone's id is one.
    pub fn has_zone(&self) -> bool {
        !self.zone.is_empty() && self.zone.bytes().all(|b| b.is_ascii_alphanumeric())
    }

    fn about(&self, id: &str, path: impl FnOnce(&str) -> String, unix: u64) -> Option<Request> {
        is_id(id).then(|| self.request("GET", &path(id), &[], String::new(), unix))
    }

    fn request(
        &self,
        method: &'static str,
        path: &str,
        pairs: &[(&str, &str)],
        body: String,
        unix: u64,
    ) -> Request {
        let path = &format!("/{VERSION}{path}");
        let body = body.into_bytes();
        let host = self.url.split_once("://").map_or(self.url.as_str(), |(_, host)| host);
        let signer = Signer {
            key_id: self.key_id.clone(),
            secret: self.secret.clone(),
            region: "us-east-1".to_owned(),
            service: "route53".to_owned(),
        };
        let what = Signed { method, host, path, query: pairs, headers: &[], body: &body };
        let mut headers = signer.sign(&what, unix);
        if !body.is_empty() {
            headers.push(("content-type", "application/xml".to_owned()));
        }
        let tail = if pairs.is_empty() { String::new() } else { format!("?{}", query(pairs)) };
        Request::Http(Http { method, url: format!("{}{path}{tail}", self.url), headers, body })
    }
}

/// Whether this can stand in a path: ids come from a service that may lie.
fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// What was asked last.
enum Asked {
    Sets,
    /// For a change; the set's health check comes next.
    Change(Option<String>),
    /// For the health check, with what the record came to.
    Check(Verdict),
    /// For another address in it.
    Move(Verdict),
}

/// A conversation.
pub struct Talk {
    account: Account,
    order: Order,
    unix: u64,
    asked: Asked,
}

impl Talk {
    /// About `order`.
    pub fn new(account: &Account, order: &Order, unix: u64) -> Self {
        Self { account: account.clone(), order: order.clone(), unix, asked: Asked::Sets }
    }

    /// Asks for the record sets of the name.
    pub fn begin(&self) -> Step {
        if !self.account.has_zone() {
            return Step::Done(Verdict::stop(
                "zone",
                "a hosted zone's id is letters and digits, such as Z0123",
            ));
        }
        Step::Ask(self.account.list(&self.order.name, self.order.family().record(), self.unix))
    }

    /// What to do after `answer`.
    pub fn hear(&mut self, answer: &Answer) -> Step {
        match std::mem::replace(&mut self.asked, Asked::Sets) {
            Asked::Sets => match refusal(answer) {
                Some(verdict) => Step::Done(verdict),
                None => match RecordSets::parse(&answer.body) {
                    Ok(sets) => self.found(&sets),
                    Err(error) => {
                        Step::Done(Verdict::later(format!("read the service's answer: {error}"), SOON))
                    }
                },
            },
            Asked::Change(check) => {
                if let Some(verdict) = refusal(answer) {
                    return Step::Done(verdict);
                }
                if xml::accepted(&answer.body).is_none() {
                    return Step::Done(Verdict::later("the service's answer makes no sense", SOON));
                }
                self.look_at_check(check, Verdict::Changed { address: self.order.address })
            }
            Asked::Check(outcome) => self.found_check(answer, outcome),
            Asked::Move(outcome) => Step::Done(match refusal(answer) {
                Some(verdict) => unfollowed(verdict),
                None => outcome,
            }),
        }
    }

    fn found(&mut self, sets: &RecordSets) -> Step {
        let kind = self.order.family().record();
        let ours: Vec<&RecordSet> = sets.of(&self.order.name, kind).collect();
        let value = self.order.address.to_string();
        let set = match (&self.account.set, &ours[..]) {
            (None, []) => RecordSet::simple(&self.order.name, kind, self.order.ttl),
            (None, [one]) => (*one).clone(),
            (None, _) => {
                let names: Vec<_> = ours.iter().filter_map(|s| s.identifier.as_deref()).collect();
                let why = format!("several record sets ({}); say which: set=…", names.join(", "));
                return Step::Done(Verdict::stop("several", why));
            }
            (Some(wanted), _) => {
                let Some(found) = ours.iter().find(|set| set.identifier.as_ref() == Some(wanted)) else {
                    return Step::Done(self.no_set(wanted));
                };
                (*found).clone()
            }
        };
        if let Some(part) = &set.foreign {
            let why = format!("the record set has a {part}, which this program would lose; remove it");
            return Step::Done(Verdict::stop("foreign", why));
        }
        // The check is of the wired line, whatever somebody hung it on.
        let follows = self.account.failover && set.identifier.as_deref() == Some(WIRED_SET);
        let check = set.health_check.clone().filter(|_| follows);
        let same = [&value[..]];
        if set.values.iter().map(String::as_str).eq(same) {
            return self.look_at_check(check, Verdict::Same { address: self.order.address });
        }
        self.asked = Asked::Change(check);
        let change = Change { action: Action::Upsert, set: RecordSet { values: vec![value], ..set } };
        Step::Ask(self.account.change(&[change], self.unix))
    }

    /// Of our own sets it is known that somebody will make them; that stops nothing.
    fn no_set(&self, wanted: &str) -> Verdict {
        if self.account.failover {
            // Nobody asked us to wait: once they are there it may be tried at once.
            let why = format!("there is no record set {wanted} yet; run failberry dns apply");
            return Verdict::later(why, Duration::ZERO);
        }
        let why = format!("no record set {wanted} of this name; set up failover first, or check set=");
        Verdict::stop("set", why)
    }

    fn look_at_check(&mut self, check: Option<String>, outcome: Verdict) -> Step {
        let Some(id) = check else { return Step::Done(outcome) };
        let Some(request) = self.account.health_check(&id, self.unix) else {
            return Step::Done(Verdict::later("the service's answer makes no sense", SOON));
        };
        self.asked = Asked::Check(outcome);
        Step::Ask(request)
    }

    /// The check of the wired line asks at its address, so it moves with the record. One that somebody
    /// else made is left alone.
    fn found_check(&mut self, answer: &Answer, outcome: Verdict) -> Step {
        if let Some(verdict) = refusal(answer) {
            return Step::Done(unfollowed(verdict));
        }
        let check = match HealthCheck::parse(&answer.body) {
            Ok(check) => check,
            Err(error) => return Step::Done(unfollowed(Verdict::later(error.to_string(), SOON))),
        };
        let wanted = Some(self.order.address);
        if !check.reference.starts_with(REFERENCE) || check.config.address == wanted {
            return Step::Done(outcome);
        }
        let config = HealthConfig { address: wanted, ..check.config };
        match self.account.update_check(&check.id, check.version, &config, self.unix) {
            Some(request) => {
                self.asked = Asked::Move(outcome);
                Step::Ask(request)
            }
            None => Step::Done(Verdict::later("the service's answer makes no sense", SOON)),
        }
    }
}

/// The record has its address and its health check has not. That is tried again and never stops, because
/// the record must go on following.
fn unfollowed(verdict: Verdict) -> Verdict {
    let (why, at_least) = match verdict {
        Verdict::Later { why, at_least } => (why, at_least),
        Verdict::Stop { code, why } => (format!("{code}: {why}"), SOON.as_secs()),
        success => return success,
    };
    let why = format!("the record was told, its health check was not: {why}; see failberry dns plan");
    Verdict::Later { why, at_least }
}

/// What an answer means that is no result (API reference, "Common Errors" and those of
/// `ChangeResourceRecordSets`).
pub fn refusal(answer: &Answer) -> Option<Verdict> {
    if answer.status < 300 {
        return (answer.status < 200).then(|| Verdict::later("no answer", SOON));
    }
    let fault = xml::fault(&answer.body);
    let words = fault.as_ref().map(|f| quote(&f.message, WORDS)).unwrap_or_default();
    let code = fault.map(|f| f.code).unwrap_or_default();
    Some(match code.as_str() {
        // Throttling comes as 400. Five requests a second are an account's, for all its programs.
        "Throttling" | "ThrottlingException" => {
            Verdict::later("the account's requests are too many just now (Throttling)", SOON)
        }
        "PriorRequestNotComplete" => Verdict::later("another change of the zone is under way", SOON),
        // The clock, not the key: a signature is good for minutes.
        "RequestExpired" => {
            Verdict::later("the signature is too old or from the future: the clock", IN_TROUBLE)
        }
        "SignatureDoesNotMatch" if words.contains("expired") || words.contains("not yet current") => {
            Verdict::later("the signature is too old or from the future: the clock", IN_TROUBLE)
        }
        "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken" => {
            Verdict::stop(code, format!("the service refuses the key ({words}); check key id and secret"))
        }
        "AccessDenied" | "AccessDeniedException" | "OptInRequired" => Verdict::stop(
            code,
            format!(
                "the key may not do this ({words}); it needs route53:ListResourceRecordSets and \
                     route53:ChangeResourceRecordSets for the zone, for failover records those of \
                     docs/dyndns.md"
            ),
        ),
        "NoSuchHealthCheck" => Verdict::stop(code, "the health check is gone; run failberry dns apply"),
        "HealthCheckVersionMismatch" => Verdict::later("somebody else just changed the health check", SOON),
        "NoSuchHostedZone" | "InvalidInput" | "InvalidChangeBatch" => {
            Verdict::stop(code, format!("the service refuses this ({words}); check zone and name"))
        }
        _ => answer.trouble().unwrap_or_else(|| {
            Verdict::later(format!("http status {} {code} ({words})", answer.status), answer.wait(IN_TROUBLE))
        }),
    })
}

#[cfg(test)]
#[path = "route53/follow_tests.rs"]
mod follow_tests;
