//! What `iptables-save` printed, and the input for `iptables-restore --noflush` that makes our part
//! of it what it should be.

use crate::{CHAIN_PREFIX, OwnTable, Ruleset, canonical_rule};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Policies of built-in chains, by table and chain.
pub type Policies = BTreeMap<(String, String), String>;

/// What is handed in instead of the text when `iptables-save` could not print every rule: `nft` can make
/// rules that iptables has no words for (seen with 1.8.11, which stops there and exits with 3).
pub const UNREADABLE: &str = "# some rules cannot be read\n";

/// Text that is not the output of `iptables-save`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line} of iptables-save: {problem}: `{text}`")]
pub struct ParseError {
    line: usize,
    problem: &'static str,
    text: String,
}

/// Our part of what is loaded, and how much of it is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Loaded {
    /// Our chains and the jumps to them.
    pub own: Ruleset,
    /// Rules of others; they are counted, never touched.
    pub foreign_rules: usize,
    /// Nothing is known: see [`UNREADABLE`].
    pub unreadable: bool,
    /// What becomes of a packet that no rule of a built-in chain decides.
    pub policies: Policies,
}

impl Loaded {
    /// Reads the output of `iptables-save` (nft or legacy flavour, with or without counters).
    ///
    /// # Errors
    /// The first line that is not of that form, or an output that ends inside a table.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut loaded = Self::default();
        let mut table: Option<(String, OwnTable)> = None;
        let mut last = 0;
        for (number, line) in text.lines().enumerate() {
            last = number + 1;
            let error = |problem| ParseError { line: number + 1, problem, text: line.to_owned() };
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                loaded.unreadable |= line == UNREADABLE.trim_end();
                continue;
            }
            if let Some(name) = line.strip_prefix('*') {
                if table.replace((name.to_owned(), OwnTable::default())).is_some() {
                    return Err(error("a table begins inside another"));
                }
                continue;
            }
            let (table_name, own) = table.as_mut().ok_or_else(|| error("not inside a table"))?;
            if line == "COMMIT" {
                loaded.close(table.take());
            } else if let Some(chain) = line.strip_prefix(':') {
                let mut words = chain.split_whitespace();
                let name = words.next().ok_or_else(|| error("a chain without a name"))?;
                if name.starts_with(CHAIN_PREFIX) {
                    own.chains.entry(name.to_owned()).or_default();
                }
                // A chain of somebody's own has `-`.
                if let Some(policy @ ("ACCEPT" | "DROP")) = words.next() {
                    loaded.policies.insert((table_name.clone(), name.to_owned()), policy.to_owned());
                }
            } else {
                let (chain, rule) = split_rule(line).ok_or_else(|| error("neither chain nor rule"))?;
                loaded.foreign_rules += usize::from(!own.add(chain, &rule));
            }
        }
        match table {
            None => Ok(loaded),
            Some((name, _)) => Err(ParseError { line: last, problem: "ends inside a table", text: name }),
        }
    }

    fn close(&mut self, table: Option<(String, OwnTable)>) {
        if let Some((name, mut own)) = table {
            own.jumps.sort();
            if own != OwnTable::default() {
                self.own.tables.insert(name, own);
            }
        }
    }
}

impl OwnTable {
    /// Takes the rule when it is ours: in one of our chains, or a plain jump to one.
    fn add(&mut self, chain: &str, rule: &str) -> bool {
        let rule = canonical_rule(rule);
        if chain.starts_with(CHAIN_PREFIX) {
            self.chains.entry(chain.to_owned()).or_default().push(rule);
            return true;
        }
        match rule.strip_prefix("-j ") {
            Some(target) if target.starts_with(CHAIN_PREFIX) && !target.contains(' ') => {
                self.jumps.push((chain.to_owned(), target.to_owned()));
                true
            }
            _ => false,
        }
    }
}

/// `[12:3456] -A CHAIN rest` as chain and rest.
fn split_rule(line: &str) -> Option<(&str, String)> {
    let line = match line.strip_prefix('[') {
        Some(counted) => counted.split_once(']')?.1.trim_start(),
        None => line,
    };
    let rest = line.strip_prefix("-A ")?;
    let (chain, rule) = rest.split_once(' ').unwrap_or((rest, ""));
    Some((chain, rule.to_owned()))
}

/// Input for `iptables-restore --noflush` that turns `current` into `target`; `None` when nothing differs.
///
/// Only tables that differ are named: each table is one transaction in the kernel, and one that is
/// right is not touched. Declaring a chain flushes it, so that our chains come out whole and all
/// others keep what they have. `filter` comes first: the doors are shut before translation begins.
pub fn plan(current: &Ruleset, target: &Ruleset) -> Option<String> {
    let empty = OwnTable::default();
    let mut names: Vec<&String> = current.tables.keys().chain(target.tables.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut input = String::new();
    for name in names {
        let have = current.tables.get(name).unwrap_or(&empty);
        let want = target.tables.get(name).unwrap_or(&empty);
        if have != want {
            plan_table(&mut input, name, have, want);
        }
    }
    (!input.is_empty()).then_some(input)
}

fn plan_table(input: &mut String, name: &str, have: &OwnTable, want: &OwnTable) {
    let stale: Vec<_> = have.chains.keys().filter(|c| !want.chains.contains_key(*c)).collect();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = input.write_fmt(text);
        input.push('\n');
    };
    line(format_args!("*{name}"));
    for chain in want.chains.keys().chain(stale.iter().copied()) {
        line(format_args!(":{chain} - [0:0]"));
    }
    // Declaring a built-in chain sets its policy and, with --noflush, leaves its rules (1.8.11, both flavours).
    for (chain, policy) in
        want.policies.iter().filter(|(chain, policy)| have.policies.get(*chain) != Some(policy))
    {
        line(format_args!(":{chain} {policy} [0:0]"));
    }
    for (chain, rules) in &want.chains {
        for rule in rules {
            line(format_args!("-A {chain} {rule}"));
        }
    }
    for (from, to) in surplus(&have.jumps, &want.jumps) {
        line(format_args!("-D {from} -j {to}"));
    }
    for (from, to) in surplus(&want.jumps, &have.jumps) {
        line(format_args!("-A {from} -j {to}"));
    }
    for chain in stale {
        line(format_args!("-X {chain}"));
    }
    line(format_args!("COMMIT"));
}

/// What is in `a` more often than in `b`.
pub(crate) fn surplus<'a, T: PartialEq>(a: &'a [T], b: &[T]) -> Vec<&'a T> {
    let mut rest: Vec<_> = b.iter().collect();
    a.iter()
        .filter(|item| match rest.iter().position(|other| other == item) {
            Some(at) => {
                rest.swap_remove(at);
                false
            }
            None => true,
        })
        .collect()
}
