//! dyndns2, as dyn.com wrote it down in "Remote Access API: Return Codes" and others copied it.
//!
//! One answer line for a host. A code is the line's first word and nothing else counts: a page that
//! says "[200 OK] nohost" is no success.

use std::net::IpAddr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::talk::{Answer, Http, IN_TROUBLE, Order, Request, Step, Verdict, WORDS, percent, quote};

/// What its owner gave us.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Address of the update script: `https://members.example.org/nic/update`.
    pub url: String,
    /// User.
    pub user: String,
    /// Password.
    pub password: String,
}

/// "Company - Model - Version", as the specification wants it; others are blocked as bad agents.
pub const AGENT: &str = concat!("Failberry - Raspberry Pi - ", env!("CARGO_PKG_VERSION"));

/// A conversation.
pub struct Talk {
    account: Account,
    order: Order,
}

impl Talk {
    /// About `order`.
    pub fn new(account: &Account, order: &Order) -> Self {
        Self { account: account.clone(), order: order.clone() }
    }

    /// The one request there is.
    pub fn begin(&self) -> Step {
        let login = BASE64_STANDARD.encode(format!("{}:{}", self.account.user, self.account.password));
        let join = if self.account.url.contains('?') { '&' } else { '?' };
        let url = format!(
            "{}{join}hostname={}&myip={}",
            self.account.url,
            percent(&self.order.name),
            percent(&self.order.address.to_string())
        );
        let headers = vec![("authorization", format!("Basic {login}")), ("user-agent", AGENT.to_owned())];
        Step::Ask(Request::Http(Http { method: "GET", url, headers, body: Vec::new() }))
    }

    /// What the answer means.
    pub fn judge(&self, answer: &Answer) -> Verdict {
        let text = answer.text();
        let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let mut words = line.split_whitespace();
        let code = words.next().unwrap_or_default();
        match code {
            "good" | "nochg" if answer.status == 200 => self.success(code, words.next()),
            _ => fault(code).unwrap_or_else(|| unknown(answer, line)),
        }
    }

    fn success(&self, code: &str, address: Option<&str>) -> Verdict {
        let ours = self.order.address;
        match address.map(|text| text.trim_end_matches(',').parse::<IpAddr>()) {
            // Dyn's way to say that it does not like the agent.
            Some(Ok(IpAddr::V4(local))) if local.is_loopback() && !ours.is_loopback() => Verdict::stop(
                "good 127.0.0.1",
                "the provider has blocked this kind of client; ask its support",
            ),
            Some(Ok(other)) if other != ours => {
                Verdict::later(format!("the provider says it wrote {other} instead of {ours}"), IN_TROUBLE)
            }
            // Without an address, or with words behind the code: the code counts.
            _ if code == "good" => Verdict::Changed { address: ours },
            _ => Verdict::Same { address: ours },
        }
    }
}

/// The codes that are no success, and what a client must do.
fn fault(code: &str) -> Option<Verdict> {
    let stop = |why: &str| Some(Verdict::stop(code, why));
    match code {
        "badauth" => stop("the provider refuses user and password; check both"),
        "!donator" => stop("this needs a paid account at the provider"),
        "badagent" => stop("the provider has blocked this kind of client; ask its support"),
        "notfqdn" => stop("the provider wants a whole name, such as home.example.org; check it"),
        "nohost" => stop("the provider has no such name in this account; create it there, or check it"),
        "!yours" => stop("the name belongs to another account of the provider; check name and user"),
        "numhost" => stop("the provider thinks that too many names are updated at once"),
        "abuse" => {
            stop("the provider has blocked the name for too many updates; ask its support to unblock it")
        }
        "dnserr" => Some(Verdict::later("the provider's name servers are in trouble (dnserr)", IN_TROUBLE)),
        "911" => Some(Verdict::later("the provider is in trouble (911)", IN_TROUBLE)),
        _ => None,
    }
}

fn unknown(answer: &Answer, line: &str) -> Verdict {
    if answer.status == 401 {
        return Verdict::stop("401", "the provider refuses user and password (http status 401); check both");
    }
    answer.trouble().unwrap_or_else(|| {
        let why =
            format!("http status {}, and an answer nobody knows: {}", answer.status, quote(line, WORDS));
        Verdict::later(why, answer.wait(IN_TROUBLE))
    })
}
