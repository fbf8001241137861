//! Every channel against a server on loopback, with all the ways a server can be bad.

mod support;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use notify::deliver::{Job, OWN_ROOTS, run};
use notify::notice::Kind;
use notify::outbox::Outcome;
use notify::outgoing::Outgoing;
use notify::settings::{Security, Target};
use snapshot::Severity;
use support::{Authority, CURRENT, MailServer, Sink, http, mail, status};
use sysio::Root;

const TOKEN: &str = "sesame-open";
/// From and to when a certificate was valid whose time is over.
const EXPIRED: [&str; 2] = ["20240101000000Z", "20240201000000Z"];
const PATH: &str = "hook-4711-secret";

fn message() -> Outgoing {
    Outgoing {
        id: "box-7".into(),
        kind: Kind::Alert,
        severity: Severity::Error,
        name: "attic".into(),
        hostname: "failberry".into(),
        daemon: "uplink".into(),
        condition: "uplink-none".into(),
        replaces: None,
        title: "no line to the internet: Störung".into(),
        text: "neither line has a route".into(),
        link: "http://failberry/conditions/uplink-none".into(),
        time: None,
        age_seconds: Some(90),
        items: Vec::new(),
        more: 0,
    }
}

fn deliver(target: Target, root: &Path) -> Outcome {
    run(&Job::Message { target, message: Box::new(message()) }, &Root::at(root))
}

fn webhook(sink: &Sink, scheme: &str) -> Target {
    let url = format!("{scheme}://localhost:{}/{PATH}", sink.address.port());
    Target::Webhook { url, token: Some(TOKEN.into()), secret: Some("key".into()) }
}

fn mailer(sink: &Sink, security: Security, login: bool) -> Target {
    Target::Mail {
        security,
        host: "localhost".into(),
        port: sink.address.port(),
        user: login.then(|| "me".into()),
        password: login.then(|| TOKEN.into()),
        from: "box@example.org".into(),
        to: vec!["a@example.org".into(), "b@example.org".into()],
    }
}

/// The words of a failure, which must not hold a secret.
fn why(outcome: Outcome) -> String {
    let (Outcome::Failed { why, .. } | Outcome::Refused { why }) = outcome else { panic!("accepted") };
    assert!(!why.contains(TOKEN) && !why.contains(PATH), "a secret in: {why}");
    assert!(!why.contains('\n') && why.len() < 400, "{why}");
    why
}

fn trusted(root: &Path, authority: &Authority) {
    let path = Root::at(root).path(OWN_ROOTS);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(&authority.pem, path).unwrap();
}

#[test]
fn a_webhook_gets_document_token_and_signature_over_tls_of_ones_own_authority() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let sink =
        http(Some(authority.server("localhost", CURRENT)), |stream, _| status(stream, "204 No Content"));
    let refused = why(deliver(webhook(&sink, "https"), dir.path()));
    assert!(refused.contains("unknown issuer") && refused.contains("ca.pem"), "{refused}");
    assert!(sink.heard().is_empty(), "nothing may be said to a server nobody vouches for");
    trusted(dir.path(), &authority);
    assert_eq!(deliver(webhook(&sink, "https"), dir.path()), Outcome::Accepted);
    let heard = &sink.wait_for(1)[0];
    assert!(heard.head.starts_with(&format!("POST /{PATH} HTTP/1.1\r\n")), "{}", heard.head);
    let fields = heard.head.to_lowercase();
    assert!(
        fields.contains(&format!("authorization: bearer {TOKEN}"))
            && fields.contains("idempotency-key: box-7")
    );
    assert!(fields.contains("x-failberry-signature: sha256="));
    let document: serde_json::Value = serde_json::from_str(&heard.body).unwrap();
    assert_eq!(document["title"], "no line to the internet: Störung");
    assert_eq!(document["age_seconds"], 90);
    assert_eq!(document["time"], serde_json::Value::Null);
}

#[test]
fn a_certificate_for_another_name_or_out_of_date_is_told_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    trusted(dir.path(), &authority);
    let other = http(Some(authority.server("elsewhere.test", CURRENT)), |stream, _| status(stream, "200 OK"));
    let said = why(deliver(webhook(&other, "https"), dir.path()));
    assert!(said.contains("another name"), "{said}");
    let old = http(Some(authority.server("localhost", EXPIRED)), |stream, _| status(stream, "200 OK"));
    let said = why(deliver(webhook(&old, "https"), dir.path()));
    assert!(said.contains("expired"), "{said}");
    assert!(old.heard().is_empty() && other.heard().is_empty());
}

#[test]
fn ntfy_and_slack_get_their_own_forms() {
    let dir = tempfile::tempdir().unwrap();
    let sink = http(None, |stream, _| status(stream, "200 OK"));
    let place = format!("http://{}", sink.address);
    let ntfy = Target::Ntfy { url: format!("{place}/{PATH}"), token: Some(TOKEN.into()) };
    assert_eq!(deliver(ntfy, dir.path()), Outcome::Accepted);
    assert_eq!(deliver(Target::Slack { url: format!("{place}/{PATH}") }, dir.path()), Outcome::Accepted);
    let heard = sink.wait_for(2);
    let ntfy: serde_json::Value = serde_json::from_str(&heard[0].body).unwrap();
    assert!(heard[0].head.starts_with("POST / HTTP/1.1"), "{}", heard[0].head);
    assert_eq!((ntfy["topic"].as_str(), ntfy["priority"].as_u64()), (Some(PATH), Some(4)));
    assert!(ntfy["message"].as_str().unwrap().contains("1 min 30 s before this message"));
    let slack: serde_json::Value = serde_json::from_str(&heard[1].body).unwrap();
    assert!(slack["text"].as_str().unwrap().contains("*[attic] error: no line to the internet: Störung*"));
}

#[test]
fn a_service_that_moves_refuses_or_wants_peace_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = http(None, |stream, _| status(stream, "200 OK"));
    let place = elsewhere.address;
    let sink = http(None, move |stream, number| match number {
        1 => write!(stream, "HTTP/1.1 307 Moved\r\nLocation: http://{place}/\r\nContent-Length: 0\r\n\r\n"),
        2 => write!(stream, "HTTP/1.1 401 No\r\nContent-Length: {}\r\n\r\n{TOKEN}", TOKEN.len()),
        3 => write!(stream, "HTTP/1.1 429 Slow\r\nRetry-After: 77\r\nContent-Length: 0\r\n\r\n"),
        4 => status(stream, "413 Too Large"),
        _ => write!(stream, "not http at all\r\n\r\n"),
    });
    let go = || deliver(webhook(&sink, "http"), dir.path());
    assert!(why(go()).contains("moved"));
    assert!(elsewhere.heard().is_empty(), "a redirect is not followed with a token");
    assert!(why(go()).contains("refuses the login"));
    assert!(matches!(go(), Outcome::Failed { retry_after: Some(77), .. }));
    assert!(matches!(go(), Outcome::Refused { .. }));
    why(go());
}

#[test]
fn a_server_that_sends_ten_megabytes_or_hangs_up_costs_neither_memory_nor_time() {
    let dir = tempfile::tempdir().unwrap();
    let sink = http(None, |stream, number| {
        if number == 1 {
            write!(stream, "HTTP/1.1 500 Error\r\nContent-Length: 10000000\r\n\r\n")?;
            (0..10_000).try_for_each(|_| stream.write_all(&[b'x'; 1000]))
        } else {
            Ok(())
        }
    });
    let started = Instant::now();
    assert!(why(deliver(webhook(&sink, "http"), dir.path())).contains("500"));
    why(deliver(webhook(&sink, "http"), dir.path()));
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[test]
fn nobody_there_and_no_such_name_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let target = |url: String| Target::Webhook { url, token: None, secret: None };
    let said = why(deliver(target(format!("http://{free}/{PATH}")), dir.path()));
    assert!(said.to_lowercase().contains("refused"), "{said}");
    why(deliver(target(format!("http://no-such-host.invalid/{PATH}")), dir.path()));
}

#[test]
fn mail_goes_by_starttls_and_the_login_only_inside_it() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let tls = authority.server("localhost", CURRENT);
    let login = Some(("me".to_owned(), TOKEN.to_owned()));
    let server = MailServer { starttls: Some(tls), login, ..MailServer::default() };
    let sink = mail(server);
    let said = why(deliver(mailer(&sink, Security::StartTls, true), dir.path()));
    assert!(said.contains("unknown issuer"), "{said}");
    trusted(dir.path(), &authority);
    assert_eq!(deliver(mailer(&sink, Security::StartTls, true), dir.path()), Outcome::Accepted);
    let heard = sink.wait_for(2);
    for one in &heard {
        assert!(!one.head.contains("clear AUTH") && !one.head.contains("clear MAIL"), "{}", one.head);
    }
    let last = &heard[1];
    assert!(last.head.contains("clear STARTTLS") && last.head.contains("tls AUTH PLAIN"), "{}", last.head);
    assert_eq!(last.head.matches("tls RCPT TO").count(), 2);
    assert!(last.body.contains("Message-ID: <box-7@failberry>"), "{}", last.body);
    assert!(last.body.contains("http://failberry/conditions/uplink-none"), "{}", last.body);
}

#[test]
fn a_mail_server_without_starttls_gets_nothing_but_a_greeting() {
    let dir = tempfile::tempdir().unwrap();
    let login = Some(("me".to_owned(), TOKEN.to_owned()));
    let sink = mail(MailServer { login, ..MailServer::default() });
    why(deliver(mailer(&sink, Security::StartTls, true), dir.path()));
    let heard = sink.wait_for(1);
    assert!(!heard[0].head.contains("AUTH") && !heard[0].head.contains("MAIL"), "{}", heard[0].head);
}

#[test]
fn mail_goes_by_implicit_tls_and_in_the_clear_only_where_asked_and_then_without_login() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    trusted(dir.path(), &authority);
    let login = Some(("me".to_owned(), TOKEN.to_owned()));
    let implicit = Some(authority.server("localhost", CURRENT));
    let sink = mail(MailServer { implicit, login: login.clone(), ..MailServer::default() });
    assert_eq!(deliver(mailer(&sink, Security::Tls, true), dir.path()), Outcome::Accepted);
    assert!(sink.wait_for(1)[0].head.contains("tls AUTH PLAIN"));
    let open = mail(MailServer { login, ..MailServer::default() });
    assert_eq!(deliver(mailer(&open, Security::Plain, true), dir.path()), Outcome::Accepted);
    let heard = open.wait_for(1);
    assert!(heard[0].head.contains("clear MAIL") && !heard[0].head.contains("AUTH"), "{}", heard[0].head);
}

#[test]
fn a_wrong_login_and_an_unknown_recipient_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    trusted(dir.path(), &authority);
    let tls = Some(authority.server("localhost", CURRENT));
    let login = Some(("me".to_owned(), "another".to_owned()));
    let sink = mail(MailServer { starttls: tls.clone(), login, ..MailServer::default() });
    let said = why(deliver(mailer(&sink, Security::StartTls, true), dir.path()));
    assert!(said.contains("refuses the login"), "{said}");
    let recipient = Some("550 5.1.1 no such user");
    let sink = mail(MailServer { starttls: tls, recipient, ..MailServer::default() });
    let outcome = deliver(mailer(&sink, Security::StartTls, false), dir.path());
    assert!(matches!(outcome, Outcome::Refused { .. }), "{outcome:?}");
}

#[test]
fn numbers_arrive_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        std::io::Read::read_to_string(&mut listener.accept().unwrap().0, &mut text).unwrap();
        text
    });
    let lines = "house.link_up.wired 1 1800000000\n".to_owned();
    let job = Job::Numbers { host: "127.0.0.1".into(), port, lines: lines.clone() };
    assert_eq!(run(&job, &Root::at(dir.path())), Outcome::Accepted);
    assert_eq!(reader.join().unwrap(), lines);
}
