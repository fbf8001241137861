//! Servers that hang, drip, lie or go away: every request ends in time, says where, and keeps the status
//! and the times it got.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use web::{Cause, Http, Options, Phase, Visit, visit};

/// The limit of these requests.
const LIMIT: Duration = Duration::from_millis(1500);
/// A busy machine is late by so much.
const SLACK: Duration = Duration::from_secs(5);
/// No server of a test lives longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves connections with what `answer` does; its thread ends with the test's process.
fn server(answer: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            answer(stream);
        }
    });
    address
}

/// Reads the request's head, then says `words`.
fn say(mut stream: &TcpStream, words: &str) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    let _ = stream.write_all(words.as_bytes());
}

/// Waits for the other side to go away.
fn hang(mut stream: &TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

fn ask(url: &str) -> Visit {
    let request = Http { method: "GET", url: url.to_owned(), headers: Vec::new(), body: Vec::new() };
    let begin = Instant::now();
    let seen = visit(&request, &Options { limit: LIMIT, ..Options::new("test") });
    assert!(begin.elapsed() < LIMIT + SLACK, "{url}: {:?}", begin.elapsed());
    assert!(seen.times.total <= begin.elapsed());
    seen
}

fn fails(url: &str, phase: Phase, cause: Cause) -> Visit {
    let seen = ask(url);
    let failure = seen.outcome.as_ref().expect_err(url);
    assert_eq!((failure.phase, failure.cause), (phase, cause), "{url}: {failure}");
    seen
}

#[test]
fn a_server_that_hangs_is_given_up_in_the_phase_it_hangs_in() {
    let silent = server(|stream| hang(&stream));
    let seen = fails(&format!("http://{silent}/"), Phase::Http, Cause::TimedOut);
    assert!(seen.times.connect.is_some() && seen.times.first_byte.is_none());
    let seen = fails(&format!("https://{silent}/"), Phase::Tls, Cause::TimedOut);
    assert!(seen.times.connect.is_some() && seen.times.tls.is_none());
}

#[test]
fn a_drip_of_bytes_is_no_answer_in_time() {
    let drips = server(|mut stream| {
        say(&stream, "HTTP/1.1 200 OK\r\n");
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE && stream.write_all(b"X-More: 1\r\n").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let seen = fails(&format!("http://{drips}/"), Phase::Http, Cause::TimedOut);
    assert!(seen.times.first_byte.is_some(), "that there was a first byte is known");
}

#[test]
fn the_status_stays_when_the_body_never_ends() {
    let half = server(|stream| {
        say(&stream, "HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nhalf");
        hang(&stream);
    });
    let seen = ask(&format!("http://{half}/"));
    let reply = seen.outcome.unwrap();
    assert_eq!((reply.status, reply.body.as_slice()), (503, &b"half"[..]));
    assert_eq!(reply.cut.map(|cut| (cut.phase, cut.cause)), Some((Phase::Http, Cause::TimedOut)));
    assert!(seen.times.first_byte.is_some());
}

#[test]
fn a_body_that_ends_too_early_is_told() {
    for words in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf",
    ] {
        let closes = server(move |stream| say(&stream, words));
        let reply = ask(&format!("http://{closes}/")).outcome.unwrap();
        assert_eq!(reply.status, 200);
        assert_eq!(reply.cut.map(|cut| cut.cause), Some(Cause::Closed), "{words}");
    }
}

#[test]
fn one_that_shuts_its_side_is_heard_to_the_end() {
    let shuts = server(|stream| {
        say(&stream, "HTTP/1.0 200 OK\r\n\r\nall of it");
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        hang(&stream);
    });
    let reply = ask(&format!("http://{shuts}/")).outcome.unwrap();
    assert_eq!((reply.status, reply.body.as_slice(), reply.cut), (200, &b"all of it"[..], None));
}

#[test]
fn what_is_no_http_is_told() {
    for words in ["garbage\r\n\r\n", "\0\u{1}\u{2}\r\n\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "SSH-2.0-x\r\n"] {
        let odd = server(move |stream| say(&stream, words));
        let seen = ask(&format!("http://{odd}/"));
        let failure = seen.outcome.expect_err(words);
        assert_eq!(failure.phase, Phase::Http);
        assert!([Cause::Broken, Cause::Closed].contains(&failure.cause), "{words:?}: {failure}");
    }
}

#[test]
fn one_that_goes_away_is_told() {
    let gone = server(|stream| say(&stream, ""));
    fails(&format!("http://{gone}/"), Phase::Http, Cause::Closed);
    let gone = server(drop);
    let seen = ask(&format!("https://{gone}/"));
    let failure = seen.outcome.expect_err("gone");
    assert_eq!((failure.phase, failure.cause), (Phase::Tls, Cause::Closed), "{failure}");
}

#[test]
fn a_head_without_end_is_bounded() {
    let long = server(|mut stream| {
        say(&stream, "HTTP/1.1 200 OK\r\n");
        let line = format!("X-Long: {}\r\n", "y".repeat(4000));
        for _ in 0..3000 {
            if stream.write_all(line.as_bytes()).is_err() {
                return;
            }
        }
    });
    let seen = ask(&format!("http://{long}/"));
    let failure = seen.outcome.expect_err("12 MB of head");
    assert_eq!((failure.phase, failure.cause), (Phase::Http, Cause::Broken), "{failure}");
}

#[test]
fn nobody_there_is_refused_and_no_address_is_no_address() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let seen = fails(&format!("http://{free}/"), Phase::Connect, Cause::Refused);
    assert_eq!(seen.address, Some(free));
    for url in ["", "x", "http://", "ftp://127.0.0.1/", "http://a b/", "/path"] {
        let seen = ask(url);
        let failure = seen.outcome.expect_err(url);
        assert_eq!((failure.phase, failure.cause), (Phase::Url, Cause::Address), "{url:?}: {failure}");
    }
}

#[test]
fn a_secret_in_the_address_is_in_no_words() {
    let odd = server(|stream| say(&stream, "garbage geheim\r\n\r\n"));
    for url in [format!("http://{odd}/?token=geheim"), "http://geheim.invalid geheim/".to_owned()] {
        let failure = ask(&url).outcome.expect_err("none");
        assert!(!format!("{failure} {failure:?}").contains("geheim"), "{failure:?}");
    }
}
