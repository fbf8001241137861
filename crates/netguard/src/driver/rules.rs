//! The packet filter of both families: read, plan, check, load; all of it or none.

use super::{Driver, Firewall};
use crate::machine::{Finding, Findings};
use ruleset::{Family, Loaded, OWN_PREFIX, Policies, Policy, Ruleset, desired, differences, plan};
use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;

/// So many of our own changes are remembered, to tell them from those of others: an event is read
/// within a turn of the loop, and a turn makes at most four.
const OWN_CHANGES: usize = 16;

/// A person's chains by table and name.
type OwnChains = BTreeMap<(String, String), Vec<String>>;

/// What is known about the rules of both families.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// What was in place, and at which generation.
    in_place: BTreeMap<Family, (u32, Ruleset)>,
    /// The policy and the generation at which all was as it should be, and how many rules that are: a
    /// look that finds both unchanged does not even make the rules it would compare.
    quiet: Option<(Policy, u32, BTreeMap<Family, usize>)>,
    /// What was complete once: only what differs from that is somebody's doing.
    settled: BTreeMap<Family, Ruleset>,
    /// Policies of built-in chains, as they were found first.
    policies: BTreeMap<Family, Policies>,
    /// A person's rules: what was loaded, and how `iptables-save` prints it.
    learned: BTreeMap<Family, (OwnChains, OwnChains)>,
    /// Generations that are our own doing.
    own: VecDeque<RangeInclusive<u32>>,
    /// At which generation our chains were written anew because something could not be read.
    rewritten: BTreeMap<Family, u32>,
    /// The input that was refused last.
    refused: BTreeMap<Family, String>,
}

/// What is to be loaded in one family.
struct Step {
    family: Family,
    want: Ruleset,
    /// What is loaded, and what should be; policies of built-in chains included.
    before: Ruleset,
    after: Ruleset,
    input: Option<String>,
    /// Whether this very set was complete before, so that a difference is somebody's doing.
    drift: bool,
    /// A rule that cannot be read was found among ours, and is gone.
    unreadable: bool,
}

/// Why there is nothing to load.
struct Failure {
    why: String,
    /// Whether rules of ours are loaded all the same.
    complete: bool,
}

impl<F: Firewall, S> Driver<F, S> {
    /// Looks at the packet filter and puts right what differs.
    pub(crate) fn look_at_firewall(&mut self, policy: &Policy) -> Findings {
        // Asked before the rules are read: a change in between is seen now or has a new number next time.
        let generation = self.firewall.generation();
        let mut findings = match &self.rules.quiet {
            Some((of, at, counts)) if of == policy && Some(*at) == generation => Findings {
                firewall: counts.iter().map(|(family, rules)| (*family, (Finding::Same, *rules))).collect(),
                ..Findings::default()
            },
            _ => self.compare(policy, generation),
        };
        for family in Family::BOTH {
            self.look_beside(family, &mut findings);
        }
        findings
    }

    fn compare(&mut self, policy: &Policy, generation: Option<u32>) -> Findings {
        let mut findings = Findings::default();
        let mut open = Vec::new();
        for family in Family::BOTH {
            let want = self.wanted(policy, family);
            findings.firewall.insert(family, (Finding::Same, want.rules()));
            let known = self.rules.in_place.get(&family);
            if known.is_none_or(|(at, rules)| Some(*at) != generation || *rules != want) {
                open.push((family, want));
            }
        }
        let wanted = open.clone();
        let results = self.settle(open, &mut findings.changes);
        for (family, want) in wanted {
            let finding = results.get(&family).cloned().unwrap_or(Finding::Same);
            match (&finding, generation) {
                (Finding::Same, Some(at)) => self.rules.in_place.insert(family, (at, want)),
                _ => self.rules.in_place.remove(&family),
            };
            if let Some(entry) = findings.firewall.get_mut(&family) {
                entry.0 = finding;
            }
        }
        let quiet = findings.firewall.values().all(|(finding, _)| *finding == Finding::Same);
        self.rules.quiet = generation.filter(|_| quiet).map(|at| {
            let counts = findings.firewall.iter().map(|(family, (_, rules))| (*family, *rules)).collect();
            (policy.clone(), at, counts)
        });
        findings
    }

    /// Whether a generation is our own doing.
    pub fn is_own(&self, generation: u32) -> bool {
        self.rules.own.iter().any(|range| range.contains(&generation))
    }

    /// The input that was refused in a family at the last try.
    pub(crate) fn refused(&self, family: Family) -> Option<&str> {
        self.rules.refused.get(&family).map(String::as_str)
    }

    /// The rules as they are loaded now, ours alone.
    pub(crate) fn loaded_now(&mut self, family: Family) -> Result<Ruleset, String> {
        Ok(self.loaded(family)?.own)
    }

    /// Makes a family what it was before.
    pub(crate) fn bring_back(&mut self, family: Family, before: &Ruleset) -> Result<(), String> {
        let now = self.loaded(family)?.own;
        match plan(&now, before) {
            Some(input) => self.load(family, &input),
            None => Ok(()),
        }
    }

    /// What a policy wants, with a person's rules spelled as the kernel gave them back.
    fn wanted(&self, policy: &Policy, family: Family) -> Ruleset {
        let mut want = desired(policy, family);
        if let Some((asked, printed)) = self.rules.learned.get(&family)
            && own_chains(&want) == *asked
        {
            set_own_chains(&mut want, printed);
        }
        want
    }

    fn settle(
        &mut self,
        open: Vec<(Family, Ruleset)>,
        changes: &mut Vec<String>,
    ) -> BTreeMap<Family, Finding> {
        let mut results = BTreeMap::new();
        let mut steps = Vec::new();
        let mut broken = None;
        for (family, want) in open {
            match self.prepare(family, want) {
                Ok(step) => steps.push(step),
                Err(failure) => {
                    if failure.complete {
                        broken = Some(family);
                    }
                    results.insert(family, Finding::Failed(failure.why));
                }
            }
        }
        let mut loaded: Vec<Step> = Vec::new();
        for mut step in steps {
            let family = step.family;
            let complete = step.before.tables.contains_key("filter");
            // A repair waits for nobody; what is new comes for both families or not at all. At boot
            // nothing is complete: half of our rules deny by default, none would leave every door open.
            if let Some(other) = broken
                && !step.drift
                && complete
                && step.input.is_some()
            {
                results.insert(family, Finding::Failed(held(other)));
                continue;
            }
            match self.apply(&mut step) {
                Ok(finding) => {
                    if step.unreadable && step.drift {
                        changes
                            .push(format!("added a rule that iptables has no words for, {}", name(family)));
                    }
                    if step.drift && finding == Finding::Changed {
                        let done = differences(&step.before, &step.after);
                        changes.extend(done.iter().map(|what| format!("{what}, {}", name(family))));
                    }
                    results.insert(family, finding);
                    loaded.push(step);
                }
                Err(why) => {
                    results.insert(family, Finding::Failed(why));
                    if complete {
                        broken = Some(family);
                        self.take_back(&loaded, family, &mut results);
                    }
                }
            }
        }
        results
    }

    /// Another family was refused: what was new in those before goes again.
    fn take_back(&mut self, loaded: &[Step], refused: Family, results: &mut BTreeMap<Family, Finding>) {
        for step in loaded.iter().filter(|step| !step.drift && step.input.is_some()) {
            if !step.before.tables.contains_key("filter") {
                continue;
            }
            let told = self.roll_back(step.family, &step.before);
            self.rules.settled.remove(&step.family);
            results.insert(step.family, Finding::Failed(format!("{}{told}", held(refused))));
        }
    }

    fn prepare(&mut self, family: Family, want: Ruleset) -> Result<Step, Failure> {
        let settled = self.rules.settled.get(&family);
        let drift = settled == Some(&want);
        let complete = settled.is_some();
        let (loaded, unreadable) = self.readable(family, &want).map_err(|why| Failure { why, complete })?;
        let policies = self.kept_policies(family, &loaded.policies, &want);
        let complete = complete || loaded.own.tables.contains_key("filter");
        let (mut before, mut after) = (loaded.own, want.clone());
        let known = loaded.policies.into_iter().filter(|(chain, _)| policies.contains_key(chain)).collect();
        before.set_policies(&known);
        after.set_policies(&policies);
        let input = plan(&before, &after);
        if let Some(input) = &input
            && let Err(error) = self.firewall.restore(family, input, true)
        {
            self.rules.refused.insert(family, input.clone());
            return Err(Failure { why: explained("check the rules", &error), complete });
        }
        Ok(Step { family, want, before, after, input, drift, unreadable })
    }

    /// What is loaded, and whether a rule that iptables has no words for stood in a chain of ours: nothing
    /// can be listed then. So our chains are written anew, once for each change; if that does not help,
    /// the rule is in somebody else's chain and is not ours to remove.
    fn readable(&mut self, family: Family, want: &Ruleset) -> Result<(Loaded, bool), String> {
        let loaded = self.loaded(family)?;
        if !loaded.unreadable {
            return Ok((loaded, false));
        }
        let known = self.rules.rewritten.get(&family).copied();
        if known.is_none() || known != self.firewall.generation() {
            let mut dirty = want.clone();
            for rules in dirty.tables.values_mut().flat_map(|table| table.chains.values_mut()) {
                rules.push("?".to_owned());
            }
            if let Some(input) = plan(&dirty, want) {
                self.load(family, &input)?;
            }
            if let Some(generation) = self.firewall.generation() {
                self.rules.rewritten.insert(family, generation);
            }
            let again = self.loaded(family)?;
            if !again.unreadable {
                return Ok((again, true));
            }
        }
        Err(UNREADABLE.to_owned())
    }

    /// The policies that are to be kept, those seen for the first time among them.
    ///
    /// A packet of INPUT and FORWARD is decided by our own last rule; a stricter policy there is
    /// somebody's second lock, such as Docker's, and is taken over.
    fn kept_policies(&mut self, family: Family, found: &Policies, want: &Ruleset) -> Policies {
        let kept = self.rules.policies.entry(family).or_default();
        for ((table, chain), policy) in found.iter().filter(|((table, _), _)| want.tables.contains_key(table))
        {
            let stricter =
                table == "filter" && ["INPUT", "FORWARD"].contains(&chain.as_str()) && policy == "DROP";
            let key = (table.clone(), chain.clone());
            if stricter || !kept.contains_key(&key) {
                kept.insert(key, policy.clone());
            }
        }
        kept.iter()
            .filter(|((table, _), _)| want.tables.contains_key(table))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    }

    fn apply(&mut self, step: &mut Step) -> Result<Finding, String> {
        let family = step.family;
        if let Some(input) = &step.input {
            if let Err(error) = self.load(family, input) {
                self.rules.refused.insert(family, input.clone());
                return Err(format!("{error}{}", self.roll_back(family, &step.before)));
            }
            self.learn(step);
        }
        self.rules.refused.remove(&family);
        self.rules.settled.insert(family, step.want.clone());
        Ok(if step.input.is_some() { Finding::Changed } else { Finding::Same })
    }

    fn load(&mut self, family: Family, input: &str) -> Result<(), String> {
        let before = self.firewall.generation();
        let result = self.firewall.restore(family, input, false).map_err(|e| explained("load the rules", &e));
        if let (Some(before), Some(after)) = (before, self.firewall.generation()) {
            self.rules.own.push_back(before.wrapping_add(1)..=after);
            while self.rules.own.len() > OWN_CHANGES {
                self.rules.own.pop_front();
            }
        }
        result
    }

    /// A person writes `--dport ssh` and the kernel gives back 22: what was just loaded is read back,
    /// so that the next look compares like with like.
    fn learn(&mut self, step: &mut Step) {
        let asked = own_chains(&step.want);
        let known = self.rules.learned.get(&step.family).is_some_and(|(a, p)| asked == *a || asked == *p);
        if asked.is_empty() || known {
            return;
        }
        // What cannot be read now is found to differ at the next look, and loaded again.
        if let Ok(loaded) = self.loaded(step.family) {
            let printed = own_chains(&loaded.own);
            set_own_chains(&mut step.want, &printed);
            self.rules.learned.insert(step.family, (asked, printed));
        }
    }

    /// Each table is a transaction of its own, so a failure may leave one table new and another old.
    /// What was complete before is brought back. What was empty before is not: half of our rules
    /// still deny by default, none would leave every door open.
    fn roll_back(&mut self, family: Family, before: &Ruleset) -> String {
        if !before.tables.contains_key("filter") {
            return String::new();
        }
        match self.bring_back(family, before) {
            Ok(()) => "; rolled back".to_owned(),
            Err(error) => format!("; roll back: {error}"),
        }
    }

    fn loaded(&mut self, family: Family) -> Result<Loaded, String> {
        let text = self.firewall.save(family).map_err(|e| explained("read the rules", &e))?;
        Loaded::parse(&text).map_err(|e| e.to_string())
    }

    /// What the other back end holds: chains of ours are taken away there, rules of others are told.
    fn look_beside(&mut self, family: Family, findings: &mut Findings) {
        let told = match self.firewall.save_other(family) {
            Ok(None) => return,
            Ok(Some(text)) => match Loaded::parse(&text) {
                Ok(loaded) => loaded,
                Err(error) => return findings.beside.push(format!("{}: {error}", name(family))),
            },
            Err(error) => return findings.beside.push(format!("{}: cannot be read: {error}", name(family))),
        };
        if let Some(input) = plan(&told.own, &Ruleset::default()) {
            let done = differences(&told.own, &Ruleset::default());
            match self.firewall.restore_other(family, &input) {
                Ok(()) => {
                    let words = done.iter().map(|what| format!("{what}, {}, legacy tables", name(family)));
                    findings.changes.extend(words);
                }
                Err(error) => findings.beside.push(format!("{}: {error}", name(family))),
            }
        }
        let mut words = Vec::new();
        if told.foreign_rules > 0 {
            words.push(format!("{} rules", told.foreign_rules));
        }
        let closed = told.policies.iter().filter(|(_, policy)| *policy == "DROP");
        words.extend(closed.map(|((table, chain), _)| format!("policy DROP of {chain} in {table}")));
        if !words.is_empty() {
            findings.beside.push(format!("{}: {}", name(family), words.join(", ")));
        }
    }
}

const UNREADABLE: &str = "read the rules: another program's chain has a rule that iptables cannot read; our chains were \
     written anew, but whether they are asked cannot be seen. `nft list ruleset` shows the rule; move it to a table of its own";

/// A family as people call it.
pub(crate) fn name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

fn held(refused: Family) -> String {
    format!("kept as it was: the {} rules were refused, and both families change together", name(refused))
}

/// An error with what to do about it, where it is one of the known.
fn explained(action: &str, error: &impl std::error::Error) -> String {
    let error = error.to_string();
    let cures = [
        ("No such file", "install iptables"),
        ("entity not found", "install iptables"),
        ("Permission denied", "run it as root, or with the capability CAP_NET_ADMIN"),
        ("Operation not permitted", "run it as root, or with the capability CAP_NET_ADMIN"),
    ];
    let cure = cures.iter().find(|(sign, _)| error.contains(sign) && !error.contains("RULE_APPEND"));
    match cure {
        Some((_, cure)) => format!("{action}: {error}; {cure}"),
        None => format!("{action}: {error}"),
    }
}

fn own_chains(rules: &Ruleset) -> OwnChains {
    let tables = rules.tables.iter();
    let chains = tables.flat_map(|(name, table)| table.chains.iter().map(move |(c, rules)| (name, c, rules)));
    let own = chains.filter(|(_, chain, _)| chain.starts_with(OWN_PREFIX));
    own.map(|(table, chain, rules)| ((table.clone(), chain.clone()), rules.clone())).collect()
}

fn set_own_chains(rules: &mut Ruleset, chains: &OwnChains) {
    for ((table, chain), list) in chains {
        if let Some(table) = rules.tables.get_mut(table) {
            table.chains.insert(chain.clone(), list.clone());
        }
    }
}
