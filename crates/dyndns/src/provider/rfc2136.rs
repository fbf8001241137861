//! Updates for a name server of one's own (RFC 2136), signed (RFC 8945).
//!
//! Over TCP, which every server must take (RFC 7766): no spoofed answer, no repetition, no limit of
//! size. Only what is signed is believed, but for the two errors a server cannot sign.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::dns::{Message, Name, update};
use crate::talk::{Answer, IN_TROUBLE, Order, Request, Step, Verdict};
use crate::tsig::{BADSIG, BADTIME, Key, Signature};

/// A refusal that anybody could have made is not final, but not worth asking again soon.
const DOUBTFUL: Duration = Duration::from_secs(3600);

/// What its owner gave us.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The primary server's name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The zone.
    pub zone: String,
    /// The key's name.
    pub key: String,
    /// The key in Base64, as `tsig-keygen` and `keymgr` print it.
    pub secret: String,
}

/// A conversation.
pub struct Talk {
    account: Account,
    order: Order,
    id: u16,
    unix: u64,
    ready: Option<Ready>,
}

/// A message, ready to be sent, and what its answer is checked with.
struct Ready {
    key: Key,
    message: Vec<u8>,
    mac: Vec<u8>,
}

impl Talk {
    /// About `order`.
    pub fn new(account: &Account, order: &Order, unix: u64, id: u16) -> Self {
        let ready = prepare(account, order, unix, id);
        Self { account: account.clone(), order: order.clone(), id, unix, ready }
    }

    /// The one request there is.
    pub fn begin(&self) -> Step {
        let Some(ready) = &self.ready else {
            let why = "zone, name and key must be names, the name within the zone, the key's secret Base64";
            return Step::Done(Verdict::stop("configuration", why));
        };
        let (host, port) = (self.account.host.clone(), self.account.port);
        Step::Ask(Request::Dns { host, port, message: ready.message.clone() })
    }

    /// What the answer means.
    pub fn judge(&self, answer: &Answer) -> Verdict {
        let Some(ready) = &self.ready else {
            return Verdict::later("nothing was asked", IN_TROUBLE);
        };
        let message = match Message::parse(&answer.body, self.id, true) {
            Ok(message) => message,
            Err(error) => return Verdict::later(format!("read the server's answer: {error}"), IN_TROUBLE),
        };
        match ready.key.check(&message, &ready.mac, self.unix) {
            Signature::Good(BADTIME) => {
                Verdict::later("the server's clock and ours differ by minutes (BADTIME)", IN_TROUBLE)
            }
            Signature::Good(_) => self.code(message.rcode),
            Signature::Refused(BADSIG) => Verdict::stop(
                "BADSIG",
                "the server has another secret for this key, or another algorithm than hmac-sha256",
            ),
            Signature::Refused(_) => {
                Verdict::stop("BADKEY", "the server does not know this key; check its name, and hmac-sha256")
            }
            Signature::Missing => Verdict::later(
                // Knot 3.4 answers so to a key that it does not know or that may not do this.
                format!(
                    "an answer ({}) that nobody signed; not believed, but check that the server knows the \
                     key and lets it update the name",
                    word(message.rcode)
                ),
                DOUBTFUL,
            ),
        }
    }

    fn code(&self, rcode: u8) -> Verdict {
        match rcode {
            0 => Verdict::Changed { address: self.order.address },
            // SERVFAIL: often a zone that is frozen or being signed.
            2 => Verdict::later("the server is in trouble (SERVFAIL)", IN_TROUBLE),
            5 => Verdict::stop(
                "REFUSED",
                "the server does not let this key update this name; check its policy",
            ),
            9 => Verdict::stop(
                "NOTAUTH",
                "the server is not the primary of this zone, or the key may not update it",
            ),
            10 => Verdict::stop("NOTZONE", "the name is not within the zone; check both"),
            1 | 4 => Verdict::stop(word(rcode), "the server takes no updates; check that it is the primary"),
            other => Verdict::later(format!("the server said {}", word(other)), IN_TROUBLE),
        }
    }
}

fn prepare(account: &Account, order: &Order, unix: u64, id: u16) -> Option<Ready> {
    let zone = Name::parse(&account.zone).ok()?;
    let name = Name::parse(&order.name).ok()?;
    if !name.wire().ends_with(zone.wire()) {
        return None;
    }
    let secret = BASE64_STANDARD.decode(account.secret.trim()).ok().filter(|s| !s.is_empty())?;
    let key = Key::new(Name::parse(&account.key).ok()?, &secret)?;
    let (message, mac) = key.sign(&update(id, &zone, &name, order.address, order.ttl), unix);
    Some(Ready { key, message, mac })
}

/// The codes by their names (RFC 1035, 4.1.1, and RFC 2136, 2.2).
fn word(rcode: u8) -> String {
    let names = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET",
        "NOTAUTH", "NOTZONE",
    ];
    names.get(usize::from(rcode)).map_or_else(|| format!("code {rcode}"), |name| (*name).to_owned())
}
