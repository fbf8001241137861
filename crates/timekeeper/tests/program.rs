//! The program itself, without any line to ask over, so that no clock can be set: it ends with
//! timesyncd's word, and with success.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// This is for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn house() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["run/failberry", "run/systemd/timesync", "proc/sys/kernel/random"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    fs::write(dir.path().join("proc/sys/kernel/random/boot_id"), "a-boot").unwrap();
    dir
}

fn start(root: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_timekeeper"))
        .args(["--root".as_ref(), root.as_os_str()])
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn state(root: &Path) -> String {
    let text = fs::read_to_string(root.join("run/failberry/timekeeper.json")).unwrap_or_default();
    let snapshot: Value = serde_json::from_str(&text).unwrap_or_default();
    snapshot["state"].as_str().unwrap_or_default().to_owned()
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

fn ended(child: &mut Child) -> ExitStatus {
    until("the end", || child.try_wait().unwrap())
}

#[test]
fn it_ends_with_success_and_a_last_word_once_timesyncd_keeps_the_clock() {
    let dir = house();
    let mut child = start(dir.path());
    until("waiting", || (state(dir.path()) == "waiting-for-line").then_some(()));
    assert!(!dir.path().join("run/failberry/clock-set").exists());
    fs::write(dir.path().join("run/systemd/timesync/synchronized"), "").unwrap();
    assert!(ended(&mut child).success());
    assert_eq!(state(dir.path()), "synchronised");
    assert!(dir.path().join("run/failberry/clock-set").exists());
}

#[test]
fn it_ends_at_once_where_there_is_nothing_to_do() {
    let dir = house();
    fs::write(dir.path().join("run/systemd/timesync/synchronized"), "").unwrap();
    let mut child = start(dir.path());
    assert!(ended(&mut child).success());
    assert_eq!(state(dir.path()), "synchronised");
}
