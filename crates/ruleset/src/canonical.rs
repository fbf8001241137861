//! One spelling for a rule, so that what was written and what `iptables-save` prints compare equal.
//!
//! `iptables-save` adds `-m tcp`, turns names into numbers, completes prefixes, reorders state
//! lists and puts `-s` before `-i` (seen with 1.8.9 and 1.8.11; see `testdata/`).

use crate::Network;

/// Options before the first `-m`, in the order in which `iptables-save` prints them.
const BASIC: [&str; 6] = ["-s", "-d", "-i", "-o", "-p", "-f"];

/// Long and alternative spellings, from iptables(8).
const ALIASES: [(&str, &str); 14] = [
    ("--source", "-s"),
    ("--src", "-s"),
    ("--destination", "-d"),
    ("--dst", "-d"),
    ("--in-interface", "-i"),
    ("--out-interface", "-o"),
    ("--protocol", "-p"),
    ("--proto", "-p"),
    ("--match", "-m"),
    ("--jump", "-j"),
    ("--goto", "-g"),
    ("--destination-port", "--dport"),
    ("--source-port", "--sport"),
    ("--icmp6-type", "--icmpv6-type"),
];

/// Names `iptables-save` prints as numbers, from the ICMP registries of IANA.
const ICMP_TYPES: [(&str, &str, &str); 13] = [
    ("--icmp-type", "echo-reply", "0"),
    ("--icmp-type", "destination-unreachable", "3"),
    ("--icmp-type", "echo-request", "8"),
    ("--icmp-type", "time-exceeded", "11"),
    ("--icmp-type", "parameter-problem", "12"),
    ("--icmpv6-type", "destination-unreachable", "1"),
    ("--icmpv6-type", "packet-too-big", "2"),
    ("--icmpv6-type", "time-exceeded", "3"),
    ("--icmpv6-type", "parameter-problem", "4"),
    ("--icmpv6-type", "echo-request", "128"),
    ("--icmpv6-type", "echo-reply", "129"),
    ("--icmpv6-type", "neighbour-solicitation", "135"),
    ("--icmpv6-type", "neighbour-advertisement", "136"),
];

/// One option with its arguments: `! -i lo`, `--dport 22`, `-j REJECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    negated: bool,
    option: String,
    values: Vec<String>,
}

/// The canonical spelling of a rule without its `-A CHAIN` and without counters.
pub fn canonical_rule(rule: &str) -> String {
    renamed_rule(rule, |_| None)
}

/// The same, with other names for the chains it jumps to.
pub(crate) fn renamed_rule(rule: &str, name: impl Fn(&str) -> Option<String>) -> String {
    let mut parts = parts(&tokens(rule));
    for target in parts.iter_mut().filter(|part| ["-j", "-g"].contains(&part.option.as_str())) {
        if let Some(first) = target.values.first_mut()
            && let Some(new) = name(first)
        {
            *first = new;
        }
    }
    for part in &mut parts {
        canonical_values(part);
    }
    drop_implied_matches(&mut parts);
    let basic = |part: &Part| BASIC.iter().position(|b| *b == part.option);
    // Stable: what is not basic keeps its order behind what is.
    parts.sort_by_key(|part| basic(part).unwrap_or(BASIC.len()));
    let mut words = Vec::new();
    for part in &parts {
        if part.negated {
            words.push("!".to_owned());
        }
        words.push(quoted(&part.option));
        words.extend(part.values.iter().map(|v| quoted(v)));
    }
    words.join(" ")
}

/// Words of a rule; a word in double quotes may hold spaces, a backslash takes the next character as it is.
fn tokens(rule: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut characters = rule.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' => word.get_or_insert_default().extend(characters.next()),
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn quoted(word: &str) -> String {
    if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c == '"' || c == '\\') {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        word.to_owned()
    }
}

fn parts(tokens: &[String]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut negated = false;
    for token in tokens {
        if token == "!" {
            negated = true;
        } else if token.len() > 1
            && token.starts_with('-')
            && !token[1..].starts_with(|c: char| c.is_ascii_digit())
        {
            let option =
                ALIASES.iter().find(|(long, _)| long == token).map_or(token.as_str(), |(_, short)| short);
            parts.push(Part {
                negated: std::mem::take(&mut negated),
                option: option.to_owned(),
                values: Vec::new(),
            });
        } else if let Some(part) = parts.last_mut() {
            // `-s ! 10.0.0.1`: the old place of the negation.
            part.negated |= std::mem::take(&mut negated);
            part.values.push(token.clone());
        }
    }
    parts
}

fn canonical_values(part: &mut Part) {
    let Some(value) = part.values.first_mut() else { return };
    match part.option.as_str() {
        "-s" | "-d" => {
            if let Ok(network) = value.parse::<Network>() {
                *value = network.to_string();
            }
        }
        "-p" | "-m" if ["ipv6-icmp", "icmpv6", "icmp6"].contains(&value.as_str()) => {
            "ipv6-icmp".clone_into(value);
        }
        // Lower case since 1.8.8, upper case before (`xtables_print_mac`).
        "--mac-source" => value.make_ascii_lowercase(),
        "--ctstate" | "--state" => {
            let mut states: Vec<_> = value.split(',').collect();
            states.sort_unstable();
            *value = states.join(",");
        }
        option => {
            if let Some((.., number)) = ICMP_TYPES.iter().find(|(o, name, _)| *o == option && name == value) {
                (*number).clone_into(value);
            }
        }
    }
}

/// `-m tcp` says nothing that `-p tcp` did not say.
fn drop_implied_matches(parts: &mut Vec<Part>) {
    let protocol = parts.iter().find(|p| p.option == "-p").and_then(|p| p.values.first().cloned());
    parts.retain(|p| p.option != "-m" || p.values.first() != protocol.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_rule_become_one() {
        let same = [
            "-p tcp --dport 22 -s 10.0.0.1 -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT",
            "-s 10.0.0.1/32 -p tcp -m tcp --dport 22 -m conntrack --ctstate ESTABLISHED,NEW -j ACCEPT",
            "--protocol tcp --destination-port 22 --source 10.0.0.1 -m conntrack --ctstate NEW,ESTABLISHED --jump ACCEPT",
        ];
        for rule in same {
            assert_eq!(
                canonical_rule(rule),
                "-s 10.0.0.1/32 -p tcp --dport 22 -m conntrack --ctstate ESTABLISHED,NEW -j ACCEPT"
            );
        }
    }

    #[test]
    fn different_rules_stay_different() {
        let rules =
            ["-i lo -j ACCEPT", "! -i lo -j ACCEPT", "-i lo -j DROP", "-o lo -j ACCEPT", "-i lo -g ACCEPT"];
        for (i, a) in rules.iter().enumerate() {
            for b in &rules[i + 1..] {
                assert_ne!(canonical_rule(a), canonical_rule(b));
            }
        }
    }

    #[test]
    fn a_comment_keeps_its_spaces_and_quotes() {
        let rule = r#"-m comment --comment "my \"own\" rule" -j ACCEPT"#;
        assert_eq!(canonical_rule(rule), rule);
    }

    #[test]
    fn icmp_names_become_numbers_by_family() {
        assert_eq!(canonical_rule("-p icmp --icmp-type echo-request"), "-p icmp --icmp-type 8");
        assert_eq!(
            canonical_rule("-p icmpv6 -m icmp6 --icmpv6-type echo-request"),
            "-p ipv6-icmp --icmpv6-type 128"
        );
    }

    proptest::proptest! {
        #[test]
        fn canonical_form_is_a_fixed_point(rule in r#"(-{0,2}[a-z]{1,4}|!|"|\\|[0-9.]{1,9}| ){0,12}"#) {
            let once = canonical_rule(&rule);
            proptest::prop_assert_eq!(canonical_rule(&once), once);
        }
    }
}
