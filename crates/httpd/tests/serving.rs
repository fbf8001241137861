//! What clients see, over loopback.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use httpd::{Counters, Limits, Response, Server, listen};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Every test ends by this, whatever the server does.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    port: u16,
    stop: Arc<AtomicBool>,
    counters: Arc<Mutex<Counters>>,
    thread: Option<JoinHandle<()>>,
}

fn start(limits: Limits) -> Running {
    let mut server = Server::new(listen(0).unwrap(), limits).unwrap();
    let port = server.address().unwrap().port();
    let (stop, counters) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::default()));
    let (stopped, counted) = (stop.clone(), Arc::clone(&counters));
    let thread = std::thread::spawn(move || {
        let end = Instant::now() + PATIENCE;
        while !stopped.load(Ordering::Relaxed) && Instant::now() < end {
            let mut fds = [PollFd::new(server.fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::from(20_u8)).unwrap();
            server
                .turn(|request| match request.path {
                    "/" => Response::ok("text/plain", &b"ok\n"[..]),
                    "/big" => Response::ok("text/plain", vec![b'x'; 8 << 20]),
                    _ => Response::not_found(),
                })
                .unwrap();
            *counted.lock().unwrap() = server.counters();
        }
    });
    Running { port, stop, counters, thread: Some(thread) }
}

impl Running {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends `text` and reads until the server closes.
    fn exchange(&self, text: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(text.as_bytes()).unwrap();
        read_all(&mut stream)
    }

    fn wait_for(&self, reached: impl Fn(Counters) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !reached(*self.counters.lock().unwrap()) {
            assert!(Instant::now() < end, "{:?}", self.counters.lock().unwrap());
            std::thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[test]
fn get_and_head_are_answered_over_both_families() {
    let server = start(Limits::default());
    let answer = server.exchange("GET / HTTP/1.0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
    let head = server.exchange("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(head.contains("Content-Length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    let mut six = TcpStream::connect(("::1", server.port)).unwrap();
    six.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(status(&read_all(&mut six)), "200");
}

#[test]
fn wrong_requests_get_their_status_and_a_clean_close() {
    let server = start(Limits::default());
    for (request, expected) in [
        ("GET /nothing HTTP/1.0\r\n\r\n".to_owned(), "404"),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n".to_owned() + &"x".repeat(5000), "405"),
        ("DELETE / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(), "405"),
        ("BREW / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(), "501"),
        (format!("GET /{} HTTP/1.0\r\n\r\n", "x".repeat(20_000)), "414"),
        (format!("GET / HTTP/1.0\r\nX: {}\r\n\r\n", "x".repeat(1 << 20)), "431"),
        (format!("GET / HTTP/1.0\r\n{}\r\n", "X: y\r\n".repeat(150_000)), "431"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n".to_owned(), "400"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/3.0\r\n\r\n".to_owned(), "505"),
        (format!("GET / HTTP/1.0\r\nX: {}\r\n\r\n", "x".repeat(20_000)), "431"),
    ] {
        let mut stream = server.connect();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(status(&read_all(&mut stream)), expected, "{}", &request[..20]);
    }
}

#[test]
fn pipelined_requests_are_all_answered_in_order() {
    let server = start(Limits::default());
    let mut text = "GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100);
    text += "GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = server.exchange(&text);
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 100);
    assert!(answer.ends_with("404 Not Found\n"));
}

#[test]
fn a_request_may_arrive_byte_by_byte() {
    let server = start(Limits::default());
    let mut stream = server.connect();
    stream.set_nodelay(true).unwrap();
    // Two requests, so that the second begins anew.
    for byte in b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n\r\nGET /nothing HTTP/1.0\r\n\r\n" {
        stream.write_all(&[*byte]).unwrap();
    }
    let answers = read_all(&mut stream);
    assert_eq!(status(&answers), "200");
    assert!(answers.ends_with("404 Not Found\n"), "{answers}");
}

#[test]
fn a_client_that_dribbles_is_closed_when_the_head_is_overdue() {
    let server = start(Limits { head: Duration::from_millis(200), ..Limits::default() });
    let mut stream = server.connect();
    stream.set_nodelay(true).unwrap();
    let began = Instant::now();
    // Each byte comes well before the deadline; the deadline is for the whole head.
    while began.elapsed() < PATIENCE && stream.write_all(b"G").is_ok() {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    server.wait_for(|c| c.timeouts == 1);
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let server = start(Limits { idle: Duration::from_millis(100), ..Limits::default() });
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(status(&read_all(&mut stream)), "200");
    server.wait_for(|c| c.timeouts == 1);
}

#[test]
fn a_client_that_does_not_read_is_closed() {
    let server = start(Limits { write: Duration::from_millis(200), ..Limits::default() });
    let mut stream = server.connect();
    stream.write_all(b"GET /big HTTP/1.0\r\n\r\n").unwrap();
    server.wait_for(|c| c.timeouts == 1);
}

#[test]
fn a_large_answer_arrives_whole() {
    let server = start(Limits::default());
    let answer = server.exchange("GET /big HTTP/1.0\r\n\r\n");
    assert!(answer.len() > 8 << 20);
}

#[test]
fn new_connections_push_out_idle_ones_and_are_answered() {
    let server = start(Limits { connections: 8, ..Limits::default() });
    let crowd: Vec<_> = (0..100).map(|_| server.connect()).collect();
    server.wait_for(|c| c.accepted == 100);
    assert_eq!(status(&server.exchange("GET / HTTP/1.0\r\n\r\n")), "200");
    let counters = *server.counters.lock().unwrap();
    assert!(counters.evicted >= 92, "{counters:?}");
    drop(crowd);
}

#[test]
fn one_source_cannot_push_out_another() {
    let server = start(Limits { connections: 16, per_source: 8, ..Limits::default() });
    // Another address of this machine, which has one connection that waits for its second request.
    let mut other = TcpStream::connect(("::1", server.port)).unwrap();
    other.set_read_timeout(Some(PATIENCE)).unwrap();
    other.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = [0; 15];
    other.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
    let crowd: Vec<_> = (0..100).map(|_| server.connect()).collect();
    server.wait_for(|c| c.accepted == 101);
    let counters = *server.counters.lock().unwrap();
    assert_eq!(counters.evicted, 92, "eight of the crowd stay: {counters:?}");
    other.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(read_all(&mut other).matches("HTTP/1.1 200 OK").count(), 1);
    drop(crowd);
}

#[test]
fn a_client_that_has_closed_its_half_gets_every_answer() {
    let server = start(Limits::default());
    let mut stream = server.connect();
    stream.write_all("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(40).as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream).matches("HTTP/1.1 200 OK").count(), 40);
}

#[test]
fn a_half_request_and_a_closed_half_are_the_end() {
    let server = start(Limits::default());
    let mut stream = server.connect();
    stream.write_all(b"GET / HTTP/1.1\r\nHo").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), "");
}

#[test]
fn answers_are_measured() {
    let mut server = Server::new(listen(0).unwrap(), Limits::default()).unwrap();
    let now = sysio::clock::now();
    assert_eq!(server.latency(now), None);
    let mut client = TcpStream::connect(("127.0.0.1", server.address().unwrap().port())).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let end = Instant::now() + PATIENCE;
    while server.counters().requests == 0 && Instant::now() < end {
        let slow = Duration::from_millis(30);
        server
            .turn(|_| {
                std::thread::sleep(slow);
                Response::not_found()
            })
            .unwrap();
    }
    let latency = server.latency(sysio::clock::now()).unwrap();
    assert_eq!(latency.requests, 1);
    assert!(latency.p50 >= Duration::from_millis(30), "{latency:?}");
}

/// Turns until `done`, as the daemon's loop would.
fn turn_until(server: &mut Server, done: impl Fn(&Server) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done(server) {
        assert!(Instant::now() < end, "it never comes");
        let mut fds = [PollFd::new(server.fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(5_u8)).unwrap();
        server.turn(|_| Response::ok("text/plain", &b"ok\n"[..])).unwrap();
    }
}

#[test]
fn a_server_that_ends_answers_what_comes_and_says_that_it_was_the_last() {
    let mut server = Server::new(listen(0).unwrap(), Limits::default()).unwrap();
    let port = server.address().unwrap().port();
    let connect = || {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    };
    let (mut silent, mut old) = (connect(), connect());
    turn_until(&mut server, |server| server.connections() == 2);
    server.drain();
    assert!(!server.drained());
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    // On an old connection, and on one made only now.
    old.write_all(request).unwrap();
    let mut new = connect();
    new.write_all(request).unwrap();
    turn_until(&mut server, |server| server.counters().requests == 2);
    for stream in [&mut old, &mut new] {
        let answer = read_all(stream);
        assert!(answer.contains("200 OK") && answer.contains("Connection: close"), "{answer}");
        // What a client has sent too soon does not reset what it has not read yet.
        stream.write_all(request).unwrap();
    }
    drop((old, new));
    let begun = Instant::now();
    turn_until(&mut server, Server::drained);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    drop(server);
    assert_eq!(read_all(&mut silent), "", "who said nothing sees an end and no reset");
}
