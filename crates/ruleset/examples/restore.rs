//! Prints a policy as `iptables-restore --noflush` input: `restore v4|v6 [full]`.
//! It is how the files in `testdata/` were made, and how one looks at the rules on a workstation.

#[path = "../testdata/full.rs"]
mod full;

use ruleset::{Family, Policy, Ruleset, desired, plan};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |wanted: &str| words.iter().any(|word| word == wanted);
    let family = if has("v6") { Family::V6 } else { Family::V4 };
    let policy = if has("full") { Ok(full::policy()) } else { "eth0".parse().map(Policy::standard) };
    let input = policy.ok().and_then(|policy| plan(&Ruleset::default(), &desired(&policy, family)));
    print!("{}", input.unwrap_or_default());
}
