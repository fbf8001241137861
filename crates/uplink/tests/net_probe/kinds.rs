//! Each kind of probe: what answers it, and every lie told apart.

use crate::world::{Manner, SOON, World, ip};
use link_health::Outcome;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ruleset::marks::Line;
use std::time::{Duration, Instant};
use sysio::clock::now;
use uplink::{Prober, targets};

/// Long for one hop, short for a test that waits for silence.
const PATIENCE: Duration = Duration::from_millis(700);

/// Asks one target (the first the text means) and waits for its outcome.
fn ask(world: &World, text: &str) -> Outcome {
    let text = format!("[uplink]\ntargets = [\"{text}\"]\n");
    world.pi.run(move || {
        let list = targets(&config::parse(text.as_bytes()).unwrap().uplink.targets);
        let mut prober = Prober::new(Line::Wired, "eth0");
        prober.use_resolvers(vec![ip("192.0.2.1"), ip("192.0.2.2")]);
        prober.start(now(), 7, &list[0], PATIENCE);
        let (probe, outcome) = outcome(&mut prober);
        assert_eq!(probe, 7);
        outcome
    })
}

/// Turns the loop until something is found.
pub(crate) fn outcome(prober: &mut Prober) -> (u64, Outcome) {
    let end = Instant::now() + SOON;
    loop {
        if let Some(found) = prober.take().pop() {
            return found;
        }
        assert!(Instant::now() < end, "no outcome");
        turn(prober);
    }
}

pub(crate) fn turn(prober: &mut Prober) {
    let ready: Vec<usize> = {
        let interests: Vec<_> = prober.interests(0).collect();
        let mut fds: Vec<PollFd<'_>> = interests
            .iter()
            .map(|i| PollFd::new(i.fd, if i.write { PollFlags::POLLOUT } else { PollFlags::POLLIN }))
            .collect();
        let wait = prober.deadline().map_or(Duration::ZERO, |at| at.since(now()));
        let _ = poll(&mut fds, PollTimeout::try_from(wait + Duration::from_millis(1)).unwrap());
        let hit = |fd: &PollFd<'_>| fd.revents().is_some_and(|r| !r.is_empty());
        fds.iter().zip(&interests).filter(|(fd, _)| hit(fd)).map(|(_, i)| i.token).collect()
    };
    for token in ready {
        prober.ready(now(), token);
    }
    prober.tick(now());
}

const EVERY: [&str; 10] = [
    "icmp 192.0.2.1",
    "icmp 2001:db8:1::1",
    "icmp web-b.test",
    "dns 192.0.2.1",
    "dns 2001:db8:1::1 name=nobody.test",
    "tcp 192.0.2.1:443",
    "tls [2001:db8:1::1]:443",
    "tls web-c.test",
    "http http://web-a.test/success.txt body=success",
    "http http://192.0.2.2/ body=success",
];

#[test]
fn every_kind_is_answered_with_latency_and_code() {
    let world = World::new();
    for text in EVERY {
        let outcome = ask(&world, text);
        let Outcome::Answered { latency, code } = outcome else { panic!("{text}: {outcome:?}") };
        assert!(latency > Duration::ZERO && latency < PATIENCE, "{text}: {latency:?}");
        let want = match text.split(' ').next() {
            Some("http") => Some(200),
            Some("dns") => Some(if text.contains("nobody") { 3 } else { 0 }),
            _ => None,
        };
        assert_eq!(code, want, "{text}");
    }
}

#[test]
fn silence_is_silence_for_every_kind() {
    let world = World::new();
    world.fault("drop");
    for text in EVERY {
        // Without names there is nobody to ask.
        let want = if text.contains(".test") && !text.starts_with("dns") {
            Outcome::Unresolvable
        } else {
            Outcome::Silent
        };
        assert_eq!(ask(&world, text), want, "{text}");
    }
}

#[test]
fn a_refusal_on_the_way_is_never_an_answer() {
    let world = World::new();
    for (rule, say) in [
        ("reject with icmpx type admin-prohibited", "packet filter"),
        ("reject with icmpx type host-unreachable", "unreachable"),
        ("reject with icmpx type no-route", ""),
    ] {
        world.fault(rule);
        for text in EVERY.iter().filter(|t| !t.contains(".test")) {
            let outcome = ask(&world, text);
            match &outcome {
                Outcome::Refused { why } => {
                    assert!(!text.starts_with("icmp") || why.contains(say), "{rule}: {text}: {why}");
                }
                // Seen with all hops in one kernel: the error is there before connect() has let go of
                // the socket, which makes it a soft one (`tcp_v6_err`), and the connection goes on trying.
                Outcome::Silent if text.starts_with("tls [") => {}
                _ => panic!("{rule}: {text}: {outcome:?}"),
            }
        }
        world.heal();
    }
}

#[test]
fn a_reset_is_a_refusal_and_an_open_port_that_says_nothing_is_silent() {
    let world = World::new();
    for text in ["tcp 192.0.2.1:444", "tls 192.0.2.1:444", "http http://192.0.2.1:444/"] {
        let outcome = ask(&world, text);
        assert!(
            matches!(&outcome, Outcome::Refused { why } if why.contains("refused")),
            "{text}: {outcome:?}"
        );
    }
    world.web.set(Manner::Silent);
    world.tls.set(Manner::Silent);
    assert_eq!(ask(&world, "http http://192.0.2.1/"), Outcome::Silent);
    assert_eq!(ask(&world, "tls 192.0.2.1"), Outcome::Silent);
    assert!(matches!(ask(&world, "tcp 192.0.2.1:443"), Outcome::Answered { .. }));
    world.web.set(Manner::Odd);
    world.tls.set(Manner::Odd);
    assert!(matches!(ask(&world, "http http://192.0.2.1/"), Outcome::Refused { .. }));
    assert!(matches!(ask(&world, "tls 192.0.2.1"), Outcome::Refused { .. }));
}

#[test]
fn another_page_another_status_and_another_protocol_are_wrong() {
    let world = World::new();
    let page = "http http://web-a.test/success.txt body=success";
    world.web.set(Manner::Portal);
    let why = "302, sent on to login.house.test".to_owned();
    assert_eq!(ask(&world, page), Outcome::Wrong { code: Some(302), why });
    world.web.set(Manner::Garbage);
    assert!(matches!(ask(&world, page), Outcome::Wrong { code: Some(200), .. }));
    world.tls.set(Manner::Garbage);
    assert!(matches!(ask(&world, "tls 192.0.2.1"), Outcome::Wrong { code: None, .. }));
}

#[test]
fn a_name_server_that_fails_or_lies_is_told_apart() {
    let world = World::new();
    world.dns.set(Manner::Portal);
    assert!(matches!(ask(&world, "dns 192.0.2.1"), Outcome::Wrong { code: Some(2), .. }));
    assert_eq!(ask(&world, "http http://web-a.test/"), Outcome::Unresolvable);
    // Bytes that are no answer, and an answer with another identifier, are passed over.
    for manner in [Manner::Garbage, Manner::Odd, Manner::Silent] {
        world.dns.set(manner);
        assert_eq!(ask(&world, "dns 192.0.2.1"), Outcome::Silent, "{manner:?}");
    }
    world.dns.set(Manner::Right);
    assert_eq!(ask(&world, "icmp nobody.test"), Outcome::Unresolvable);
}

#[test]
fn an_echo_from_somebody_else_is_none() {
    let world = World::new();
    // The router answers in their name, but for the wrong address: what comes back is from another.
    world.router.sh("nft add table ip raw");
    world.router.sh("nft add chain ip raw pre { type filter hook prerouting priority -300 ; }");
    world.router.sh("nft add rule ip raw pre iifname lan0 icmp type echo-request ip daddr set 192.168.178.1");
    assert_eq!(ask(&world, "icmp 192.0.2.1"), Outcome::Silent);
}

#[test]
fn an_interface_that_vanished_refuses_to_send_and_one_that_came_back_sends() {
    let world = World::new();
    world.pi.run(|| {
        let list = targets(
            &config::parse(b"[uplink]\ntargets = [\"icmp 192.0.2.1\", \"tcp 192.0.2.1:443\"]")
                .unwrap()
                .uplink
                .targets,
        );
        let mut prober = Prober::new(Line::Wired, "eth0");
        prober.start(now(), 1, &list[0], PATIENCE);
        assert!(matches!(outcome(&mut prober).1, Outcome::Answered { .. }));
        let ip = |line: &str| {
            let mut words = line.split(' ');
            let done = std::process::Command::new(words.next().unwrap()).args(words).status().unwrap();
            assert!(done.success(), "{line}");
        };
        // Renamed: the socket that is open does not mind, a new one must know the new name.
        ip("ip link set eth0 down");
        ip("ip link set eth0 name lan9");
        ip("ip link set lan9 up");
        prober.start(now(), 2, &list[1], PATIENCE);
        assert!(matches!(outcome(&mut prober).1, Outcome::Unsent(_)));
        // In the middle of a probe: it is given up, which says nothing of the line.
        prober.use_interface("lan9");
        ip("ip route add default via 192.168.178.1 dev lan9");
        prober.start(now(), 3, &list[0], PATIENCE);
        prober.use_interface("gone");
        assert!(matches!(outcome(&mut prober), (3, Outcome::Unsent(_))));
        prober.start(now(), 4, &list[0], PATIENCE);
        assert!(matches!(outcome(&mut prober), (4, Outcome::Unsent(_))));
        // Without a name it must not leave by whatever there is.
        prober.use_interface("");
        prober.start(now(), 6, &list[0], PATIENCE);
        assert!(matches!(outcome(&mut prober), (6, Outcome::Unsent(_))));
        prober.use_interface("lan9");
        prober.start(now(), 5, &list[0], PATIENCE);
        assert!(matches!(outcome(&mut prober), (5, Outcome::Answered { .. })));
    });
}

#[test]
fn an_answer_after_its_time_is_told_as_well() {
    let world = World::new();
    world.tls.set(Manner::Silent);
    world.pi.run(|| {
        let list =
            targets(&config::parse(b"[uplink]\ntargets = [\"icmp 192.0.2.1\"]").unwrap().uplink.targets);
        let mut prober = Prober::new(Line::Wired, "eth0");
        prober.start(now(), 1, &list[0], Duration::ZERO);
        prober.tick(now());
        assert_eq!(prober.take(), [(1, Outcome::Silent)]);
        assert!(matches!(outcome(&mut prober), (1, Outcome::Answered { .. })));
    });
}

#[test]
fn descriptors_are_bounded_however_many_are_asked_at_once() {
    let world = World::new();
    world.fault("drop");
    world.pi.run(|| {
        let list =
            targets(&config::parse(b"[uplink]\ntargets = [\"dns 192.0.2.1\"]").unwrap().uplink.targets);
        let mut prober = Prober::new(Line::Wired, "eth0");
        for probe in 0..1000 {
            prober.start(now(), probe, &list[0], PATIENCE);
        }
        assert!(prober.interests(0).count() <= uplink::TOKENS);
        let unsent = prober.take();
        assert!(unsent.len() > 900 && unsent.iter().all(|(_, o)| matches!(o, Outcome::Unsent(_))));
    });
}
