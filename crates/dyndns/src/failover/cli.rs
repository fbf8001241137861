//! The command `failberry dns`, which is this program with the word `dns`: it alone has TLS.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead as _, IsTerminal as _, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lexopt::{Arg, ValueExt as _};
use serde_json::{Value, json};
use sysio::{Root, clock, file};

use super::plan::{Found, Plan, plan};
use super::service::{Remote, Service, ServiceError};
use super::wanted::{Sources, Wanted, wanted};
use super::{apply, show, status};
use crate::deliver::{self, Heard, Job};
use crate::lines::Lines;
use crate::provider::route53;
use crate::provider::route53::health::HealthCheck;
use crate::settings::{Settings, settings};
use crate::{NAME, daemon};

/// The word that makes this binary the command.
pub const WORD: &str = "dns";

/// Nothing is to be done, or all was done.
pub const OK: u8 = 0;
/// Something cannot be set up, or somebody refused.
pub const FAILED: u8 = 1;
/// `plan`: there are changes.
pub const CHANGES: u8 = 2;
/// `EX_USAGE`.
pub const USAGE: u8 = 64;
/// `EX_NOPERM`: only root may read the accounts.
pub const NO_PERMISSION: u8 = 77;
/// `EX_CONFIG`.
pub const CONFIG: u8 = 78;

/// So long it is waited for Route 53's name servers (`--wait`); they take up to a minute.
const SYNC: Duration = Duration::from_secs(120);
const SYNC_POLL: Duration = Duration::from_secs(5);
/// So many resolvers are asked.
const MOST_RESOLVERS: usize = 3;

const HELP: &str = "\
usage: failberry dns plan|apply|status [OPTION]…

  plan      what Route 53 has and what it should have; exit 0 nothing to do, 2 changes, 1 trouble
  apply     the same, and then make it so
  status    records, health checks, what checkers see and what resolvers answer

  --json              for programs
  --yes               apply: without asking
  --wait              apply: until all name servers of Route 53 have it, two minutes at most
  --wired ADDRESS     the wired line's address, where the appliance does not know it; may repeat
  --cellular ADDRESS  the same for the cellular line
  --resolver ADDRESS  status: whom to ask; may repeat
  --config FILE       another configuration
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Plan,
    Apply,
    Status,
}

#[derive(Debug)]
struct Options {
    verb: Verb,
    json: bool,
    yes: bool,
    wait: bool,
    wired: Vec<IpAddr>,
    cellular: Vec<IpAddr>,
    resolvers: Vec<IpAddr>,
    config: PathBuf,
    root: Root,
}

/// Does what the words after [`WORD`] say, and says how it ended.
pub fn main(words: &[OsString], out: &mut dyn Write) -> u8 {
    let options = match parse(words) {
        Ok(Some(options)) => options,
        Ok(None) => {
            say(out, HELP);
            return OK;
        }
        Err(error) => {
            eprintln!("failberry: dns: {error}; see failberry dns --help");
            return USAGE;
        }
    };
    let settings = match load(&options.config) {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let sources = sources(&options, &settings);
    let wanted = wanted(&settings, &sources);
    if wanted.is_empty() && !options.json {
        say(out, "no name in [dyndns] has failover=yes: nothing to set up\n");
        return OK;
    }
    let done = match options.verb {
        Verb::Status => show_status(&options, &wanted, out),
        Verb::Plan | Verb::Apply => plan_and_apply(&options, &wanted, out),
    };
    done.unwrap_or_else(|error| {
        eprintln!("failberry: dns: {error}");
        FAILED
    })
}

fn parse(words: &[OsString]) -> Result<Option<Options>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_args(words.iter().cloned());
    let mut verb = None;
    let slice = Path::new(config::SLICE_DIR).join(config::slice_name(NAME));
    let (mut given, mut root) = (None, Root::system());
    let (mut json, mut yes, mut wait) = (false, false, false);
    let (mut wired, mut cellular, mut resolvers) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Long("json") => json = true,
            Arg::Long("yes") => yes = true,
            Arg::Long("wait") => wait = true,
            Arg::Long("wired") => wired.push(parser.value()?.parse()?),
            Arg::Long("cellular") => cellular.push(parser.value()?.parse()?),
            Arg::Long("resolver") => resolvers.push(parser.value()?.parse()?),
            Arg::Long("config") => given = Some(PathBuf::from(parser.value()?)),
            // For tests and for looking into another system's files; not in the help.
            Arg::Long("root") => root = Root::at(parser.value()?),
            Arg::Value(word) if verb.is_none() => {
                verb = Some(match word.to_str() {
                    Some("plan") => Verb::Plan,
                    Some("apply") => Verb::Apply,
                    Some("status") => Verb::Status,
                    _ => return Err("plan, apply or status is missing".into()),
                });
            }
            other => return Err(other.unexpected()),
        }
    }
    let Some(verb) = verb else { return Err("plan, apply or status is missing".into()) };
    if (yes || wait) && verb != Verb::Apply {
        return Err("--yes and --wait belong to apply".into());
    }
    if verb == Verb::Apply && json && !yes {
        return Err("apply --json asks nothing; say --yes".into());
    }
    let config = given.unwrap_or_else(|| root.path(slice));
    Ok(Some(Options { verb, json, yes, wait, wired, cellular, resolvers, config, root }))
}

/// The configuration, or the exit code: unlike the daemon, a command must not go on without one.
fn load(path: &Path) -> Result<Settings, u8> {
    match config::load(path) {
        Ok(config) => Ok(settings(&config)),
        Err(config::LoadError::Read { path, source })
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            eprintln!("failberry: read {}: {source}; only root may read the accounts", path.display());
            Err(NO_PERMISSION)
        }
        Err(error) => {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            eprintln!("failberry: {error}{cause}; see failberry config check");
            Err(CONFIG)
        }
    }
}

/// Addresses a person gave, those `uplink` and `dyndns` know, and that of the router if nobody knows it.
fn sources(options: &Options, settings: &Settings) -> Sources {
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

fn plan_and_apply(options: &Options, all: &[Wanted], out: &mut dyn Write) -> Result<u8, ServiceError> {
    let own = deliver::own_roots(&options.root);
    let ask = |http: &crate::talk::Http| crate::web::ask(http, None, None, own.as_deref());
    let mut checks = Checks::new();
    let mut plans: Vec<(&Wanted, Plan)> = Vec::new();
    for wanted in all {
        let mut remote = remote(wanted, &ask);
        let checks = checks_of(&mut remote, &mut checks)?;
        plans.push((wanted, plan(wanted, &Found { sets: remote.sets(&wanted.name)?, checks })));
    }
    let changes: usize = plans.iter().map(|(_, plan)| plan.changes()).sum();
    let blocked = plans.iter().any(|(_, plan)| !plan.blocked.is_empty());
    let names: Vec<Value> = plans.iter().map(|(wanted, plan)| show::value(wanted, plan)).collect();
    if !options.json {
        for (wanted, plan) in &plans {
            say(out, &show::text(wanted, plan));
        }
    }
    let trouble = if blocked { FAILED } else { OK };
    if options.verb == Verb::Plan {
        let summary = match (changes, blocked) {
            (0, false) => "nothing to do\n".to_owned(),
            (0, true) => "nothing that could be done; see the lines with !\n".to_owned(),
            _ => format!("{}; failberry dns apply makes them\n", show::changes(changes)),
        };
        say(out, &if options.json { line(&json!({"changes": changes, "names": names})) } else { summary });
        return Ok(if changes > 0 { CHANGES } else { trouble });
    }
    if changes > 0 && !options.yes && !confirmed(changes, out) {
        return Ok(USAGE);
    }
    for (wanted, plan) in plans.iter().filter(|(_, plan)| plan.changes() > 0) {
        let mut remote = remote(wanted, &ask);
        let accepted = apply::apply(plan, &mut remote)?;
        if let Some(accepted) = accepted.filter(|accepted| options.wait && !accepted.synced) {
            wait(&remote, &accepted.id)?;
        }
    }
    if changes > 0 {
        wake(&options.root);
    }
    let summary =
        if changes > 0 { format!("{changes} changes made\n") } else { "nothing to do\n".to_owned() };
    say(out, &if options.json { line(&json!({"changed": changes, "names": names})) } else { summary });
    Ok(trouble)
}

fn show_status(options: &Options, all: &[Wanted], out: &mut dyn Write) -> Result<u8, ServiceError> {
    let own = deliver::own_roots(&options.root);
    let ask = |http: &crate::talk::Http| crate::web::ask(http, None, None, own.as_deref());
    let resolvers = resolvers(options);
    let mut checks = Checks::new();
    let (mut names, mut fits) = (Vec::new(), true);
    for wanted in all {
        let mut remote = remote(wanted, &ask);
        let checks = checks_of(&mut remote, &mut checks)?;
        let state = status::look(wanted, &mut remote, &checks, &resolvers)?;
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

fn confirmed(changes: usize, out: &mut dyn Write) -> bool {
    let input = std::io::stdin();
    if !input.is_terminal() {
        eprintln!("failberry: dns apply: standard input is no terminal; say --yes");
        return false;
    }
    say(out, &format!("make {}? [y/N] ", show::changes(changes)));
    let mut answer = String::new();
    let read = input.lock().read_line(&mut answer);
    let yes = read.is_ok() && ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str());
    if !yes {
        eprintln!("failberry: dns apply: nothing was changed");
    }
    yes
}

fn wait(remote: &Remote<'_>, id: &str) -> Result<(), ServiceError> {
    let end = Instant::now() + SYNC;
    while Instant::now() < end {
        if remote.is_synced(id)? {
            return Ok(());
        }
        std::thread::sleep(SYNC_POLL);
    }
    eprintln!("failberry: dns apply: after {} s not all name servers of Route 53 have it", SYNC.as_secs());
    Ok(())
}

/// The daemon may have been waiting for these sets, or been told to stop; where there is none, all is well.
fn wake(root: &Root) {
    let request = root.path(format!("/run/failberry/requests/{NAME}/{}", daemon::RETRY));
    let _ = file::write_atomic(&request, b"", 0o644);
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// Who closed standard output wants to read no more.
fn say(out: &mut dyn Write, text: &str) {
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<Option<Options>, lexopt::Error> {
        parse(&text.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_documented_words_are_understood() {
        let options =
            words("apply --yes --wired 203.0.113.5 --wired 2001:db8::5 --cellular 198.51.100.7").unwrap();
        let options = options.unwrap();
        assert_eq!((options.verb, options.wired.len(), options.cellular.len()), (Verb::Apply, 2, 1));
        assert_eq!(options.config, Path::new("/run/failberry/config/dyndns.toml"));
        assert_eq!(words("plan --json").unwrap().unwrap().verb, Verb::Plan);
        assert!(words("status --help").unwrap().is_none());
        for wrong in
            ["", "plna", "plan status", "plan --yes", "status --wait", "apply --json", "plan --wired x"]
        {
            assert!(words(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_configuration_that_cannot_be_read_is_told_by_its_code() {
        let dir = tempfile::tempdir().unwrap();
        let run = |file: &Path| {
            let words = ["plan".into(), "--config".into(), file.as_os_str().to_owned()];
            main(&words, &mut Vec::new())
        };
        assert_eq!(run(&dir.path().join("missing.toml")), CONFIG);
        let file = dir.path().join("failberry.toml");
        std::fs::write(&file, "[dyndns]\nnames = 7\n").unwrap();
        assert_eq!(run(&file), CONFIG);
        std::fs::write(&file, "").unwrap();
        assert_eq!(run(&file), OK);
    }
}
