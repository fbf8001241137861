//! Rules a person wrote, in the form of `iptables-save`, as chains of ours.
//!
//! A person's chain `NAME` becomes `FB-MY-NAME`, and what they wrote for a built-in chain becomes a
//! chain that is asked first. So they have the first word, one look tells whose rule is whose, and
//! the rules are kept, repaired and taken away like all others.

use crate::canonical::renamed_rule;
use crate::{CHAIN_PREFIX, Ruleset};
use std::collections::{BTreeMap, BTreeSet};

/// A person's chains begin with this once they are loaded.
pub const OWN_PREFIX: &str = "FB-MY-";
/// `XT_EXTENSION_MAXNAMELEN` of `linux/netfilter/x_tables.h` is 29 with the closing zero.
const CHAIN_NAME_MAX: usize = 28;

/// Built-in chains by table (iptables(8)).
const BUILT_IN: [(&str, &[&str]); 4] = [
    ("filter", &["INPUT", "FORWARD", "OUTPUT"]),
    ("nat", &["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]),
    ("mangle", &["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]),
    ("raw", &["PREROUTING", "OUTPUT"]),
];

/// Why a file of rules was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {problem}")]
pub struct OwnError {
    /// Where, counted from 1.
    pub line: usize,
    /// What is wrong there, and what to write instead.
    pub problem: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    line: usize,
    text: String,
    /// Stands for the chain's policy of DROP: it comes last although it is declared first.
    policy: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Table {
    /// By our name.
    chains: BTreeMap<String, Vec<Rule>>,
    /// Built-in chains that something is written for.
    hooks: BTreeSet<String>,
}

/// A person's rules of one family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnRules {
    tables: BTreeMap<String, Table>,
}

impl OwnRules {
    /// Reads a file such as iptables-persistent's `rules.v4`.
    ///
    /// Policies of INPUT and FORWARD mean nothing here: what no rule decides is decided by our own,
    /// and that is to deny.
    ///
    /// # Errors
    /// The first line that cannot be used.
    pub fn parse(text: &str) -> Result<Self, OwnError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader::default();
        let mut last = 0;
        for (number, line) in (1..).zip(text.lines()) {
            last = number;
            reader.line(number, line.trim()).map_err(|problem| OwnError { line: number, problem })?;
        }
        match reader.table {
            None => Ok(Self { tables: reader.tables }),
            Some((name, _)) => Err(OwnError {
                line: last,
                problem: format!("the table {name} is not closed: write COMMIT behind it"),
            }),
        }
    }

    /// Whether there is nothing to load.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Puts them where they are asked first.
    pub fn merge_into(&self, rules: &mut Ruleset) {
        for (name, own) in &self.tables {
            let table = rules.tables.entry(name.clone()).or_default();
            for (chain, list) in &own.chains {
                table.chains.insert(chain.clone(), list.iter().map(|rule| rule.text.clone()).collect());
            }
            for hook in &own.hooks {
                let target = format!("{OWN_PREFIX}{hook}");
                match table.chains.get_mut(&format!("{CHAIN_PREFIX}{hook}")) {
                    Some(ours) => ours.insert(0, format!("-j {target}")),
                    None => table.jumps.push((hook.clone(), target)),
                }
            }
            table.jumps.sort();
        }
    }

    /// The line of the file a rule came from; `rule` as it is loaded, `-A CHAIN …`.
    pub fn line_of(&self, rule: &str) -> Option<usize> {
        let (chain, text) = rule.strip_prefix("-A ")?.split_once(' ')?;
        let list = self.tables.values().filter_map(|table| table.chains.get(chain)).flatten();
        list.into_iter().find(|rule| rule.text == text).map(|rule| rule.line)
    }
}

#[derive(Default)]
struct Reader {
    tables: BTreeMap<String, Table>,
    /// The open one, and its built-in chains.
    table: Option<(String, &'static [&'static str])>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), String> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some(name) = line.strip_prefix('*') {
            return self.open(name);
        }
        let Some((name, built_in)) = self.table.clone() else {
            return Err(format!("`{line}` stands outside a table: write *filter before it"));
        };
        if line == "COMMIT" {
            self.table = None;
            return Ok(());
        }
        let table = self.tables.entry(name.clone()).or_default();
        match line.strip_prefix(':') {
            Some(chain) => declare(table, &name, built_in, number, chain),
            None => append(table, built_in, number, line),
        }
    }

    fn open(&mut self, name: &str) -> Result<(), String> {
        if let Some((open, _)) = &self.table {
            return Err(format!("the table {open} is not closed: write COMMIT before this line"));
        }
        let Some((_, built_in)) = BUILT_IN.iter().find(|(table, _)| *table == name) else {
            return Err(format!("no table `{name}`: there are filter, nat, mangle and raw"));
        };
        self.table = Some((name.to_owned(), built_in));
        Ok(())
    }
}

fn declare(table: &mut Table, name: &str, built_in: &[&str], line: usize, text: &str) -> Result<(), String> {
    let mut words = text.split_whitespace();
    let (chain, policy) = (words.next().unwrap_or(""), words.next().unwrap_or("-"));
    if built_in.contains(&chain) {
        // Packets of INPUT and FORWARD come to our own rules next; `nat` decides nothing.
        let decides = !(name == "nat" || name == "filter" && chain != "OUTPUT");
        return match policy {
            "ACCEPT" => Ok(()),
            "DROP" if !decides => Ok(()),
            // Behind all rules of the chain: see `append`.
            "DROP" => {
                table.hooks.insert(chain.to_owned());
                let rules = table.chains.entry(format!("{OWN_PREFIX}{chain}")).or_default();
                rules.push(Rule { line, text: "-j DROP".to_owned(), policy: true });
                Ok(())
            }
            other => Err(format!("`{other}` is no policy: it is ACCEPT or DROP")),
        };
    }
    let graphic = !chain.is_empty() && chain.bytes().all(|b| b.is_ascii_graphic());
    let fits = graphic && !chain.starts_with(['-', '!']) && !chain.contains(['"', '\\', '\'']);
    if !fits || chain.starts_with(CHAIN_PREFIX) {
        return Err(format!("`{chain}` is no name for a chain of yours; {CHAIN_PREFIX}* are netguard's"));
    }
    let ours = format!("{OWN_PREFIX}{chain}");
    if ours.len() > CHAIN_NAME_MAX {
        return Err(format!(
            "the chain name `{chain}` has more than {} bytes",
            CHAIN_NAME_MAX - OWN_PREFIX.len()
        ));
    }
    table.chains.entry(ours).or_default();
    Ok(())
}

fn append(table: &mut Table, built_in: &[&str], line: usize, text: &str) -> Result<(), String> {
    let counted = text.strip_prefix('[').and_then(|rest| Some(rest.split_once(']')?.1.trim_start()));
    let text = counted.unwrap_or(text);
    let rule = text.strip_prefix("-A ").or_else(|| text.strip_prefix("--append "));
    let Some(rule) = rule.map(str::trim_start) else {
        return Err(format!("`{text}` is not understood: rules are written as -A CHAIN …, in their order"));
    };
    let (chain, rest) = rule.split_once(char::is_whitespace).unwrap_or((rule, ""));
    let ours = format!("{OWN_PREFIX}{chain}");
    if built_in.contains(&chain) {
        table.hooks.insert(chain.to_owned());
    } else if !table.chains.contains_key(&ours) {
        return Err(format!("the chain {chain} is not declared: write :{chain} - [0:0] before its rules"));
    }
    let known = |target: &str| {
        let ours = format!("{OWN_PREFIX}{target}");
        // A built-in chain is no target; ACCEPT and its like are no chains.
        (!built_in.contains(&target) && table.chains.contains_key(&ours)).then_some(ours)
    };
    let text = renamed_rule(rest, known);
    let rules = table.chains.entry(ours).or_default();
    let end = rules.iter().take_while(|rule| !rule.policy).count();
    rules.insert(end, Rule { line, text, policy: false });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Family, Loaded, Policy, desired};

    const FILE: &str = "# my rules\n*filter\n:INPUT DROP [0:0]\n:OUTPUT DROP [12:3456]\n:knock - [0:0]\n\
        -A INPUT -p tcp --dport 2222 -j knock\n[3:4] -A knock -s 203.0.113.7 -j ACCEPT\n\
        -A OUTPUT -d 198.51.100.0/24 -j ACCEPT\nCOMMIT\n\n*nat\n-A PREROUTING -i ppp0 -p tcp --dport 81 \
        -j DNAT --to-destination 192.168.1.9:80\nCOMMIT\n";

    fn merged(text: &str) -> Ruleset {
        let own = OwnRules::parse(text).unwrap();
        let policy = Policy::standard("eth0".parse().unwrap());
        desired(&Policy { own: [(Family::V4, own)].into(), ..policy }, Family::V4)
    }

    #[test]
    fn a_person_s_rules_are_asked_first_and_keep_their_chains() {
        let rules = merged(FILE);
        let filter = &rules.tables["filter"];
        assert_eq!(filter.chains["FB-INPUT"][0], "-j FB-MY-INPUT");
        assert_eq!(filter.chains["FB-MY-INPUT"], ["-p tcp --dport 2222 -j FB-MY-knock"]);
        assert_eq!(filter.chains["FB-MY-knock"], ["-s 203.0.113.7/32 -j ACCEPT"]);
        assert_eq!(filter.chains["FB-MY-OUTPUT"], ["-d 198.51.100.0/24 -j ACCEPT", "-j DROP"]);
        assert!(filter.jumps.contains(&("OUTPUT".to_owned(), "FB-MY-OUTPUT".to_owned())));
        let nat = &rules.tables["nat"];
        assert!(nat.jumps.contains(&("PREROUTING".to_owned(), "FB-MY-PREROUTING".to_owned())));
        assert_eq!(nat.chains["FB-POSTROUTING"][0], "-o ppp+ -j MASQUERADE");
    }

    #[test]
    fn a_loaded_rule_leads_back_to_its_line() {
        let own = OwnRules::parse(FILE).unwrap();
        assert_eq!(own.line_of("-A FB-MY-knock -s 203.0.113.7/32 -j ACCEPT"), Some(7));
        assert_eq!(own.line_of("-A FB-INPUT -j DROP"), None);
    }

    #[test]
    fn a_broken_file_is_named_with_its_line() {
        for (text, want) in [
            (
                "-A INPUT -j DROP\n",
                "line 1: `-A INPUT -j DROP` stands outside a table: write *filter before it",
            ),
            (
                "*filter\n\n-I INPUT -j DROP\nCOMMIT\n",
                "line 3: `-I INPUT -j DROP` is not understood: rules are written as -A CHAIN …, in their order",
            ),
            ("*filter\n-A INPUT -j DROP\n", "line 2: the table filter is not closed: write COMMIT behind it"),
            ("*filter\n*nat\n", "line 2: the table filter is not closed: write COMMIT before this line"),
            ("*fliter\n", "line 1: no table `fliter`: there are filter, nat, mangle and raw"),
            (
                "*filter\n:FB-INPUT - [0:0]\n",
                "line 2: `FB-INPUT` is no name for a chain of yours; FB-* are netguard's",
            ),
            (
                "*filter\n-A knock -j DROP\n",
                "line 2: the chain knock is not declared: write :knock - [0:0] before its rules",
            ),
            (
                "*filter\n:a-name-that-is-too-long-x - [0:0]\n",
                "line 2: the chain name `a-name-that-is-too-long-x` has more than 22 bytes",
            ),
            ("*filter\n:INPUT REJECT [0:0]\n", "line 2: `REJECT` is no policy: it is ACCEPT or DROP"),
        ] {
            assert_eq!(OwnRules::parse(text).unwrap_err().to_string(), want);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_rules_or_an_error_with_a_line_of_it(
            text in "(\\*filter\n|:[a-zA-Z-]{0,9} (DROP|-) \\[0:0\\]\n|-A [A-Z]{1,9} .{0,30}\n|COMMIT\n|.{0,20}\n){0,12}"
        ) {
            match OwnRules::parse(&text) {
                Err(error) => proptest::prop_assert!(error.line <= text.lines().count()),
                Ok(own) => {
                    // What is loaded are chains of ours and nothing else.
                    let mut rules = Ruleset::default();
                    own.merge_into(&mut rules);
                    let input = crate::plan(&Ruleset::default(), &rules).unwrap_or_default();
                    let back = Loaded::parse(&input).unwrap();
                    proptest::prop_assert_eq!(back.foreign_rules, 0);
                }
            }
        }
    }
}
