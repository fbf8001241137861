//! Two lines, each with a name server and a web server of its own: names and pages come over the line
//! that is asked.

mod support;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use support::world;
use testnet::Namespace;
use web::{Cause, Http, Options, Phase, Visit, Way, visit};

/// The limit of these requests.
const LIMIT: Duration = Duration::from_secs(6);

fn ask(pi: &Namespace, url: &str, line: &str, interface: &str, servers: &[&str]) -> Visit {
    let way = Way { line: line.to_owned(), interface: interface.to_owned() };
    let servers: Vec<IpAddr> = servers.iter().map(|server| server.parse().unwrap()).collect();
    let request = Http { method: "GET", url: url.to_owned(), headers: Vec::new(), body: Vec::new() };
    pi.run(move || {
        visit(&request, &Options { way: Some(&way), servers: &servers, limit: LIMIT, ..Options::new("test") })
    })
}

#[test]
fn name_and_page_come_over_the_line_that_is_asked() {
    let (pi, _worlds) = world();
    for (line, interface, net) in [("wired", "eth0", "192.0.2"), ("cellular", "ppp0", "198.51.100")] {
        let server = format!("{net}.1");
        let seen = ask(&pi, "http://page.example/", line, interface, &[&server]);
        let reply = seen.outcome.unwrap_or_else(|failure| panic!("{line}: {failure}"));
        assert_eq!(String::from_utf8_lossy(&reply.body), format!("{line} {net}.2"));
        assert_eq!(seen.address.unwrap().to_string(), format!("{net}.1:80"));
        assert!(seen.times.dns.is_some_and(|dns| !dns.is_zero()));
    }
}

#[test]
fn a_dead_name_server_is_followed_by_the_next() {
    let (pi, _worlds) = world();
    let seen = ask(&pi, "http://page.example/", "cellular", "ppp0", &["198.51.100.99", "198.51.100.1"]);
    assert_eq!(seen.outcome.unwrap().status, 200);
}

#[test]
fn names_that_fail_are_told_from_name_servers_that_fail() {
    let (pi, _worlds) = world();
    let failure = |servers: &[&str], url: &str| {
        let begin = Instant::now();
        let failure = ask(&pi, url, "cellular", "ppp0", servers).outcome.expect_err("a failure");
        assert!(begin.elapsed() < LIMIT * 2, "{:?}", begin.elapsed());
        (failure.phase, failure.cause)
    };
    assert_eq!(failure(&["198.51.100.1"], "http://no.example/"), (Phase::Dns, Cause::NoSuchName));
    let dead = failure(&["203.0.113.9"], "http://page.example/");
    assert_eq!(dead, (Phase::Dns, Cause::TimedOut));
}

#[test]
fn a_line_that_is_not_there_and_an_address_nobody_has_are_told() {
    let (pi, _worlds) = world();
    let failure = |interface: &str, url: &str| {
        let failure = ask(&pi, url, "cellular", interface, &["198.51.100.1"]).outcome.expect_err("a failure");
        (failure.phase, failure.cause)
    };
    assert_eq!(failure("wwan9", "http://198.51.100.1/"), (Phase::Connect, Cause::NoWay));
    assert_eq!(failure("", "http://198.51.100.1/").0, Phase::Connect);
    // Nobody answers ARP there: EHOSTUNREACH after three questions, or our own limit before.
    let (phase, cause) = failure("ppp0", "http://198.51.100.77/");
    assert_eq!(phase, Phase::Connect);
    assert!([Cause::Unreachable, Cause::TimedOut].contains(&cause), "{cause}");
}
