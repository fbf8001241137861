//! What the packet filter and the kernel's network settings should be, and how far what is loaded
//! is from it.
//!
//! Nothing here runs a command or reads a file: `netguard` does, and hands the text in. That keeps
//! the rules testable to the byte and lets a test load them into a real kernel.

mod canonical;
mod desired;
mod difference;
mod loaded;
mod marking;
pub mod marks;
mod metered;
mod names;
mod open;
mod own;
mod policy;
pub mod sysctl;
mod sysctls;

pub use canonical::canonical_rule;
pub use desired::desired;
pub use difference::{Difference, differences};
pub use loaded::{Loaded, ParseError, Policies, UNREADABLE, plan};
pub use metered::{Device, Guard, Mac, Metered};
pub use names::{InterfacePattern, NameError, Network};
pub use own::{OWN_PREFIX, OwnError, OwnRules};
pub use policy::{Family, OpenPort, Policy, Transport};
pub use sysctls::{Sysctl, Unless, sysctls};

use std::collections::BTreeMap;

/// Our chains begin with this; every other chain and rule belongs to somebody else and stays.
pub const CHAIN_PREFIX: &str = "FB-";

/// The part of one family's packet filter that is ours.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// By table name (`filter`, `mangle`, `nat`). A table without anything of ours is not listed.
    pub tables: BTreeMap<String, OwnTable>,
}

impl Ruleset {
    /// How many rules there are, jumps from built-in chains included.
    pub fn rules(&self) -> usize {
        self.tables.values().map(|t| t.chains.values().map(Vec::len).sum::<usize>() + t.jumps.len()).sum()
    }

    /// Notes the policies of built-in chains, so that a plan sets them and a difference names them.
    pub fn set_policies(&mut self, policies: &Policies) {
        for ((table, chain), policy) in policies {
            let table = self.tables.entry(table.clone()).or_default();
            table.policies.insert(chain.clone(), policy.clone());
        }
    }
}

/// Our chains in one table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OwnTable {
    /// Rules by chain, in order, each in canonical form and without its `-A CHAIN`.
    pub chains: BTreeMap<String, Vec<String>>,
    /// `(built-in chain, our chain)`, sorted. One listed twice is there twice.
    pub jumps: Vec<(String, String)>,
    /// Policies of built-in chains that are to be kept: `OUTPUT` to `ACCEPT`. Empty: nobody cares.
    pub policies: BTreeMap<String, String>,
}
