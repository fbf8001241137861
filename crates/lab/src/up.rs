//! `lab up`: the appliance to look at, with doors on the builder's loopback. `scripts/run`.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::appliance::{Appliance, CONFIG, Options};
use crate::error::{Error, Result};
use crate::net::forward::forward;
use crate::qemu::Model;
use crate::scenario::expect::{Expectation, From, Http};
use crate::scenario::snapshots::Field;
use crate::stop::Stop;
use crate::world::{APPLIANCE, Plan};

/// From power-on to a working uplink; a cold builder with one slow core needs minutes.
const READY: Duration = Duration::from_secs(600);
/// A forgotten run ends after a day.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How often a person is told what is waited for.
const REMIND: Duration = Duration::from_secs(30);
/// Lines of the console that a failure repeats.
const TAIL: usize = 25;
/// Ports of the appliance: ARCHITECTURE.md.
const STATUS: u16 = 80;
const HEALTH: u16 = 9000;
const SSH: u16 = 22;
/// What the health endpoint answers when all is well.
const OK: u16 = 200;

/// Boots the appliance and waits until its modem link is up and its health endpoint answers, from
/// the LAN and from the internet. With `once` that is all, and one line of JSON says so; without,
/// it runs until interrupted.
///
/// # Errors
/// When it does not get that far.
pub fn up(image: &Path, folder: &Path, once: bool, stop: &Stop) -> Result<()> {
    eprintln!("booting {} (logs: {})", image.display(), folder.display());
    // Whoever looks around may also watch the ladder's last rung.
    let reboots = if once { 0 } else { u32::MAX };
    let options = Options {
        image,
        model: Model::Bench,
        folder,
        config: CONFIG,
        reboots,
        extras: &[],
        plan: Plan::default(),
    };
    let mut appliance = Appliance::boot(&options)?;
    if !once {
        eprint!("{}", doors(&appliance)?);
    }
    let state =
        Field { path: "modem-dialer.state".to_owned(), equals: Some("connected".into()), ..Field::default() };
    let lan = wait(&mut appliance, stop, "health endpoint answers in the LAN", &health(From::Lan))?;
    let modem = wait(&mut appliance, stop, "modem connected", &Expectation::Status(state))?;
    let internet =
        wait(&mut appliance, stop, "health endpoint answers in the internet", &health(From::Internet))?;
    let boot = lan.max(modem).max(internet);
    println!(
        "{}",
        json!({
            "modem": "connected",
            "ping_http": OK,
            "boot_seconds": round(boot),
            "health_seconds": round(lan),
            "modem_seconds": round(modem),
            "cellular_address": appliance.subscriber().to_string(),
        })
    );
    if once {
        return Ok(());
    }
    eprintln!("running; Ctrl-C ends it");
    stop.wait("interruption", DAY, || appliance.check().map(|()| None))
}

fn health(from: From) -> Expectation {
    Expectation::Http(Http { from, port: HEALTH, status: OK })
}

fn wait(appliance: &mut Appliance, stop: &Stop, what: &str, expect: &Expectation) -> Result<Duration> {
    let left = READY.saturating_sub(appliance.console.now());
    let mut remind = appliance.console.now() + REMIND;
    let reached = stop.wait(what, left, || {
        appliance.check()?;
        let answer = expect.ask(appliance, &mut 0);
        let now = appliance.console.now();
        if let (Err(why), true) = (&answer, now >= remind) {
            remind = now + REMIND;
            eprintln!("{:7.1} s  waiting: {what}: {why}", now.as_secs_f64());
        }
        Ok(answer.ok().map(|_| now))
    });
    match &reached {
        Ok(now) => eprintln!("{:7.1} s  {what}", now.as_secs_f64()),
        Err(Error::Interrupted) => {}
        Err(_) => {
            appliance.console.tail(TAIL).iter().for_each(|line| eprintln!("    {line}"));
            appliance.save_evidence();
        }
    }
    reached
}

/// Opens doors and says where they are.
fn doors(appliance: &Appliance) -> Result<String> {
    let open = |port| forward(appliance.world.client.clone(), SocketAddr::from((APPLIANCE, port)));
    let (status, health, ssh) = (open(STATUS)?, open(HEALTH)?, open(SSH)?);
    let mut text = String::new();
    let _ = writeln!(text, "  status page      http://{status}/");
    let _ = writeln!(text, "  health endpoint  http://{health}/");
    let _ = writeln!(
        text,
        "  SSH              ssh -i {} -o IdentitiesOnly=yes -o UserKnownHostsFile={} -p {} root@127.0.0.1",
        appliance.key().display(),
        appliance.folder().join("known_hosts.doors").display(),
        ssh.port()
    );
    Ok(text)
}

fn round(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}
