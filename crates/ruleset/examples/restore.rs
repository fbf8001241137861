//! Prints the standard policy as `iptables-restore --noflush` input: `restore v4|v6`.
//! It is how the files in `testdata/` were made, and how one looks at the rules on a workstation.

use ruleset::{Family, Policy, Ruleset, desired, plan};

fn main() {
    let family = match std::env::args().nth(1).as_deref() {
        Some("v6") => Family::V6,
        _ => Family::V4,
    };
    let policy = "eth0".parse().map(Policy::standard);
    let input = policy.ok().and_then(|policy| plan(&Ruleset::default(), &desired(&policy, family)));
    print!("{}", input.unwrap_or_default());
}
