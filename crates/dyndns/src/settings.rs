//! The owner's configuration as records: a name, a family, an account.

use std::error::Error as _;
use std::path::Path;

use config::{Config, DnsAccount, DnsLink, DynamicName};
use ring::digest;

use crate::failover::{CELLULAR_SET, WIRED_SET};
use crate::provider::{Account, cloudflare, dyndns2, lambda, rfc2136, route53};
use crate::talk::{Family, hex};

/// Says from which address it is asked, and nothing else; IPv4 only, which is what routers translate.
const ASK: &str = "https://checkip.amazonaws.com/";

/// What `dyndns` needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Every record.
    pub records: Vec<Wanted>,
    /// Who is asked for the address of a line behind a router.
    pub ask: String,
}

/// One record as it is wanted.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The name.
    pub name: String,
    /// Which addresses.
    pub family: Family,
    /// Which line it leads to.
    pub link: DnsLink,
    /// Seconds.
    pub ttl: u32,
    /// Whether the DNS shows what the provider has.
    pub check: bool,
    /// The account's name.
    pub account_name: String,
    /// The account.
    pub account: Account,
}

impl Wanted {
    /// What it is called in what is kept. One name may have several record sets at one account.
    pub fn id(&self) -> String {
        let set = self.set().map_or_else(String::new, |set| format!(" {set}"));
        format!("{} {} {}{set}", self.name, self.family.record(), self.account_name)
    }

    /// Which of the name's record sets, where it has several.
    pub fn set(&self) -> Option<&str> {
        match &self.account {
            Account::Route53(account) => account.set.as_deref(),
            _ => None,
        }
    }

    /// The account's configuration in a hash: a provider's "stop" holds until that is another.
    pub fn fingerprint(&self) -> String {
        let text = serde_json::to_vec(&self.account).unwrap_or_default();
        hex(&digest::digest(&digest::SHA256, &text).as_ref()[..12])
    }
}

/// The settings of a configuration slice; no names when there is none.
pub fn load(slice: &Path) -> Settings {
    let config = config::load(slice).unwrap_or_else(|error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        log::warn!("{error}{cause}; going on without names");
        Config::default()
    });
    settings(&config)
}

/// The settings of a whole configuration.
pub fn settings(config: &Config) -> Settings {
    let dyndns = &config.dyndns;
    let account = |name: &DynamicName| {
        dyndns.accounts.iter().map(config::Secret::expose).find(|account| account.name == name.account)
    };
    // That there is one, the configuration's check has made sure.
    let named = dyndns.names.iter().filter_map(|name| Some((name, account(name)?)));
    let records = named.flat_map(|(name, account)| {
        let families = [(Family::V4, name.ipv4), (Family::V6, name.ipv6)];
        let families = families.into_iter().filter(|(_, wanted)| *wanted);
        families.flat_map(|(family, _)| records(name, account, family))
    });
    let mut unique: Vec<Wanted> = Vec::new();
    for record in records {
        // Two lines for one record would undo each other for ever; the first counts.
        if unique.iter().all(|known| known.id() != record.id() || known.account != record.account) {
            unique.push(record);
        }
    }
    let ask = dyndns.ask.as_ref().map_or(ASK, |url| url.as_str()).to_owned();
    Settings { records: unique, ask }
}

/// One, or with failover one for each line.
fn records(name: &DynamicName, account: &DnsAccount, family: Family) -> Vec<Wanted> {
    let record = |link, set| Wanted {
        name: name.name.clone(),
        family,
        link,
        ttl: name.ttl,
        check: name.check,
        account_name: account.name.clone(),
        account: provider(account, set, name.failover),
    };
    if name.failover {
        let sets = [(DnsLink::Wired, WIRED_SET), (DnsLink::Cellular, CELLULAR_SET)];
        return sets.into_iter().map(|(link, set)| record(link, Some(set.to_owned()))).collect();
    }
    vec![record(name.link, name.set.clone())]
}

fn provider(account: &DnsAccount, set: Option<String>, failover: bool) -> Account {
    let option = |key: &str| account.option(key).unwrap_or_default().to_owned();
    let url = |usual: &str| account.option("url").unwrap_or(usual).trim_end_matches('/').to_owned();
    let lambda = |generation| {
        Account::Lambda(lambda::Account {
            generation,
            url: option("url"),
            secret: option("secret"),
            api_key: account.option("key").map(str::to_owned),
        })
    };
    match account.protocol {
        "lambda" => lambda(lambda::Generation::Lambda),
        "lambda-v1" => lambda(lambda::Generation::LambdaV1),
        "lambda-v2" => lambda(lambda::Generation::LambdaV2),
        "dyndns2" => Account::Dyndns2(dyndns2::Account {
            url: option("url"),
            user: option("user"),
            password: option("password"),
        }),
        "cloudflare" => Account::Cloudflare(cloudflare::Account {
            url: url(cloudflare::URL),
            zone: option("zone"),
            token: option("token"),
        }),
        "route53" => Account::Route53(route53::Account {
            url: url(route53::URL),
            zone: option("zone"),
            key_id: option("key-id"),
            secret: option("secret"),
            set,
            failover,
        }),
        _ => {
            let server = option("server");
            let (host, port) = server.rsplit_once(':').unwrap_or((&server, "53"));
            Account::Rfc2136(rfc2136::Account {
                host: host.trim_matches(['[', ']']).to_owned(),
                port: port.parse().unwrap_or(53),
                zone: option("zone"),
                key: option("key"),
                secret: option("secret"),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Settings {
        settings(&config::parse(text.as_bytes()).unwrap_or_else(|p| panic!("{p:?}")))
    }

    #[test]
    fn every_protocol_of_the_configuration_has_its_account() {
        let options = "url=https://x.example/ secret=c2VjcmV0 key=k user=u password=p zone=z.example token=t \
                       key-id=AK server=[2001:db8::1]:5353";
        for protocol in DnsAccount::protocols() {
            // Of all options those it knows, found by what the configuration accepts.
            let mut kept: Vec<&str> = options.split_whitespace().collect();
            let text = |kept: &[&str]| {
                format!(
                    "[dyndns]\nnames = [\"h.z.example account=a\"]\naccounts = [\"a: {protocol} {}\"]\n",
                    kept.join(" ")
                )
            };
            for option in options.split_whitespace() {
                let alone = config::parse(text(&[option]).as_bytes());
                if alone.is_err_and(|p| p.iter().any(|p| p.cause.contains("unknown option"))) {
                    kept.retain(|k| *k != option);
                }
            }
            let settings = read(&text(&kept));
            assert_eq!(settings.records[0].account.protocol(), protocol);
            assert!(settings.records[0].account.secrets().iter().all(|s| !s.is_empty()), "{protocol}");
        }
    }

    #[test]
    fn a_name_of_both_families_is_two_records_and_a_name_given_twice_is_one() {
        let account = "accounts = [\"a: rfc2136 server=ns.e.org:53 zone=e.org key=k secret=c2VjcmV0\"]";
        let text = format!(
            "[dyndns]\nnames = [\"h.e.org account=a family=both\", \"h.e.org account=a\"]\n{account}\n"
        );
        let settings = read(&text);
        let ids: Vec<_> = settings.records.iter().map(Wanted::id).collect();
        assert_eq!(ids, ["h.e.org A a", "h.e.org AAAA a"]);
        let Account::Rfc2136(server) = &settings.records[0].account else { panic!("rfc2136") };
        assert_eq!((server.host.as_str(), server.port), ("ns.e.org", 53));
    }

    #[test]
    fn a_name_that_fails_over_is_one_record_for_each_line_with_a_memory_of_its_own() {
        let settings = read(
            "[dyndns]\nnames = [\"h.e.org account=a failover=yes family=both\"]\n\
             accounts = [\"a: route53 zone=Z1 key-id=AK secret=s\"]\n",
        );
        let ids: Vec<_> = settings.records.iter().map(Wanted::id).collect();
        let expected = [
            "A a failberry-wired",
            "A a failberry-cellular",
            "AAAA a failberry-wired",
            "AAAA a failberry-cellular",
        ];
        assert_eq!(ids, expected.map(|id| format!("h.e.org {id}")));
        assert!(settings.records.iter().all(|record| !record.check));
        assert_eq!((settings.records[0].link, settings.records[1].link), (DnsLink::Wired, DnsLink::Cellular));
    }

    #[test]
    fn another_secret_is_another_configuration() {
        let with = |token: &str| {
            let text = format!(
                "[dyndns]\nnames = [\"h.e.org account=a\"]\naccounts = [\"a: cloudflare zone=z token={token}\"]\n"
            );
            read(&text).records[0].fingerprint()
        };
        assert_eq!(with("x"), with("x"));
        assert_ne!(with("x"), with("y"));
    }
}
