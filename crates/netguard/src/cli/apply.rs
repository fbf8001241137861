//! `netguard apply [--confirm SECONDS]`: new rules now, with a way back for who locked themselves out.
//!
//! What waits for the confirmation must outlive the session that may be cut off by these very rules:
//! the daemon does it where it runs, else a process that left the session.

use super::confirm::{self, CONFIRMED, PRIVATE, REQUESTS, Tried, WAITING};
use super::{OK, REFUSED, USAGE, Words, usage};
use crate::driver::{Driver, family_name};
use crate::filter::{APPLY, CANDIDATE, CONFIRM, TRIAL_SECONDS};
use crate::machine::{Finding, Findings};
use crate::own_files::OwnFiles;
use crate::{Iptables, ProcSys, lan_networks, on_link_networks, private};
use ruleset::{Family, Policy, Ruleset};
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use sysio::{Root, clock, file};

pub(super) const HELP: &str = "Loads the rules of a configuration, those of both families or none.\n\
    With --confirm the rules before come back after SECONDS (5 to 3600) unless `netguard confirm`\n\
    was said, from a new session: that shows that one can still get in. Exit: 0 loaded, 1 refused\n\
    (nothing is changed), 64 wrong words, 66 and 78 the configuration cannot be read or is wrong.";

/// How often a waiting process looks whether somebody confirmed.
const LOOK: Duration = Duration::from_millis(100);
/// The daemon's turn: eight commands with 15 s each at worst.
const DAEMON: Duration = Duration::from_secs(130);
/// Says to the same program that it is the one that waits.
const WAITS: &str = "NETGUARD_WAITS";

pub(super) fn run(words: &Words) -> u8 {
    let root = words.root.clone().unwrap_or_else(Root::system);
    if !words.values.is_empty() {
        return usage("apply takes no operands");
    }
    if words.confirm.is_some_and(|seconds| !TRIAL_SECONDS.contains(&seconds)) {
        eprintln!(
            "netguard: apply: --confirm takes {} to {} seconds",
            TRIAL_SECONDS.start(),
            TRIAL_SECONDS.end()
        );
        return USAGE;
    }
    let policy = match words.policy(&root) {
        Ok(policy) => policy,
        Err(code) => return code,
    };
    let result = match words.confirm {
        Some(seconds) if std::env::var_os(WAITS).is_some() => return wait(&root, policy, seconds),
        _ if confirm::daemon(&root).is_some() => by_daemon(&root, words),
        Some(seconds) => by_child(seconds),
        None => at_once(&root, policy).map(|loaded| loaded.told),
    };
    match result {
        Ok(told) => {
            println!("{told}");
            OK
        }
        Err(why) => {
            eprintln!("netguard: apply: {why}");
            REFUSED
        }
    }
}

/// Rules that are loaded, and what was before.
struct Loaded {
    told: String,
    driver: Driver<Iptables, ProcSys>,
    before: BTreeMap<Family, Ruleset>,
}

/// Everything is loaded, or what was there before is there again.
fn at_once(root: &Root, mut policy: Policy) -> Result<Loaded, String> {
    policy.management_networks.extend(on_link_networks(&policy.lan));
    policy.management_networks.sort_unstable();
    policy.management_networks.dedup();
    policy.lan_networks = lan_networks(&policy.lan);
    let mut files = OwnFiles::new(root);
    let candidates = files.changed(clock::now());
    for candidate in &candidates {
        policy.own.extend(candidate.rules.clone().map(|rules| (candidate.family, rules)));
    }
    if let [problem, ..] = files.problems()[..] {
        return Err(problem.to_owned());
    }
    let mut driver = Driver::new(Iptables::find(), ProcSys::new(root));
    let mut before = BTreeMap::new();
    for family in Family::BOTH {
        before.insert(family, driver.loaded_now(family)?);
    }
    let findings = driver.check(&policy);
    let failures: Vec<String> = failures(&findings).collect();
    if failures.is_empty() {
        for candidate in &candidates {
            files.accept(candidate);
        }
        let count = |family| findings.firewall.get(&family).map_or(0, |(_, rules)| *rules);
        let told = format!("loaded: {} rules for IPv4, {} for IPv6", count(Family::V4), count(Family::V6));
        return Ok(Loaded { told, driver, before });
    }
    let mut why = failures.join("; ");
    for (family, rules) in &before {
        if let Err(error) = driver.bring_back(*family, rules) {
            let more = format!("; bring back the {} rules: {error}", family_name(*family));
            why.push_str(&more);
        }
    }
    Err(why)
}

fn failures(findings: &Findings) -> impl Iterator<Item = String> {
    findings.firewall.iter().filter_map(|(family, (finding, _))| match finding {
        Finding::Failed(why) => Some(format!("{}: {why}", family_name(*family))),
        _ => None,
    })
}

/// Asks the daemon: it would take other rules for somebody's damage.
fn by_daemon(root: &Root, words: &Words) -> Result<String, String> {
    let slice = root.path(config::SLICE_DIR).join("netguard.toml");
    let named = words.config.as_ref().map_or(slice, std::path::PathBuf::from);
    let text = fs::read(&named).map_err(|e| format!("read {}: {e}", named.display()))?;
    let asked = |error| format!("ask the daemon: {error}; only root may");
    private::make(root)
        .and_then(|()| file::write_atomic(&private::path(root, CANDIDATE), &text, PRIVATE))
        .map_err(asked)?;
    let id = std::process::id().to_string();
    let seconds = words.confirm.unwrap_or(*TRIAL_SECONDS.end());
    let request = root.path(REQUESTS).join(APPLY);
    file::write_atomic(&request, format!("{id} {seconds}").as_bytes(), PRIVATE).map_err(asked)?;
    let end = Instant::now() + DAEMON;
    loop {
        match confirm::daemon(root) {
            Some(Tried { id: of, state, why }) if of == id && state == "refused" => {
                return Err(format!("{why}; nothing is changed"));
            }
            Some(tried) if tried.id == id => break,
            _ if Instant::now() >= end => {
                let _ = fs::remove_file(&request);
                return Err(format!(
                    "no answer from the daemon in {} s; see journalctl -u netguard",
                    DAEMON.as_secs()
                ));
            }
            _ => sleep(LOOK),
        }
    }
    if words.confirm.is_some() {
        return Ok(confirm_within(seconds));
    }
    file::write_atomic(&root.path(REQUESTS).join(CONFIRM), b"", PRIVATE).map_err(asked)?;
    Ok("loaded; the next start of netguard reads its own configuration again".to_owned())
}

fn confirm_within(seconds: u64) -> String {
    format!(
        "loaded for {seconds} s; open a new session, say `netguard confirm`, or the rules before come back by themselves"
    )
}

/// Starts the process that waits, and tells what it told.
fn by_child(seconds: u64) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|e| format!("find this program: {e}"))?;
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(WAITS, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("start the process that waits: {e}"))?;
    let mut line = String::new();
    let out = child.stdout.take().ok_or("the process that waits says nothing")?;
    BufReader::new(out).read_line(&mut line).map_err(|e| format!("hear the process that waits: {e}"))?;
    match (line.trim(), line.trim().strip_prefix("failed ")) {
        ("ok", _) => Ok(confirm_within(seconds)),
        (_, Some(why)) => Err(format!("{why}; nothing is changed")),
        _ => Err("the process that waits ended; nothing is known: see iptables-save".to_owned()),
    }
}

/// The process that waits. Nobody may be there any more to hear it, so what it prints may be lost.
fn wait(root: &Root, policy: Policy, seconds: u64) -> u8 {
    // Out of the session: the terminal takes nobody along who is not in it (setsid(2)).
    let left = nix::unistd::setsid().map_err(|e| format!("leave the session: {e}"));
    let begun = left.and_then(|_| begin(root, policy, seconds));
    let Loaded { mut driver, before, .. } = match begun {
        Ok(begun) => begun,
        Err(why) => {
            let _ = writeln!(std::io::stdout(), "failed {}", why.replace('\n', " "));
            return REFUSED;
        }
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let _ = writeln!(std::io::stdout(), "ok");
    let _ = std::io::stdout().flush();
    let confirmed = loop {
        if private::path(root, CONFIRMED).exists() {
            break true;
        }
        if Instant::now() >= end {
            break false;
        }
        sleep(LOOK);
    };
    // From here on it is too late to confirm.
    let _ = fs::remove_file(private::path(root, WAITING));
    let mut code = OK;
    for (family, rules) in before.iter().filter(|_| !confirmed) {
        if driver.bring_back(*family, rules).is_err() {
            code = REFUSED;
        }
    }
    let _ = fs::remove_file(private::path(root, CONFIRMED));
    code
}

fn begin(root: &Root, policy: Policy, seconds: u64) -> Result<Loaded, String> {
    let waiting = private::path(root, WAITING);
    private::make(root).map_err(|e| format!("make the folder of {}: {e}", waiting.display()))?;
    let _ = fs::remove_file(private::path(root, CONFIRMED));
    // Before the rules: who is let in by them finds something to confirm.
    file::write_atomic(&waiting, format!("{seconds}\n").as_bytes(), PRIVATE)
        .map_err(|e| format!("write {}: {e}", waiting.display()))?;
    at_once(root, policy).inspect_err(|_| {
        let _ = fs::remove_file(&waiting);
    })
}
