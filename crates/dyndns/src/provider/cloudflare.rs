//! Cloudflare's API v4: find the record, change it if it says something else.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::talk::{Answer, Http, IN_TROUBLE, Order, Request, SOON, Step, Verdict, WORDS, percent, quote};

/// The service.
pub const URL: &str = "https://api.cloudflare.com/client/v4";
/// Who asks too often is blocked for five minutes (Cloudflare's documentation, "Rate limits").
const BLOCKED: Duration = Duration::from_secs(300);

/// What its owner gave us.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// [`URL`], or another in a laboratory.
    pub url: String,
    /// The zone's id.
    pub zone: String,
    /// An API token that may edit its DNS.
    pub token: String,
}

#[derive(Deserialize)]
struct Said<T> {
    success: bool,
    #[serde(default)]
    errors: Vec<Fault>,
    result: Option<T>,
}

#[derive(Deserialize)]
struct Fault {
    code: u32,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Record {
    id: String,
    content: String,
}

/// A conversation.
pub struct Talk {
    account: Account,
    order: Order,
    writing: bool,
}

impl Talk {
    /// About `order`.
    pub fn new(account: &Account, order: &Order) -> Self {
        Self { account: account.clone(), order: order.clone(), writing: false }
    }

    /// Asks for the record.
    pub fn begin(&self) -> Step {
        let query = format!("?type={}&name={}", self.order.family().record(), percent(&self.order.name));
        Step::Ask(self.request("GET", &query, Vec::new()))
    }

    fn request(&self, method: &'static str, tail: &str, body: Vec<u8>) -> Request {
        let url = format!("{}/zones/{}/dns_records{tail}", self.account.url, self.account.zone);
        let headers = vec![
            ("authorization", format!("Bearer {}", self.account.token)),
            ("content-type", "application/json".to_owned()),
        ];
        Request::Http(Http { method, url, headers, body })
    }

    /// What to do after `answer`.
    pub fn hear(&mut self, answer: &Answer) -> Step {
        if self.writing {
            return Step::Done(match parse::<Record>(answer) {
                Ok(record) if self.is_ours(&record) => Verdict::Changed { address: self.order.address },
                Ok(_) => Verdict::later("the service says it wrote something else", IN_TROUBLE),
                Err(verdict) => verdict,
            });
        }
        match parse::<Vec<Record>>(answer) {
            Err(verdict) => Step::Done(verdict),
            Ok(records) => self.found(&records),
        }
    }

    fn is_ours(&self, record: &Record) -> bool {
        record.content.parse::<IpAddr>() == Ok(self.order.address)
    }

    fn found(&mut self, records: &[Record]) -> Step {
        let address = self.order.address;
        let (tail, method, body) = match records {
            [record] if self.is_ours(record) => return Step::Done(Verdict::Same { address }),
            // The id becomes a part of an address.
            [record] if record.id.bytes().all(|b| b.is_ascii_alphanumeric()) && !record.id.is_empty() => {
                (format!("/{}", record.id), "PATCH", json!({"content": address}))
            }
            [_] => return Step::Done(Verdict::later("the service's answer makes no sense", IN_TROUBLE)),
            [] => {
                let kind = self.order.family().record();
                let document = json!({
                    "type": kind, "name": self.order.name, "content": address,
                    "ttl": self.order.ttl, "proxied": false,
                });
                (String::new(), "POST", document)
            }
            [_, _, ..] => {
                let why = format!(
                    "{} records of this name and type; remove all but one, or none could be told apart",
                    records.len()
                );
                return Step::Done(Verdict::stop("several", why));
            }
        };
        self.writing = true;
        Step::Ask(self.request(method, &tail, body.to_string().into_bytes()))
    }
}

/// The result, or what the lack of one means.
fn parse<T: for<'a> Deserialize<'a>>(answer: &Answer) -> Result<T, Verdict> {
    if answer.status == 429 {
        return Err(Verdict::later("http status 429: asked too often; waiting", answer.wait(BLOCKED)));
    }
    if let Some(trouble) = answer.trouble() {
        return Err(trouble);
    }
    let Ok(said) = serde_json::from_slice::<Said<T>>(&answer.body) else {
        return Err(Verdict::later(
            format!("http status {}, and an answer that makes no sense", answer.status),
            answer.wait(SOON),
        ));
    };
    match said.result {
        Some(result) if said.success && answer.status < 300 => Ok(result),
        _ => Err(refusal(answer, said.errors.first())),
    }
}

fn refusal(answer: &Answer, fault: Option<&Fault>) -> Verdict {
    let (code, words) = fault.map_or((0, String::new()), |f| (f.code, quote(&f.message, WORDS)));
    let name = if code == 0 { answer.status.to_string() } else { code.to_string() };
    match answer.status {
        400 | 401 | 403 => Verdict::stop(
            name,
            format!("the service refuses ({words}); check token, its right to edit DNS, and zone"),
        ),
        404 => Verdict::stop(name, format!("the service knows no such zone ({words}); check its id")),
        status => Verdict::later(format!("http status {status} ({words})"), answer.wait(IN_TROUBLE)),
    }
}
