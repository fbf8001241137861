//! `netguard check`: is everything as the configuration wants it? For cron, CI and people; changes nothing.

use super::{OK, Words, usage};
use crate::driver::{Firewall, Settings, family_name};
use crate::own_files::OwnFiles;
use crate::ports::Iptables;
use crate::sysctl::{ProcSys, files, respected};
use crate::{guard, lan_networks, on_link_networks};
use ruleset::{Family, Loaded, OWN_PREFIX, Policy, Ruleset, desired, differences};
use serde_json::{Value, json};
use std::io;
use sysio::{Root, clock};

/// Something differs.
const DRIFT: u8 = 1;
/// Something could not be looked at, and nothing else differs.
const UNKNOWN: u8 = 2;

pub(super) const HELP: &str = "\
whether packet filter and settings are as wanted; changes nothing.
The packet filter can be read by root only; with --root it is not looked at.
Exit: 0 as wanted, 1 something differs, 2 something could not be looked at,
64 wrong words, 66 the configuration cannot be read, 78 it is wrong";

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Same,
    Absent,
    Differs(Vec<String>),
    Unknown(String),
}

impl State {
    const fn id(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Absent => "absent",
            Self::Differs(_) => "differs",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// One thing that was looked at.
struct Item {
    /// `setting` or `firewall`.
    kind: &'static str,
    /// The key, or `ipv4`, `ipv6`.
    name: String,
    wanted: Option<String>,
    found: Option<String>,
    state: State,
}

pub(super) fn run(words: &Words) -> u8 {
    if !words.values.is_empty() {
        return usage("check takes no operands");
    }
    let root = words.root.clone().unwrap_or_else(Root::system);
    let mut policy = match words.policy(&root) {
        Ok(policy) => policy,
        Err(code) => return code,
    };
    if let (Some(metered), Ok(boot)) = (&mut policy.metered, snapshot::boot_id(&root)) {
        metered.guard = guard(&root, &boot, clock::now()).unwrap_or(metered.guard);
    }
    let policy = complete(&root, policy);
    let mut items = settings(&root, &policy);
    // The packet filter is the running kernel's, wherever files are looked for.
    if words.root.is_none() {
        items.extend(firewall(&mut Iptables::find(), &policy));
    }
    if words.json {
        println!("{}", told(&items));
    } else {
        print!("{}", text(&items));
    }
    verdict(&items)
}

/// With what only the running interfaces and a person's files know.
fn complete(root: &Root, mut policy: Policy) -> Policy {
    policy.management_networks.extend(on_link_networks(&policy.lan));
    policy.management_networks.sort_unstable();
    policy.management_networks.dedup();
    policy.lan_networks = lan_networks(&policy.lan);
    policy.own = OwnFiles::new(root).in_force();
    policy
}

fn verdict(items: &[Item]) -> u8 {
    let any = |wanted: fn(&State) -> bool| items.iter().any(|item| wanted(&item.state));
    if any(|state| matches!(state, State::Differs(_))) {
        DRIFT
    } else if any(|state| matches!(state, State::Unknown(_))) {
        UNKNOWN
    } else {
        OK
    }
}

fn settings(root: &Root, policy: &Policy) -> Vec<Item> {
    let proc_sys = ProcSys::new(root);
    let look = |sysctl: ruleset::Sysctl| {
        let read = proc_sys.read(&sysctl.path);
        let state = match &read {
            Ok(value) if *value == sysctl.value || respected(&sysctl, value) => State::Same,
            Ok(value) => State::Differs(vec![files::reason(root, &sysctl.path, value, sysctl.value)]),
            Err(e) if e.kind() == io::ErrorKind::NotFound => State::Absent,
            Err(e) => State::Unknown(format!("read {}: {e}", sysctl.path)),
        };
        let name = ruleset::sysctl::Key::parse(&sysctl.path).map_or(sysctl.path, |key| key.dotted());
        Item { kind: "setting", name, wanted: Some(sysctl.value.to_owned()), found: read.ok(), state }
    };
    let items: Vec<Item> = ruleset::sysctls(policy).into_iter().map(look).collect();
    // Without a single setting this is no /proc/sys of a kernel, and silence would be a lie.
    if items.iter().all(|item| item.state == State::Absent) {
        let why = format!("{}: no settings there; is /proc mounted?", root.path("/proc/sys").display());
        let state = State::Unknown(why);
        return vec![Item { kind: "setting", name: "all".to_owned(), wanted: None, found: None, state }];
    }
    items
}

fn firewall(firewall: &mut impl Firewall, policy: &Policy) -> Vec<Item> {
    let mut look = |family| {
        let state = match loaded(firewall, family) {
            Ok(is) => match differs(&is, &desired(policy, family)) {
                none if none.is_empty() => State::Same,
                list => State::Differs(list),
            },
            Err(why) => State::Unknown(why),
        };
        let name = family_name(family).to_lowercase();
        Item { kind: "firewall", name, wanted: None, found: None, state }
    };
    Family::BOTH.into_iter().map(&mut look).collect()
}

fn loaded(firewall: &mut impl Firewall, family: Family) -> Result<Ruleset, String> {
    let text = firewall.save(family).map_err(|e| {
        let root = nix::unistd::geteuid().is_root();
        format!("read the rules: {e}{}", if root { "" } else { "; run it as root" })
    })?;
    Ok(Loaded::parse(&text).map_err(|e| e.to_string())?.own)
}

/// What is not as wanted. Rules that a person wrote may be spelled otherwise than the kernel gives them
/// back, so of their chains only the existence counts.
fn differs(is: &Ruleset, wanted: &Ruleset) -> Vec<String> {
    let bare = |rules: &Ruleset| {
        let mut rules = rules.clone();
        for table in rules.tables.values_mut() {
            table
                .chains
                .iter_mut()
                .filter(|(name, _)| name.starts_with(OWN_PREFIX))
                .for_each(|(_, list)| list.clear());
        }
        rules
    };
    differences(&bare(is), &bare(wanted)).iter().map(ToString::to_string).collect()
}

fn told(items: &[Item]) -> Value {
    let item = |item: &Item| {
        let (words, error) = match &item.state {
            State::Differs(words) => (words.clone(), None),
            State::Unknown(why) => (Vec::new(), Some(why)),
            State::Same | State::Absent => (Vec::new(), None),
        };
        json!({"kind": item.kind, "name": item.name, "state": item.state.id(), "wanted": item.wanted,
               "found": item.found, "differences": words, "error": error})
    };
    let state = ["as-wanted", "differs", "unknown"][usize::from(verdict(items))];
    json!({"state": state, "items": items.iter().map(item).collect::<Vec<_>>()})
}

fn text(items: &[Item]) -> String {
    let line = |item: &Item| match &item.state {
        State::Differs(words) if item.kind == "setting" => {
            let value = |value: &Option<String>| value.clone().unwrap_or_default();
            format!(
                "{} is {}, should be {}: {}\n",
                item.name,
                value(&item.found),
                value(&item.wanted),
                words.join("; ")
            )
        }
        State::Differs(words) => {
            words.iter().flat_map(|word| ["packet filter, ", &item.name, ": ", word, "\n"]).collect()
        }
        State::Unknown(why) => format!("{} {}: not looked at: {why}\n", item.kind, item.name),
        State::Same | State::Absent => String::new(),
    };
    let count = |id| items.iter().filter(|item| item.state.id() == id).count();
    let sum = format!(
        "{} as wanted, {} not there, {} differ, {} not looked at\n",
        count("same"),
        count("absent"),
        count("differs"),
        count("unknown")
    );
    items.iter().map(line).chain([sum]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(state: State) -> Item {
        Item { kind: "firewall", name: "ipv4".to_owned(), wanted: None, found: None, state }
    }

    #[test]
    fn a_difference_weighs_more_than_what_could_not_be_seen() {
        let (same, absent) = (|| item(State::Same), || item(State::Absent));
        let unknown = || item(State::Unknown("no".to_owned()));
        let differs = || item(State::Differs(vec!["removed rule".to_owned()]));
        assert_eq!(verdict(&[same(), absent()]), OK);
        assert_eq!(verdict(&[same(), unknown()]), UNKNOWN);
        assert_eq!(verdict(&[unknown(), differs()]), DRIFT);
        assert_eq!(told(&[unknown(), differs()])["state"], "differs");
        assert!(text(&[differs()]).starts_with("packet filter, ipv4: removed rule\n0 as wanted"));
    }

    #[test]
    fn a_root_without_proc_is_not_called_right() {
        let dir = tempfile::tempdir().unwrap();
        let policy = Policy::standard("eth0".parse().unwrap());
        let items = settings(&Root::at(dir.path()), &policy);
        assert_eq!(verdict(&items), UNKNOWN);
    }
}
