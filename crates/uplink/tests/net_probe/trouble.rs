//! Everything that may go on around the daemon without its losing its way.

use crate::world::{Manner, SOON, World, within};
use std::fmt::Write;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Nothing may have happened in this time; long enough for several rounds of every probe.
const QUIET: Duration = Duration::from_secs(12);

/// The wired line stays as it is.
fn stays(world: &World, state: &str) {
    let end = Instant::now() + QUIET;
    while Instant::now() < end {
        let line = world.line("wired").unwrap();
        assert_eq!(line["state"], state, "{line}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn one_dead_target_or_operator_changes_no_verdict_and_shows_in_the_report() {
    let world = World::new();
    let _daemon = world.daemon();
    world.until("up", None);
    world.fault("ip daddr 192.0.2.2 drop");
    stays(&world, "up");
    let line = world.line("wired").unwrap();
    let dead = line["targets"].as_array().unwrap().iter().find(|t| t["name"] == "icmp 192.0.2.2").unwrap();
    assert_eq!(dead["state"], "down", "{dead}");
    world.fault("ip6 daddr 2001:db8:1::2 drop");
    stays(&world, "up");
}

#[test]
fn an_interface_renamed_and_made_again_under_load_is_followed() {
    let world = World::new();
    let _daemon = world.daemon();
    world.until("up", None);
    let end = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&end);
    let flow = world.net.start(move || {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        let mut sent = 0;
        while !stop.load(Ordering::SeqCst) {
            // Nobody listens: each is answered by an error, so that both directions are busy.
            sent += u32::from(socket.send_to(&[0; 1200], "192.168.178.2:9").is_ok());
            std::thread::sleep(Duration::from_millis(1));
        }
        sent
    });
    for _ in 0..5 {
        world.pi.sh("ip link set eth0 down");
        world.pi.sh("ip link set eth0 name other");
        world.pi.sh("ip link set other name eth0");
        world.pi.sh("ip link set eth0 up");
        world.pi.sh("ip -6 addr flush dev eth0 scope global");
        world.pi.sh("ip addr flush dev eth0");
        world.plug();
    }
    world.until("up", None);
    world.pi.sh("ip link del eth0");
    world.until("down", None);
    world.pi.cable("eth0", &world.router, "lan0");
    world.router.sh("ip addr add 192.168.178.1/24 dev lan0");
    world.router.sh("ip addr add 2001:db8:a::1/64 dev lan0 nodad");
    world.plug();
    world.until("up", None);
    end.store(true, Ordering::SeqCst);
    assert!(flow.wait() > 100, "there was no load");
}

#[test]
fn ten_thousand_messages_of_the_kernel_delay_nothing() {
    let world = World::new();
    let _daemon = world.daemon();
    world.until("up", None);
    let noise = world.pi.start(|| {
        let mut lines = String::new();
        for n in 0..5_000 {
            let address = format!("10.{}.{}.1/32", n / 250, n % 250);
            writeln!(lines, "addr add {address} dev lo\naddr del {address} dev lo").unwrap();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines).unwrap();
        let done = std::process::Command::new("ip").arg("-batch").arg(file.path()).status().unwrap();
        assert!(done.success());
    });
    let mut beats = 0;
    while noise.try_wait().is_err() {
        assert_eq!(world.line("wired").unwrap()["state"], "up");
        beats += 1;
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(beats > 0, "the noise was over before anything could be seen");
    world.fault("drop");
    assert!(world.until("down", None) < Duration::from_secs(3));
}

#[test]
fn a_gateway_that_answers_for_everything_is_not_believed() {
    let mut world = World::new();
    let _daemon = world.daemon();
    world.until("up", None);
    world.gateway_answers_for_all();
    let part = within(SOON, "partial", || {
        world.line("wired").filter(|l| l["state"] == "partial").map(|l| l["part"].clone())
    });
    assert!(part == "portal" || part == "http", "{part}");
    world.router.sh("nft delete table ip nat");
    world.web.set(Manner::Right);
    world.until("up", None);
}

#[test]
fn a_login_page_and_a_name_server_of_garbage_are_named() {
    let world = World::new();
    let _daemon = world.daemon();
    world.until("up", None);
    world.web.set(Manner::Portal);
    assert!(world.until("partial", Some("portal")) < Duration::from_secs(11));
    world.web.set(Manner::Right);
    world.until("up", None);
    world.dns.set(Manner::Garbage);
    assert!(world.until("partial", Some("dns")) < Duration::from_secs(11));
    world.dns.set(Manner::Right);
    world.until("up", None);
}

#[test]
fn names_that_never_resolve_are_a_condition_and_no_fault_of_the_line() {
    let world = World::new();
    world.configure(&format!(
        "{}, \"icmp nobody.test operator=d\"",
        crate::world::TARGETS.trim().trim_end_matches(',')
    ));
    let _daemon = world.daemon();
    world.until("up", None);
    // Not before it is sure that DNS as such is alive.
    within(SOON * 3, "the condition", || {
        let snapshot = world.snapshot()?;
        let conditions = snapshot["conditions"].as_array()?.clone();
        conditions.into_iter().find(|c| c["id"] == "uplink-target-unresolvable")
    });
    assert_eq!(world.line("wired").unwrap()["state"], "up");
}

#[test]
fn targets_that_all_fail_to_resolve_leave_the_line_unknown_until_one_does() {
    let world = World::new();
    world.configure("\"icmp web-a.test\", \"tcp web-b.test:80\", \"dns 192.0.2.1\"");
    world.dns.set(Manner::Portal);
    let _daemon = world.daemon();
    within(SOON, "a snapshot", || world.line("wired"));
    let end = Instant::now() + QUIET;
    while Instant::now() < end {
        assert_ne!(world.line("wired").unwrap()["state"], "up");
        std::thread::sleep(Duration::from_millis(50));
    }
    world.dns.set(Manner::Right);
    world.until("up", None);
}

#[test]
fn history_is_written_and_survives_the_end_of_the_daemon() {
    let world = World::new();
    let mut daemon = world.daemon();
    world.until("up", None);
    let kept = world.dir.path().join("data/failberry/uplink/history");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(daemon.0.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert!(daemon.0.wait().unwrap().success());
    let text = std::fs::read_to_string(&kept).unwrap();
    assert!(text.contains("T\twired\ticmp 192.0.2.1\ta\ticmp\nP b "), "{text}");
    let shown = crate::world::read(&world.dir.path().join("run/failberry-uplink/history.json")).unwrap();
    let target = &shown["links"][0]["targets"][0];
    assert!(target["points"][0]["sent"].as_u64().unwrap() > 0, "{target}");
}
