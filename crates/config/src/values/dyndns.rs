//! Names that follow the addresses, and the accounts by which they are told.
//!
//! One line each, because sections are not repeated: an account's holds its secrets and is a key of its
//! own, so that names can be shown and accounts never are.

use super::{Fault, TextValue};
use std::collections::BTreeMap;

/// Longest line: an address of the web and some keys.
const LONGEST: usize = 1600;
/// Who does not say how long others may remember an address gets this many seconds: a caller waits no
/// longer after a failover, and resolvers do not ask more often than that.
const TTL: u32 = 60;

/// A provider's account.
#[derive(Clone, PartialEq, Eq)]
pub struct DnsAccount {
    /// What names call it.
    pub name: String,
    /// How it is spoken to: a word of [`DnsAccount::protocols`].
    pub protocol: &'static str,
    options: BTreeMap<&'static str, String>,
    text: String,
}

impl std::fmt::Debug for DnsAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.name, self.protocol)
    }
}

type Form = (&'static str, &'static [&'static str], &'static [&'static str]);

impl DnsAccount {
    /// Protocols, with the options that each must and may have.
    const FORMS: [Form; 7] = [
        ("lambda", &["url", "secret"], &[]),
        ("lambda-v1", &["url", "secret"], &[]),
        ("lambda-v2", &["url", "secret", "key"], &[]),
        ("dyndns2", &["url", "user", "password"], &[]),
        ("cloudflare", &["zone", "token"], &["url"]),
        ("route53", &["zone", "key-id", "secret"], &["url"]),
        ("rfc2136", &["server", "zone", "key", "secret"], &[]),
    ];

    /// The words for protocols.
    pub fn protocols() -> impl Iterator<Item = &'static str> {
        Self::FORMS.iter().map(|(word, ..)| *word)
    }

    /// An option's value; those a protocol must have are there.
    pub fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).map(String::as_str)
    }
}

impl TextValue for DnsAccount {
    const FORM: &'static str = "home: cloudflare zone=0123 token=secret";

    fn parse(text: &str) -> Result<Self, Fault> {
        const HINT: &str = "write \"home: cloudflare zone=0123 token=secret\"";
        plain(text, HINT)?;
        let (name, rest) = text.split_once(':').ok_or_else(|| Fault::new("no name before a colon", HINT))?;
        word(name, HINT)?;
        let mut words = rest.split_whitespace();
        let protocol = words.next().unwrap_or_default();
        let form = Self::FORMS.iter().find(|(word, ..)| *word == protocol);
        let Some((protocol, must, may)) = form else {
            let all = Self::protocols().collect::<Vec<_>>().join(", ");
            return Err(Fault::new("not a protocol", format!("behind the colon comes one of {all}")));
        };
        let known: Vec<&'static str> = must.iter().chain(*may).copied().collect();
        let options = options(words, &known, protocol)?;
        if let Some(missing) = must.iter().find(|key| !options.contains_key(**key)) {
            return Err(Fault::new(
                format!("{missing}= is missing"),
                format!("{protocol} takes {}", known.join("=, ") + "="),
            ));
        }
        if let Some(url) = options.get("url") {
            super::WebUrl::parse(url)?;
        }
        if let Some(server) = options.get("server") {
            super::HostPort::parse(server)?;
        }
        Ok(Self { name: name.to_owned(), protocol, options, text: text.to_owned() })
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

/// Which line a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsLink {
    /// The one in use.
    Active,
    /// The wired one, whatever is in use.
    Wired,
    /// The cellular one, whatever is in use.
    Cellular,
}

/// A name that follows the address of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a yes or no of the owner's, by itself")]
pub struct DynamicName {
    /// The name.
    pub name: String,
    /// The account's name.
    pub account: String,
    /// Which line it leads to.
    pub link: DnsLink,
    /// Whether it has an A record.
    pub ipv4: bool,
    /// Whether it has an AAAA record.
    pub ipv6: bool,
    /// Seconds.
    pub ttl: u32,
    /// Which of a name's failover records (Route 53).
    pub set: Option<String>,
    /// Whether it has one record for each line, of which Route 53 answers the one that works.
    pub failover: bool,
    /// Whether the DNS answers what the provider was told: not where records fail over, or behind a
    /// proxy.
    pub check: bool,
    text: String,
}

impl TextValue for DynamicName {
    const FORM: &'static str = "home.example.org account=home link=active";

    fn parse(text: &str) -> Result<Self, Fault> {
        const HINT: &str = "write \"home.example.org account=home link=active family=ipv4\"";
        const KEYS: &[&str] = &["account", "link", "family", "ttl", "set", "check", "failover"];
        plain(text, HINT)?;
        let mut words = text.split_whitespace();
        let name = super::target::domain(words.next().unwrap_or_default())?.to_ascii_lowercase();
        let options = options(words, KEYS, "a name")?;
        let option = |key: &str| options.get(key).map(String::as_str);
        let wrong = |key: &str, hint: &str| Fault::new(format!("an impossible {key}="), hint);
        let account = option("account").ok_or_else(|| Fault::new("account= is missing", HINT))?;
        let link = match option("link") {
            None | Some("active") => DnsLink::Active,
            Some("wired") => DnsLink::Wired,
            Some("cellular") => DnsLink::Cellular,
            _ => return Err(wrong("link", "active, wired or cellular")),
        };
        let (ipv4, ipv6) = match option("family") {
            None | Some("ipv4") => (true, false),
            Some("ipv6") => (false, true),
            Some("both") => (true, true),
            _ => return Err(wrong("family", "ipv4, ipv6 or both")),
        };
        // RFC 2181, 8: 31 bits; longer than a day nobody means for a name that moves.
        let ttl =
            option("ttl").map_or(Some(TTL), |ttl| ttl.parse().ok().filter(|ttl| (1..=86_400).contains(ttl)));
        let ttl = ttl.ok_or_else(|| wrong("ttl", "seconds from 1 to 86400"))?;
        let set = option("set").map(str::to_owned);
        let failover = match option("failover") {
            None | Some("no") => false,
            Some("yes") => true,
            _ => return Err(wrong("failover", "yes or no")),
        };
        if failover && ["link", "set", "check"].iter().any(|key| option(key).is_some()) {
            let hint = "with failover=yes there is a record for each line; leave link=, set= and check= out";
            return Err(Fault::new("failover=yes beside link=, set= or check=", hint));
        }
        let check = match option("check") {
            None => set.is_none() && !failover,
            Some("yes") => true,
            Some("no") => false,
            _ => return Err(wrong("check", "yes or no")),
        };
        let account = account.to_owned();
        Ok(Self { name, account, link, ipv4, ipv6, ttl, set, failover, check, text: text.to_owned() })
    }

    fn text(&self) -> String {
        self.text.clone()
    }
}

fn plain(text: &str, hint: &str) -> Result<(), Fault> {
    if text.len() <= LONGEST && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        return Ok(());
    }
    Err(Fault::new(format!("longer than {LONGEST} characters, or with others than plain ASCII"), hint))
}

fn word(text: &str, hint: &str) -> Result<(), Fault> {
    let sound = (1..=40).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if sound { Ok(()) } else { Err(Fault::new("a name that is not letters, digits, - and _", hint)) }
}

/// Options as `key=value`. A value may hold a secret, so none is repeated in a fault.
fn options<'a>(
    words: impl Iterator<Item = &'a str>,
    known: &[&'static str],
    whose: &str,
) -> Result<BTreeMap<&'static str, String>, Fault> {
    let hint = || format!("{whose} takes {}=; values have no blanks", known.join("=, "));
    let mut options = BTreeMap::new();
    for word in words {
        let pair = word.split_once('=').filter(|(_, value)| !value.is_empty());
        let (key, value) = pair.ok_or_else(|| Fault::new("a word that is no key=value", hint()))?;
        let key = known.iter().find(|k| **k == key).ok_or_else(|| Fault::new("an unknown option", hint()))?;
        if options.insert(*key, value.to_owned()).is_some() {
            return Err(Fault::new(format!("{key}= twice"), hint()));
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protocol_has_what_it_must_have() {
        for text in [
            "a: lambda url=https://x.example/ secret=s",
            "a: lambda-v1 url=https://x.example/ secret=s",
            "a: lambda-v2 url=https://x.example/ secret=s key=k",
            "a: dyndns2 url=https://x.example/nic/update user=u password=p=q",
            "a: cloudflare zone=z token=t",
            "a: route53 zone=Z1 key-id=AK secret=s",
            "a: rfc2136 server=ns.example.org:53 zone=example.org key=k secret=c2VjcmV0",
        ] {
            let account = DnsAccount::parse(text).unwrap_or_else(|f| panic!("{text}: {}", f.cause));
            assert_eq!(account.text(), text);
            // Without any one of its options it is none.
            for (at, _) in text.match_indices(' ').skip(1) {
                let end = text[at + 1..].find(' ').map_or(text.len(), |n| at + 1 + n);
                let less = format!("{}{}", &text[..at], &text[end..]);
                assert!(DnsAccount::parse(&less).is_err(), "{less}");
            }
        }
        let account = DnsAccount::parse("a: dyndns2 url=https://x.example/u user=u password=p=q").unwrap();
        assert_eq!(account.option("password"), Some("p=q"));
    }

    #[test]
    fn a_fault_or_debug_output_shows_no_secret() {
        for text in
            ["a: cloudflare zone=z token=geheim x", "a: cloudflare token=geheim", "a: lambda tokn=geheim"]
        {
            let Err(fault) = DnsAccount::parse(text) else { panic!("{text}") };
            assert!(!format!("{fault:?}").contains("geheim"), "{fault:?}");
        }
        let account = DnsAccount::parse("a: cloudflare zone=z token=geheim").unwrap();
        assert_eq!(format!("{account:?}"), "a: cloudflare");
    }

    #[test]
    fn a_name_says_where_it_leads() {
        let name = DynamicName::parse("Home.example.org account=a").unwrap();
        assert_eq!((name.name.as_str(), name.link, name.ttl), ("home.example.org", DnsLink::Active, TTL));
        assert!(name.ipv4 && !name.ipv6 && name.check);
        let name =
            DynamicName::parse("h.example.org account=a link=cellular family=both set=SECONDARY").unwrap();
        assert!(name.ipv4 && name.ipv6 && !name.check && name.link == DnsLink::Cellular);
        let name = DynamicName::parse("h.example.org account=a failover=yes ttl=30").unwrap();
        assert!(name.failover && !name.check && name.set.is_none());
        for bad in [
            "",
            "home",
            "h.e.org account=a failover=maybe",
            "h.e.org account=a failover=yes link=wired",
            "h.e.org account=a failover=yes set=x",
            "h.e.org account=a failover=yes check=yes",
            "h.e.org",
            "h.e.org account=a link=dsl",
            "h.e.org account=a ttl=0",
            "h.e.org account=a account=b",
        ] {
            assert!(DynamicName::parse(bad).is_err(), "{bad}");
        }
    }
}
