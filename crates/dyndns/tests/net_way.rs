//! Which line a request leaves by: two lines, a server behind both that says whom it sees.

mod support;

use std::net::IpAddr;

use dyndns::deliver::{Heard, Job, run};
use dyndns::provider::lambda::{Account as Lambda, Generation, proof};
use dyndns::provider::{Account, dyndns2};
use dyndns::socket::Way;
use dyndns::talk::{Order, Verdict};
use support::{Server, say};
use sysio::Root;
use testnet::Namespace;

/// The server, reached by both lines.
const SERVER: &str = "203.0.113.1:8080";

fn way(line: &str, interface: &str) -> Way {
    Way { line: line.into(), interface: interface.into() }
}

/// The appliance with two lines, the wired one preferred, and the internet with a server.
fn world() -> (Namespace, Namespace) {
    let (pi, net) = (Namespace::new(), Namespace::new());
    pi.cable("eth0", &net, "wired");
    pi.cable("ppp0", &net, "cell");
    for (interface, far, here, there) in
        [("eth0", "wired", "192.0.2.2", "192.0.2.1"), ("ppp0", "cell", "198.51.100.2", "198.51.100.1")]
    {
        pi.sh(&format!("ip address add {here}/24 dev {interface}"));
        net.sh(&format!("ip address add {there}/24 dev {far}"));
        let metric = if interface == "eth0" { 100 } else { 200 };
        pi.sh(&format!("ip route add default via {there} dev {interface} metric {metric}"));
    }
    net.sh("ip address add 203.0.113.1/32 dev lo");
    net.run(|| {
        Server::at(SERVER, |heard, stream| {
            let body = heard.text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
            let from = heard.from.ip();
            if body.contains("\"get\"") || body.is_empty() {
                let answer = format!(r#"{{"return_status":"success","return_message":"{from}"}}"#);
                say(stream, 200, if body.is_empty() { heard.from.ip().to_string() } else { answer }.as_str());
            } else if body.contains(&proof(from, "h.example.org", "s")) {
                say(stream, 201, r#"{"return_status":"success","return_message":"has been updated"}"#);
            } else {
                say(
                    stream,
                    401,
                    r#"{"return_status":"fail","return_message":"Validation hashes do not match."}"#,
                );
            }
        });
    });
    (pi, net)
}

fn asked(pi: &Namespace, way: Way) -> Vec<IpAddr> {
    pi.run(move || {
        let job = Job::Ask { url: format!("http://{SERVER}/"), way };
        match run(&job, &Root::at("/nonexistent")) {
            Heard::Found { addresses } => addresses,
            other => panic!("{other:?}"),
        }
    })
}

#[test]
fn the_address_is_asked_for_over_the_line_that_is_meant() {
    let (pi, _net) = world();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(asked(&pi, way("wired", "eth0")), [ip("192.0.2.2")]);
    // Although the other one is preferred.
    assert_eq!(asked(&pi, way("cellular", "ppp0")), [ip("198.51.100.2")]);
}

#[test]
fn a_line_without_interface_is_no_line() {
    let (pi, _net) = world();
    let heard = pi.run(|| {
        let job = Job::Ask { url: format!("http://{SERVER}/"), way: way("cellular", "") };
        run(&job, &Root::at("/nonexistent"))
    });
    assert!(matches!(&heard, Heard::Failed { why } if why.contains("no interface")), "{heard:?}");
}

#[test]
fn a_service_that_takes_the_senders_address_is_told_over_the_line() {
    let (pi, _net) = world();
    let verdict = pi.run(|| {
        // Over TLS alone; in the clear nothing leaves.
        let account = Account::Lambda(Lambda {
            generation: Generation::Lambda,
            url: format!("http://{SERVER}/"),
            secret: "s".into(),
            api_key: None,
        });
        let address = "198.51.100.2".parse().unwrap();
        let order = Order { name: "h.example.org".into(), address, ttl: 60 };
        run(&Job::Tell { account, order, way: Some(way("cellular", "ppp0")) }, &Root::at("/nonexistent"))
    });
    assert!(matches!(&verdict, Heard::Told { verdict: Verdict::Stop { code, .. } } if code == "http"));
}

#[test]
fn a_dead_line_is_given_up_and_never_replaced_by_the_other() {
    let (pi, net) = world();
    net.sh("ip link set cell down");
    pi.sh("ip link set ppp0 down");
    let verdict = pi.run(|| {
        let url = format!("http://{SERVER}/nic/update");
        let account = Account::Dyndns2(dyndns2::Account { url, user: "u".into(), password: "p".into() });
        let address = "198.51.100.2".parse().unwrap();
        let order = Order { name: "h.example.org".into(), address, ttl: 60 };
        run(&Job::Tell { account, order, way: Some(way("cellular", "ppp0")) }, &Root::at("/nonexistent"))
    });
    let Heard::Told { verdict: Verdict::Later { why, at_least: 0 } } = &verdict else {
        panic!("{verdict:?}")
    };
    assert!(why.contains("unreachable") || why.contains("in time"), "{why}");
}
