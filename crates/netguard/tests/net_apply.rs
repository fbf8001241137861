//! New rules with a way back, a person's own files, and hosts where nothing works.

use serde_json::Value;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use testnet::Namespace;

/// Everything here is over within seconds, on a busy machine, too.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// The shortest time to confirm.
const SECONDS: &str = "5";

const OPEN: &str = "[network]\nopen-ports = [\"8443/tcp\"]\n";
const OPENED: &str = "-A FB-INPUT -p tcp -m tcp --dport 8443 -m conntrack --ctstate NEW -j FB-OPEN";
const ALWAYS: &str = "-A FB-INPUT -p tcp -m tcp --dport 9000";

struct World {
    pi: Namespace,
    dir: tempfile::TempDir,
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["run/failberry/requests/netguard", "run/failberry/config", "data/failberry/config"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        std::os::unix::fs::symlink("/proc", dir.path().join("proc")).unwrap();
        fs::write(dir.path().join("open.toml"), OPEN).unwrap();
        Self { pi: Namespace::new(), dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn daemon(&self) -> Running {
        let root = self.dir.path().to_owned();
        let daemon = self.pi.run(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_netguard"));
            Running(command.arg("--root").arg(root).stderr(Stdio::null()).spawn().unwrap())
        });
        self.until("applied", |s| s["state"] == "applied");
        daemon
    }

    /// A command in a session of its own, as over SSH.
    fn netguard(&self, words: &[&str]) -> Output {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let root = self.dir.path().to_owned();
        self.pi.run(move || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_netguard"));
            command.args(words).arg("--root").arg(root).process_group(0).output().unwrap()
        })
    }

    fn apply(&self, more: &[&str]) -> Output {
        let file = self.path("open.toml");
        self.netguard(&[&["apply", "--config", file.to_str().unwrap()], more].concat())
    }

    fn saved(&self) -> String {
        self.pi.sh("iptables-save")
    }

    fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || {
            let text = fs::read(self.path("run/failberry/netguard.json")).ok()?;
            serde_json::from_slice(&text).ok().filter(&wanted)
        })
    }
}

fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(PAUSE);
    }
}

fn detail(snapshot: &Value, id: &str) -> Option<String> {
    let list = snapshot["conditions"].as_array()?;
    Some(list.iter().find(|c| c["id"] == id)?["detail"].as_str()?.to_owned())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn without_a_daemon_what_nobody_confirms_is_taken_back_and_what_is_confirmed_stays() {
    let world = World::new();
    world.pi.sh("iptables -A INPUT -s 203.0.113.5 -j ACCEPT");
    let begun = Instant::now();
    let output = world.apply(&["--confirm", SECONDS]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(world.saved().contains(OPENED));
    // The command is over; a process outside its session waits.
    eventually("taken back", || (!world.saved().contains("FB-")).then_some(()));
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(world.saved().contains("-s 203.0.113.5/32 -j ACCEPT"));
    assert_eq!(world.netguard(&["confirm"]).status.code(), Some(1));
    let begun = Instant::now();
    assert!(world.apply(&["--confirm", SECONDS]).status.success());
    let output = world.netguard(&["confirm"]);
    assert!(output.status.success(), "{}", said(&output));
    eventually("over", || (!world.path("run/failberry-netguard/waiting").exists()).then_some(()));
    assert_eq!(world.netguard(&["confirm"]).status.code(), Some(1));
    std::thread::sleep(Duration::from_secs(6).saturating_sub(begun.elapsed()));
    assert!(world.saved().contains(OPENED));
}

#[test]
fn the_daemon_takes_back_what_nobody_confirms() {
    let world = World::new();
    let _daemon = world.daemon();
    let output = world.apply(&["--confirm", SECONDS]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(world.saved().contains(OPENED));
    let snapshot = world.until("waits", |s| s["trial"]["state"] == "waiting");
    assert!(detail(&snapshot, "firewall-unconfirmed").is_some());
    let snapshot = world.until("taken back", |s| s["trial"]["state"] == "rolled-back");
    assert!(!world.saved().contains(OPENED) && world.saved().contains(ALWAYS));
    assert!(detail(&snapshot, "firewall-unconfirmed").is_some());
    assert_eq!(snapshot["repairs"], 0);
    // Confirmed, it stays, and nothing takes it for damage.
    assert!(world.apply(&["--confirm", SECONDS]).status.success());
    assert!(world.netguard(&["confirm"]).status.success());
    let snapshot = world.until("confirmed", |s| s["trial"]["state"] == "confirmed");
    assert_eq!(detail(&snapshot, "firewall-unconfirmed"), None);
    std::thread::sleep(Duration::from_secs(6));
    assert!(world.saved().contains(OPENED));
    assert_eq!(world.until("read", |_| true)["repairs"], 0);
}

#[test]
fn a_broken_configuration_changes_nothing() {
    let world = World::new();
    let _daemon = world.daemon();
    let before = world.saved();
    for (text, code, words) in [
        ("[network]\nopen-ports = [\"99999/tcp\"]\n", 78, "open.toml:2: network.open-ports"),
        ("[netwrok]\n", 78, "open.toml:1: "),
    ] {
        fs::write(world.path("open.toml"), text).unwrap();
        let output = world.apply(&["--confirm", SECONDS]);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(words), "{}", said(&output));
    }
    assert_eq!(rules(&before), rules(&world.saved()));
}

/// Without counters and times.
fn rules(saved: &str) -> Vec<&str> {
    saved.lines().filter(|line| line.starts_with("-A")).collect()
}

#[test]
fn a_person_s_file_is_in_force_and_a_broken_one_is_named_with_its_line_and_changes_nothing() {
    let world = World::new();
    let file = world.path("data/failberry/config/rules.v4");
    let _daemon = world.daemon();
    // Spelled as people do: the kernel gives back numbers.
    let good = "*filter\n:knock - [0:0]\n-A INPUT -p tcp --dport ssh -j knock\n\
                -A knock -s 203.0.113.0/255.255.255.0 -m comment --comment \"the office\" -j ACCEPT\nCOMMIT\n";
    fs::write(&file, good).unwrap();
    let loaded =
        |world: &World| world.saved().contains("-A FB-MY-INPUT -p tcp -m tcp --dport 22 -j FB-MY-knock");
    eventually("in force", || loaded(&world).then_some(()));
    // Two looks later it is still no damage.
    std::thread::sleep(Duration::from_secs(3));
    let snapshot = world.until("read", |_| true);
    assert_eq!((&snapshot["repairs"], &snapshot["state"]), (&Value::from(0), &Value::from("applied")));
    let before = world.saved();
    for (broken, line) in [
        ("*filter\n-A INPUT -p tcp --dport 22 -j ACEPT\n-X\nCOMMIT\n", 3),
        ("*filter\n\n-A INPUT -p tcp --dprot 22 -j ACCEPT\nCOMMIT\n", 3),
        // Only the kernel knows that this is no place for it.
        ("# mine\n*filter\n-A INPUT -s 203.0.113.9 -j ACCEPT\n-A INPUT -j MASQUERADE\nCOMMIT\n", 4),
    ] {
        fs::write(&file, broken).unwrap();
        let wanted = format!("rules.v4 line {line}: ");
        world.until(broken, |s| detail(s, "firewall-own-rules-refused").is_some_and(|d| d.contains(&wanted)));
        assert_eq!(rules(&world.saved()), rules(&before), "{broken}");
        world.until("still applied", |s| s["state"] == "applied");
    }
    fs::remove_file(&file).unwrap();
    eventually("gone", || (!world.saved().contains("FB-MY-")).then_some(()));
    world.until("no condition", |s| detail(s, "firewall-own-rules-refused").is_none());
    // The edit of somebody else to a person's chain is damage like any other.
    fs::write(&file, good).unwrap();
    eventually("in force", || loaded(&world).then_some(()));
    world.pi.sh("iptables -F FB-MY-knock");
    let snapshot = world.until("repaired", |s| detail(s, "firewall-repaired").is_some());
    assert!(
        detail(&snapshot, "firewall-repaired")
            .unwrap()
            .contains("removed rule `-A FB-MY-knock -s 203.0.113.0/24")
    );
    assert_eq!(rules(&world.saved()), rules(&before));
}

/// `netguard apply` where the words before it take something away.
fn crippled(world: &World, words: &[&str]) -> Output {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    let root = world.dir.path().to_owned();
    world.pi.run(move || {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).arg(env!("CARGO_BIN_EXE_netguard")).args(["apply", "--root"]).arg(root);
        command.output().unwrap()
    })
}

#[test]
fn a_host_without_iptables_and_one_without_the_right_are_told_what_to_do() {
    let world = World::new();
    let empty = world.path("empty");
    fs::create_dir(&empty).unwrap();
    let script = format!("mount --bind {} /usr/sbin && exec \"$0\" \"$@\"", Path::new(&empty).display());
    let output = crippled(&world, &["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", &script]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(
        said(&output).contains("start /usr/sbin/iptables") && said(&output).contains("; install iptables"),
        "{}",
        said(&output)
    );
    let output = crippled(&world, &["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("CAP_NET_ADMIN"), "{}", said(&output));
    assert_eq!(rules(&world.saved()), [""; 0]);
}
