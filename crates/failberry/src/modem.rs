//! `failberry modem …`: how the stick is, and maintenance of it through the daemon that owns its
//! ports.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::Value;
use sysio::{Root, clock, file};

use crate::exit;

const DAEMON: &str = "modem-dialer";
const REQUESTS: &str = "/run/failberry/requests/modem-dialer";
const ANSWERS: &str = "/run/failberry/answers/modem-dialer";
/// The daemon gives a command 8 s for its turn and 10 s for each answer; a switch has two.
const PATIENCE: Duration = Duration::from_secs(35);
const POLL: Duration = Duration::from_millis(20);
/// An answer is some hundred bytes; the longest list of a stick some kilobytes.
const LARGEST: u64 = 256 * 1024;

/// What switching the CD-ROM off means, said before it is done.
const WARNING: &str = "\
This changes the stick itself, for good, also in other computers: it will not show its CD-ROM with the
provider's drivers any more. Some firmwares do not come back from it without `enable-cdrom`.
Appliances do not need it: the CD-ROM is switched away at every start. If you want it nevertheless:
  failberry modem disable-cdrom --yes";

/// What the daemon answers.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    answers: Vec<Said>,
    error: Option<String>,
    #[serde(default)]
    refused: bool,
}

#[derive(Debug, Deserialize)]
struct Said {
    command: String,
    lines: Vec<String>,
    outcome: String,
    ok: bool,
}

/// How the stick is, in plain words.
pub(crate) fn status(root: &Root) -> u8 {
    let document = snapshot::boot_id(root).map(|boot| snapshot::read(root, DAEMON, &boot, clock::now()));
    let known = document.as_ref().ok().and_then(|verdict| verdict.fresh());
    let Some(document) = known else {
        eprintln!("failberry: {DAEMON} says nothing (fresh); see systemctl status {DAEMON}");
        return exit::UNAVAILABLE;
    };
    print!("{}", describe(&document.state, &Value::Object(document.fields.clone())));
    if document.state == "connected" { exit::OK } else { exit::DEGRADED }
}

fn describe(state: &str, fields: &Value) -> String {
    let text = |path: &str| match fields.pointer(path) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    let joined = |parts: &[Option<String>]| parts.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
    let unit = |path: &str, unit: &str| text(path).map(|value| format!("{value} {unit}"));
    let at = |path: &str, word: &str| text(path).map(|value| format!("{word} {value}"));
    let rows = [
        ("state", state.to_owned()),
        (
            "stick",
            joined(&[
                text("/modem/model"),
                text("/modem/id"),
                at("/modem/usb_path", "at"),
                text("/modem/port"),
            ]),
        ),
        (
            "network",
            joined(&[
                text("/network/operator"),
                text("/network/operator_code"),
                text("/network/technology"),
                text("/network/registration"),
                unit("/network/signal_dbm", "dBm"),
            ]),
        ),
        ("link", joined(&[text("/link/interface"), text("/link/local"), at("/link/remote", "to")])),
        ("bytes", joined(&[unit("/link/rx_bytes", "in"), unit("/link/tx_bytes", "out")])),
        ("stuck", joined(&[text("/stuck/reason")])),
    ];
    let mut text = String::new();
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<9}{value}");
    }
    text
}

/// Sends one command and prints what the stick says.
pub(crate) fn at(root: &Root, command: &str) -> u8 {
    let token = token();
    match ask(root, &format!("at-{token}"), command, &token) {
        Ok(answer) => tell(&answer),
        Err(code) => code,
    }
}

/// The persistent switch of the CD-ROM.
pub(crate) fn cdrom(root: &Root, disable: bool, yes: bool) -> u8 {
    if disable && !yes {
        eprintln!("{WARNING}");
        return exit::USAGE;
    }
    let token = token();
    let request = if disable { "disable-cdrom" } else { "enable-cdrom" };
    let answer = match ask(root, request, &token, &token) {
        Ok(answer) => answer,
        Err(code) => return code,
    };
    let code = tell(&answer);
    if code == exit::OK {
        let word = if disable { "off" } else { "on" };
        println!("the stick took it: its CD-ROM is {word} from the next time it is plugged in");
    }
    code
}

/// Lets the dialer send the configured PIN once more; a person knows now that it is right.
pub(crate) fn forget_pin(root: &Root) -> u8 {
    match file::write_atomic(&root.path(REQUESTS).join("forget-pin"), b"", 0o600) {
        Ok(()) => {
            println!("asked modem-dialer to send the PIN once more; failberry status shows what came of it");
            exit::OK
        }
        Err(error) => not_asked(&root.path(REQUESTS).join("forget-pin"), &error),
    }
}

fn not_asked(request: &Path, error: &io::Error) -> u8 {
    let (hint, code) = match error.kind() {
        ErrorKind::PermissionDenied => ("only root may ask; log in as root", exit::NO_PERMISSION),
        ErrorKind::NotFound => ("modem-dialer is not installed here", exit::UNAVAILABLE),
        _ => ("see journalctl -u modem-dialer", exit::IO),
    };
    eprintln!("failberry: write {}: {error}; {hint}", request.display());
    code
}

fn tell(answer: &Answer) -> u8 {
    let several = answer.answers.len() > 1;
    for said in &answer.answers {
        if several {
            println!("{}", said.command);
        }
        said.lines.iter().for_each(|line| println!("{line}"));
        println!("{}", said.outcome);
    }
    if let Some(error) = &answer.error {
        eprintln!("failberry: {error}");
        return if answer.refused { exit::USAGE } else { exit::UNAVAILABLE };
    }
    if answer.answers.iter().all(|said| said.ok && !said.lines.iter().any(|line| reports_failure(line))) {
        exit::OK
    } else {
        exit::DEGRADED
    }
}

/// ZTE says `OK` in either case and the result in words before it:
/// `Close autorun state result(0:FAIL 1:SUCCESS):0`.
fn reports_failure(line: &str) -> bool {
    line.contains("result(0:FAIL 1:SUCCESS)") && line.trim_end().ends_with(":0")
}

fn ask(root: &Root, request: &str, content: &str, token: &str) -> Result<Answer, u8> {
    let request = root.path(REQUESTS).join(request);
    let answer = root.path(ANSWERS).join(token);
    file::write_atomic(&request, content.as_bytes(), 0o600).map_err(|error| not_asked(&request, &error))?;
    wait(&request, &answer)
}

fn wait(request: &PathBuf, answer: &PathBuf) -> Result<Answer, u8> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Ok(content) = file::read_bounded(answer, LARGEST) {
            let _ = fs::remove_file(answer);
            return serde_json::from_slice(&content).map_err(|error| {
                eprintln!(
                    "failberry: read {}: {error}; is the daemon of the same version?",
                    answer.display()
                );
                exit::IO
            });
        }
        thread::sleep(POLL);
    }
    // Not to be carried out later, when nobody waits for it any more.
    let hint = match fs::remove_file(request) {
        Ok(()) => "modem-dialer does not take requests; see systemctl status modem-dialer",
        Err(_) => "modem-dialer took the request and did not answer; see journalctl -u modem-dialer",
    };
    eprintln!("failberry: no answer within {} s; {hint}", PATIENCE.as_secs());
    Err(exit::UNAVAILABLE)
}

/// Small letters and digits, different for every call.
pub(crate) fn token() -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}x{:x}", std::process::id(), time.as_nanos() & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A daemon that answers the first request.
    fn answering(root: &Root, answer: &'static str) -> thread::JoinHandle<String> {
        let (requests, answers) = (root.path(REQUESTS), root.path(ANSWERS));
        fs::create_dir_all(&requests).unwrap();
        fs::create_dir_all(&answers).unwrap();
        thread::spawn(move || {
            let end = Instant::now() + PATIENCE;
            while Instant::now() < end {
                let found = fs::read_dir(&requests)
                    .unwrap()
                    .flatten()
                    .find(|entry| !entry.file_name().to_string_lossy().starts_with('.'));
                let Some(entry) = found else { continue };
                let content = fs::read_to_string(entry.path()).unwrap();
                let name = entry.file_name().to_string_lossy().into_owned();
                fs::remove_file(entry.path()).unwrap();
                let token = name.strip_prefix("at-").unwrap_or(&content);
                file::write_atomic(&answers.join(token), answer.as_bytes(), 0o600).unwrap();
                return format!("{name} {content}");
            }
            panic!("no request");
        })
    }

    fn case(answer: &'static str, run: impl Fn(&Root) -> u8) -> (u8, String) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        let daemon = answering(&root, answer);
        let code = run(&root);
        assert_eq!(fs::read_dir(root.path(ANSWERS)).unwrap().count(), 0);
        (code, daemon.join().unwrap())
    }

    #[test]
    fn the_exit_code_tells_answer_error_and_refusal_apart() {
        let ok = r#"{"answers":[{"command":"AT+CSQ","lines":["+CSQ: 1,99"],"outcome":"OK","ok":true}],"error":null}"#;
        let (code, request) = case(ok, |root| at(root, "AT+CSQ"));
        assert_eq!(code, exit::OK);
        assert!(request.starts_with("at-") && request.ends_with(" AT+CSQ"), "{request}");
        let error =
            r#"{"answers":[{"command":"AT+X","lines":[],"outcome":"ERROR","ok":false}],"error":null}"#;
        assert_eq!(case(error, |root| at(root, "AT+X")).0, exit::DEGRADED);
        let refused = r#"{"answers":[],"error":"no","refused":true}"#;
        assert_eq!(case(refused, |root| at(root, "AT+CPIN=1")).0, exit::USAGE);
        let silent = r#"{"answers":[],"error":"no answer in time","refused":false}"#;
        assert_eq!(case(silent, |root| at(root, "AT")).0, exit::UNAVAILABLE);
    }

    #[test]
    fn a_pin_to_be_forgotten_is_asked_for_and_a_missing_daemon_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        assert_eq!(forget_pin(&root), exit::UNAVAILABLE);
        fs::create_dir_all(root.path(REQUESTS)).unwrap();
        assert_eq!(forget_pin(&root), exit::OK);
        assert!(root.path(REQUESTS).join("forget-pin").exists());
    }

    #[test]
    fn the_switch_needs_a_yes_and_believes_the_sticks_own_words() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        assert_eq!(cdrom(&root, true, false), exit::USAGE);
        let said = r#"{"answers":[{"command":"AT+ZCDRUN=8","lines":["Close autorun state result(0:FAIL 1:SUCCESS):0"],"outcome":"OK","ok":true}],"error":null}"#;
        let (code, request) = case(said, |root| cdrom(root, true, true));
        assert_eq!(code, exit::DEGRADED);
        assert!(request.starts_with("disable-cdrom "));
    }

    #[test]
    fn the_stick_is_described_without_gaps_where_nothing_is_known() {
        let fields = json!({"link": null, "modem": {"model": "MF180", "id": "19d2:0031", "usb_path": "1-1"},
                            "network": {"signal_dbm": -77, "operator": null}});
        let text = describe("registering", &fields);
        assert_eq!(text, "state    registering\nstick    MF180, 19d2:0031, at 1-1\nnetwork  -77 dBm\n");
    }
}
