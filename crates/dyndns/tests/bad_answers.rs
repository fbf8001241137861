//! Services that lie, hang, redirect or send more than anybody wants: bounded, clear, alive.

mod support;

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dyndns::deliver::{Heard, Job, LIMIT, run};
use dyndns::provider::{Account, cloudflare, dyndns2, lambda, rfc2136, route53};
use dyndns::talk::{Order, Verdict};
use support::{Server, say};
use sysio::Root;

/// Any port of this machine.
const LOCAL: &str = "127.0.0.1:0";

/// One account of each protocol at `server`.
fn accounts(server: &Server) -> Vec<Account> {
    let url = format!("http://{}", server.address);
    vec![
        Account::Lambda(lambda::Account {
            generation: lambda::Generation::LambdaV2,
            url: url.clone(),
            secret: "geheim".into(),
            api_key: Some("geheim".into()),
        }),
        Account::Dyndns2(dyndns2::Account { url: url.clone(), user: "u".into(), password: "geheim".into() }),
        Account::Cloudflare(cloudflare::Account {
            url: url.clone(),
            zone: "z".into(),
            token: "geheim".into(),
        }),
        Account::Route53(route53::Account {
            url,
            zone: "Z1".into(),
            key_id: "AK".into(),
            secret: "geheim".into(),
            set: None,
            failover: false,
        }),
        Account::Rfc2136(rfc2136::Account {
            host: server.address.ip().to_string(),
            port: server.address.port(),
            zone: "example.org".into(),
            key: "k".into(),
            secret: "Z2VoZWlt".into(),
        }),
    ]
}

fn tell(account: Account) -> Verdict {
    let order = Order { name: "h.example.org".into(), address: "192.0.2.5".parse().unwrap(), ttl: 60 };
    match run(&Job::Tell { account, order, way: None }, &Root::at("/nonexistent")) {
        Heard::Told { verdict } => verdict,
        other => panic!("{other:?}"),
    }
}

/// Tells everybody at `server` and wants no success, no stop, no secret, and an end in time.
fn nobody_is_fooled(answer: impl Fn(&mut dyn Write) + Send + Sync + 'static) {
    let server = Server::new(LOCAL, None, move |_, stream| answer(stream));
    let web = accounts(&server).into_iter().filter(|account| account.protocol() != "rfc2136");
    for account in web {
        let (begin, protocol) = (Instant::now(), account.protocol());
        let verdict = tell(account);
        let Verdict::Later { why, .. } = &verdict else { panic!("{protocol}: {verdict:?}") };
        assert!(!why.contains("geheim") && why.len() < 400, "{protocol}: {why}");
        assert!(begin.elapsed() < LIMIT, "{protocol}: {:?}", begin.elapsed());
    }
    let heard = server.heard();
    assert!(
        heard.len() >= 4 && heard.iter().all(|h| h.text.contains("HTTP/1.1") && h.from.ip().is_loopback())
    );
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = Server::new(LOCAL, None, |_, stream| say(stream, 200, "good 192.0.2.5"));
    let location = format!("http://{}/", elsewhere.address);
    nobody_is_fooled(move |stream| {
        let head = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let _ = stream.write_all(head.as_bytes());
    });
    assert!(elsewhere.heard().is_empty());
}

#[test]
fn ten_megabytes_are_not_read() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    nobody_is_fooled(move |stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n");
        let chunk = [b'x'; 10_000];
        for _ in 0..1000 {
            if stream.write_all(&chunk).is_err() {
                return;
            }
        }
        count.fetch_add(1, Ordering::SeqCst);
    });
    // The kernel's buffers hold some of it; nobody took it all.
    assert_eq!(sent.load(Ordering::SeqCst), 0);
}

#[test]
fn login_pages_and_noise_are_no_answers() {
    nobody_is_fooled(|stream| say(stream, 200, "<html><body>Please log in: good 192.0.2.5</body></html>"));
    nobody_is_fooled(|stream| say(stream, 200, ""));
    nobody_is_fooled(|stream| {
        let _ = stream.write_all(b"\x16\x03\x01\x00\x00 no http at all\r\n\r\n");
    });
    // Ends within the head.
    nobody_is_fooled(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le");
    });
}

#[test]
fn who_hangs_is_given_up_in_time() {
    let server = Server::new(LOCAL, None, |_, stream| {
        // Says a little all the time, so that no single read takes long.
        let end = Instant::now() + LIMIT;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        while Instant::now() < end && stream.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(200));
        }
    });
    let tellers =
        accounts(&server).into_iter().filter(|a| a.protocol() == "dyndns2" || a.protocol() == "rfc2136");
    let threads: Vec<_> = tellers
        .map(|account| {
            thread::spawn(move || {
                let begin = Instant::now();
                (tell(account), begin.elapsed())
            })
        })
        .collect();
    for thread in threads {
        let (verdict, took) = thread.join().unwrap();
        assert!(matches!(verdict, Verdict::Later { .. }) && took < LIMIT, "{verdict:?} {took:?}");
    }
}

#[test]
fn a_closed_port_says_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let account = Account::Dyndns2(dyndns2::Account { url, user: "u".into(), password: "p".into() });
    let Verdict::Later { why, at_least } = tell(account) else { panic!("later") };
    assert!(why.contains("refused"), "{why}");
    // A line that changes may be tried at once.
    assert_eq!(at_least, 0);
}
