//! What the command does, once its words are understood.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _, Write};
use std::net::IpAddr;

use serde_json::{Value, json};
use sysio::{Root, clock, file};

use super::cli::{CHANGES, FAILED, OK, Options, USAGE, Verb, say};
use super::plan::{Found, Plan, plan};
use super::service::{Remote, SYNC, Service, ServiceError};
use super::wanted::{Sources, Wanted};
use super::{apply, show};
use crate::deliver::{self, Heard, Job};
use crate::lines::Lines;
use crate::provider::route53;
use crate::provider::route53::health::HealthCheck;
use crate::settings::Settings;
use crate::{NAME, daemon};

/// So many resolvers are asked.
const MOST_RESOLVERS: usize = 3;

/// Addresses a person gave, those `uplink` and `dyndns` know, and that of the router if nobody knows it.
pub(super) fn sources(options: &Options, settings: &Settings) -> Sources {
    let fresh = |daemon: &str| {
        let boot_id = snapshot::boot_id(&options.root).ok()?;
        snapshot::read(&options.root, daemon, &boot_id, clock::now()).fresh().cloned()
    };
    let outside = fresh(NAME).and_then(|document| {
        let fields = document.fields.get("outside")?.clone();
        serde_json::from_value::<BTreeMap<String, IpAddr>>(fields).ok()
    });
    let mut sources = Sources {
        wired: options.wired.clone(),
        cellular: options.cellular.clone(),
        lines: fresh("uplink").map(|document| Lines::read(&document)),
        outside: outside.unwrap_or_default(),
    };
    let way = sources.unasked().and_then(|name| Some((name, sources.lines.as_ref()?.way(name)?)));
    if let Some((name, way)) = way {
        let job = Job::Ask { url: settings.ask.clone(), way };
        if let Heard::Found { addresses } = deliver::run(&job, &options.root) {
            sources.outside.extend(addresses.first().map(|address| (name.to_owned(), *address)));
        }
    }
    sources
}

/// Health checks by account, asked for once each.
type Checks = BTreeMap<String, Vec<HealthCheck>>;

fn remote<'a>(wanted: &Wanted, ask: &'a super::service::Ask<'a>) -> Remote<'a> {
    Remote { account: wanted.account.clone(), ask, unix: deliver::unix, pause: std::thread::sleep }
}

fn checks_of(remote: &mut Remote<'_>, known: &mut Checks) -> Result<Vec<HealthCheck>, ServiceError> {
    if !remote.account.has_zone() {
        return Err(ServiceError::Refused {
            operation: "list the record sets of the name",
            code: String::new(),
            why: "zone= is no hosted zone's id, which is letters and digits, such as Z0123".to_owned(),
        });
    }
    let route53::Account { url, key_id, .. } = &remote.account;
    let key = format!("{url} {key_id}");
    if let Some(checks) = known.get(&key) {
        return Ok(checks.clone());
    }
    let checks = remote.checks()?;
    known.insert(key, checks.clone());
    Ok(checks)
}

/// A plan, and what it is for.
type Planned<'a> = (&'a Wanted, Plan);

/// Reads what is there of every name; changes nothing.
fn plans<'a>(all: &'a [Wanted], ask: &super::service::Ask<'_>) -> Result<Vec<Planned<'a>>, ServiceError> {
    let mut checks = Checks::new();
    let mut plans = Vec::new();
    for wanted in all {
        let mut remote = remote(wanted, ask);
        let checks = checks_of(&mut remote, &mut checks)?;
        plans.push((wanted, plan(wanted, &Found { sets: remote.sets(&wanted.name)?, checks })));
    }
    Ok(plans)
}

/// Shows what is to be done, and with [`Verb::Apply`] does it; the exit code.
///
/// # Errors
/// If the service refuses.
pub(super) fn plan_and_apply(
    options: &Options,
    all: &[Wanted],
    out: &mut dyn Write,
) -> Result<u8, ServiceError> {
    let own = deliver::own_roots(&options.root);
    let ask = |http: &crate::talk::Http| crate::web::ask(http, None, None, own.as_deref());
    let plans = plans(all, &ask)?;
    let changes: usize = plans.iter().map(|(_, plan)| plan.changes()).sum();
    let blocked = plans.iter().any(|(_, plan)| !plan.blocked.is_empty());
    for (wanted, plan) in plans.iter().filter(|_| !options.json) {
        say(out, &show::text(wanted, plan));
    }
    let trouble = if blocked { FAILED } else { OK };
    if options.verb == Verb::Plan {
        let next = match (changes, blocked) {
            (0, false) => "nothing to do".to_owned(),
            (0, true) => "nothing that could be done; see the lines with !".to_owned(),
            _ => format!("{}; failberry dns apply makes them", show::changes(changes)),
        };
        summary(options, out, "changes", changes, &plans, &next);
        return Ok(if changes > 0 { CHANGES } else { trouble });
    }
    if changes == 0 {
        summary(options, out, "changed", 0, &plans, "nothing to do");
        return Ok(trouble);
    }
    if !options.yes
        && let Err(code) = confirm(changes, out)
    {
        return Ok(code);
    }
    for (wanted, plan) in plans.iter().filter(|(_, plan)| plan.changes() > 0) {
        make(options, plan, &mut remote(wanted, &ask))?;
    }
    wake(&options.root);
    summary(options, out, "changed", changes, &plans, &format!("{} made", show::changes(changes)));
    Ok(trouble)
}

fn make(options: &Options, plan: &Plan, remote: &mut Remote<'_>) -> Result<(), ServiceError> {
    let accepted = apply::apply(plan, remote)?;
    let Some(accepted) = accepted.filter(|accepted| options.wait && !accepted.synced) else { return Ok(()) };
    if !remote.await_sync(&accepted.id)? {
        let seconds = SYNC.as_secs();
        eprintln!("failberry: dns apply: after {seconds} s not all name servers of Route 53 have it yet");
    }
    Ok(())
}

fn summary(
    options: &Options,
    out: &mut dyn Write,
    what: &str,
    count: usize,
    plans: &[Planned<'_>],
    words: &str,
) {
    if options.json {
        let names: Vec<Value> = plans.iter().map(|(wanted, plan)| show::value(wanted, plan)).collect();
        say(out, &line(&json!({what: count, "names": names})));
    } else {
        say(out, &format!("{words}\n"));
    }
}

/// Shows how it is; the exit code.
///
/// # Errors
/// If the service refuses.
pub(super) fn status(options: &Options, all: &[Wanted], out: &mut dyn Write) -> Result<u8, ServiceError> {
    let own = deliver::own_roots(&options.root);
    let ask = |http: &crate::talk::Http| crate::web::ask(http, None, None, own.as_deref());
    let resolvers = resolvers(options);
    let mut checks = Checks::new();
    let (mut names, mut fits) = (Vec::new(), true);
    for wanted in all {
        let mut remote = remote(wanted, &ask);
        let checks = checks_of(&mut remote, &mut checks)?;
        let state = super::status::look(wanted, &mut remote, &checks, &resolvers)?;
        fits &= state.fits();
        if options.json {
            names.push(show::state_value(wanted, &state));
        } else {
            say(out, &show::state_text(wanted, &state));
        }
    }
    if options.json {
        say(out, &line(&json!({"fits": fits, "names": names})));
    }
    Ok(if fits { OK } else { FAILED })
}

/// Those a person named; else those `uplink` probes, one an operator; else this system's.
fn resolvers(options: &Options) -> Vec<IpAddr> {
    if !options.resolvers.is_empty() {
        return options.resolvers.clone();
    }
    let probed = || {
        let boot_id = snapshot::boot_id(&options.root).ok()?;
        let verdict = snapshot::read(&options.root, "uplink", &boot_id, clock::now());
        let links = verdict.fresh()?.fields.get("links")?.clone();
        let targets =
            links.as_array()?.iter().flat_map(|link| link["targets"].as_array().into_iter().flatten());
        let mut by_operator: BTreeMap<String, IpAddr> = BTreeMap::new();
        for target in targets.filter(|target| target["kind"] == "dns") {
            let address: Option<IpAddr> = target["address"].as_str().and_then(|text| text.parse().ok());
            // A box without IPv6 asks by IPv4.
            if let Some(address) = address.filter(IpAddr::is_ipv4) {
                by_operator.entry(target["operator"].to_string()).or_insert(address);
            }
        }
        Some(by_operator.into_values().take(MOST_RESOLVERS).collect::<Vec<_>>())
    };
    probed().filter(|found| !found.is_empty()).unwrap_or_else(|| {
        let text = file::read_bounded(&options.root.path("/etc/resolv.conf"), deliver::LARGEST_RESOLV_CONF);
        let text = text.map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default();
        let servers = text.lines().filter_map(|line| line.strip_prefix("nameserver")?.trim().parse().ok());
        servers.take(MOST_RESOLVERS).collect()
    })
}

/// Whether a person says yes; else the exit code.
fn confirm(changes: usize, out: &mut dyn Write) -> Result<(), u8> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        eprintln!("failberry: dns apply: standard input is no terminal; say --yes");
        return Err(USAGE);
    }
    say(out, &format!("make {}? [y/N] ", show::changes(changes)));
    let mut answer = String::new();
    let read = input.lock().read_line(&mut answer);
    if read.is_ok() && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    eprintln!("failberry: dns apply: nothing was changed");
    Err(FAILED)
}

/// The daemon may have been waiting for these sets, or been told to stop; where there is none, all is well.
fn wake(root: &Root) {
    let request = root.path(format!("/run/failberry/requests/{NAME}/{}", daemon::RETRY));
    let _ = file::write_atomic(&request, b"", 0o644);
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}
