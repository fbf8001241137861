//! The child process: one conversation, one question, one answer, the end.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use sysio::{Root, file};

use crate::address;
use crate::dns::{Message, Name, question};
use crate::provider::{Account, MOST_REQUESTS};
use crate::socket::{Way, exchange, resolve};
use crate::talk::{Answer, Family, Http, Order, Request, Step, Verdict};
use crate::web::{OWN_ROOTS, ask};

/// The word that makes this binary the child.
pub const WORD: &str = "deliver";
/// A conversation has up to four requests, each with its own limit of 20 s; one that takes longer than
/// two of them in all has failed.
pub const LIMIT: Duration = Duration::from_secs(45);
/// Some dozens of certificates.
const LARGEST_ROOTS: u64 = 128 * 1024;
/// Some name servers and options.
pub(crate) const LARGEST_RESOLV_CONF: u64 = 16 * 1024;

/// What the child is to do.
#[derive(Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "lowercase")]
pub enum Job {
    /// Tell a provider.
    Tell {
        /// Which.
        account: Account,
        /// What.
        order: Order,
        /// By which line, if that matters.
        way: Option<Way>,
    },
    /// Ask which address we come from.
    Ask {
        /// Whom.
        url: String,
        /// By which line.
        way: Way,
    },
    /// Ask the DNS.
    Resolve {
        /// For what.
        name: String,
        /// Which addresses.
        family: Family,
    },
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "heard", rename_all = "lowercase")]
pub enum Heard {
    /// Of [`Job::Tell`].
    Told {
        /// How it ended.
        verdict: Verdict,
    },
    /// Of [`Job::Ask`] and [`Job::Resolve`].
    Found {
        /// All that were found.
        addresses: Vec<IpAddr>,
    },
    /// Of any.
    Failed {
        /// Why.
        why: String,
    },
}

/// The child's whole life.
pub fn main(root: &Root) {
    courier::serve(|job: Result<Job, String>| match job {
        Ok(job) => run(&job, root),
        Err(why) => Heard::Failed { why: format!("read the job: {why}") },
    });
}

/// Certificates of one's own, if there are any.
pub(crate) fn own_roots(root: &Root) -> Option<Vec<u8>> {
    file::read_bounded(&root.path(OWN_ROOTS), LARGEST_ROOTS).ok()
}

/// Does it, within the limits of its kind.
pub fn run(job: &Job, root: &Root) -> Heard {
    let own = own_roots(root);
    match job {
        Job::Tell { account, order, way } => {
            Heard::Told { verdict: tell(account, order, way.as_ref(), own.as_deref()) }
        }
        Job::Ask { url, way } => {
            let request = Http { method: "GET", url: url.clone(), headers: Vec::new(), body: Vec::new() };
            match ask(&request, Some(way), Some(Family::V4), own.as_deref()) {
                Ok(answer) if answer.status == 200 => match address::told(&answer.body, Family::V4) {
                    Some(address) => Heard::Found { addresses: vec![address] },
                    None => Heard::Failed { why: "the address service named no address".to_owned() },
                },
                Ok(answer) => {
                    Heard::Failed { why: format!("the address service: http status {}", answer.status) }
                }
                Err(why) => Heard::Failed { why: format!("the address service: {why}") },
            }
        }
        Job::Resolve { name, family } => match look_up(root, name, *family) {
            Ok(addresses) => Heard::Found { addresses },
            Err(why) => Heard::Failed { why },
        },
    }
}

fn tell(account: &Account, order: &Order, way: Option<&Way>, own: Option<&[u8]>) -> Verdict {
    let mut talk = account.talk(order, unix(), random());
    let mut step = talk.begin();
    let family = account.sees_the_sender().then(|| order.family());
    for _ in 0..MOST_REQUESTS {
        let request = match step {
            Step::Done(verdict) => return scrubbed(account, verdict),
            Step::Ask(request) => request,
        };
        let answer = match &request {
            Request::Http(http) => ask(http, way, family, own),
            Request::Dns { host, port, message } => exchange(host, *port, message)
                .map(|body| Answer { body, ..Answer::default() })
                .map_err(|error| format!("ask {host}:{port}: {error}")),
        };
        step = match answer {
            Ok(answer) => talk.hear(&answer),
            // Nobody asked us to wait: a line that changes may be tried at once.
            Err(why) => Step::Done(Verdict::later(why, Duration::ZERO)),
        };
    }
    match step {
        Step::Done(verdict) => scrubbed(account, verdict),
        Step::Ask(_) => Verdict::later("the service's answers lead nowhere", crate::talk::IN_TROUBLE),
    }
}

fn scrubbed(account: &Account, verdict: Verdict) -> Verdict {
    match verdict {
        Verdict::Later { why, at_least } => Verdict::Later { why: account.scrub(&why), at_least },
        Verdict::Stop { code, why } => Verdict::Stop { code, why: account.scrub(&why) },
        success => success,
    }
}

fn look_up(root: &Root, name: &str, family: Family) -> Result<Vec<IpAddr>, String> {
    let wire = Name::parse(name).map_err(|error| error.to_string())?;
    let servers = file::read_bounded(&root.path("/etc/resolv.conf"), LARGEST_RESOLV_CONF);
    let servers = servers.map_err(|error| format!("read /etc/resolv.conf: {error}"))?;
    let id = random();
    let answer = resolve(&String::from_utf8_lossy(&servers), &question(id, &wire, family));
    let answer = answer.map_err(|error| format!("ask for {name}: {error}"))?;
    let message = Message::parse(&answer, id, false).map_err(|error| error.to_string())?;
    match message.rcode {
        // No such name is an answer, too.
        0 | 3 => Ok(message.addresses(family)),
        code => Err(format!("ask for {name}: the resolver said code {code}")),
    }
}

pub(crate) fn unix() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub(crate) fn random() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness TCP and the signature still protect us.
    let _ = SystemRandom::new().fill(&mut bytes);
    u16::from_be_bytes(bytes)
}
