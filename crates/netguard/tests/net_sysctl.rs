//! The field story: a shipped sysctl file undoes forwarding; and what people do wrong.

#[expect(dead_code, reason = "the loaders' test uses the rest")]
mod sysctl_host;

use netguard::{ProcSys, Settings};
use nix::mount::{MsFlags, mount};
use serde_json::Value;
use std::fs;
use std::time::{Duration, Instant};
use sysctl_host::{NETGUARD, Running, condition, host, live, output, put, snapshot};
use sysio::Root;
use testnet::Namespace;

/// Forwarding has to be back within this.
const BACK: Duration = Duration::from_secs(2);
/// For a daemon that starts on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const GCE: &str = "/etc/sysctl.d/99-gce.conf";
const GCE_TEXT: &str = "# Google-recommended kernel parameters\n\nnet.ipv4.ip_forward = 0\nnet.ipv4.conf.all.accept_redirects = 0\n";
const FORWARD: &str = "net/ipv4/ip_forward";

/// Waits until it holds, and tells how long that took.
fn until(limit: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}

fn forwards(host: &Namespace) -> bool {
    host.run(|| live(FORWARD)) == "1"
}

fn start(host: &Namespace) -> Running {
    let daemon = Running::netguard(host);
    until(PATIENCE, "applied", || snapshot(host)["state"] == "applied");
    until(PATIENCE, "forwarding", || forwards(host));
    daemon
}

fn netguard(host: &Namespace, words: &'static [&'static str]) -> (i32, String, String) {
    let output = host.run(|| output(NETGUARD, words));
    (output.status.code().unwrap_or(-1), output.stdout, output.stderr)
}

fn json(host: &Namespace, words: &'static [&'static str]) -> (i32, Value) {
    let (code, stdout, stderr) = netguard(host, words);
    (code, serde_json::from_str(&stdout).unwrap_or_else(|e| panic!("{e}: {stdout}{stderr}")))
}

#[test]
fn forwarding_is_back_at_once_and_the_file_that_undid_it_is_named() {
    let host = host();
    put(&host, GCE, GCE_TEXT);
    // As on the instances of the story: the file at boot, then the container engine.
    host.sh("/usr/lib/systemd/systemd-sysctl");
    host.sh("sysctl -q -w net.ipv4.ip_forward=1");
    let _daemon = start(&host);
    assert_eq!(snapshot(&host)["repairs"], 0);
    until(PATIENCE, "foresight", || condition(&snapshot(&host), "sysctl-would-undo").is_some());
    host.sh("sysctl -q --system");
    let took = until(BACK, "forwarding", || forwards(&host));
    println!("forwarding was back after {} ms", took.as_millis());
    until(PATIENCE, "condition", || condition(&snapshot(&host), "sysctl-repaired").is_some());
    let said = snapshot(&host);
    let detail = condition(&said, "sysctl-repaired").unwrap()["detail"].as_str().unwrap();
    assert!(detail.contains("/etc/sysctl.d/99-gce.conf line 3 sets it to 0"), "{detail}");
    assert!(detail.contains("wins under systemd-sysctl and sysctl --system"), "{detail}");
    assert_eq!(said["repairs"], 1, "{said}");
    // What the condition says helps.
    assert!(detail.contains("/etc/sysctl.d/99-zz-router.conf"), "{detail}");
    put(&host, "/etc/sysctl.d/99-zz-router.conf", "net.ipv4.ip_forward = 1\n");
    host.sh("sysctl -q --system");
    host.sh("/usr/lib/systemd/systemd-sysctl");
    assert!(forwards(&host));
    // A second change that no file explains.
    host.sh("sysctl -q -w net.ipv4.ip_forward=2");
    until(BACK, "forwarding", || forwards(&host));
    until(PATIENCE, "condition", || {
        let said = snapshot(&host);
        condition(&said, "sysctl-repaired")
            .is_some_and(|c| c["detail"].as_str().unwrap().contains("no file sets it to 2"))
    });
    assert_eq!(snapshot(&host)["repairs"], 2);
    assert!(condition(&snapshot(&host), "sysctl-would-undo").is_none());
}

#[test]
fn explain_tells_files_winners_and_defects() {
    let host = host();
    put(&host, GCE, GCE_TEXT);
    put(&host, "/usr/lib/sysctl.d/99-gce.conf", "net.ipv4.ip_forward=1\n");
    put(&host, "/etc/sysctl.d/99-zz-router.conf", "net.ipv4.ip_foward = 1");
    put(&host, "/etc/sysctl.conf", "net.ipv4.ip_forward = 1");
    let (code, said) = json(&host, &["explain", "net.ipv4.ip_forward", "--json"]);
    assert_eq!(code, 0);
    assert_eq!((said["live"].as_str(), said["wanted"].as_str()), (Some("0"), Some("1")));
    assert_eq!(said["loaders"]["systemd"]["winner"]["file"], GCE);
    assert_eq!(said["loaders"]["procps"]["winner"]["file"], "/etc/sysctl.conf");
    let defects: Vec<String> = said["defects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| format!("{} {}", d["id"].as_str().unwrap(), d["file"].as_str().unwrap()))
        .collect();
    assert_eq!(
        defects,
        [
            format!("would-undo {GCE}"),
            "loaders-disagree ".to_owned(),
            "typo /etc/sysctl.d/99-zz-router.conf".to_owned(),
            "no-final-line-feed /etc/sysctl.conf".to_owned(),
            "shadowed /usr/lib/sysctl.d/99-gce.conf".to_owned(),
        ]
    );
    let (code, text, _) = netguard(&host, &["explain", "net/ipv4/ip_forward"]);
    assert_eq!(code, 0);
    for words in [
        "net.ipv4.ip_forward = 0 now; netguard keeps it at 1",
        "net.ipv4.conf.all.forwarding is another name of the same number",
        "/etc/sysctl.d/99-gce.conf:3  net.ipv4.ip_forward = 0",
        "(not read: hidden by /etc/sysctl.d/99-gce.conf)",
        "1. /etc/sysctl.d/99-gce.conf:3  0   <- wins",
        "2. /etc/sysctl.conf:1  1   <- wins",
        "did you mean net.ipv4.ip_forward?",
        "what to do\n  /etc/sysctl.d/99-gce.conf line 3: remove that line",
    ] {
        assert!(text.contains(words), "{words:?} is missing in\n{text}");
    }
}

#[test]
fn names_that_are_none_are_told_with_what_was_meant() {
    let host = host();
    host.sh("ip link add eth0.100 type veth peer name other");
    for (words, meant) in [
        (&["explain", "net.ipv4.ip_foward"] as &[&str], "did you mean net.ipv4.ip_forward?"),
        (&["explain", "net.ipv4.conf.eth0.100.rp_filter"], "did you mean net.ipv4.conf.eth0/100.rp_filter?"),
        (&["explain", "net.ipv4.ip_forward=1"], "is no setting's name"),
        (&["explain"], "explain what?"),
        (&["chekc"], "unknown command"),
    ] {
        let (code, _, stderr) = netguard(&host, words);
        assert_eq!((code, stderr.contains(meant)), (64, true), "{words:?}: {stderr}");
    }
    let (code, said) = json(&host, &["explain", "net.ipv4.conf.eth0/100.rp_filter", "--json"]);
    assert_eq!((code, said["path"].as_str()), (0, Some("net/ipv4/conf/eth0.100/rp_filter")));
    let (code, _, stderr) = netguard(&host, &["check", "--config", "/etc/none.toml"]);
    assert_eq!((code, stderr.contains("read /etc/none.toml")), (66, true), "{stderr}");
    put(&host, "/etc/wrong.toml", "[network]\nmod = \"gateway\"\n");
    let (code, _, stderr) = netguard(&host, &["check", "--config", "/etc/wrong.toml"]);
    assert_eq!((code, stderr.contains("/etc/wrong.toml:2")), (78, true), "{stderr}");
}

#[test]
fn check_tells_drift_and_rights_and_changes_nothing() {
    let host = host();
    put(&host, GCE, GCE_TEXT);
    let before = host.sh("iptables-nft-save");
    let (code, said) = json(&host, &["check", "--json"]);
    assert_eq!((code, said["state"].as_str()), (1, Some("differs")));
    let forward =
        said["items"].as_array().unwrap().iter().find(|item| item["name"] == "net.ipv4.ip_forward").unwrap();
    assert_eq!((forward["found"].as_str(), forward["wanted"].as_str()), (Some("0"), Some("1")));
    assert!(forward["differences"][0].as_str().unwrap().contains("99-gce.conf line 3"));
    assert_eq!((host.run(|| live(FORWARD)), host.sh("iptables-nft-save")), ("0".to_owned(), before));
    let daemon = start(&host);
    until(PATIENCE, "settled", || netguard(&host, &["check"]).0 == 0);
    host.sh("iptables-nft -F FB-INPUT");
    // Nobody puts it right while we look.
    drop(daemon);
    host.sh("iptables-nft -F FB-INPUT");
    let (code, text, _) = netguard(&host, &["check"]);
    assert!(code == 1 && text.contains("packet filter, ipv4: removed rule"), "{text}");
}

#[test]
fn without_rights_explain_answers_and_check_says_what_it_could_not_see() {
    let host = host();
    put(&host, GCE, GCE_TEXT);
    let _daemon = start(&host);
    // Where everybody may run it.
    host.run(|| fs::copy(NETGUARD, "/usr/local/netguard").unwrap());
    let nobody = |words: &'static [&'static str]| {
        let mut line = vec![
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--bounding-set=-all",
            "/usr/local/netguard",
        ];
        line.extend(words);
        host.run(move || output("/usr/bin/setpriv", &line))
    };
    let explained = nobody(&["explain", "net.ipv4.ip_forward"]);
    assert_eq!((explained.status.code(), explained.stderr.as_str()), (Some(0), ""));
    assert!(explained.stdout.contains("99-gce.conf:3"), "{}", explained.stdout);
    let checked = nobody(&["check"]);
    assert_eq!(checked.status.code(), Some(2), "{checked:?}");
    assert!(checked.stdout.contains("firewall ipv4: not looked at: read the rules:"), "{}", checked.stdout);
    assert!(checked.stdout.contains("root"), "{}", checked.stdout);
}

#[test]
fn a_read_only_proc_is_said_and_kept_trying() {
    let host = host();
    host.run(|| {
        let none = None::<&str>;
        mount(Some("/proc/sys"), "/proc/sys", none, MsFlags::MS_BIND, none).unwrap();
        let read_only = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
        mount(none, "/proc/sys", none, read_only, none).unwrap();
    });
    let _daemon = Running::netguard(&host);
    until(PATIENCE, "condition", || condition(&snapshot(&host), "sysctl-read-only").is_some());
    let said = snapshot(&host);
    let detail = condition(&said, "sysctl-read-only").unwrap()["detail"].as_str().unwrap();
    assert!(detail.contains("set net/ipv4/ip_forward from 0 to 1: Read-only file system"), "{detail}");
    assert!(detail.contains("/proc/sys is mounted read-only"), "{detail}");
    host.run(|| {
        let none = None::<&str>;
        mount(none, "/proc/sys", none, MsFlags::MS_BIND | MsFlags::MS_REMOUNT, none).unwrap();
    });
    until(PATIENCE, "forwarding", || forwards(&host));
    until(PATIENCE, "no condition", || condition(&snapshot(&host), "sysctl-read-only").is_none());
}

#[test]
fn a_fight_is_told_as_an_error_and_forwarding_comes_back_when_the_other_stops() {
    let host = host();
    let _daemon = start(&host);
    until(PATIENCE, "fight", || {
        host.run(|| fs::write(format!("/proc/sys/{FORWARD}"), "0").unwrap());
        std::thread::sleep(Duration::from_millis(200));
        condition(&snapshot(&host), "sysctl-fight").is_some()
    });
    let said = snapshot(&host);
    let fight = condition(&said, "sysctl-fight").unwrap();
    assert_eq!(fight["severity"], "error");
    assert!(
        fight["detail"].as_str().unwrap().contains("net/ipv4/ip_forward was set to 0: no file sets it to 0"),
        "{fight}"
    );
    assert!(condition(&said, "sysctl-repaired").is_none(), "told once: {said}");
    // Put right at a lower rate, and for good.
    let took = until(Duration::from_secs(15), "forwarding", || forwards(&host));
    println!("in a fight, forwarding was back after {} ms", took.as_millis());
}

#[test]
fn a_dotted_interface_that_goes_and_comes_is_read_anew() {
    let host = host();
    let path = "net/ipv4/conf/eth0.100/rp_filter";
    host.sh("ip link add eth0.100 type veth peer name other");
    let steps = host.run(move || {
        let mut settings = ProcSys::new(&Root::system());
        settings.write(path, "2").unwrap();
        let before = (settings.read(path).unwrap(), settings.read(path).unwrap());
        output("ip", &["link", "del", "eth0.100"]);
        let gone = settings.read(path).unwrap_err().kind();
        output("ip", &["link", "add", "eth0.100", "type", "veth", "peer", "name", "other"]);
        settings.write(path, "1").unwrap();
        (before, gone, settings.read(path).unwrap())
    });
    let two = || "2".to_owned();
    assert_eq!(steps, ((two(), two()), std::io::ErrorKind::NotFound, "1".to_owned()));
}
