//! What no value shows by itself: names that are used must be defined.

use crate::sections::Config;
use crate::values::Who;
use std::ops::Range;
use toml::de::DeTable;

/// Pages that are asked for; each has a record of a day and, over a line, a cost.
const MOST_PAGES: usize = 16;

/// A name that leads nowhere, and where it stands.
pub(crate) struct Dangling {
    pub(crate) span: Range<usize>,
    pub(crate) operand: String,
    pub(crate) cause: String,
    pub(crate) hint: String,
}

/// Looks at a configuration whose values are all right.
pub(crate) fn check(config: &Config, file: &DeTable<'_>) -> Vec<Dangling> {
    let metered = &config.metered;
    let names: Vec<&str> = metered.groups.iter().map(|g| g.name.as_str()).collect();
    let mut known = names.clone();
    known.dedup();
    let mut found = accounts(config, file);
    if config.prober.targets.len() > MOST_PAGES {
        let cause = format!("more than {MOST_PAGES} pages");
        let hint = "remove some; line=both is one".to_owned();
        found.push(dangling(file, "prober", "targets", MOST_PAGES, cause, hint));
    }
    for (key, list) in [("allow", &metered.allow), ("essential", &metered.essential)] {
        for (at, who) in list.iter().enumerate() {
            let Who::Group(name) = who else { continue };
            if !names.contains(&name.as_str()) {
                let hint = format!(
                    "groups are: {}; define it: groups = [\"{name}: 192.168.178.20\"]",
                    or_none(&known)
                );
                let cause = format!("no group is called {name}");
                found.push(dangling(file, "metered", key, at, cause, hint));
            }
        }
    }
    for (at, name) in names.iter().enumerate() {
        if names[..at].contains(name) {
            let cause = format!("a second group called {name}");
            found.push(dangling(
                file,
                "metered",
                "groups",
                at,
                cause,
                "put its devices into one entry".to_owned(),
            ));
        }
    }
    found
}

/// Names that are told by an account nobody defined or that cannot do it, and accounts of one name.
fn accounts(config: &Config, file: &DeTable<'_>) -> Vec<Dangling> {
    let dyndns = &config.dyndns;
    let known: Vec<&str> = dyndns.accounts.iter().map(|a| a.expose().name.as_str()).collect();
    let mut found = Vec::new();
    for (at, name) in dyndns.names.iter().enumerate() {
        if !known.contains(&name.account.as_str()) {
            let cause = format!("no account is called {}", name.account);
            let hint = format!("accounts are: {}; define it in accounts", or_none(&known));
            found.push(dangling(file, "dyndns", "names", at, cause, hint));
        }
        let of =
            dyndns.accounts.iter().map(crate::Secret::expose).find(|account| account.name == name.account);
        if name.failover && of.is_some_and(|account| account.protocol != "route53") {
            let cause = format!("failover=yes, but {} is no account of Route 53", name.account);
            let hint =
                "only Route 53 checks lines; name a route53 account, or leave failover= out".to_owned();
            found.push(dangling(file, "dyndns", "names", at, cause, hint));
        }
    }
    for (at, name) in known.iter().enumerate() {
        if known[..at].contains(name) {
            let cause = format!("a second account called {name}");
            found.push(dangling(file, "dyndns", "accounts", at, cause, "give it another name".to_owned()));
        }
    }
    found
}

fn or_none(names: &[&str]) -> String {
    if names.is_empty() { "none yet".to_owned() } else { names.join(", ") }
}

fn dangling(
    file: &DeTable<'_>,
    section: &str,
    key: &str,
    at: usize,
    cause: String,
    hint: String,
) -> Dangling {
    let list = file.get(section).and_then(|s| s.get_ref().as_table()).and_then(|t| t.get(key));
    let element = list.and_then(|list| list.get_ref().as_array()).and_then(|array| array.get(at));
    let span = element.map_or(0..0, toml::Spanned::span);
    Dangling { span, operand: format!("{section}.{key}"), cause, hint }
}
