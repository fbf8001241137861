//! Which line a request leaves by: two lines, a server behind both that says whom it sees.

mod support;

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use dyndns::deliver::{Heard, Job, run};
use dyndns::provider::lambda::{Account as Lambda, Generation, proof};
use dyndns::provider::{Account, dyndns2};
use dyndns::socket::Way;
use dyndns::talk::{Order, Verdict};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::{PATIENCE, Server, say};
use sysio::Root;
use testnet::Namespace;

/// The server, reached by both lines.
const SERVER: &str = "203.0.113.1:8080";
/// The name's secret.
const SECRET: &str = "SuP3R_5eCR3T";

fn way(line: &str, interface: &str) -> Way {
    Way { line: line.into(), interface: interface.into() }
}

/// The appliance with two lines, the wired one preferred, and the internet with a server.
fn world(tls: Option<Arc<ServerConfig>>) -> (Namespace, Namespace, Server) {
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
    let server = net.run(|| Server::new(SERVER, tls, awslabs));
    assert_eq!(server.address.to_string(), SERVER);
    (pi, net, server)
}

/// The service as its source describes it; a GET is told its address in plain text.
fn awslabs(heard: &support::Heard, stream: &mut dyn Write) {
    let body = heard.text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let from = heard.from.ip();
    if body.is_empty() {
        say(stream, 200, &from.to_string());
    } else if body.contains("\"get\"") {
        say(stream, 200, &format!(r#"{{"return_status":"success","return_message":"{from}"}}"#));
    } else if body.contains(&proof(from, "h.example.org", SECRET)) {
        say(stream, 201, r#"{"return_status":"success","return_message":"has been updated"}"#);
    } else {
        say(stream, 401, r#"{"return_status":"fail","return_message":"Validation hashes do not match."}"#);
    }
}

/// A self-signed certificate for the server, in the folder that stands for the root.
fn certificate(root: &Path) -> Arc<ServerConfig> {
    let dir = root.join("data/failberry/dyndns");
    fs::create_dir_all(&dir).unwrap();
    let openssl = |arguments: &str| {
        let words = arguments.split_whitespace();
        sysio::Runner::new("openssl", words, PATIENCE).run().unwrap();
    };
    let [key, pem, ext, csr] = ["key.pem", "server.pem", "ext", "csr.pem"].map(|name| dir.join(name));
    let (ca, ca_key) = (dir.join("ca.pem"), dir.join("ca.key"));
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(&format!(
        "req -x509 {curve} -days 3650 -subj /CN=test -keyout {} -out {}",
        ca_key.display(),
        ca.display()
    ));
    openssl(&format!("req {curve} -subj /CN=server -keyout {} -out {}", key.display(), csr.display()));
    fs::write(&ext, "subjectAltName=IP:203.0.113.1\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(&format!(
        "x509 -req -in {} -CA {} -CAkey {} -days 3650 -extfile {} -out {}",
        csr.display(),
        ca.display(),
        ca_key.display(),
        ext.display(),
        pem.display()
    ));
    let chain = CertificateDer::pem_file_iter(&pem).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap())
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
    let (pi, _net, server) = world(None);
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    assert_eq!(asked(&pi, way("wired", "eth0")), [ip("192.0.2.2")]);
    // Although the other one is preferred.
    assert_eq!(asked(&pi, way("cellular", "ppp0")), [ip("198.51.100.2")]);
    assert_eq!(server.heard().len(), 2);
}

#[test]
fn a_line_without_interface_is_no_line() {
    let (pi, _net, server) = world(None);
    let heard = pi.run(|| {
        let job = Job::Ask { url: format!("http://{SERVER}/"), way: way("cellular", "") };
        run(&job, &Root::at("/nonexistent"))
    });
    assert!(matches!(&heard, Heard::Failed { why } if why.contains("no interface")), "{heard:?}");
    assert!(server.heard().is_empty());
}

fn told(pi: &Namespace, scheme: &str, root: &Path) -> Verdict {
    let (url, root) = (format!("{scheme}://{SERVER}/"), Root::at(root));
    pi.run(move || {
        let (generation, secret) = (Generation::Lambda, SECRET.to_owned());
        let account = Account::Lambda(Lambda { generation, url, secret, api_key: None });
        let address = "198.51.100.2".parse().unwrap();
        let order = Order { name: "h.example.org".into(), address, ttl: 60 };
        match run(&Job::Tell { account, order, way: Some(way("cellular", "ppp0")) }, &root) {
            Heard::Told { verdict } => verdict,
            other => panic!("{other:?}"),
        }
    })
}

#[test]
fn a_service_that_takes_the_senders_address_is_told_over_the_line_and_over_tls() {
    let root = tempfile::tempdir().unwrap();
    let (pi, _net, server) = world(Some(certificate(root.path())));
    assert_eq!(
        told(&pi, "https", root.path()),
        Verdict::Changed { address: "198.51.100.2".parse().unwrap() }
    );
    assert_eq!(server.heard().len(), 2);
    // Without its issuer nothing is said to it.
    let Verdict::Later { why, .. } = told(&pi, "https", Path::new("/nonexistent")) else { panic!("later") };
    assert!(why.contains("unknown issuer"), "{why}");
    assert_eq!(server.heard().len(), 2);
}

#[test]
fn a_proof_never_leaves_in_the_clear() {
    let (pi, _net, server) = world(None);
    let verdict = told(&pi, "http", Path::new("/nonexistent"));
    assert!(matches!(&verdict, Verdict::Stop { code, .. } if code == "http"), "{verdict:?}");
    assert!(server.heard().is_empty());
}

#[test]
fn a_dead_line_is_given_up_and_never_replaced_by_the_other() {
    let (pi, net, server) = world(None);
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
    assert!(server.heard().is_empty());
}
