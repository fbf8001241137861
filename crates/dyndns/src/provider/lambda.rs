//! awslabs/route53-dynamic-dns-with-lambda: ask which address we come from, then prove with a hash of
//! it, the name and a shared secret that we may have it.
//!
//! Three generations, told apart by how they are asked. The first two want the name with a dot at its
//! end, in the request and in the hash (their client scripts add it); the present one takes it as it
//! stands in its table. The hash has no nonce and can be replayed, hence HTTPS alone.

use std::net::IpAddr;

use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::address::{Reach, reach};
use crate::talk::{
    Answer, Family, Http, IN_TROUBLE, Order, Request, SOON, Step, Verdict, WORDS, hex, percent, quote,
};

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Generation {
    /// 2016: API Gateway, GET.
    LambdaV1,
    /// 2018: the same with a key for the gateway, and AAAA.
    LambdaV2,
    /// Today's: a function URL, POST of JSON, A alone.
    Lambda,
}

impl Generation {
    /// Its word in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LambdaV1 => "lambda-v1",
            Self::LambdaV2 => "lambda-v2",
            Self::Lambda => "lambda",
        }
    }
}

/// What its owner gave us.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Which of the three.
    pub generation: Generation,
    /// The gateway's or the function's address.
    pub url: String,
    /// The shared secret of the name.
    pub secret: String,
    /// The gateway's key (second generation).
    pub api_key: Option<String>,
}

/// The proof: lower-case hexadecimal SHA-256 of address, name and secret, one behind the other.
pub fn proof(address: IpAddr, name: &str, secret: &str) -> String {
    hex(digest::digest(&digest::SHA256, format!("{address}{name}{secret}").as_bytes()).as_ref())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// We asked which address we come from; `refused` is the one a proof was refused for before.
    Asked { refused: Option<IpAddr> },
    /// We sent the proof for this one.
    Set { address: IpAddr, again: bool },
}

/// A conversation.
pub struct Talk {
    account: Account,
    name: String,
    family: Family,
    phase: Phase,
}

/// What every generation answers with.
#[derive(Deserialize)]
struct Said {
    return_status: String,
    return_message: String,
}

impl Talk {
    /// About `order`; the address in it is for comparison only, the service takes the sender's.
    pub fn new(account: &Account, order: &Order) -> Self {
        let name = match account.generation {
            Generation::LambdaV1 | Generation::LambdaV2 => format!("{}.", order.name),
            Generation::Lambda => order.name.clone(),
        };
        let phase = Phase::Asked { refused: None };
        Self { account: account.clone(), name, family: order.family(), phase }
    }

    /// Asks which address we come from.
    pub fn begin(&self) -> Step {
        if self.family == Family::V6 && self.account.generation != Generation::LambdaV2 {
            let why = format!(
                "{} writes IPv4 addresses only; give the name family=ipv4",
                self.account.generation.as_str()
            );
            return Step::Done(Verdict::stop("ipv6", why));
        }
        if !self.account.url.starts_with("https:") && !self.is_local() {
            let why = "the proof can be replayed by who reads it: write the address with https://";
            return Step::Done(Verdict::stop("http", why));
        }
        let ask = match self.account.generation {
            Generation::Lambda => self.post(&json!({"execution_mode": "get"})),
            _ => self.get("mode=get"),
        };
        Step::Ask(ask)
    }

    /// A laboratory's server on this machine: nobody is between us.
    fn is_local(&self) -> bool {
        self.account.url.starts_with("http://127.0.0.1:")
    }

    fn get(&self, query: &str) -> Request {
        let headers = self.account.api_key.iter().map(|key| ("x-api-key", key.clone())).collect();
        let url = format!("{}?{query}", self.account.url);
        Request::Http(Http { method: "GET", url, headers, body: Vec::new() })
    }

    fn post(&self, document: &serde_json::Value) -> Request {
        Request::Http(Http {
            method: "POST",
            url: self.account.url.clone(),
            headers: vec![("content-type", "application/json".to_owned())],
            body: document.to_string().into_bytes(),
        })
    }

    /// What to do after `answer`.
    pub fn hear(&mut self, answer: &Answer) -> Step {
        let said = serde_json::from_slice::<Said>(&answer.body);
        match (self.phase, said) {
            // The function's own answers of 500 and 502 are told by their words; others have none.
            (_, Err(_)) => Step::Done(unreadable(answer)),
            (Phase::Asked { refused }, Ok(said)) => self.asked(refused, &said),
            (Phase::Set { address, again }, Ok(said)) => self.set(address, again, answer, &said),
        }
    }

    fn asked(&mut self, refused: Option<IpAddr>, said: &Said) -> Step {
        let address = said.return_message.trim().parse::<IpAddr>().ok();
        let Some(address) =
            address.filter(|a| said.return_status == "success" && Family::of(*a) == self.family)
        else {
            let why =
                format!("asked for our address, the service said: {}", quote(&said.return_message, WORDS));
            return Step::Done(Verdict::later(why, IN_TROUBLE));
        };
        if reach(address) != Reach::Public && !self.is_local() {
            let why = format!("the service sees us as {address}, which is no address of the internet");
            return Step::Done(Verdict::later(why, IN_TROUBLE));
        }
        if refused == Some(address) {
            return Step::Done(Verdict::stop(
                "401",
                "the service refuses the proof: check that the name and its secret are those in its table",
            ));
        }
        self.phase = Phase::Set { address, again: refused.is_some() };
        let hash = proof(address, &self.name, &self.account.secret);
        Step::Ask(match self.account.generation {
            Generation::Lambda => self.post(&json!({
                "execution_mode": "set", "ddns_hostname": self.name, "validation_hash": hash,
            })),
            _ => self.get(&format!("mode=set&hostname={}&hash={hash}", percent(&self.name))),
        })
    }

    fn set(&mut self, address: IpAddr, again: bool, answer: &Answer, said: &Said) -> Step {
        // The first two generations answer 200 to everything; there the words decide.
        let words = said.return_message.to_lowercase();
        if said.return_status == "success" {
            let same = answer.status == 200 && words.contains("match");
            let verdict = if same { Verdict::Same { address } } else { Verdict::Changed { address } };
            return Step::Done(verdict);
        }
        if answer.status == 401 || words.contains("hashes do not match") {
            if again {
                let why = "our address changes from request to request";
                return Step::Done(Verdict::later(why, IN_TROUBLE));
            }
            // The address may have changed between the two requests: asked again, once.
            self.phase = Phase::Asked { refused: Some(address) };
            return match self.begin() {
                Step::Ask(request) => Step::Ask(request),
                done @ Step::Done(_) => done,
            };
        }
        let quoted = quote(&said.return_message, WORDS);
        Step::Done(match answer.status {
            400 => Verdict::stop(
                "400",
                format!(
                    "the service does not understand us ({quoted}); check which of lambda, lambda-v2 and lambda-v1 it is"
                ),
            ),
            403 => Verdict::stop(
                "403",
                format!("the service does not know this name ({quoted}); add it to its table"),
            ),
            _ if words.contains("issue finding") => Verdict::stop(
                "403",
                format!("the service does not know this name ({quoted}); add it to its table"),
            ),
            _ => Verdict::later(format!("the service said: {quoted}"), answer.wait(IN_TROUBLE)),
        })
    }
}

fn unreadable(answer: &Answer) -> Verdict {
    if let Some(trouble) = answer.trouble() {
        return trouble;
    }
    match answer.status {
        // API Gateway without or with a wrong key: {"message":"Forbidden"}.
        401 | 403 => Verdict::stop(
            answer.status.to_string(),
            format!("http status {}: the gateway lets nobody in without the right api key", answer.status),
        ),
        200 => Verdict::later("the service's answer makes no sense; a login page of the line?", SOON),
        status => Verdict::later(
            format!("http status {status}; check the address ({})", quote(&answer.text(), WORDS)),
            answer.wait(IN_TROUBLE),
        ),
    }
}
