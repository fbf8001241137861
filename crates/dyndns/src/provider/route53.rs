//! Route 53's API: find the record set, change its value and nothing else of it.
//!
//! Requests and answers ([`xml`]) are also what the failover records are set up with. A record set is
//! written as a whole, so what is kept (its TTL, failover role and health check) is read first, and one
//! with parts this program does not know is left alone.

pub mod xml;

use serde::{Deserialize, Serialize};

use crate::sigv4::{Signed, Signer, query};
use crate::talk::{Answer, Http, IN_TROUBLE, Order, Request, SOON, Step, Verdict, WORDS, quote};
use xml::{Action, Change, RecordSet, RecordSets};

/// The service, for the whole world.
pub const URL: &str = "https://route53.amazonaws.com";
/// The version of the API, the first part of every path.
const VERSION: &str = "2013-04-01";
/// Record sets asked for; those of one name stand together, and failover has two.
const MOST_SETS: &str = "10";

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
}

impl Account {
    /// The question for the record sets from this name and type on.
    pub fn list(&self, name: &str, kind: &str, unix: u64) -> Request {
        let pairs = [("name", name), ("type", kind), ("maxitems", MOST_SETS)];
        self.request("GET", &format!("/{VERSION}/hostedzone/{}/rrset", self.zone), &pairs, Vec::new(), unix)
    }

    /// The request for changes, all or none of which happen.
    pub fn change(&self, changes: &[Change], unix: u64) -> Request {
        let path = format!("/{VERSION}/hostedzone/{}/rrset", self.zone);
        self.request("POST", &path, &[], xml::changes(changes).into_bytes(), unix)
    }

    fn request(
        &self,
        method: &'static str,
        path: &str,
        pairs: &[(&str, &str)],
        body: Vec<u8>,
        unix: u64,
    ) -> Request {
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

/// A conversation.
pub struct Talk {
    account: Account,
    order: Order,
    unix: u64,
    writing: bool,
}

impl Talk {
    /// About `order`.
    pub fn new(account: &Account, order: &Order, unix: u64) -> Self {
        Self { account: account.clone(), order: order.clone(), unix, writing: false }
    }

    /// Asks for the record sets of the name.
    pub fn begin(&self) -> Step {
        let sound = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
        if !sound(&self.account.zone) {
            return Step::Done(Verdict::stop(
                "zone",
                "a hosted zone's id is letters and digits, such as Z0123",
            ));
        }
        Step::Ask(self.account.list(&self.order.name, self.order.family().record(), self.unix))
    }

    /// What to do after `answer`.
    pub fn hear(&mut self, answer: &Answer) -> Step {
        if let Some(verdict) = refusal(answer) {
            return Step::Done(verdict);
        }
        if self.writing {
            let address = self.order.address;
            return Step::Done(if xml::is_accepted(&answer.body) {
                Verdict::Changed { address }
            } else {
                Verdict::later("the service's answer makes no sense", SOON)
            });
        }
        match RecordSets::parse(&answer.body) {
            Ok(sets) => self.found(&sets),
            Err(error) => Step::Done(Verdict::later(format!("read the service's answer: {error}"), SOON)),
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
                    let why =
                        format!("no record set {wanted} of this name; set up failover first, or check set=");
                    return Step::Done(Verdict::stop("set", why));
                };
                (*found).clone()
            }
        };
        if let Some(part) = &set.foreign {
            let why = format!("the record set has a {part}, which this program would lose; remove it");
            return Step::Done(Verdict::stop("foreign", why));
        }
        let same = [&value[..]];
        if set.values.iter().map(String::as_str).eq(same) {
            return Step::Done(Verdict::Same { address: self.order.address });
        }
        self.writing = true;
        let change = Change { action: Action::Upsert, set: RecordSet { values: vec![value], ..set } };
        Step::Ask(self.account.change(&[change], self.unix))
    }
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
                     route53:ChangeResourceRecordSets for the zone"
            ),
        ),
        "NoSuchHostedZone" | "InvalidInput" | "InvalidChangeBatch" | "NoSuchHealthCheck" => {
            Verdict::stop(code, format!("the service refuses the change ({words}); check zone and name"))
        }
        _ => answer.trouble().unwrap_or_else(|| {
            Verdict::later(format!("http status {} {code} ({words})", answer.status), answer.wait(IN_TROUBLE))
        }),
    })
}
