use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use modem_proto::machine::Form;
use nix::poll::{PollFd, PollFlags, poll};
use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use serde_json::Value;
use sysio::clock;

use super::*;

/// A stick on a pseudo terminal, of which `/dev/ttyUSB1` below the root is the port.
struct Bench {
    dir: tempfile::TempDir,
    stick: File,
    monitor: Monitor,
    heard: String,
}

fn port(name: &str, interface: u8) -> Port {
    Port { name: name.to_owned(), interface }
}

fn two_ports() -> Stick {
    Stick {
        usb_path: "1-1".into(),
        id: "19d2:0031".into(),
        model: "ZTE MF180".into(),
        form: Form::Serial { ports: vec![port("ttyUSB2", 3), port("ttyUSB1", 1)] },
    }
}

fn quirks() -> Vec<Quirk> {
    vec![toml::from_str(include_str!("../../../../hardware/modems/zte-mf180.toml")).unwrap()]
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let master: PtyMaster =
            posix_openpt(nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let slave = ptsname_r(&master).unwrap();
        fs::create_dir_all(dir.path().join("dev")).unwrap();
        fs::create_dir_all(dir.path().join("run/failberry/answers/modem-dialer")).unwrap();
        std::os::unix::fs::symlink(slave, dir.path().join("dev/ttyUSB1")).unwrap();
        let stick = File::from(OwnedFd::from(master));
        let root = Root::at(dir.path());
        Self { dir, stick, monitor: Monitor::new(&root), heard: String::new() }
    }

    fn follow(&mut self, phase: Phase) {
        let stick = two_ports();
        self.monitor.follow(clock::now(), Some(&stick), Some(&port("ttyUSB2", 3)), phase, None);
    }

    /// Turns the loop, and answers what the monitor asks with `reply`, until `done`.
    fn run(&mut self, reply: impl Fn(&str) -> Option<String>, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !done(self) {
            assert!(Instant::now() < end, "not done; heard {:?}", self.heard);
            let mut tokens = Vec::new();
            let mut stick_speaks = false;
            {
                let interests: Vec<_> = self.monitor.interests().collect();
                let mut fds = vec![PollFd::new(self.stick.as_fd(), PollFlags::POLLIN)];
                fds.extend(interests.iter().map(|i| PollFd::new(i.fd, PollFlags::POLLIN)));
                poll(&mut fds, 50_u16).unwrap();
                let ready = |fd: &PollFd| fd.revents().is_some_and(|r| r.contains(PollFlags::POLLIN));
                stick_speaks |= ready(&fds[0]);
                tokens.extend(
                    fds[1..].iter().zip(&interests).filter(|(fd, _)| ready(fd)).map(|(_, i)| i.token),
                );
            }
            if stick_speaks {
                self.answer(&reply);
            }
            for token in tokens {
                self.monitor.ready(clock::now(), token);
            }
            self.monitor.tick(clock::now());
        }
    }

    fn answer(&mut self, reply: impl Fn(&str) -> Option<String>) {
        let mut buffer = [0; 256];
        let n = self.stick.read(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..n]).into_owned();
        for command in text.split('\r').filter(|c| !c.is_empty()) {
            self.heard.push_str(command);
            self.heard.push(' ');
            if let Some(said) = reply(command) {
                self.stick.write_all(said.as_bytes()).unwrap();
            }
        }
    }

    fn given(&self, token: &str) -> Option<Value> {
        let path = self.dir.path().join("run/failberry/answers/modem-dialer").join(token);
        serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "an answer among others: a deaf stick gives none")]
fn firmware(command: &str) -> Option<String> {
    Some(match command {
        "AT+CSQ" => "\r\n+CSQ: 18,99\r\n\r\nOK\r\n".to_owned(),
        "AT+ZCDRUN=8" => "\r\nClose autorun state result(0:FAIL 1:SUCCESS):1\r\n\r\nOK\r\n".to_owned(),
        _ => "\r\nOK\r\n".to_owned(),
    })
}

#[test]
fn the_second_port_tells_the_signal_during_a_call() {
    let mut bench = Bench::new();
    bench.follow(Phase::Connected);
    bench.run(firmware, |bench| bench.monitor.machine.measurement().signal_dbm == Some(-77));
    let news = bench.monitor.take_news();
    assert!(matches!(&news[..], [News::Measured(values)] if values.signal_dbm == Some(-77)), "{news:?}");
    assert_eq!(bench.monitor.take_news(), []);
}

#[test]
fn a_persons_command_is_answered_into_a_file_for_root_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mut bench = Bench::new();
    bench.follow(Phase::Connected);
    assert!(bench.monitor.request(clock::now(), "at-1", "AT+CSQ\n", &quirks()));
    bench.run(firmware, |bench| bench.given("1").is_some());
    let given = bench.given("1").unwrap();
    assert_eq!(given["answers"][0]["lines"][0], "+CSQ: 18,99");
    assert_eq!((given["answers"][0]["ok"].as_bool(), &given["port"]), (Some(true), &Value::from("ttyUSB1")));
    let path = bench.dir.path().join("run/failberry/answers/modem-dialer/1");
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_command_with_the_pin_never_reaches_the_stick() {
    let mut bench = Bench::new();
    bench.follow(Phase::Connected);
    bench.monitor.request(clock::now(), "at-2", "AT+CPIN=1234", &quirks());
    let given = bench.given("2").unwrap();
    assert_eq!(given["refused"], true);
    assert!(given["error"].as_str().unwrap().contains("tries"), "{given}");
    bench.run(firmware, |bench| bench.heard.contains("AT+CSQ"));
    assert!(!bench.heard.contains("CPIN"));
}

#[test]
fn the_persistent_switch_is_for_models_whose_file_names_it() {
    let mut bench = Bench::new();
    bench.follow(Phase::Resting);
    bench.monitor.request(clock::now(), "disable-cdrom", "3", &quirks());
    bench.run(firmware, |bench| bench.given("3").is_some());
    assert!(bench.heard.contains("AT+ZOPRT=5 AT+ZCDRUN=8"), "{}", bench.heard);
    assert_eq!(bench.given("3").unwrap()["error"], Value::Null);
    let mut other = quirks();
    other[0].quirks.disable_cdrom = None;
    bench.monitor.request(clock::now(), "disable-cdrom", "4", &other);
    assert!(bench.given("4").unwrap()["error"].as_str().unwrap().contains("names no such switch"));
    assert!(!bench.monitor.request(clock::now(), "something", "5", &other));
}

#[test]
fn the_port_is_given_up_when_the_dialer_wants_it() {
    let mut bench = Bench::new();
    bench.follow(Phase::Connected);
    bench.run(firmware, |bench| bench.heard.contains("AT+CSQ"));
    assert!(bench.monitor.serial.is_some());
    bench.monitor.give_up(clock::now(), &port("ttyUSB1", 1));
    assert!(bench.monitor.serial.is_none() && bench.monitor.opening.is_none());
    // The lock is free again.
    let flags = nix::fcntl::OFlag::O_NOCTTY | nix::fcntl::OFlag::O_NONBLOCK;
    let path = bench.dir.path().join("dev/ttyUSB1");
    assert!(OpenOptions::new().read(true).custom_flags(flags.bits()).open(&path).is_ok());
    assert!(Serial::open(&path).is_ok());
}

#[test]
fn a_port_that_is_another_device_is_an_error_and_no_end() {
    let mut bench = Bench::new();
    let path = bench.dir.path().join("dev/ttyUSB1");
    fs::remove_file(&path).unwrap();
    fs::write(&path, "a file").unwrap();
    bench.follow(Phase::Connected);
    bench.monitor.request(clock::now(), "at-6", "AT+CSQ", &quirks());
    bench.run(firmware, |bench| bench.given("6").is_some());
    assert!(bench.given("6").unwrap()["error"].as_str().unwrap().contains("open ttyUSB1"));
}

#[test]
fn ports_are_chosen_by_what_the_dialer_does() {
    let ports = [port("ttyUSB2", 3), port("ttyUSB1", 1)];
    let name = |phase, count: usize| {
        target(&ports[..count], Some(&ports[0]), phase).map(|(port, purpose)| (port.name, purpose))
    };
    assert_eq!(name(Phase::Connected, 2), Some(("ttyUSB1".into(), Purpose::Call)));
    assert_eq!(name(Phase::Connected, 1), None);
    assert_eq!(name(Phase::Resting, 1), Some(("ttyUSB2".into(), Purpose::Orders)));
    assert_eq!(name(Phase::Talking, 1), None);
    assert_eq!(name(Phase::Busy, 2), None);
}
