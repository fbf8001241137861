//! `failberry notify test`: whether messages arrive, asked of the daemon that alone may send them.

use std::fs;
use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use sysio::{Root, file};

use crate::exit;
use crate::modem::token;

const REQUESTS: &str = "/run/failberry/requests/notify";
const ANSWERS: &str = "/run/failberry/answers/notify";
/// Four ways, each given up by the daemon after 75 s, and one under way before.
const PATIENCE: Duration = Duration::from_secs(5 * 75);
const POLL: Duration = Duration::from_millis(50);
/// A line a way.
const LARGEST: u64 = 64 * 1024;

#[derive(Debug, Deserialize)]
struct Answer {
    channels: Vec<Tried>,
}

#[derive(Debug, Deserialize)]
struct Tried {
    channel: String,
    ok: bool,
    detail: String,
    ms: u64,
}

/// Asks, waits and tells; 0 if every way works.
pub(crate) fn test(root: &Root) -> u8 {
    let token = token();
    let request = root.path(REQUESTS).join(format!("test-{token}"));
    if let Err(error) = file::write_atomic(&request, b"", 0o644) {
        let (hint, code) = match error.kind() {
            ErrorKind::PermissionDenied => ("only root may ask; log in as root", exit::NO_PERMISSION),
            ErrorKind::NotFound => ("notify is not installed here", exit::UNAVAILABLE),
            _ => ("see journalctl -u notify", exit::IO),
        };
        eprintln!("failberry: write {}: {error}; {hint}", request.display());
        return code;
    }
    println!("sending by every configured way; a dead one takes up to a minute");
    let path = root.path(ANSWERS).join(&token);
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Ok(content) = file::read_bounded(&path, LARGEST) {
            // What stays is removed by the daemon after a while.
            let _ = fs::remove_file(&path);
            return tell(&content);
        }
        thread::sleep(POLL);
    }
    let hint = match fs::remove_file(&request) {
        Ok(()) => "notify does not take requests; see systemctl status notify",
        Err(_) => "notify took the request and did not answer; see journalctl -u notify",
    };
    eprintln!("failberry: no answer within {} s; {hint}", PATIENCE.as_secs());
    exit::UNAVAILABLE
}

fn tell(content: &[u8]) -> u8 {
    let answer: Answer = match serde_json::from_slice(content) {
        Ok(answer) => answer,
        Err(error) => {
            eprintln!("failberry: read the answer: {error}; is notify of the same version?");
            return exit::IO;
        }
    };
    if answer.channels.is_empty() {
        eprintln!("failberry: nobody is configured to be told; set webhook, ntfy, slack or smtp in [notify]");
        return exit::UNAVAILABLE;
    }
    for tried in &answer.channels {
        let word = if tried.ok { "ok    " } else { "failed" };
        println!(
            "{:<8} {word} {} ({}.{} s)",
            tried.channel,
            tried.detail,
            tried.ms / 1000,
            tried.ms % 1000 / 100
        );
    }
    if answer.channels.iter().all(|tried| tried.ok) { exit::OK } else { exit::DEGRADED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_says_whether_every_way_works() {
        let ok = br#"{"channels":[{"channel":"ntfy","ok":true,"detail":"accepted","ms":120}]}"#;
        assert_eq!(tell(ok), exit::OK);
        let one = br#"{"channels":[{"channel":"ntfy","ok":true,"detail":"accepted","ms":1},
            {"channel":"mail","ok":false,"detail":"no answer","ms":30000}]}"#;
        assert_eq!(tell(one), exit::DEGRADED);
        assert_eq!(tell(br#"{"channels":[]}"#), exit::UNAVAILABLE);
        assert_eq!(tell(b"{"), exit::IO);
    }

    #[test]
    fn a_missing_daemon_is_told() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(test(&Root::at(dir.path())), exit::UNAVAILABLE);
    }
}
