//! `nic-health neigh|drivers|restore`, in plain words and with exit codes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lexopt::Arg;
use netlink::{Connection, Neighbour};
use serde_json::{Value, json};
use sysio::{Root, clock, file};

use crate::drivers::{Applies, Driven, Host, Known};
use crate::hands::{self, Hands};
use crate::status::ENTRIES_FILE;

const OK: u8 = 0;
/// Something is wrong with what was asked about.
const TROUBLE: u8 = 1;
const USAGE: u8 = 64;
const UNAVAILABLE: u8 = 69;

/// A card whose driver was bound anew is there within seconds; USB takes longest.
const RESTORE: Duration = Duration::from_secs(10);
const RESTORE_STEP: Duration = Duration::from_millis(200);
/// The file of the daemon's is some hundred kilobytes at most.
const LARGEST: u64 = 1024 * 1024;

const HELP: &str = "\
usage: nic-health                       the daemon: [--config FILE] [--root DIR]
       nic-health neigh [--json]        neighbour entries: age, states they had, verdict
       nic-health drivers [--json] [--data DIR]
                                        drivers of the cards, and what is known against them
       nic-health restore               switch on what a killed daemon left off

Ages, states and verdicts come from the running daemon; without one, the kernel's entries alone.
Exit: 0 nothing wrong, 1 a wrong entry or an affected driver, 64 wrong words, 69 not to be had.
";

/// Whether the words are for the command and not for the daemon.
pub fn is_command(words: &[OsString]) -> bool {
    let first = words.first().and_then(|word| word.to_str()).unwrap_or("");
    first == "--help" || first == "-h" || (!first.is_empty() && !first.starts_with('-'))
}

#[derive(Debug, Default)]
struct Words {
    root: Option<Root>,
    data: Option<PathBuf>,
    json: bool,
    help: bool,
    values: Vec<String>,
}

fn parse(words: Vec<OsString>) -> Result<Words, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(words);
    let mut parsed = Words::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("root") => parsed.root = Some(Root::at(parser.value()?)),
            Arg::Long("data") => parsed.data = Some(parser.value()?.into()),
            Arg::Long("json") => parsed.json = true,
            Arg::Long("help") | Arg::Short('h') => parsed.help = true,
            Arg::Value(value) => parsed.values.push(value.to_string_lossy().into_owned()),
            other => return Err(other.unexpected()),
        }
    }
    Ok(parsed)
}

/// Does what the words say.
pub fn main(words: Vec<OsString>) -> ExitCode {
    let parsed = match parse(words) {
        Ok(parsed) => parsed,
        Err(error) => return usage(&error.to_string()),
    };
    let root = parsed.root.unwrap_or_else(Root::system);
    if parsed.help {
        print!("{HELP}");
        return OK.into();
    }
    let values: Vec<&str> = parsed.values.iter().map(String::as_str).collect();
    let done = match values.as_slice() {
        ["neigh"] => neigh(&root, parsed.json),
        ["drivers"] => drivers(&root, parsed.data, parsed.json),
        ["restore"] => restore(&root),
        other => return usage(&format!("unknown command {:?}", other.join(" "))),
    };
    match done {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("nic-health: {error}");
            UNAVAILABLE.into()
        }
    }
}

fn usage(error: &str) -> ExitCode {
    eprintln!("nic-health: {error}\n\n{HELP}");
    USAGE.into()
}

/// What the daemon knows of each entry, by interface and address.
fn remembered(root: &Root) -> BTreeMap<(String, String), Value> {
    let path = root.path(hands::DIRECTORY).join(ENTRIES_FILE);
    let document = file::read_bounded(&path, LARGEST).ok();
    let document: Option<Value> = document.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let boot = snapshot::boot_id(root).ok();
    let Some(document) = document.filter(|d| d["boot_id"].as_str() == boot.as_deref()) else {
        return BTreeMap::new();
    };
    let entries = document["entries"].as_array().cloned().unwrap_or_default();
    let key = |entry: &Value| {
        Some((entry["interface"].as_str()?.to_owned(), entry["address"].as_str()?.to_owned()))
    };
    entries.into_iter().filter_map(|entry| Some((key(&entry)?, entry))).collect()
}

fn neigh(root: &Root, as_json: bool) -> Result<u8, netlink::Error> {
    let mut kernel = Connection::open()?;
    let cards: BTreeMap<u32, String> =
        kernel.cards()?.into_iter().map(|card| (card.index, card.name)).collect();
    let mut known = remembered(root);
    let now = clock::now().as_millis();
    let mut entries = Vec::new();
    for entry in kernel.neighbours()? {
        let Some(name) = cards.get(&entry.link) else { continue };
        let before = known.remove(&(name.clone(), entry.address.to_string()));
        entries.push(merged(name, &entry, before, now));
    }
    if as_json {
        println!("{}", json!({ "entries": entries }));
    } else {
        for entry in &entries {
            println!("{}", line(entry, now));
        }
        if entries.is_empty() {
            println!("no neighbour entries");
        }
    }
    let wrong = |entry: &Value| matches!(entry["verdict"].as_str(), Some("wrong" | "wrong-left-alone"));
    Ok(if entries.iter().any(wrong) { TROUBLE } else { OK })
}

/// The kernel's word on what is, the daemon's on what was and on what it is worth.
fn merged(name: &str, entry: &Neighbour, before: Option<Value>, now: u64) -> Value {
    let mac = entry.mac.map(|mac| mac.to_string());
    // A verdict on another hardware address says nothing of this one.
    let mut value = before.filter(|before| before["mac"].as_str() == mac.as_deref()).unwrap_or_else(|| {
        json!({
            "verdict": "unknown", "history": [], "watched": false, "repairs": 0, "answer": null,
            "since_ms": now.saturating_sub(entry.updated_ms), "checked_ms": null,
        })
    });
    value["interface"] = json!(name);
    value["address"] = json!(entry.address);
    value["mac"] = json!(mac);
    value["state"] = json!(entry.state.as_str());
    value["confirmed_ago_ms"] = json!(entry.confirmed_ms);
    value
}

fn line(entry: &Value, now: u64) -> String {
    let text = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
    let ago = |ms: u64| format!("{} s", now.saturating_sub(ms) / 1000);
    let age = entry["since_ms"].as_u64().map_or("?".to_owned(), ago);
    let states: Vec<String> = entry["history"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| Some(format!("{} {}", step[0].as_str()?, ago(step[1].as_u64()?))))
        .collect();
    let mut line = format!(
        "{} {} {} {} for {age}, {}",
        text("interface"),
        text("address"),
        text("mac"),
        text("state"),
        text("verdict")
    );
    if let Some(answer) = entry["answer"].as_str() {
        let _ = write!(line, " (answered: {answer})");
    }
    if entry["watched"] == true {
        line += ", watched";
    }
    if let Some(repairs) = entry["repairs"].as_u64().filter(|n| *n > 0) {
        let _ = write!(line, ", mended {repairs} times");
    }
    if !states.is_empty() {
        let _ = write!(line, "\n    states, and how long ago: {}", states.join(", "));
    }
    line
}

fn drivers(root: &Root, data: Option<PathBuf>, as_json: bool) -> Result<u8, netlink::Error> {
    let host = Host::read(root);
    let known = data.map_or_else(|| Known::load(root), |folder| Known::load_from(&folder));
    for problem in &known.problems {
        eprintln!("nic-health: {problem}");
    }
    let mut affected = false;
    let mut all = Vec::new();
    for card in Connection::open()?.cards()?.into_iter().filter(|card| card.ethernet) {
        let Ok(told) = ioctl::ethtool::driver(&card.name) else { continue };
        let driven = Driven::new(told, &host);
        let about = known.about(&driven, &host);
        affected |= about.iter().any(|(applies, _)| *applies == Applies::Yes);
        if !as_json {
            print!("{}", driver_lines(&card.name, &driven, &host, &about));
        }
        all.push(json!({
            "interface": card.name, "driver": driven.name, "version": driven.version,
            "in_tree": driven.version.is_none(), "kernel": host.kernel, "firmware": driven.firmware,
            "bus": driven.bus,
            "advisories": about.iter().map(|(applies, advisory)| json!({
                "id": advisory.id.get_ref(), "applies": applies.as_str(), "symptom": advisory.symptom,
                "cure": advisory.cure, "source": advisory.source.get_ref(),
            })).collect::<Vec<_>>(),
        }));
    }
    if as_json {
        println!("{}", json!({ "interfaces": all }));
    } else if all.is_empty() {
        println!("no network cards with a driver that tells of itself");
    }
    Ok(if affected { TROUBLE } else { OK })
}

fn driver_lines(
    name: &str,
    driven: &Driven,
    host: &Host,
    about: &[(Applies, &crate::drivers::Advisory)],
) -> String {
    let mut text = format!("{name}: {} {}", driven.name, driven.version_words(host));
    if !driven.bus.is_empty() {
        let _ = write!(text, ", at {}", driven.bus);
    }
    text.push('\n');
    for (applies, advisory) in about {
        let word = match applies {
            Applies::Yes => "affected by",
            Applies::Possibly => "possibly affected by",
        };
        let _ = writeln!(text, "    {word} {}: {}", advisory.id.get_ref(), advisory.symptom);
        let _ = writeln!(text, "        what helps: {}", advisory.cure);
        let _ = writeln!(text, "        source: {}", advisory.source.get_ref().join(", "));
    }
    text
}

/// For `ExecStopPost`: the daemon is gone, and what it switched off must not stay off.
fn restore(root: &Root) -> Result<u8, netlink::Error> {
    let mut kernel = Connection::open()?;
    let hands = Hands::new(root);
    let end = Instant::now() + RESTORE;
    loop {
        let waiting = hands.restore(&mut kernel);
        if waiting.is_empty() {
            return Ok(OK);
        }
        if Instant::now() >= end {
            eprintln!("nic-health: not there after {} s: {}", RESTORE.as_secs(), waiting.join(", "));
            return Ok(UNAVAILABLE);
        }
        std::thread::sleep(RESTORE_STEP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[&str]) -> Vec<OsString> {
        list.iter().map(OsString::from).collect()
    }

    #[test]
    fn the_daemons_options_are_no_command_and_words_are() {
        assert!(!is_command(&words(&[])) && !is_command(&words(&["--root", "/x"])));
        assert!(
            is_command(&words(&["neigh"]))
                && is_command(&words(&["--help"]))
                && is_command(&words(&["typo"]))
        );
    }

    #[test]
    fn an_entry_is_told_in_one_line_and_its_states_in_another() {
        let entry = json!({
            "interface": "eth0.7", "address": "192.0.2.1", "mac": "02:00:00:00:00:09", "state": "reachable",
            "since_ms": 5000, "verdict": "wrong", "answer": "02:00:00:00:00:01", "watched": true,
            "repairs": 2, "history": [["stale", 6000], ["reachable", 9000]],
        });
        assert_eq!(
            line(&entry, 10_000),
            "eth0.7 192.0.2.1 02:00:00:00:00:09 reachable for 5 s, wrong (answered: 02:00:00:00:00:01), watched, \
             mended 2 times\n    states, and how long ago: stale 4 s, reachable 1 s"
        );
    }
}
