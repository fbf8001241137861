//! systemd-sysctl and procps themselves, over random files: what they leave is what `netguard explain`
//! foretold.

#[expect(dead_code, reason = "the story's test uses the rest")]
mod sysctl_host;

use ruleset::sysctl::kernel_number;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use sysctl_host::{NETGUARD, clear, host, live, output};

/// Sets of files; each is given to both loaders.
const SETS: u64 = 150;
/// Stands everywhere before a loader runs, and no file sets it.
const SEED: &str = "7";

const SYSTEMD: (&str, &str, &[&str]) = ("systemd", "/usr/lib/systemd/systemd-sysctl", &[]);
const PROCPS: (&str, &str, &[&str]) = ("procps", "/usr/sbin/sysctl", &["-q", "--system"]);

/// What is compared. Others change along with forwarding.
const KEYS: [&str; 4] = [
    "net/ipv4/ip_forward",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/lo/rp_filter",
    "net/ipv4/conf/eth0.100/rp_filter",
];
const WRITTEN: [&str; 26] = [
    "net.ipv4.ip_forward",
    "net.ipv4.ip_forward",
    "net/ipv4/ip_forward",
    "/net/ipv4/ip_forward",
    ".net.ipv4.ip_forward",
    "net..ipv4.ip_forward",
    "net.ipv4.ip_forward.",
    "net/ipv4/../ipv4/ip_forward",
    "net/./ipv4/ip_forward",
    "net.ipv4.ip_foward",
    "NET.ipv4.ip_forward",
    "net.ipv4.ip_f*",
    "net.ipv4.ip_forwar?",
    "net.*.ip_[a-g]orward",
    "net.*ip_forward",
    "net.ipv4.conf.all.forwarding",
    "net.ipv4.conf.*.forwarding",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.lo.rp_filter",
    "net.ipv4.conf.*.rp_filter",
    "net/ipv4/conf/eth*/rp_filter",
    "net.ipv4.conf.[!e]*.rp_filter",
    "net.ipv4.conf.eth0/100.rp_filter",
    "net/ipv4/conf/eth0.100/rp_filter",
    "net.ipv4.conf.eth0.100.rp_filter",
    "net/ipv4//conf/eth0.1*/rp_filter",
];
const VALUES: [&str; 16] = [
    "0", "1", "2", "3", "0x4", "05", " 6 ", "banana", "", "1 # on", "1;", "+1", "08", "-1", "1 0", "\t9\x0b",
];
const ENDS: [&str; 8] = ["\n", "\n", "\n", "\n", "\n", "\r\n", "\r", "\0"];
const FOLDERS: [&str; 4] = ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"];
const NAMES: [&str; 8] = [
    "10-a.conf",
    "50-b.conf",
    "99-gce.conf",
    "99-sysctl.conf",
    "zz.conf",
    "Z.conf",
    ".hidden.conf",
    "x.conf.bak",
];

/// xorshift64: the same sets at every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn one<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

fn line(random: &mut Random) -> String {
    let (key, value) = (random.one(&WRITTEN), random.one(&VALUES));
    match random.below(16) {
        0 => format!("-{key}"),
        1 => format!("-{key} = {value}"),
        2 => format!("- {key} = {value}"),
        3 => format!("--{key}={value}"),
        4 => format!("#{key}={value}"),
        5 => format!(" ; {key}={value}"),
        6 => key.to_owned(),
        7 => format!("\t{key}\t=\t{value}\t"),
        8..=11 => format!("{key}={value}"),
        _ => format!("{key} = {value}"),
    }
}

fn text(random: &mut Random) -> String {
    let lines = random.below(5);
    let mut text: String = (0..lines).map(|_| line(random) + random.one(&ENDS)).collect();
    if random.below(4) == 0 {
        text += &line(random);
    }
    text
}

/// Puts a random set of files in place and tells what it is.
fn fill(random: &mut Random) -> String {
    clear();
    let mut told = Vec::new();
    for _ in 0..=random.below(6) {
        let path = format!("{}/{}", random.one(&FOLDERS), random.one(&NAMES));
        if fs::symlink_metadata(&path).is_ok() {
            continue;
        }
        let link = ["/dev/null", "../sysctl.conf", "/nowhere"].get(random.below(16));
        let text = text(random);
        match link {
            Some(link) => symlink(link, &path).unwrap(),
            None => fs::write(&path, &text).unwrap(),
        }
        told.push(format!("{path}: {}", link.map_or(format!("{text:?}"), |link| format!("-> {link}"))));
    }
    if random.below(2) == 0 {
        let text = text(random);
        fs::write("/etc/sysctl.conf", &text).unwrap();
        told.push(format!("/etc/sysctl.conf: {text:?}"));
    }
    told.join("\n")
}

fn seed() {
    for key in KEYS {
        fs::write(format!("/proc/sys/{key}"), SEED).unwrap();
    }
}

/// What `netguard explain` says a loader leaves.
fn foretold(explained: &Value, loader: &str) -> String {
    let winner = &explained["loaders"][loader]["winner"];
    match winner["value"].as_str() {
        Some(value) => kernel_number(value).map_or(format!("{value:?}?"), |number| number.to_string()),
        None => SEED.to_owned(),
    }
}

#[test]
fn both_loaders_leave_what_explain_foretells() {
    let host = host();
    host.sh("ip link add eth0.100 type veth peer name other");
    let (wrong, set, split) = host.run(|| {
        let mut random = Random(0x5eed_0f5c_7111_0001);
        let (mut wrong, mut set, mut split) = (Vec::new(), 0, 0);
        for number in 0..SETS {
            let told = fill(&mut random);
            seed();
            let explained = KEYS.map(|key| {
                let said = output(NETGUARD, &["explain", key, "--json"]);
                serde_json::from_str::<Value>(&said.stdout).unwrap_or_else(|e| panic!("{key}: {e}: {said:?}"))
            });
            for (loader, program, words) in [SYSTEMD, PROCPS] {
                seed();
                output(program, words);
                for (key, explained) in KEYS.iter().zip(&explained) {
                    let (is, was_told) = (live(key), foretold(explained, loader));
                    set += u32::from(is != SEED);
                    if is != was_told {
                        wrong.push(format!(
                            "set {number}, {loader}, {key}: {is}, foretold {was_told}, of\n{told}"
                        ));
                    }
                }
            }
            let disagree =
                |explained: &&Value| foretold(explained, "systemd") != foretold(explained, "procps");
            split += explained.iter().filter(disagree).count();
        }
        (wrong, set, split)
    });
    assert!(
        wrong.is_empty(),
        "{} of {} foretold wrongly:\n{}",
        wrong.len(),
        SETS * 8,
        wrong[..wrong.len().min(5)].join("\n")
    );
    // The sets are worth something only if files do set things, and loaders do disagree.
    assert!(set > 300 && split > 30, "only {set} values were set, only {split} times the loaders differed");
    println!("{SETS} sets: {set} values set, {split} times the loaders differed, none foretold wrongly");
}
