//! The whole program but its `main`, with a clock of its own, against servers in namespaces: which
//! time it believes, over which line it asks, and that it never waits for ever.

mod support;

use std::convert::Infallible;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use daemonkit::{Daemon, Event};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;
use snapshot::Report;
use support::{FORGED, GARBAGE, KISS, SILENT, Servers, ip, moved};
use sysio::{Root, clock};
use testnet::Namespace;
use timekeeper::daemon::Timekeeper;
use timekeeper::ports::WallClock;
use timekeeper::sources::OPERATORS;
use timekeeper::utc::Utc;

const BOOT: &str = "boot-of-the-test";
/// The longest way to the time is 13 s of silent NTP and a round of pages.
const SOON: Duration = Duration::from_secs(60);
/// What `uplink` says of name servers.
const DNS: &str = "192.0.2.53";
/// Where every page is.
const WEB: [u8; 4] = [192, 0, 2, 80];
/// The appliance's and the carrier's IPv6 address.
const HERE6: &str = "2001:db8:1::2";
const THERE6: &str = "2001:db8:1::1";
/// An hour behind, as after a night without power.
const BEHIND: i64 = -3600;

/// A wall clock that is nobody's but the test's: so much beside the machine's.
#[derive(Debug)]
struct Own {
    off_ms: i64,
    set: Vec<Utc>,
    refuses: bool,
}

impl WallClock for Own {
    fn now(&self) -> Utc {
        Utc(Utc::of(SystemTime::now()).0 + self.off_ms)
    }

    fn set(&mut self, utc: Utc) -> Result<(), String> {
        if self.refuses {
            return Err("set the clock: operation not permitted".to_owned());
        }
        self.off_ms = utc.0 - Utc::of(SystemTime::now()).0;
        self.set.push(utc);
        Ok(())
    }
}

struct World {
    pi: Namespace,
    net: Namespace,
    servers: Servers,
    dir: tempfile::TempDir,
}

/// The appliance with both lines; behind both, one internet.
impl World {
    fn new() -> Self {
        let (pi, net) = (Namespace::new(), Namespace::new());
        for (interface, far, here, there) in [
            ("eth0", "wired", "198.51.100.2", "198.51.100.1"),
            ("ppp0", "cell", "203.0.113.2", "203.0.113.1"),
        ] {
            pi.cable(interface, &net, far);
            pi.sh(&format!("ip address add {here}/24 dev {interface}"));
            net.sh(&format!("ip address add {there}/24 dev {far}"));
            // IPv6 over the stick alone, without waiting for duplicates.
            if interface == "ppp0" {
                pi.sh(&format!("ip address add {HERE6}/64 dev {interface} nodad"));
                net.sh(&format!("ip address add {THERE6}/64 dev {far} nodad"));
                pi.sh(&format!("ip -6 route add default via {THERE6} dev {interface}"));
            }
            let metric = if interface == "eth0" { 100 } else { 200 };
            pi.sh(&format!("ip route add default via {there} dev {interface} metric {metric}"));
        }
        let mut servers = Servers::default();
        for address in OPERATORS
            .iter()
            .flat_map(|operator| operator.ipv4)
            .copied()
            .chain([DNS.parse().unwrap(), WEB.into()])
        {
            net.sh(&format!("ip address add {address}/32 dev lo"));
        }
        for operator in &OPERATORS {
            for address in operator.ipv4 {
                servers.ntp(&net, (*address).into(), operator.name == "netnod");
            }
        }
        for operator in &OPERATORS {
            for address in operator.ipv6 {
                net.sh(&format!("ip address add {address}/128 dev lo nodad"));
                servers.ntp(&net, (*address).into(), false);
            }
        }
        servers.dns(&net, ip(DNS), WEB);
        servers.web(&net, Ipv4Addr::from(WEB).into());
        let dir = tempfile::tempdir().unwrap();
        for folder in ["run/failberry", "run/systemd/timesync", "proc/sys/kernel/random"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("proc/sys/kernel/random/boot_id"), BOOT).unwrap();
        let world = Self { pi, net, servers, dir };
        world.lines(&["wired", "cellular"]);
        world
    }

    /// What `uplink` says of usable lines.
    fn lines(&self, usable: &[&str]) {
        let link = |name: &str, interface: &str, address: &str| json!({"name": name, "interface": interface, "usable": usable.contains(&name), "metered": name == "cellular", "addresses": [address]});
        let at = clock::now().as_millis() + 600_000;
        let snapshot = json!({
            "schema": 1, "daemon": "uplink", "version": "0", "boot_id": BOOT, "monotonic_ms": at, "wall": null,
            "state": "online", "since_ms": 1, "conditions": [], "dns": [DNS],
            "links": [link("wired", "eth0", "198.51.100.2"), link("cellular", "ppp0", "203.0.113.2")],
        });
        self.uplink_says(&snapshot);
    }

    fn uplink_says(&self, snapshot: &serde_json::Value) {
        let path = self.dir.path().join("run/failberry/uplink.json");
        sysio::file::write_atomic(&path, snapshot.to_string().as_bytes(), 0o644).unwrap();
    }

    fn dial(&self, ntp: u8) {
        self.servers.dials.ntp.store(ntp, Ordering::SeqCst);
    }

    /// Runs the daemon until `is`, or for `limit`; gives it back with the time that took.
    fn run(&self, off_secs: i64, limit: Duration, is: fn(&Timekeeper<Own>, &Report) -> bool) -> Seen {
        let root = Root::at(self.dir.path());
        self.pi.run(move || {
            let own = Own { off_ms: off_secs * 1000, set: Vec::new(), refuses: false };
            drive(Timekeeper::new(&root, own).unwrap(), limit, is)
        })
    }

    fn marked(&self) -> bool {
        self.dir.path().join("run/failberry/clock-set").exists()
    }
}

/// What a run came to.
struct Seen {
    hit: bool,
    took: Duration,
    report: Report,
    off_ms: i64,
    set: usize,
}

fn drive(mut daemon: Timekeeper<Own>, limit: Duration, is: fn(&Timekeeper<Own>, &Report) -> bool) -> Seen {
    let begin = Instant::now();
    handle(&mut daemon, Event::Start);
    let mut hit = false;
    while begin.elapsed() < limit && !hit {
        turn(&mut daemon);
        hit = is(&daemon, &daemon.report(clock::now()));
    }
    let own = daemon.clock();
    Seen {
        hit,
        took: begin.elapsed(),
        report: daemon.report(clock::now()),
        off_ms: own.off_ms,
        set: own.set.len(),
    }
}

/// As `daemonkit` does it.
fn turn(daemon: &mut Timekeeper<Own>) {
    let ready: Vec<usize> = {
        let interests = daemon.interests();
        let mut fds: Vec<PollFd<'_>> = interests
            .iter()
            .map(|i| PollFd::new(i.fd, if i.write { PollFlags::POLLOUT } else { PollFlags::POLLIN }))
            .collect();
        let wait = daemon.deadline().map_or(Duration::ZERO, |at| at.since(clock::now()));
        let wait = wait.min(Duration::from_millis(500)) + Duration::from_millis(1);
        let _ = poll(&mut fds, PollTimeout::try_from(wait).unwrap());
        let hit = |fd: &PollFd<'_>| fd.revents().is_some_and(|r| !r.is_empty());
        fds.iter().zip(&interests).filter(|(fd, _)| hit(fd)).map(|(_, i)| i.token).collect()
    };
    for token in ready {
        handle(daemon, Event::Ready { token, readable: true, writable: true });
    }
    if daemon.deadline().is_some_and(|at| clock::now() >= at) {
        handle(daemon, Event::Deadline);
    }
}

fn handle(daemon: &mut Timekeeper<Own>, event: Event) {
    let result: Result<(), Infallible> = daemon.handle(clock::now(), event);
    result.unwrap_or_else(|never| match never {});
}

fn believed(_: &Timekeeper<Own>, report: &Report) -> bool {
    report.state == "set"
}

fn never(_: &Timekeeper<Own>, _: &Report) -> bool {
    false
}

#[test]
fn the_clock_is_set_by_servers_at_literal_addresses_over_both_lines() {
    let world = World::new();
    let seen = world.run(BEHIND, SOON, believed);
    assert!(seen.hit && seen.off_ms.abs() < 1_000, "{} ms off after {:?}", seen.off_ms, seen.took);
    assert_eq!(seen.report.fields["by"], "ntp");
    assert_eq!(seen.set, 1);
    // Three operators over two lines, and nobody's name.
    assert_eq!(world.servers.dials.asked.load(Ordering::SeqCst), 6);
    assert_eq!(seen.report.fields["bytes"], 6 * 2 * 76);
    assert!(world.marked());
    // timesyncd's five seconds, and an exchange.
    assert!(seen.took < Duration::from_secs(7), "{:?}", seen.took);
}

#[test]
fn each_line_is_asked_by_itself_and_none_that_is_not_usable() {
    let world = World::new();
    // What is asked over the stick leaves by it, although the default route is the wired line's.
    world.net.sh("ip link set wired down");
    world.lines(&["cellular"]);
    let seen = world.run(BEHIND, SOON, believed);
    assert!(seen.hit);
    assert_eq!(world.servers.dials.asked.load(Ordering::SeqCst), 3);
}

#[test]
fn a_line_with_ipv6_alone_is_enough() {
    let world = World::new();
    let at = clock::now().as_millis() + 600_000;
    world.uplink_says(&json!({
        "schema": 1, "daemon": "uplink", "version": "0", "boot_id": BOOT, "monotonic_ms": at, "wall": null,
        "state": "online", "since_ms": 1, "conditions": [], "dns": [],
        "links": [{"name": "cellular", "interface": "ppp0", "usable": true, "metered": true, "addresses": [HERE6]}],
    }));
    let seen = world.run(BEHIND, SOON, believed);
    assert!(seen.hit && seen.off_ms.abs() < 1_000, "{:?}", seen.report);
    // 48 bytes, and the headers of UDP and IPv6, both ways.
    assert_eq!(seen.report.fields["bytes"], 3 * 2 * 96);
}

#[test]
fn pages_tell_the_time_where_ntp_does_not_get_through() {
    let world = World::new();
    world.dial(SILENT);
    world.servers.dials.page_secs.store(2, Ordering::SeqCst);
    let seen = world.run(BEHIND, SOON, believed);
    assert!(seen.hit, "{:?}", seen.report);
    assert_eq!(seen.report.fields["by"], "pages");
    assert!(seen.off_ms.abs() < 4_000, "{} ms", seen.off_ms);
    // 5 s for timesyncd, 13 s of NTP, and the pages at once.
    assert!(seen.took > Duration::from_secs(17) && seen.took < Duration::from_secs(25), "{:?}", seen.took);
    // Four over the wired line, two over the metered one.
    assert_eq!(world.servers.dials.visited.load(Ordering::SeqCst), 6);
    // After three rounds of NTP without an answer; what the machine's own test reckons with.
    let pages = seen.report.fields["bytes"].as_u64().unwrap() - 3 * 6 * 76;
    println!("a page costs {} bytes", pages / 6);
    assert!(pages < 6 * 1_200, "{pages}");
}

/// Programs in a namespace; they end with the value.
struct Programs(Vec<Child>);

impl Drop for Programs {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// dnsmasq where a public resolver is, and nginx with the known pages.
fn real_servers(world: &World) -> Programs {
    for address in ["1.1.1.1", "192.0.2.81"] {
        world.net.sh(&format!("ip address add {address}/32 dev lo"));
    }
    let dir = world.dir.path().to_owned();
    let pages = "location = /generate_204 { return 204; } location = /success.txt { return 200 \"success\\n\"; } \
                 location = /hotspot-detect.html { return 200 \"<HTML><HEAD><TITLE>Success</TITLE></HEAD>\"; } \
                 location = /connecttest.txt { return 200 \"Microsoft Connect Test\"; }";
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|path| format!("{path}_temp_path {}/{path};\n", dir.display()))
        .concat();
    let config = format!(
        "daemon off; master_process off; pid {0}/nginx.pid; error_log {0}/nginx.log;\nevents {{}}\n\
         http {{ access_log off; {paths} server {{ listen 192.0.2.81:80; {pages} }} }}\n",
        dir.display()
    );
    fs::write(dir.join("nginx.conf"), config).unwrap();
    let programs = world.net.run(move || {
        let quiet = |command: &mut Command| {
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let nginx = quiet(Command::new("nginx").arg("-c").arg(dir.join("nginx.conf")));
        let dnsmasq = quiet(
            Command::new("dnsmasq")
                .args([
                    "--keep-in-foreground",
                    "--conf-file=/dev/null",
                    "--no-hosts",
                    "--no-resolv",
                    "--pid-file",
                ])
                .args(["--user=root", "--group=root", "--listen-address=1.1.1.1", "--bind-interfaces"])
                .arg("--address=/#/192.0.2.81"),
        );
        Programs(vec![nginx, dnsmasq])
    });
    let end = Instant::now() + SOON;
    while !world
        .net
        .run(|| TcpStream::connect("192.0.2.81:80").is_ok() && TcpStream::connect("1.1.1.1:53").is_ok())
    {
        assert!(
            Instant::now() < end,
            "nginx and dnsmasq: {:?}",
            fs::read_to_string(world.dir.path().join("nginx.log"))
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    programs
}

#[test]
fn the_date_of_a_real_web_server_found_by_a_public_resolver_is_read() {
    let world = World::new();
    world.dial(SILENT);
    let _programs = real_servers(&world);
    // The line's own name server is dead.
    let at = clock::now().as_millis() + 600_000;
    world.uplink_says(&json!({
        "schema": 1, "daemon": "uplink", "version": "0", "boot_id": BOOT, "monotonic_ms": at, "wall": null,
        "state": "online", "since_ms": 1, "conditions": [], "dns": ["192.0.2.99"],
        "links": [{"name": "wired", "interface": "eth0", "usable": true, "metered": false, "addresses": ["198.51.100.2"]}],
    }));
    let seen = world.run(BEHIND, SOON, believed);
    assert!(seen.hit, "{:?}", seen.report);
    assert_eq!(seen.report.fields["by"], "pages");
    assert!(seen.off_ms.abs() < 2_000, "{} ms", seen.off_ms);
    assert_eq!(world.servers.dials.visited.load(Ordering::SeqCst), 0, "nginx and nobody else");
}

#[test]
fn forged_answers_and_a_lying_server_do_not_set_the_clock() {
    let world = World::new();
    world.dial(FORGED);
    world.servers.dials.liar_secs.store(86_400 * 300, Ordering::SeqCst);
    let seen = world.run(BEHIND, SOON, believed);
    assert!(seen.hit && seen.off_ms.abs() < 1_000, "{} ms", seen.off_ms);
}

#[test]
fn garbage_kisses_and_a_login_page_set_nothing_and_asking_goes_on() {
    std::thread::scope(|scope| {
        for manner in [GARBAGE, KISS] {
            scope.spawn(move || {
                let world = World::new();
                world.dial(manner);
                world.servers.dials.portal.store(true, Ordering::SeqCst);
                world.servers.dials.page_secs.store(86_400 * 365, Ordering::SeqCst);
                // Three rounds of NTP, one of pages, and a little more.
                let seen = world.run(BEHIND, Duration::from_secs(22), never);
                assert_eq!((seen.report.state.as_str(), seen.set), ("asking", 0));
                assert!(!world.marked());
                assert!(world.servers.dials.visited.load(Ordering::SeqCst) >= 6);
                assert!(world.servers.dials.asked.load(Ordering::SeqCst) >= 9);
            });
        }
    });
}

#[test]
fn a_clock_that_is_ahead_is_not_set_back_and_one_that_is_right_is_not_touched() {
    let world = World::new();
    let ahead = world.run(3600, Duration::from_secs(8), never);
    assert_eq!((ahead.report.state.as_str(), ahead.set, ahead.off_ms), ("asking", 0, 3_600_000));
    assert!(!world.marked());
    let right = world.run(1, SOON, believed);
    assert!(right.hit && world.marked());
    assert_eq!((right.set, right.off_ms), (0, 1_000));
}

#[test]
fn timesyncds_word_is_the_end_of_it() {
    let world = World::new();
    world.lines(&[]);
    let early = world.run(BEHIND, Duration::from_secs(3), never);
    assert_eq!(early.report.state, "waiting-for-line");
    fs::write(world.dir.path().join("run/systemd/timesync/synchronized"), "").unwrap();
    let seen = world.run(BEHIND, SOON, |daemon, report| daemon.done() && report.state == "synchronised");
    assert!(seen.hit && seen.took < Duration::from_secs(3), "{:?}", seen.took);
    assert_eq!(world.servers.dials.asked.load(Ordering::SeqCst), 0);
}

#[test]
fn an_image_of_the_future_makes_todays_time_incredible() {
    let world = World::new();
    let epoch = world.dir.path().join("usr/lib/clock-epoch");
    fs::create_dir_all(epoch.parent().unwrap()).unwrap();
    fs::File::create(&epoch).unwrap().set_modified(moved(86_400)).unwrap();
    let seen = world.run(BEHIND, Duration::from_secs(8), never);
    assert_eq!((seen.set, seen.report.state.as_str()), (0, "asking"));
    assert!(world.servers.dials.asked.load(Ordering::SeqCst) >= 6, "they were asked, and answered");
}
