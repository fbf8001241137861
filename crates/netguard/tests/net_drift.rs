//! Another program edits the packet filter behind our back: two hundred times, in every way it can,
//! while a connection of the house goes on.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testnet::Namespace;

/// From an edit to rules that are as they should be.
const REPAIRED: Duration = Duration::from_secs(2);
const EDITS: usize = 200;
/// Looks at the rules from outside; the time it takes is not the daemon's.
const PAUSE: Duration = Duration::from_millis(10);
/// Everything else, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same edit more often within a minute is a fight, and another test.
const SAME: usize = 4;
const SEED: u64 = 20_261_121;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn root() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("run/failberry/requests/netguard")).unwrap();
    std::os::unix::fs::symlink("/proc", dir.path().join("proc")).unwrap();
    dir
}

fn daemon(pi: &Namespace, dir: &Path) -> Running {
    let root = dir.to_owned();
    let daemon = pi.run(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netguard"));
        Running(command.arg("--root").arg(root).stderr(Stdio::null()).spawn().unwrap())
    });
    until(dir, "applied", |s| s["state"] == "applied");
    daemon
}

fn read(dir: &Path) -> Option<Value> {
    serde_json::from_slice(&fs::read(dir.join("run/failberry/netguard.json")).ok()?).ok()
}

fn until(dir: &Path, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let snapshot = read(dir);
        if let Some(snapshot) = snapshot.clone().filter(&wanted) {
            return snapshot;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}: {snapshot:?}");
        std::thread::sleep(PAUSE);
    }
}

fn detail(snapshot: &Value, id: &str) -> Option<String> {
    let list = snapshot["conditions"].as_array()?;
    Some(list.iter().find(|c| c["id"] == id)?["detail"].as_str()?.to_owned())
}

/// What is ours, and the policies, without counters, comments and the order of tables.
fn state(pi: &Namespace) -> Vec<String> {
    let mut lines = Vec::new();
    for (family, save) in [("v4", "iptables-save"), ("v6", "ip6tables-save")] {
        let mut table = String::new();
        // A rule that only `nft` has words for makes it fail.
        let run = move || sysio::Runner::new(save, [""; 0], PATIENCE).output().unwrap();
        let output = pi.run(run);
        if !output.status.success() {
            lines.push(format!("{family} unreadable"));
        }
        let text = output.stdout;
        for line in text.lines() {
            if let Some(name) = line.strip_prefix('*') {
                name.clone_into(&mut table);
            }
            let policy = line.starts_with(':') && !line.contains("ACCEPT") && !line.contains(" - ");
            if line.contains("FB-") || policy {
                let line = line.split(" [").next().unwrap_or(line);
                lines.push(format!("{family} {table} {line}"));
            }
        }
    }
    // Tables come in the order in which they were made; chains and rules of one keep theirs.
    lines.sort_by(|a, b| a.split(' ').take(2).cmp(b.split(' ').take(2)));
    lines
}

/// What is ours in the legacy tables.
fn legacy(pi: &Namespace) -> String {
    let text = pi.sh("iptables-legacy-save") + &pi.sh("ip6tables-legacy-save");
    text.lines().filter(|line| line.contains("FB-")).collect::<Vec<_>>().join("\n")
}

/// Numbers that are the same in every run (Knuth's MMIX generator).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }
}

/// One edit as command lines.
fn edit(dice: &mut Dice, before: &[String]) -> Vec<String> {
    let rules: Vec<&String> = before.iter().filter(|line| line.contains(" -A FB-")).collect();
    let line = rules[dice.roll(rules.len())].clone();
    let words: Vec<&str> = line.split(' ').collect();
    let (tool, table, chain) = (if words[0] == "v4" { "iptables" } else { "ip6tables" }, words[1], words[3]);
    let same = format!("{} {table} -A {chain} ", words[0]);
    let number = rules.iter().filter(|r| r.starts_with(&same)).position(|r| **r == line).unwrap() + 1;
    let source = if tool == "iptables" { "198.51.100." } else { "2001:db8::" };
    let stranger = format!("{source}{}", 1 + dice.roll(250));
    let on = format!("{tool} -t {table}");
    let built_in = ["INPUT", "FORWARD", "OUTPUT", "PREROUTING", "POSTROUTING"][dice.roll(5)];
    let own = chain.trim_start_matches("FB-");
    let one = |line: String| vec![line];
    match dice.roll(20) {
        0..=4 => one(format!("{on} -D {chain} {number}")),
        5..=8 => one(format!("{on} -I {chain} {number} -s {stranger} -j ACCEPT")),
        9 => one(format!("{on} -R {chain} {number} -s {stranger} -j ACCEPT")),
        10 => one(format!("{on} -A {chain} -s {stranger} -j RETURN")),
        11 => one(format!("{on} -F {chain}")),
        12 if line.contains("FB-")
            && before.iter().any(|l| l.ends_with(&format!("{table} -A {own} -j {chain}"))) =>
        {
            one(format!("{on} -D {own} -j {chain}"))
        }
        12 | 13 => {
            one(format!("{on} -A {} -j {chain}", if table == "nat" { "POSTROUTING" } else { "OUTPUT" }))
        }
        14 => one(format!("{tool} -t mangle -P {built_in} DROP")),
        15 => one(format!("{tool} -P OUTPUT DROP")),
        16 => one(format!("{on} -F")),
        17 => one(format!("nft delete table {} {table}", if tool == "iptables" { "ip" } else { "ip6" })),
        18 => one(format!(
            "nft insert rule {} {table} {chain} meta length 77 counter accept",
            if tool == "iptables" { "ip" } else { "ip6" }
        )),
        _ => {
            let name = format!("FB-OLD-{}", dice.roll(1000));
            vec![
                format!("{tool}-legacy -N {name}"),
                format!("{tool}-legacy -A {name} -s {stranger} -j DROP"),
                format!("{tool}-legacy -I INPUT -j {name}"),
            ]
        }
    }
}

/// A connection of the house to the appliance that answers every byte with the same.
struct Alive {
    client: TcpStream,
}

impl Alive {
    fn new(pi: &Namespace, house: &Namespace) -> Self {
        let listener = pi.run(|| TcpListener::bind(("0.0.0.0", 9000)).unwrap());
        let client = house.start(|| TcpStream::connect(("192.168.178.2", 9000)).unwrap());
        let (mut server, _) = listener.accept().unwrap();
        let client = client.wait();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        std::thread::spawn(move || {
            let mut byte = [0];
            while server.read_exact(&mut byte).is_ok() && server.write_all(&byte).is_ok() {}
        });
        Self { client }
    }

    fn assert_answers(&mut self, number: usize) {
        let byte = [u8::try_from(number % 251).unwrap()];
        self.client.write_all(&byte).unwrap();
        let mut answer = [0];
        self.client.read_exact(&mut answer).unwrap_or_else(|error| panic!("edit {number}: {error}"));
        assert_eq!(answer, byte);
    }
}

#[test]
fn two_hundred_edits_by_another_program_are_put_right_and_a_connection_lives_on() {
    let (pi, house) = (Namespace::new(), Namespace::new());
    pi.cable("eth0", &house, "lan0");
    pi.sh("ip addr add 192.168.178.2/24 dev eth0");
    house.sh("ip addr add 192.168.178.20/24 dev lan0");
    // A person's own rule, which nobody may lose but by the edits themselves.
    pi.sh("iptables -t raw -A PREROUTING -s 203.0.113.66 -j DROP");
    let dir = root();
    let _daemon = daemon(&pi, dir.path());
    let mut connection = Alive::new(&pi, &house);
    let right = state(&pi);
    let mut dice = Dice(SEED);
    let mut done: BTreeMap<Vec<String>, usize> = BTreeMap::new();
    let mut times = Vec::new();
    while times.len() < EDITS {
        let lines = edit(&mut dice, &right);
        // Where a rule stands that cannot be read is not known: such edits are all the same.
        let unreadable = lines[0].starts_with("nft insert");
        let same = if unreadable { vec![lines[0].split(' ').take(4).collect()] } else { lines.clone() };
        let count = done.entry(same).or_default();
        *count += 1;
        if *count > SAME {
            continue;
        }
        let repairs = read(dir.path()).unwrap()["repairs"].as_u64().unwrap();
        for line in &lines {
            pi.sh(line);
        }
        let edited = Instant::now();
        loop {
            let took = edited.elapsed();
            let now = state(&pi);
            if now == right && legacy(&pi).is_empty() {
                times.push(took);
                break;
            }
            assert!(
                took < REPAIRED,
                "{}: {lines:?}: after {took:?}: {} {}",
                times.len(),
                changed(&right, &now),
                read(dir.path()).unwrap()
            );
            std::thread::sleep(PAUSE);
        }
        until(dir.path(), "counted", |s| s["repairs"].as_u64() > Some(repairs));
        connection.assert_answers(times.len());
    }
    times.sort_unstable();
    println!("repaired after: median {:?}, at most {:?}", times[EDITS / 2], times[EDITS - 1]);
    assert!(pi.sh("iptables-save -t raw").contains("-s 203.0.113.66/32 -j DROP"));
    assert_eq!(read(dir.path()).unwrap()["state"], "applied");
}

fn changed(right: &[String], now: &[String]) -> String {
    let gone = right.iter().filter(|line| !now.contains(line)).map(|line| format!("\n- {line}"));
    let new = now.iter().filter(|line| !right.contains(line)).map(|line| format!("\n+ {line}"));
    gone.chain(new).collect()
}

#[test]
fn a_repair_names_the_rule_and_the_program() {
    let pi = Namespace::new();
    let dir = root();
    let _daemon = daemon(&pi, dir.path());
    pi.sh("ip6tables -D FB-FORWARD -j DROP");
    let snapshot = until(dir.path(), "repaired", |s| detail(s, "firewall-repaired").is_some());
    let detail = detail(&snapshot, "firewall-repaired").unwrap();
    assert!(
        detail
            .starts_with("removed rule `-A FB-FORWARD -j DROP` (table filter), IPv6, by ip6tables (process "),
        "{detail}"
    );
}

#[test]
fn a_program_that_does_the_same_again_and_again_is_a_fight() {
    let pi = Namespace::new();
    let dir = root();
    let _daemon = daemon(&pi, dir.path());
    let mut flushes = 0;
    let snapshot = loop {
        pi.sh("iptables -F FB-INPUT");
        flushes += 1;
        let snapshot = until(dir.path(), "repaired", |s| s["repairs"].as_u64() >= Some(flushes));
        if detail(&snapshot, "firewall-fight").is_some() {
            break snapshot;
        }
        assert!(flushes < 10, "{snapshot}");
    };
    assert!(flushes >= 5, "{flushes}");
    assert_eq!(detail(&snapshot, "firewall-repaired"), None);
    // From now on the clock decides: not at once, but in the end.
    pi.sh("iptables -F FB-INPUT");
    std::thread::sleep(Duration::from_secs(3));
    assert!(!pi.sh("iptables-save").contains("-A FB-INPUT -j DROP"));
    until(dir.path(), "repaired later", |s| s["repairs"].as_u64() > Some(flushes));
    assert!(pi.sh("iptables-save").contains("-A FB-INPUT -j DROP"));
}

#[test]
fn legacy_rules_of_others_are_named_and_stay() {
    let pi = Namespace::new();
    let dir = root();
    let _daemon = daemon(&pi, dir.path());
    pi.sh("iptables-legacy -A INPUT -s 198.51.100.7 -j DROP");
    let snapshot = until(dir.path(), "named", |s| detail(s, "firewall-two-back-ends").is_some());
    let detail_text = detail(&snapshot, "firewall-two-back-ends").unwrap();
    assert!(detail_text.starts_with("IPv4: 1 rules"), "{detail_text}");
    assert!(pi.sh("iptables-legacy-save").contains("-s 198.51.100.7/32 -j DROP"));
    pi.sh("iptables-legacy -F");
    until(dir.path(), "gone", |s| detail(s, "firewall-two-back-ends").is_none());
}

/// Docker's layout, as dockerd 28 makes it (moby/moby pull request 49518), without its ipsets.
const DOCKER: &str = "*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-FORWARD - [0:0]
:DOCKER-ISOLATION-STAGE-1 - [0:0]
:DOCKER-ISOLATION-STAGE-2 - [0:0]
:DOCKER-USER - [0:0]
-I FORWARD -j DOCKER-FORWARD
-I FORWARD -j DOCKER-USER
-A DOCKER ! -i docker0 -o docker0 -j DROP
-A DOCKER-FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-FORWARD -j DOCKER-ISOLATION-STAGE-1
-A DOCKER-FORWARD -o docker0 -j DOCKER
-A DOCKER-FORWARD -i docker0 -j ACCEPT
-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2
-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
";

fn foreign(pi: &Namespace) -> Vec<String> {
    let text = pi.sh("iptables-save");
    text.lines()
        .filter(|l| l.starts_with(['-', ':']) && !l.contains("FB-"))
        .map(|l| l.split(" [").next().unwrap().to_owned())
        .collect()
}

#[test]
fn docker_s_chains_stay_untouched_through_repairs() {
    let pi = Namespace::new();
    let dir = root();
    let _daemon = daemon(&pi, dir.path());
    pi.run(|| {
        let restore = sysio::Runner::new("/usr/sbin/iptables-restore", ["--noflush"], PATIENCE);
        restore.input(DOCKER).run().unwrap();
    });
    let docker = foreign(&pi);
    assert!(docker.contains(&":FORWARD DROP".to_owned()) && docker.len() > 20, "{docker:?}");
    for (number, edit) in
        ["iptables -F FB-FORWARD", "iptables -D FORWARD -j FB-FORWARD", "iptables -t nat -F FB-POSTROUTING"]
            .iter()
            .enumerate()
    {
        pi.sh(edit);
        until(dir.path(), edit, |s| s["repairs"].as_u64() > u64::try_from(number).ok());
        assert_eq!(foreign(&pi), docker, "{edit}");
    }
    // Ours come last: what Docker lets through does not meet our last rule.
    let text = pi.sh("iptables -S FORWARD");
    assert_eq!(text.lines().last(), Some("-A FORWARD -j FB-FORWARD"));
}

/// A host whose `iptables` is the legacy one: no event tells of a change, and nothing counts them.
#[test]
fn with_the_legacy_flavour_damage_is_found_by_looking() {
    let pi = Namespace::new();
    let dir = root();
    let path = dir.path().to_owned();
    let _daemon = pi.run(move || {
        let script =
            "mount --bind /usr/sbin/xtables-legacy-multi /usr/sbin/xtables-nft-multi && exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "unchanged", "sh", "-c", script]);
        command.arg(env!("CARGO_BIN_EXE_netguard")).arg("--root").arg(path).stderr(Stdio::null());
        Running(command.spawn().unwrap())
    });
    until(dir.path(), "applied", |s| s["state"] == "applied");
    let rules = |pi: &Namespace| {
        let text = pi.sh("iptables-legacy-save") + &pi.sh("ip6tables-legacy-save");
        text.lines().filter(|l| l.starts_with("-A")).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let right = rules(&pi);
    assert!(right.len() > 50, "{right:?}");
    for edit in [
        "iptables-legacy -F FB-INPUT",
        "ip6tables-legacy -D FORWARD -j FB-FORWARD",
        "iptables-legacy -I FB-OPEN -s 198.51.100.3 -j ACCEPT",
        "ip6tables-legacy -t mangle -F",
        "iptables-legacy -t nat -D FB-POSTROUTING 1",
    ] {
        pi.sh(edit);
        let edited = Instant::now();
        while rules(&pi) != right {
            assert!(edited.elapsed() < REPAIRED, "{edit}: {:?}", changed(&right, &rules(&pi)));
            std::thread::sleep(PAUSE);
        }
    }
}

#[test]
fn events_that_come_too_fast_are_known_to_be_lost() {
    let pi = Namespace::new();
    let mut monitor = pi.run(|| netlink::RulesMonitor::open().unwrap());
    pi.sh("iptables -N A");
    let heard = monitor.drain().unwrap();
    assert!(!heard.lost);
    let (_, name) = heard.commits.last().unwrap().by.clone().unwrap();
    assert_eq!(name, "iptables");
    // More than a socket holds, and nobody reads.
    let rule = |n: u32| format!("-A A -s 10.0.{}.{} -j ACCEPT", n / 250, n % 250);
    let rules = (0..20_000).map(rule).collect::<Vec<_>>().join("\n");
    let input = format!("*filter\n:A - [0:0]\n{rules}\nCOMMIT\n");
    pi.run(|| sysio::Runner::new("iptables-restore", ["--noflush"], PATIENCE).input(input).run().unwrap());
    let mut lost = false;
    for _ in 0..64 {
        lost |= monitor.drain().unwrap().lost;
    }
    assert!(lost);
    // And hears again.
    pi.sh("iptables -N B");
    assert_eq!(monitor.drain().unwrap().commits.len(), 1);
}

#[test]
fn a_rule_that_iptables_cannot_read_is_removed_from_our_chains_and_told_of_in_others() {
    let pi = Namespace::new();
    let dir = root();
    let _daemon = daemon(&pi, dir.path());
    pi.sh("nft insert rule ip filter FB-INPUT meta length 77 counter accept");
    let snapshot = until(dir.path(), "repaired", |s| detail(s, "firewall-repaired").is_some());
    let told = detail(&snapshot, "firewall-repaired").unwrap();
    assert!(
        told.starts_with("added a rule that iptables has no words for, IPv4, by nft (process "),
        "{told}"
    );
    assert!(!pi.sh("nft list chain ip filter FB-INPUT").contains("77"));
    // In a chain that is not ours it stays, and blinds us: that is told, with a cure.
    pi.sh("nft add chain ip filter theirs");
    pi.sh("nft add rule ip filter theirs meta length 78 counter accept");
    let snapshot = until(dir.path(), "told", |s| detail(s, "firewall-not-applied").is_some());
    let told = detail(&snapshot, "firewall-not-applied").unwrap();
    assert!(told.contains("nft list ruleset"), "{told}");
    assert!(pi.sh("nft list chain ip filter theirs").contains("78"));
    // Our chains are kept true all the same, and it ends with the rule.
    pi.sh("iptables -F FB-INPUT");
    let end = Instant::now() + PATIENCE;
    while !pi.sh("iptables -S FB-INPUT").contains("-A FB-INPUT -j DROP") {
        assert!(Instant::now() < end, "{}", pi.sh("iptables -S FB-INPUT"));
        std::thread::sleep(PAUSE);
    }
    pi.sh("nft flush chain ip filter theirs");
    until(dir.path(), "applied again", |s| s["state"] == "applied");
}
