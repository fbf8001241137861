//! Alone in its process, because the limit it runs into is the process's.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use httpd::{Limits, Response, Server, listen};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

fn turn(server: &mut Server) {
    let mut fds = [PollFd::new(server.fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::from(20_u8)).unwrap();
    server.turn(|_| Response::ok("text/plain", &b"ok\n"[..])).unwrap();
}

#[test]
fn running_out_of_descriptors_is_survived() {
    let mut server = Server::new(listen(0).unwrap(), Limits::default()).unwrap();
    let port = server.address().unwrap().port();
    let mut client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    // The limit counts the highest number, so this leaves the server not one.
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let spare = std::fs::File::open("/dev/null").unwrap();
    let used = u64::try_from(std::os::fd::AsRawFd::as_raw_fd(&spare)).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, used, hard).unwrap();

    let end = Instant::now() + Duration::from_secs(10);
    while !server.out_of_descriptors() {
        assert!(Instant::now() < end, "the server never noticed");
        turn(&mut server);
    }
    assert_eq!(server.counters().requests, 0);
    // While it rests it does not spin: nothing is readable until the pause is over.
    assert!(server.deadline().is_some());

    setrlimit(Resource::RLIMIT_NOFILE, hard.min(1024), hard).unwrap();
    while server.counters().requests == 0 {
        assert!(Instant::now() < end, "the listener is dead");
        turn(&mut server);
    }
    let mut answer = String::new();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(!server.out_of_descriptors());
}
