//! Updates against Knot DNS as Debian has it, which is in the SDK.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dyndns::deliver::{Heard, Job, run};
use dyndns::dns::{Message, Name, question};
use dyndns::provider::{Account, rfc2136};
use dyndns::socket::exchange;
use dyndns::talk::{Family, Order, Verdict};
use sysio::Root;

const PATIENCE: Duration = Duration::from_secs(30);
const SECRET: &str = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ==";
const PORT: u16 = 53535;
const KNOTD: &str = "/usr/sbin/knotd";

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(dir: &Path) -> Server {
    let own = dir.display();
    let config = format!(
        "server:\n  rundir: {own}\n  listen: 127.0.0.1@{PORT}\n\
         log:\n  - target: stderr\n    any: info\n\
         database:\n  storage: {own}\n\
         key:\n  - id: k.example\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
         \x20 - id: other.example\n    algorithm: hmac-sha256\n    secret: {SECRET}\n\
         acl:\n  - id: update\n    key: k.example\n    action: update\n    update-owner: name\n    \
         update-owner-match: equal\n    update-owner-name: [home]\n\
         zone:\n  - domain: example.org\n    storage: {own}\n    file: zone\n    acl: update\n"
    );
    fs::write(dir.join("knot.conf"), config).unwrap();
    let zone = "$ORIGIN example.org.\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nns A 127.0.0.1\n\
                home A 192.0.2.1\n";
    fs::write(dir.join("zone"), zone).unwrap();
    let child = Command::new(KNOTD)
        .args(["-c".as_ref(), dir.join("knot.conf").as_os_str()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(dir.join("log")).unwrap())
        .spawn()
        .expect("knotd of the SDK");
    let server = Server(child);
    let begin = Instant::now();
    while served("home.example.org", Family::V4).is_none() {
        let log = fs::read_to_string(dir.join("log")).unwrap_or_default();
        assert!(begin.elapsed() < PATIENCE, "knotd does not answer: {log}");
        std::thread::sleep(Duration::from_millis(50));
    }
    server
}

/// What the server has; `None` while it does not answer.
fn served(name: &str, family: Family) -> Option<Vec<IpAddr>> {
    let answer = exchange("127.0.0.1", PORT, &question(3, &Name::parse(name).unwrap(), family)).ok()?;
    let message = Message::parse(&answer, 3, false).ok()?;
    (message.rcode == 0 || message.rcode == 3).then(|| message.addresses(family))
}

fn tell(name: &str, address: &str, key: &str, secret: &str) -> Verdict {
    let account = Account::Rfc2136(rfc2136::Account {
        host: "127.0.0.1".into(),
        port: PORT,
        zone: "example.org".into(),
        key: key.into(),
        secret: secret.into(),
    });
    let order = Order { name: name.into(), address: address.parse().unwrap(), ttl: 60 };
    match run(&Job::Tell { account, order, way: None }, &Root::at("/nonexistent")) {
        Heard::Told { verdict } => verdict,
        other => panic!("{other:?}"),
    }
}

fn stop(verdict: Verdict) -> String {
    match verdict {
        Verdict::Stop { code, .. } => code,
        other => panic!("{other:?}"),
    }
}

/// A refusal that is either final or not asked again for an hour.
fn refused(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Stop { code, .. } => ["REFUSED", "NOTAUTH", "BADKEY"].contains(&code.as_str()),
        Verdict::Later { why, at_least } => *at_least >= 3600 && why.contains("nobody signed"),
        _ => false,
    }
}

#[test]
fn knot_takes_updates_and_its_refusals_are_understood() {
    let namespace = testnet::Namespace::new();
    namespace.run(|| {
        let dir = tempfile::tempdir().unwrap();
        let _server = start(dir.path());
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        // A and AAAA each by itself; twice changes nothing.
        for address in ["198.51.100.7", "2001:db8::7", "203.0.113.9", "203.0.113.9"] {
            let verdict = tell("home.example.org", address, "k.example", SECRET);
            assert_eq!(verdict, Verdict::Changed { address: ip(address) });
        }
        assert_eq!(served("home.example.org", Family::V4), Some(vec![ip("203.0.113.9")]));
        assert_eq!(served("home.example.org", Family::V6), Some(vec![ip("2001:db8::7")]));
        // What it refuses.
        let wrong = "YW5vdGhlci1zZWNyZXQ=";
        assert_eq!(stop(tell("home.example.org", "198.51.100.7", "k.example", wrong)), "BADSIG");
        for (name, key) in [("home", "nobody.example"), ("www", "k.example"), ("home", "other.example")] {
            let verdict = tell(&format!("{name}.example.org"), "198.51.100.7", key, SECRET);
            println!("{name} with {key}: {verdict:?}");
            assert!(refused(&verdict), "{verdict:?}");
        }
        assert_eq!(served("home.example.org", Family::V4), Some(vec![ip("203.0.113.9")]));
    });
}
