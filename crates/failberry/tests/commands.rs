//! The program as it is called.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sysio::clock;

fn failberry(root: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_failberry")).arg("--root").arg(root).args(words).output().unwrap()
}

fn system() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for sub in ["run/failberry/requests/modem-dialer", "proc/sys/kernel/random"] {
        fs::create_dir_all(dir.path().join(sub)).unwrap();
    }
    fs::write(dir.path().join("proc/sys/kernel/random/boot_id"), "b\n").unwrap();
    fs::write(dir.path().join("proc/sys/kernel/hostname"), "attic\n").unwrap();
    for daemon in overview::DAEMONS {
        put(dir.path(), daemon, "connected", "");
    }
    dir
}

fn put(root: &Path, daemon: &str, state: &str, conditions: &str) {
    let now = clock::now().as_millis();
    let text = format!(
        r#"{{"schema":1,"daemon":"{daemon}","version":"0","boot_id":"b","monotonic_ms":{now},"wall":null,
        "state":"{state}","since_ms":{now},"conditions":[{conditions}],
        "link":{{"interface":"ppp0","local":"100.64.0.2"}}}}"#
    );
    fs::write(root.join(format!("run/failberry/{daemon}.json")), text).unwrap();
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn status_fits_a_terminal_and_its_exit_code_is_the_health() {
    let dir = system();
    let output = failberry(dir.path(), &["status"]);
    assert_eq!(output.status.code(), Some(0), "{}", out(&output));
    assert!(out(&output).starts_with("attic is healthy"));

    let long = "word ".repeat(60);
    let condition = |severity: &str| {
        format!(
            r#"{{"id":"modem-x","severity":"{severity}","since":1,"summary":"{long}","detail":"{long}"}}"#
        )
    };
    put(dir.path(), "modem-dialer", "waiting", &condition("warning"));
    assert_eq!(failberry(dir.path(), &["status"]).status.code(), Some(1));
    put(dir.path(), "modem-dialer", "waiting", &condition("error"));
    let output = failberry(dir.path(), &["status"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(out(&output).contains("ERROR modem-x (modem-dialer"));
    for line in out(&output).lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    fs::remove_file(dir.path().join("run/failberry/uplink.json")).unwrap();
    put(dir.path(), "modem-dialer", "connected", "");
    assert_eq!(failberry(dir.path(), &["status"]).status.code(), Some(2));
}

#[test]
fn status_for_programs_is_one_line_of_json() {
    let dir = system();
    let output = failberry(dir.path(), &["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!(json["state"], "healthy");
    assert_eq!(json["daemons"]["modem-dialer"]["link"]["interface"], "ppp0");
    assert_eq!(out(&output).lines().count(), 1);
}

#[test]
fn what_a_stick_says_cannot_steer_the_terminal() {
    let dir = system();
    put(dir.path(), "modem-dialer", "\\u001b[2J", "");
    assert!(!out(&failberry(dir.path(), &["status"])).contains('\u{1b}'));
}

#[test]
fn check_names_every_mistake_with_line_and_hint() {
    let dir = system();
    let file = dir.path().join("failberry.toml");
    fs::write(&file, "[modem]\r\napm = \"internet\"\r\nroaming = \"yes\"\r\n\r\n[newtork]\r\n").unwrap();
    let path = file.to_str().unwrap();
    let output = failberry(dir.path(), &["config", "check", path]);
    assert_eq!(output.status.code(), Some(78));
    let expected = format!(
        "{path}:2: modem.apm: unknown key\n    hint: did you mean apn?\n\
         {path}:3: modem.roaming: text where true or false is expected\n    hint: write true or false, without quotes\n\
         {path}:5: [newtork]: unknown section\n    hint: did you mean [network]?\n3 mistakes\n"
    );
    assert_eq!(err(&output), expected);
    fs::write(&file, "").unwrap();
    assert_eq!(failberry(dir.path(), &["config", "check", path]).status.code(), Some(0));
    assert_eq!(failberry(dir.path(), &["config", "check", "/nonexistent"]).status.code(), Some(66));
}

#[test]
fn the_shipped_example_passes_the_check() {
    let dir = system();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/failberry.example.toml");
    assert_eq!(failberry(dir.path(), &["config", "check", example]).status.code(), Some(0));
}

#[test]
fn requests_are_left_for_the_dialer_and_it_is_said_when_nobody_is_there_to_take_them() {
    let dir = system();
    let requests = dir.path().join("run/failberry/requests/modem-dialer");
    for word in ["redial", "dial", "hangup"] {
        assert_eq!(failberry(dir.path(), &[word]).status.code(), Some(0));
        assert!(requests.join(word).exists(), "{word}");
    }
    fs::remove_dir_all(requests).unwrap();
    assert_eq!(failberry(dir.path(), &["redial"]).status.code(), Some(69));
}

#[test]
fn usage_is_read_from_uplink_and_corrected_by_a_request() {
    let dir = system();
    fs::remove_file(dir.path().join("run/failberry/uplink.json")).unwrap();
    let output = failberry(dir.path(), &["usage"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(err(&output).contains("journalctl -u uplink"), "{}", err(&output));
    let now = clock::now().as_millis();
    let text = format!(
        r#"{{"schema":1,"daemon":"uplink","version":"0","boot_id":"b","monotonic_ms":{now},"wall":null,
        "state":"online","since_ms":{now},"conditions":[],
        "usage":{{"used_bytes":2000000000,"quota_bytes":5000000000,"percent":40,"guard":"open"}}}}"#
    );
    fs::write(dir.path().join("run/failberry/uplink.json"), text).unwrap();
    let output = failberry(dir.path(), &["usage"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(out(&output).contains("2.00 GB of 5.00 GB, 40 %"), "{}", out(&output));
    let output = failberry(dir.path(), &["usage", "--json"]);
    let json: serde_json::Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!((&json["usage"]["percent"], &json["guard"]), (&40.into(), &"open".into()));

    assert_eq!(failberry(dir.path(), &["usage", "set", "a lot"]).status.code(), Some(64));
    assert_eq!(failberry(dir.path(), &["usage", "set", "3.2 GB"]).status.code(), Some(69));
    let requests = dir.path().join("run/failberry/requests/uplink");
    fs::create_dir(&requests).unwrap();
    assert_eq!(failberry(dir.path(), &["usage", "set", "3.2 GB"]).status.code(), Some(0));
    assert_eq!(fs::read_to_string(requests.join("usage-set")).unwrap(), "3.2 GB");
}

#[test]
fn a_wrong_word_is_a_usage_error_with_the_way_to_help() {
    let dir = system();
    let output = failberry(dir.path(), &["statsu"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(err(&output).contains("--help"), "{}", err(&output));
    assert_eq!(failberry(dir.path(), &["--help"]).status.code(), Some(0));
}

#[test]
fn dns_becomes_the_program_that_has_tls_with_all_its_words() {
    use std::os::unix::fs::PermissionsExt;
    let dir = system();
    let output = failberry(dir.path(), &["dns", "plan"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(err(&output).contains("dyndns is not installed here"), "{}", err(&output));
    let program = dir.path().join("usr/libexec/failberry/dyndns");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::write(&program, "#!/bin/sh\necho \"$@\"\nexit 2\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = failberry(dir.path(), &["dns", "plan", "--wired", "203.0.113.5", "--help"]);
    assert_eq!(output.status.code(), Some(2));
    let words = out(&output).trim_end().trim_end_matches('/');
    assert_eq!(words, format!("dns plan --wired 203.0.113.5 --help --root {}", dir.path().display()));
}

#[test]
fn dyndns_retry_leaves_a_request_for_dyndns() {
    let dir = system();
    let output = failberry(dir.path(), &["dyndns", "retry"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(err(&output).contains("dyndns is not installed here"), "{}", err(&output));
    fs::create_dir_all(dir.path().join("run/failberry/requests/dyndns")).unwrap();
    assert_eq!(failberry(dir.path(), &["dyndns", "retry"]).status.code(), Some(0));
    assert!(dir.path().join("run/failberry/requests/dyndns/retry").exists());
}

#[test]
fn probe_becomes_the_program_that_has_tls_with_all_its_words() {
    use std::os::unix::fs::PermissionsExt;
    let dir = system();
    let output = failberry(dir.path(), &["probe", "example.org"]);
    assert_eq!(output.status.code(), Some(69));
    assert!(err(&output).contains("prober is not installed here"), "{}", err(&output));
    let program = dir.path().join("usr/libexec/failberry/prober");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::write(&program, "#!/bin/sh\necho \"$@\"\nexit 1\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let output = failberry(dir.path(), &["probe", "example.org", "--line", "wired", "--help"]);
    assert_eq!(output.status.code(), Some(1));
    let words = out(&output).trim_end().trim_end_matches('/');
    assert_eq!(words, format!("probe example.org --line wired --help --root {}", dir.path().display()));
}
