//! `hub-reset list|off|on|cycle`, in plain words and with exit codes of sysexits.h.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use lexopt::Arg;
use serde_json::json;
use snapshot::Verdict;
use sysio::{Root, clock};

use crate::dialer::Dialer;
use crate::hold::Hold;
use crate::plan::{Plan, Refusal};
use crate::store::{self, Store};
use crate::switch::{Switch, SwitchError};
use crate::topology::{Port, Topology};
use crate::usb::LibUsb;
use crate::worker::{self, Answer, WORD};

const OK: u8 = 0;
const USAGE: u8 = 64;
/// The port cannot be switched, or did not do it.
const UNAVAILABLE: u8 = 69;
const IO: u8 = 74;
/// Somebody else is at it.
const BUSY: u8 = 75;
const NO_PERMISSION: u8 = 77;

/// How long to wait for the daemon's own power cycle: its middle length.
const PATIENCE: Duration = Duration::from_secs(15);
/// Off in `cycle`.
const OFF: Duration = Duration::from_secs(5);
/// A stick boots in up to 15 s.
const COMES_BACK: Duration = Duration::from_secs(20);

const HELP: &str = "\
usage: hub-reset COMMAND

  list [--json]     USB ports, what is in them, and whether their power can be switched
  off [PORT|stick]  cut the power of a port (an hour at most), the stick's without PORT
  on [PORT|stick]   switch it on again
  cycle [PORT|stick]  off for five seconds, and on

PORT is the kernel's name of what is in it: 1-1.2 is port 2 of hub 1-1.
There is no way to force what is refused: it would cut the box off.
Exit: 0 done, 64 wrong words, 69 cannot be switched, 74 refused by the system, 75 busy, 77 not root.
";

const VERBS: [&str; 7] = ["list", "off", "on", "cycle", "restore", "help", WORD];

/// Whether the words are for the command and not for the daemon.
pub fn is_command(words: &[OsString]) -> bool {
    let first = words.first().and_then(|word| word.to_str()).unwrap_or("");
    VERBS.contains(&first)
        || first == "--help"
        || first == "-h"
        || (!first.is_empty() && !first.starts_with('-'))
}

#[derive(Debug, Default)]
struct Words {
    root: Option<Root>,
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
    let values: Vec<&str> = parsed.values.iter().map(String::as_str).collect();
    if parsed.help || values == ["help"] {
        print!("{HELP}");
        return OK.into();
    }
    match values.as_slice() {
        ["list"] => list(&root, parsed.json).into(),
        _ if parsed.json => usage("--json belongs to list"),
        ["off"] => command(&root, "off", None).into(),
        ["on"] => command(&root, "on", None).into(),
        ["cycle"] => command(&root, "cycle", None).into(),
        [verb @ ("off" | "on" | "cycle"), port] => command(&root, verb, Some(port)).into(),
        ["restore"] => restore(&root).into(),
        [word, verb, port] if *word == WORD => {
            println!("{}", json!(worker::work(&root, verb, port)));
            OK.into()
        }
        _ => usage(&format!("unknown command {:?}", values.join(" "))),
    }
}

fn usage(problem: &str) -> ExitCode {
    eprintln!("hub-reset: {problem}; see hub-reset --help");
    USAGE.into()
}

fn complain(problem: impl std::fmt::Display, code: u8) -> u8 {
    eprintln!("hub-reset: {problem}");
    code
}

/// What the service manager calls when the daemon ended, however: nothing stays off that nobody wanted off.
fn restore(root: &Root) -> u8 {
    if Hold::new(root).read().is_none_or(|off| off.held) {
        return OK;
    }
    match worker::restore(root) {
        Answer::Done(_) => OK,
        answer => complain(answer.why(), IO),
    }
}

fn command(root: &Root, verb: &str, port: Option<&str>) -> u8 {
    if !nix::unistd::geteuid().is_root() {
        return complain(format!("{verb}: only root may switch ports; log in as root"), NO_PERMISSION);
    }
    let hold = Hold::new(root);
    let _lock = match hold.lock(PATIENCE) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return complain("hub-reset.service is switching ports just now; try again in a minute", BUSY);
        }
        Err(error) => return complain(format!("lock the ports: {error}"), IO),
    };
    // A wish for what is off already refers to that.
    if verb == "on" && (port.is_none() || port == Some("stick")) && hold.read().is_some() {
        return on(root, None);
    }
    let Some(target) = target(root, port) else {
        return complain("no stick was seen yet; name its port, `hub-reset list` shows them", UNAVAILABLE);
    };
    match verb {
        "on" => on(root, Some(&target)),
        "off" => off(root, &target, true).map_or_else(|code| code, |_| OK),
        _ => cycle(root, &target),
    }
}

/// The port that is meant: by name, or the stick's.
fn target(root: &Root, port: Option<&str>) -> Option<String> {
    match port {
        Some(port) if port != "stick" => Some(port.to_owned()),
        _ => stick(root),
    }
}

/// The stick's port: what the dialer uses, a known stick on the bus, where one was last.
fn stick(root: &Root) -> Option<String> {
    let dialer = snapshot::boot_id(root)
        .map_or(Verdict::Missing, |boot| snapshot::read(root, "modem-dialer", &boot, clock::now()));
    let dialer = Dialer::read(&dialer);
    let used = dialer.stuck.map(|stuck| stuck.stick).or(dialer.stick).map(|stick| stick.port);
    used.or_else(|| {
        let ids = store::modem_ids(root);
        let topology = Topology::read(root);
        topology.devices.into_values().find(|device| ids.contains(&device.id)).map(|device| device.name)
    })
    .or_else(|| Store::new(root).memory().stick.map(|stick| stick.port))
}

fn planned(root: &Root, target: &str) -> Result<Plan, u8> {
    worker::find_plan(root, target).map_err(|refusal| {
        let code = if matches!(refusal, Refusal::NoPort(_)) { USAGE } else { UNAVAILABLE };
        complain(refusal, code)
    })
}

fn off(root: &Root, target: &str, held: bool) -> Result<Plan, u8> {
    let plan = planned(root, target)?;
    for other in &plan.others {
        println!("{other} loses its power as well");
    }
    let switch = Switch { root, usb: &LibUsb };
    if let Err(error) = switch.off(&plan, held) {
        if matches!(error, SwitchError::Another(_)) {
            return Err(complain(error, BUSY));
        }
        let code = if error.is_proof_of_uselessness() { UNAVAILABLE } else { IO };
        let back = match switch.on(&plan.switch) {
            Ok(()) => "power is on".to_owned(),
            Err(error) => format!("power is not back yet ({error}); hub-reset.service goes on trying"),
        };
        return Err(complain(format!("{error}; {back}"), code));
    }
    println!("{target} is off ({})", plan.by);
    Ok(plan)
}

fn on(root: &Root, target: Option<&str>) -> u8 {
    let hold = Hold::new(root);
    let noted =
        hold.read().filter(|off| target.is_none_or(|t| off.target == t || off.ports.iter().any(|p| p == t)));
    let (name, ports): (String, Vec<Port>) = match (&noted, target) {
        (Some(off), _) => (off.target.clone(), off.ports()),
        (None, Some(target)) => match planned(root, target) {
            Ok(plan) => (target.to_owned(), plan.switch),
            Err(code) => return code,
        },
        (None, None) => return OK,
    };
    let switch = Switch { root, usb: &LibUsb };
    if let Err(error) = switch.on(&ports) {
        return complain(error, IO);
    }
    if switch.wait_for(&name, COMES_BACK) {
        println!("{name} is on, and what is in it is back");
        OK
    } else {
        let seconds = COMES_BACK.as_secs();
        complain(
            format!("{name} is on, but nothing came back within {seconds} s; is it plugged in?"),
            UNAVAILABLE,
        )
    }
}

fn cycle(root: &Root, target: &str) -> u8 {
    // Not held: should this process die now, the daemon switches it on.
    if let Err(code) = off(root, target, false) {
        return code;
    }
    std::thread::sleep(OFF);
    on(root, Some(target))
}

fn list(root: &Root, json: bool) -> u8 {
    let topology = Topology::read(root);
    let off = Hold::new(root).read();
    let mut rows = Vec::new();
    for hub in topology.devices.values().filter(|device| device.ports > 0) {
        for number in 1..=hub.ports {
            let port = Port { hub: hub.name.clone(), number }.name();
            let device = topology.devices.get(&port);
            let plan = worker::find_plan(root, &port);
            let is_off = off.as_ref().is_some_and(|off| off.ports.contains(&port));
            rows.push((hub, port, device, plan, is_off));
        }
    }
    if json {
        let ports: Vec<_> = rows
            .iter()
            .map(|(hub, port, device, plan, is_off)| {
                json!({"port": port, "hub": hub.name, "hub_id": hub.id,
                    "device": device.map(|d| json!({"id": d.id, "product": d.product})),
                    "off": is_off, "switchable": plan.is_ok(),
                    "switches": plan.as_ref().map(|p| p.switch.iter().map(Port::name).collect::<Vec<_>>()).unwrap_or_default(),
                    "reason": plan.as_ref().map_or_else(ToString::to_string, |p| p.by.clone())})
            })
            .collect();
        println!("{}", json!({"stick": stick(root), "ports": ports}));
        return OK;
    }
    let mut out = String::new();
    let (mut last, mut said) = ("", String::new());
    for (hub, port, device, plan, is_off) in &rows {
        if hub.name != last {
            let _ = writeln!(out, "hub {} {} {}, {} ports", hub.name, hub.id, hub.product, hub.ports);
            last = &hub.name;
            said.clear();
        }
        let inside = device.map_or("empty".to_owned(), |d| format!("{} {}", d.id, d.product));
        let state = if *is_off { "off" } else { inside.trim_end() };
        let word = match plan {
            Ok(plan) if plan.switch.len() == 1 && plan.switch[0].name() == *port => {
                "can be switched".to_owned()
            }
            Ok(plan) => format!(
                "is switched with {}",
                plan.switch.iter().map(Port::name).collect::<Vec<_>>().join(", ")
            ),
            Err(refusal) => refusal.to_string(),
        };
        // What is so for a whole hub is said once.
        let general = word.replace(port.as_str(), "");
        let word = if said == general { "the same" } else { &word };
        let _ = writeln!(out, "  {port:<10} {state}\n             {word}");
        said = general;
    }
    print!("{out}");
    OK
}
