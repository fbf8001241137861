//! Two lines, each with a name server and a web server of its own: names and pages come over the line
//! that is asked.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use testnet::Namespace;
use web::{Cause, Http, Options, Phase, Visit, Way, visit};

/// No server of a test waits longer.
const PATIENCE: Duration = Duration::from_secs(60);
/// The limit of these requests.
const LIMIT: Duration = Duration::from_secs(6);

/// Answers A questions with `address`, or says `NXDOMAIN` for names that begin with `no`.
fn name_server(at: &str, address: [u8; 4]) {
    let socket = UdpSocket::bind(at).unwrap();
    thread::spawn(move || {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let mut answer = buffer[..length].to_vec();
            let (none, four) = (buffer[13] == b'n', buffer[length - 3] == 1);
            answer[2] |= 0x80;
            answer[3] = if none { 3 } else { 0 };
            if !none && four {
                answer[7] = 1;
                answer.extend(b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04");
                answer.extend(address);
            }
            // A forgery first: another question's answer is not believed.
            let mut forged = answer.clone();
            forged[0] ^= 0xff;
            let _ = socket.send_to(&forged, from);
            let _ = socket.send_to(&answer, from);
        }
    });
}

/// Says its name and whom it sees.
fn web_server(at: &str, name: &'static str) {
    let listener = TcpListener::bind(at).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let from = stream.peer_addr().unwrap().ip();
            let _ = stream.read(&mut [0; 4096]);
            let body = format!("{name} {from}");
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
}

/// The appliance, and beyond each of its lines another world under the same name.
fn world() -> (Namespace, [Namespace; 2]) {
    let pi = Namespace::new();
    let worlds = [("eth0", "192.0.2", "wired", 100), ("ppp0", "198.51.100", "cellular", 200)];
    let worlds = worlds.map(|(interface, net, name, metric)| {
        let world = Namespace::new();
        pi.cable(interface, &world, "far");
        pi.sh(&format!("ip address add {net}.2/24 dev {interface}"));
        pi.sh(&format!("ip route add default via {net}.1 dev {interface} metric {metric}"));
        world.sh(&format!("ip address add {net}.1/24 dev far"));
        let own: std::net::Ipv4Addr = format!("{net}.1").parse().unwrap();
        world.run(move || {
            name_server(&format!("{own}:53"), own.octets());
            web_server(&format!("{own}:80"), name);
        });
        world
    });
    (pi, worlds)
}

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
