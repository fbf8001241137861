//! Words for people: what a state means and what is being done, how long, and the few facts that matter.

use serde_json::{Map, Value};
use snapshot::Document;

/// A span of time as people say it: at most two units, the smaller one cut off.
pub fn ago(ms: u64) -> String {
    let seconds = ms / 1000;
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// What a daemon's state means, and what it is doing about it.
pub fn meaning(daemon: &str, state: &str) -> &'static str {
    match (daemon, state) {
        ("modem-dialer", "absent") => "no stick found; watching the USB ports for one",
        ("modem-dialer", "mode-switching") => "the stick is still a CD-ROM; switching it to a modem",
        ("modem-dialer", "probing") => "looking for the port that answers",
        ("modem-dialer", "initialising") => "setting up the stick",
        ("modem-dialer", "blocked") => "waiting for a person: see what is wrong below",
        ("modem-dialer", "registering") => "waiting for the phone network to let us in",
        ("modem-dialer", "dialling") => "calling the provider",
        ("modem-dialer", "connected") => "the data call is up",
        ("modem-dialer", "waiting") => "the last call failed; calling again soon",
        ("hub-reset", "watching") => "the stick is well, or left to the dialer",
        ("hub-reset", "waiting") => "something was tried; waiting whether it helped, or before the next try",
        ("hub-reset", "resetting") => "resetting the stick, or restarting the dialer",
        ("hub-reset", "power-cycling") => "the stick's port is switched off and on",
        ("hub-reset", "rebooting") => "nothing else helped: rebooting",
        ("uplink", "online") => "traffic has a way out",
        ("uplink", "offline") => "no line is up; the first one that comes up is used",
        ("dyndns", "idle") => "no names are configured: see [dyndns] in failberry.toml",
        ("dyndns", "current") => "the names have the addresses of the lines",
        ("dyndns", "updating") => "a name is being told its address",
        ("dyndns", "retrying") => "a provider could not be told so far; trying again",
        ("dyndns", "stopped") => "a provider wants no more updates: see what is wrong below",
        ("prober", "idle") => "no pages are configured: see [prober] in failberry.toml",
        ("prober", "watching") => "pages are asked for, and answer as they should so far as is known",
        ("prober", "failing") => "a page fails: see what is wrong below",
        ("notify", "watching") => "trouble is told to whoever is configured",
        ("notify", "retrying") => "something could not be delivered so far; trying again",
        ("notify", "silent") => "nobody is configured to be told: see [notify] in failberry.toml",
        ("netguard", "applied") => "the packet filter is in force; checked again and again",
        ("netguard", "failed") => "the packet filter could not be set; trying again",
        ("nic-health", "watching") => "neighbour entries and network cards are watched",
        ("nic-health", "repairing") => "mending a neighbour entry or a network card",
        ("nic-health", "blind") => "a right is missing: see what is wrong below",
        ("pinghttpserver", "serving") => "answering health checks",
        ("statusd", "serving") => "showing this status",
        ("timekeeper", "waiting-for-line") => "the clock may be wrong; waiting for a line to ask over",
        ("timekeeper", "asking") => "the clock may be wrong; asking what time it is",
        ("timekeeper", "set") => "the clock was set here; systemd-timesyncd has had no answer so far",
        ("timekeeper", "synchronised") => "the clock is kept by systemd-timesyncd",
        ("config-import", "imported") => "failberry.toml on the card is in force",
        ("config-import", "kept") => "the last good configuration is in force",
        ("config-import", "defaults") => "no configuration yet; the defaults are in force",
        (_, "unknown") => "nothing recent is known",
        _ => "",
    }
}

/// The facts of a snapshot a person looks for, as label and value.
pub fn facts(document: &Document) -> Vec<(&'static str, String)> {
    let fields = &document.fields;
    let found = match document.daemon.as_str() {
        "modem-dialer" => modem(fields),
        "uplink" => uplink(fields),
        "notify" => notify(fields),
        "hub-reset" => hub_reset(fields),
        "prober" => {
            let count = fields.get("targets").and_then(Value::as_array).map(|all| all.len().to_string());
            vec![("pages", count.filter(|n| n != "0"))]
        }
        "netguard" => {
            let rules = |family| text(fields, &["rules", family]);
            vec![
                (
                    "rules",
                    joined(&[rules("ipv4").map(|n| n + " IPv4"), rules("ipv6").map(|n| n + " IPv6")], ", "),
                ),
                ("repairs", text(fields, &["repairs"]).filter(|n| n != "0")),
            ]
        }
        "nic-health" => vec![
            ("neighbours", text(fields, &["neighbours", "entries"])),
            ("mended", text(fields, &["neighbours", "repaired"]).filter(|n| n != "0")),
        ],
        "pinghttpserver" => {
            vec![("port", text(fields, &["port"])), ("requests", text(fields, &["requests"]))]
        }
        _ => Vec::new(),
    };
    found.into_iter().filter_map(|(label, value)| value.map(|v| (label, v))).collect()
}

type Facts = Vec<(&'static str, Option<String>)>;

fn modem(fields: &Map<String, Value>) -> Facts {
    let signal = text(fields, &["network", "signal_dbm"]).map(|dbm| dbm + " dBm");
    let model = joined(&[text(fields, &["modem", "manufacturer"]), text(fields, &["modem", "model"])], " ");
    vec![
        ("stick", model),
        (
            "network",
            joined(
                &[text(fields, &["network", "operator"]), text(fields, &["network", "registration"]), signal],
                ", ",
            ),
        ),
        ("link", joined(&[text(fields, &["link", "interface"]), text(fields, &["link", "local"])], ", ")),
    ]
}

fn hub_reset(fields: &Map<String, Value>) -> Facts {
    let switch = match fields.get("rungs").and_then(|rungs| rungs.get("power-cycle")?.get("usable")) {
        Some(Value::Bool(true)) => Some("can be switched".to_owned()),
        Some(Value::Bool(false)) => Some("cannot be switched".to_owned()),
        _ => None,
    };
    vec![
        ("port", text(fields, &["stick", "port"])),
        ("its power", switch),
        ("trouble", text(fields, &["incident", "cause"])),
        ("reboots today", text(fields, &["rungs", "reboot", "today"]).filter(|n| n != "0")),
    ]
}

fn uplink(fields: &Map<String, Value>) -> Facts {
    let links = fields.get("links").and_then(Value::as_array).map(|links| {
        let one = |link: &Value| {
            let word = |key: &str| link.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
            let state = match link.get("part").and_then(Value::as_str) {
                Some(part) => format!("{} ({part})", word("state")),
                None => word("state"),
            };
            let why = link.get("reason").and_then(Value::as_str).filter(|why| !why.is_empty());
            let why = why.filter(|_| word("state") != "up").map(|why| format!(": {why}"));
            format!("{} {state}, {}{}", word("name"), word("interface"), why.unwrap_or_default())
        };
        links.iter().map(one).collect::<Vec<_>>().join("; ")
    });
    vec![
        ("active", text(fields, &["active"])),
        ("lines", links.filter(|l| !l.is_empty())),
        ("used", usage(fields)),
        ("guard", text(fields, &["usage", "guard"]).filter(|guard| guard == "cut")),
        ("switches", text(fields, &["switches", "count"]).filter(|n| n != "0")),
    ]
}

/// What the metered line has carried in this billing period, and of how much.
fn usage(fields: &Map<String, Value>) -> Option<String> {
    let bytes = |key: &str| fields.get("usage")?.get(key)?.as_u64();
    let used = amount(bytes("used_bytes")?);
    let quota = bytes("quota_bytes").map(|quota| format!(" of {}", amount(quota)));
    let until = text(fields, &["usage", "period_end"]).map(|day| format!(" until {day}"));
    Some(format!("{used}{}{}", quota.unwrap_or_default(), until.unwrap_or_default()))
}

/// Bytes as providers count them: in powers of ten.
fn amount(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size / (size / 10)),
        None => format!("{bytes} B"),
    }
}

fn notify(fields: &Map<String, Value>) -> Facts {
    let channels = fields.get("channels").and_then(Value::as_array).map(|all| {
        let one = |channel: &Value| {
            let name = channel.get("name").and_then(Value::as_str).unwrap_or("?");
            match channel.get("failures").and_then(Value::as_u64) {
                Some(failures) if failures > 0 => format!("{name} (failed {failures} times)"),
                _ => name.to_owned(),
            }
        };
        all.iter().map(one).collect::<Vec<_>>().join(", ")
    });
    vec![
        ("by", channels.filter(|all| !all.is_empty())),
        ("waiting", text(fields, &["queued"]).filter(|n| n != "0")),
        ("told and lasting", text(fields, &["told"]).filter(|n| n != "0")),
    ]
}

/// The value at `path` as a person reads it; nothing for null and absent ones.
fn text(fields: &Map<String, Value>, path: &[&str]) -> Option<String> {
    let (first, rest) = path.split_first()?;
    let mut value = fields.get(*first)?;
    for key in rest {
        value = value.get(*key)?;
    }
    match value {
        Value::String(s) if !s.is_empty() => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(if *b { "yes" } else { "no" }.to_owned()),
        _ => None,
    }
}

fn joined(values: &[Option<String>], between: &str) -> Option<String> {
    let there: Vec<&str> = values.iter().flatten().map(String::as_str).collect();
    (!there.is_empty()).then(|| there.join(between))
}
