//! What another program did to our rules, in words that name the rule.

use crate::loaded::surplus;
use crate::{OwnTable, Ruleset};
use std::fmt;

/// One thing that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A whole table of ours is empty: somebody flushed it.
    NoTable {
        /// The table.
        table: String,
    },
    /// A chain is gone with all its rules.
    NoChain {
        /// The table.
        table: String,
        /// The chain.
        chain: String,
    },
    /// A rule is gone; as one would type it.
    Removed {
        /// The table.
        table: String,
        /// `-A CHAIN …`.
        rule: String,
    },
    /// A rule of somebody else stands in a chain of ours.
    Added {
        /// The table.
        table: String,
        /// `-A CHAIN …`.
        rule: String,
    },
    /// The rules of a chain are all there, in another order.
    Reordered {
        /// The table.
        table: String,
        /// The chain.
        chain: String,
    },
    /// The policy of a built-in chain is another.
    Policy {
        /// The table.
        table: String,
        /// The chain.
        chain: String,
        /// What it is; none while the chain does not exist.
        is: Option<String>,
        /// What it was.
        was: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTable { table } => write!(f, "removed everything in table {table}"),
            Self::NoChain { table, chain } => write!(f, "removed chain {chain} (table {table})"),
            Self::Removed { table, rule } => write!(f, "removed rule `{rule}` (table {table})"),
            Self::Added { table, rule } => write!(f, "added rule `{rule}` (table {table})"),
            Self::Reordered { table, chain } => {
                write!(f, "moved rules of chain {chain} (table {table})")
            }
            Self::Policy { table, chain, is, was } => {
                let is = is.as_deref().unwrap_or("nothing");
                write!(f, "policy of {chain} (table {table}) from {was} to {is}")
            }
        }
    }
}

/// What somebody did who turned `was` into `is`; what was taken away comes first.
pub fn differences(is: &Ruleset, was: &Ruleset) -> Vec<Difference> {
    let empty = OwnTable::default();
    let mut names: Vec<&String> = is.tables.keys().chain(was.tables.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut list = Vec::new();
    for name in names {
        let is = is.tables.get(name).unwrap_or(&empty);
        let was = was.tables.get(name).unwrap_or(&empty);
        compare(&mut list, name, is, was);
    }
    list.sort_by_key(|difference| matches!(difference, Difference::Added { .. }));
    list
}

fn compare(list: &mut Vec<Difference>, name: &str, is: &OwnTable, was: &OwnTable) {
    let table = || name.to_owned();
    if is.chains.is_empty() && is.jumps.is_empty() && !was.chains.is_empty() {
        list.push(Difference::NoTable { table: table() });
        return;
    }
    let mut chains: Vec<&String> = is.chains.keys().chain(was.chains.keys()).collect();
    chains.sort_unstable();
    chains.dedup();
    let none = Vec::new();
    for chain in chains {
        let rule = |rule: &String| format!("-A {chain} {rule}").trim_end().to_owned();
        let (now, then) = (is.chains.get(chain), was.chains.get(chain).unwrap_or(&none));
        let Some(now) = now else {
            list.push(Difference::NoChain { table: table(), chain: chain.clone() });
            continue;
        };
        let before = list.len();
        let gone = surplus(then, now).into_iter().map(rule);
        list.extend(gone.map(|rule| Difference::Removed { table: table(), rule }));
        let new = surplus(now, then).into_iter().map(rule);
        list.extend(new.map(|rule| Difference::Added { table: table(), rule }));
        if list.len() == before && now != then {
            list.push(Difference::Reordered { table: table(), chain: chain.clone() });
        }
    }
    let jump = |(from, to): &(String, String)| format!("-A {from} -j {to}");
    let gone = surplus(&was.jumps, &is.jumps).into_iter().map(jump);
    list.extend(gone.map(|rule| Difference::Removed { table: table(), rule }));
    let new = surplus(&is.jumps, &was.jumps).into_iter().map(jump);
    list.extend(new.map(|rule| Difference::Added { table: table(), rule }));
    for (chain, policy) in &was.policies {
        let now = is.policies.get(chain);
        if now != Some(policy) {
            let (chain, was) = (chain.clone(), policy.clone());
            list.push(Difference::Policy { table: table(), chain, is: now.cloned(), was });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Family, Policy, desired};

    fn words(edit: impl Fn(&mut OwnTable)) -> Vec<String> {
        let mut was = desired(&Policy::standard("eth0".parse().unwrap()), Family::V4);
        was.set_policies(&[(("filter".to_owned(), "OUTPUT".to_owned()), "ACCEPT".to_owned())].into());
        let mut is = was.clone();
        edit(is.tables.get_mut("filter").unwrap());
        differences(&is, &was).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_was_done_is_named() {
        assert_eq!(words(|_| ()), [""; 0]);
        let input = |table: &mut OwnTable| table.chains.get_mut("FB-INPUT").unwrap().clone();
        let set =
            |table: &mut OwnTable, rules: Vec<String>| table.chains.insert("FB-INPUT".to_owned(), rules);
        let pop = |table: &mut OwnTable| {
            let mut rules = input(table);
            rules.pop();
            set(table, rules);
        };
        assert_eq!(words(pop), ["removed rule `-A FB-INPUT -j DROP` (table filter)"]);
        let swap = |table: &mut OwnTable| {
            let mut rules = input(table);
            rules.swap(0, 1);
            set(table, rules);
        };
        assert_eq!(words(swap), ["moved rules of chain FB-INPUT (table filter)"]);
        let jump = |table: &mut OwnTable| table.jumps.retain(|(from, _)| from != "INPUT");
        assert_eq!(words(jump), ["removed rule `-A INPUT -j FB-INPUT` (table filter)"]);
        let policy = |table: &mut OwnTable| {
            table.policies.insert("OUTPUT".to_owned(), "DROP".to_owned());
        };
        assert_eq!(words(policy), ["policy of OUTPUT (table filter) from ACCEPT to DROP"]);
        assert_eq!(words(|table| *table = OwnTable::default()), ["removed everything in table filter"]);
        let replaced = |table: &mut OwnTable| {
            set(table, vec!["-j ACCEPT".to_owned()]);
        };
        let list = words(replaced);
        assert!(list[0].starts_with("removed rule"), "{list:?}");
        assert_eq!(list.last().unwrap(), "added rule `-A FB-INPUT -j ACCEPT` (table filter)");
    }
}
