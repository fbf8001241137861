//! The daemon is restarted again and again under load, its listener held by somebody else, as systemd
//! does it: nobody may notice.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// As the issue has it.
const RESTARTS: usize = 50;
/// Requests that must have been answered by each process before it is told to end.
const WORK: u64 = 40;
/// Nothing here takes as long.
const PATIENCE: Duration = Duration::from_secs(20);
/// The whole test ends by this.
const LIMIT: Duration = Duration::from_secs(100);

/// A daemon on a listener that outlives it.
struct Daemon(Child);

impl Daemon {
    /// The protocol of `sd_listen_fds`(3): the socket is descriptor 3, the variables name our process. A
    /// shell does what systemd does between fork and exec.
    fn start(listener: &TcpListener, root: &Path) -> Self {
        let script = r#"exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@""#;
        let child = Command::new("sh")
            .args(["-c", script, "sh", env!("CARGO_BIN_EXE_pinghttpserver"), "--root"])
            .arg(root)
            .stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// SIGTERM, and how long it took to end.
    fn stop(&mut self) -> Duration {
        let begun = Instant::now();
        kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM).unwrap();
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                assert!(status.success(), "{status}");
                return begun.elapsed();
            }
            assert!(begun.elapsed() < PATIENCE, "the daemon does not end");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Clients that never pause, and what went wrong for them.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    failures: Arc<Mutex<Vec<String>>>,
    slowest: Arc<Mutex<Duration>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Half of them with a connection for each request, half with one for many, of which some pause
    /// so that their connections are idle when a process ends.
    fn start(port: u16, clients: usize) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            failures: Arc::default(),
            slowest: Arc::default(),
            threads: Vec::new(),
        };
        for client in 0..clients {
            let (stop, answered) = (Arc::clone(&load.stop), Arc::clone(&load.answered));
            let (failures, slowest) = (Arc::clone(&load.failures), Arc::clone(&load.slowest));
            load.threads.push(spawn(move || {
                let mut connection = None;
                let end = Instant::now() + LIMIT;
                while !stop.load(Ordering::Relaxed) && Instant::now() < end {
                    let begun = Instant::now();
                    match ask(&mut connection, port, client % 2 == 1) {
                        Ok(()) => drop(answered.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => failures.lock().unwrap().push(format!("client {client}: {error}")),
                    }
                    let mut slowest = slowest.lock().unwrap();
                    *slowest = slowest.max(begun.elapsed());
                    drop(slowest);
                    if client % 4 == 3 {
                        std::thread::sleep(Duration::from_millis(30));
                    }
                }
            }));
        }
        load
    }

    fn wait_for(&self, answered: u64) {
        let begun = Instant::now();
        while self.answered.load(Ordering::Relaxed) < answered {
            assert!(begun.elapsed() < PATIENCE, "nobody answers: {:?}", self.failures.lock().unwrap());
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// One request; the connection is kept where the answer allows it.
fn ask(kept: &mut Option<TcpStream>, port: u16, keep: bool) -> io::Result<()> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect((Ipv4Addr::LOCALHOST, port))?,
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let connection = if keep { "keep-alive" } else { "close" };
    write!(stream, "GET / HTTP/1.1\r\nHost: x\r\nConnection: {connection}\r\n\r\n")?;
    let (mut text, mut buffer) = (Vec::new(), [0; 1024]);
    // A whole answer and nothing less.
    while !text.ends_with(b"\r\n\r\nok\n") {
        match stream.read(&mut buffer)? {
            0 => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("after {} bytes", text.len()),
                ));
            }
            count => text.extend_from_slice(&buffer[..count]),
        }
    }
    if !text.starts_with(b"HTTP/1.1 200 OK\r\n") {
        return Err(io::Error::other(String::from_utf8_lossy(&text).into_owned()));
    }
    let open = keep && !text.windows(17).any(|part| part == b"Connection: close");
    *kept = open.then_some(stream);
    Ok(())
}

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(root.path().join("run/failberry")).unwrap();
    std::os::unix::fs::symlink("/proc", root.path().join("proc")).unwrap();
    root
}

#[test]
fn fifty_restarts_under_load_refuse_and_reset_nobody() {
    // A namespace, because the daemon takes a listener on its own port alone. Threads and programs that
    // are started in it stay in it.
    testnet::Namespace::new().run(restart_under_load);
}

fn restart_under_load() {
    let root = root();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, pinghttpserver::PORT)).unwrap();
    let mut daemon = Daemon::start(&listener, root.path());
    let load = Load::start(pinghttpserver::PORT, 8);
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    for _ in 0..RESTARTS {
        load.wait_for(load.answered.load(Ordering::Relaxed) + WORK);
        longest = longest.max(daemon.stop());
        daemon = Daemon::start(&listener, root.path());
        assert!(begun.elapsed() < LIMIT, "too slow to say anything");
    }
    load.wait_for(load.answered.load(Ordering::Relaxed) + WORK);
    load.stop.store(true, Ordering::Relaxed);
    for thread in load.threads {
        thread.join().unwrap();
    }
    let failures = load.failures.lock().unwrap();
    println!(
        "{RESTARTS} restarts in {:?}: {} answers, {} failures, the longest answer {:?}, the longest end {longest:?}",
        begun.elapsed(),
        load.answered.load(Ordering::Relaxed),
        failures.len(),
        load.slowest.lock().unwrap(),
    );
    assert!(failures.is_empty(), "{failures:?}");
}
