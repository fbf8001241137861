//! The real binary against sticks behind a pseudo-terminal: behaviours, not scripts.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{PtyMaster, grantpt, posix_openpt, ptsname_r, unlockpt};
use serde_json::Value;

const LONG: Duration = Duration::from_secs(30);

/// How a stick answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    /// As it should, in the noise of a real one.
    Normal,
    /// Never.
    Deaf,
    /// `ERROR` to everything but `AT`.
    Refusing,
    /// Normal, but the SIM wants this PIN.
    Locked(&'static str),
}

/// What the firmware remembers.
struct Sim {
    pin: Option<&'static str>,
    tries: u8,
    pins_sent: Vec<String>,
}

struct Appliance {
    dir: tempfile::TempDir,
    daemon: Child,
    sim: Arc<Mutex<Sim>>,
    tty: PathBuf,
}

impl Appliance {
    /// A system with one stick, and the daemon on it.
    fn start(behaviour: Behaviour, config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let pin = if let Behaviour::Locked(pin) = behaviour { Some(pin) } else { None };
        let sim = Arc::new(Mutex::new(Sim { pin, tries: 3, pins_sent: Vec::new() }));
        let master = posix_openpt(nix::fcntl::OFlag::O_RDWR | nix::fcntl::OFlag::O_NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let tty = PathBuf::from(ptsname_r(&master).unwrap());
        system(root, &tty, config);
        let firmware = sim.clone();
        thread::spawn(move || firmware_loop(master, behaviour, &firmware));
        let daemon = spawn(root);
        Self { dir, daemon, sim, tty }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn snapshot(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.path("run/failberry/modem-dialer.json")).ok()?).ok()
    }

    /// Waits until the snapshot is as wanted.
    fn wait(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + LONG;
        loop {
            let snapshot = self.snapshot();
            if let Some(snapshot) = snapshot.as_ref().filter(|snapshot| wanted(snapshot)) {
                return snapshot.clone();
            }
            assert!(Instant::now() < end, "{what}: {snapshot:#?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait_state(&self, state: &str) -> Value {
        self.wait(state, |snapshot| snapshot["state"] == state)
    }

    fn wait_condition(&self, id: &str) -> Value {
        self.wait(id, |snapshot| {
            snapshot["conditions"].as_array().is_some_and(|all| all.iter().any(|c| c["id"] == id))
        })
    }

    fn pppd(&self) -> Option<i32> {
        fs::read_to_string(self.path("run/failberry-ppp/pppd.pid")).ok()?.trim().parse().ok()
    }

    fn stop(&mut self) -> std::process::ExitStatus {
        signal(self.daemon.id().cast_signed(), nix::sys::signal::Signal::SIGTERM);
        let end = Instant::now() + LONG;
        loop {
            if let Some(status) = self.daemon.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the daemon does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        if let Some(pid) = self.pppd() {
            signal(pid, nix::sys::signal::Signal::SIGKILL);
        }
    }
}

fn signal(pid: i32, signal: nix::sys::signal::Signal) {
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal);
}

fn spawn(root: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_modem-dialer"))
        .arg("--root")
        .arg(root)
        .env("FAILBERRY_LOG", "debug")
        .stderr(File::create(root.join("log")).unwrap())
        .stdin(Stdio::null())
        .spawn()
        .unwrap()
}

/// The parts of a system the daemon looks at.
fn system(root: &Path, tty: &Path, config: &str) {
    for folder in [
        "proc/sys/kernel/random",
        "run/failberry/requests/modem-dialer",
        "run/failberry/config",
        "run/failberry-ppp",
        "data/failberry/modem-dialer",
        "usr/share/failberry/hardware/modems",
        "usr/sbin",
        "dev",
        "sys/bus/usb/devices/1-1",
        "sys/bus/usb/devices/1-1:1.3/ttyUSB5",
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("proc/sys/kernel/random/boot_id"), "test-boot\n").unwrap();
    fs::write(root.join("sys/bus/usb/devices/1-1/idVendor"), "19d2\n").unwrap();
    fs::write(root.join("sys/bus/usb/devices/1-1/idProduct"), "0031\n").unwrap();
    fs::write(root.join("run/failberry/config/modem-dialer.toml"), config).unwrap();
    let quirks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../hardware/modems/zte-mf180.toml");
    fs::copy(quirks, root.join("usr/share/failberry/hardware/modems/zte-mf180.toml")).unwrap();
    symlink(tty, root.join("dev/ttyUSB5")).unwrap();
    // A pppd that gets its addresses at once, hands them over as the real one does, and ends as it
    // does: 5 when told to, 16 when the line hangs up (here: when the file `carrier-lost` appears).
    let pppd = root.join("usr/sbin/pppd");
    fs::write(&pppd, PPPD).unwrap();
    fs::set_permissions(&pppd, fs::Permissions::from_mode(0o755)).unwrap();
}

const PPPD: &str = r#"#!/bin/sh
trap 'exit 5' TERM
value() { sed -n "s/^$1 \"\(.*\)\"$/\1/p" "$2"; }
PPPD_PID=$$ DNS1=192.0.2.53 DNS2=192.0.2.54 "$(value ip-up-script "$2")" \
  ppp0 "$(readlink /proc/self/fd/0)" 9600 198.51.100.20 198.51.100.1 "$(value ipparam "$2")"
lost=$(dirname "$2")/carrier-lost
hangs=$(dirname "$2")/hangs
while [ ! -e "$lost" ]; do
  if [ -e "$hangs" ]; then
    rm "$hangs"
    PPPD_PID=$$ "$(value ip-down-script "$2")" ppp0 tty 9600 198.51.100.20 198.51.100.1 "$(value ipparam "$2")"
    trap '' TERM
    exec sleep 60
  fi
  sleep 0.05
done
rm "$lost"
exit 16
"#;

/// The stick's firmware, until the pseudo-terminal is gone.
fn firmware_loop(mut master: PtyMaster, behaviour: Behaviour, sim: &Mutex<Sim>) {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match master.read(&mut byte) {
            Ok(1) if byte[0] == b'\r' => {
                let command = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
                let answer = answer(behaviour, &command, &mut sim.lock().unwrap());
                // In pieces, so that lines are split where it hurts.
                for piece in answer.as_bytes().chunks(5) {
                    if master.write_all(piece).is_err() {
                        return;
                    }
                }
            }
            Ok(1) => line.push(byte[0]),
            // Nobody has the other side open at the moment (EIO).
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EIO as i32) => {
                thread::sleep(Duration::from_millis(5));
            }
            Ok(_) | Err(_) => return,
        }
    }
}

fn answer(behaviour: Behaviour, command: &str, sim: &mut Sim) -> String {
    let ok = |text: &str| {
        format!("{command}\r\r\n+CREG: 1,\"00A1\",\"01C2\"\r\n{text}\r\n\r\n^RSSI: 12\r\n\r\nOK\r\n")
    };
    match (behaviour, command) {
        (Behaviour::Deaf, _) => String::new(),
        (_, "AT") => "\0\0\r\nOK\r\n".to_owned(),
        (Behaviour::Refusing, _) => "\r\nERROR\r\n".to_owned(),
        (_, "AT+CPIN?") if sim.pin.is_none() => ok("+CPIN: READY"),
        (_, "AT+CPIN?") if sim.tries == 0 => ok("+CPIN: SIM PUK"),
        (_, "AT+CPIN?") => ok("+CPIN: SIM PIN"),
        (_, "AT+CSIM=10,\"0020000100\"") => ok(&format!("+CSIM: 4,\"63C{}\"", sim.tries)),
        (_, "AT+CREG?") => ok("+CREG: 0,1"),
        (_, "AT+CGREG?") => ok("+CGREG: 0,1"),
        (_, "AT+CSQ") => ok("+CSQ: 20,99"),
        (_, "AT+COPS?") => ok("+COPS: 0,0,\"Test PLMN\",2"),
        (_, "AT+CGMM") => ok("MF180"),
        (_, "AT+CGSN") => ok("354762020123456"),
        (_, "ATD*99#") => "\r\nCONNECT 7200000\r\n".to_owned(),
        (_, command) if command.starts_with("AT+CPIN=") => {
            sim.pins_sent.push(command.to_owned());
            if sim.pin.is_some_and(|pin| command.contains(pin)) {
                sim.pin = None;
                return ok("");
            }
            sim.tries = sim.tries.saturating_sub(1);
            "\r\n+CME ERROR: 16\r\n".to_owned()
        }
        _ => ok(""),
    }
}

const PLAIN: &str = "[modem]\napn = \"internet\"\n";

#[test]
fn dials_a_noisy_stick_redials_a_dropped_call_and_leaves_nothing_behind() {
    let mut appliance = Appliance::start(Behaviour::Normal, PLAIN);
    let up = appliance.wait_state("connected");
    assert_eq!(up["link"]["interface"], "ppp0");
    assert_eq!(up["link"]["local"], "198.51.100.20");
    assert_eq!(up["link"]["dns"], serde_json::json!(["192.0.2.53", "192.0.2.54"]));
    assert_eq!(up["modem"]["port"], "ttyUSB5");
    assert_eq!(up["modem"]["imei_tail"], "3456");
    assert_eq!(up["network"]["operator"], "Test PLMN");
    assert_eq!(up["network"]["signal_dbm"], -73);
    let first = appliance.pppd().unwrap();

    fs::write(appliance.path("run/failberry-ppp/carrier-lost"), "").unwrap();
    appliance.wait("link gone", |snapshot| snapshot["link"].is_null());
    appliance.wait_state("connected");
    let second = appliance.pppd().unwrap();
    assert_ne!(first, second);

    fs::write(appliance.path("run/failberry/requests/modem-dialer/redial"), "").unwrap();
    appliance.wait("fresh call", |snapshot| {
        snapshot["state"] == "connected" && appliance.pppd().is_some_and(|pid| pid != second)
    });

    let last = appliance.pppd().unwrap();
    assert!(appliance.stop().success());
    assert!(!Path::new(&format!("/proc/{last}")).exists(), "pppd was left behind");
}

#[test]
fn the_password_is_in_no_argument_and_no_log() {
    let config = "[modem]\nuser = \"web\"\npassword = \"geheim\"\n";
    let appliance = Appliance::start(Behaviour::Normal, config);
    appliance.wait_state("connected");
    let arguments = fs::read(format!("/proc/{}/cmdline", appliance.pppd().unwrap())).unwrap();
    assert!(!String::from_utf8_lossy(&arguments).contains("geheim"));
    assert!(!fs::read_to_string(appliance.path("log")).unwrap().contains("geheim"));
    let options = appliance.path("run/failberry-ppp/options");
    assert!(fs::read_to_string(&options).unwrap().contains("password \"geheim\""));
    assert_eq!(options.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_right_pin_unlocks_and_is_never_logged() {
    let appliance = Appliance::start(Behaviour::Locked("4711"), "[modem]\npin = \"4711\"\n");
    appliance.wait_state("connected");
    assert_eq!(appliance.sim.lock().unwrap().pins_sent.len(), 1);
    assert!(!fs::read_to_string(appliance.path("log")).unwrap().contains("4711"));
    assert!(!appliance.path("data/failberry/modem-dialer/pin-sent").exists(), "the try is settled");
}

#[test]
fn a_wrong_pin_costs_one_try_even_across_restarts() {
    let mut appliance = Appliance::start(Behaviour::Locked("4711"), "[modem]\npin = \"1234\"\n");
    appliance.wait_condition("modem-pin-refused");
    assert!(appliance.stop().success());
    // Even if the SIM claimed to have all its tries again.
    appliance.sim.lock().unwrap().tries = 3;
    fs::remove_file(appliance.path("run/failberry/modem-dialer.json")).unwrap();
    appliance.daemon = spawn(appliance.dir.path());
    appliance.wait_condition("modem-pin-refused");
    assert_eq!(appliance.sim.lock().unwrap().pins_sent, ["AT+CPIN=\"1234\""]);
}

#[test]
fn a_missing_pin_is_named() {
    let appliance = Appliance::start(Behaviour::Locked("4711"), PLAIN);
    let snapshot = appliance.wait_condition("modem-pin-required");
    assert_eq!(snapshot["state"], "blocked");
    assert!(appliance.sim.lock().unwrap().pins_sent.is_empty());
}

#[test]
fn a_deaf_stick_is_asked_again_and_again() {
    let appliance = Appliance::start(Behaviour::Deaf, PLAIN);
    let snapshot = appliance.wait_condition("modem-no-answer");
    assert!(snapshot["attempt"].as_u64() >= Some(1));
    appliance.wait_state("probing");
}

#[test]
fn a_stick_that_refuses_everything_is_not_called_connected() {
    let appliance = Appliance::start(Behaviour::Refusing, PLAIN);
    // The SIM is asked for half a minute, as a busy one would be.
    let end = Instant::now() + Duration::from_secs(3);
    let mut states = Vec::new();
    while Instant::now() < end {
        if let Some(snapshot) = appliance.snapshot() {
            states.push(snapshot["state"].as_str().unwrap_or_default().to_owned());
        }
        thread::sleep(Duration::from_millis(50));
    }
    states.dedup();
    assert!(states.iter().all(|state| ["probing", "initialising"].contains(&state.as_str())), "{states:?}");
}

#[test]
fn a_pulled_stick_is_absent_and_comes_back() {
    let appliance = Appliance::start(Behaviour::Normal, PLAIN);
    appliance.wait_state("connected");
    let devices = appliance.path("sys/bus/usb/devices");
    fs::rename(&devices, appliance.path("sys/bus/usb/pulled")).unwrap();
    fs::create_dir(&devices).unwrap();
    fs::remove_file(appliance.path("dev/ttyUSB5")).unwrap();
    // No kernel event tells of it here; pppd does, by hanging up.
    fs::write(appliance.path("run/failberry-ppp/carrier-lost"), "").unwrap();
    appliance.wait_state("absent");
    fs::remove_dir(&devices).unwrap();
    fs::rename(appliance.path("sys/bus/usb/pulled"), &devices).unwrap();
    symlink(&appliance.tty, appliance.path("dev/ttyUSB5")).unwrap();
    appliance.wait_state("connected");
}

#[test]
fn a_pppd_that_hangs_with_its_stick_is_killed_and_the_line_comes_back() {
    let appliance = Appliance::start(Behaviour::Normal, PLAIN);
    appliance.wait_state("connected");
    let first = appliance.pppd().unwrap();
    fs::write(appliance.path("run/failberry-ppp/hangs"), "").unwrap();
    let down = Instant::now();
    appliance.wait("link down", |snapshot| snapshot["link"].is_null());
    let again = appliance.wait("redialled", |snapshot| {
        snapshot["state"] == "connected" && appliance.pppd().is_some_and(|pid| pid != first)
    });
    assert!(down.elapsed() < Duration::from_secs(10), "{:?}", down.elapsed());
    assert!(!Path::new(&format!("/proc/{first}")).exists(), "it was left behind");
    let steps = again["recovery"]["steps"].as_array().unwrap();
    assert_eq!(steps[0]["rung"], 3);
    assert!(again["recovery"]["ended_ms"].is_u64());
}

#[test]
fn a_new_configuration_is_taken_on_sighup_and_a_wrong_one_is_not() {
    let appliance = Appliance::start(Behaviour::Normal, PLAIN);
    appliance.wait_state("connected");
    let first = appliance.pppd().unwrap();
    let reload = |text: &str| {
        fs::write(appliance.path("run/failberry/config/modem-dialer.toml"), text).unwrap();
        signal(appliance.daemon.id().cast_signed(), nix::sys::signal::Signal::SIGHUP);
    };
    reload("[modem]\napn = \"two words\"\n");
    let kept = appliance.wait_condition("modem-config-kept");
    assert_eq!((&kept["state"], appliance.pppd()), (&Value::from("connected"), Some(first)));
    // What does not concern the call leaves it alone.
    reload("[modem]\napn = \"internet\"\npin = \"1234\"\n");
    appliance.wait("the complaint is gone", |snapshot| snapshot["conditions"] == serde_json::json!([]));
    assert_eq!(appliance.pppd(), Some(first));
    reload("[modem]\napn = \"internet\"\nuser = \"web\"\n");
    appliance.wait("a fresh call", |snapshot| {
        snapshot["state"] == "connected" && appliance.pppd().is_some_and(|pid| pid != first)
    });
}

/// Says as `uplink` does whether the wired line works.
fn wired(root: &Path, up: bool) {
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
    let snapshot = serde_json::json!({
        "schema": 1, "daemon": "uplink", "version": "0", "boot_id": "test-boot",
        "monotonic_ms": u64::try_from(Duration::from_secs_f64(seconds).as_millis()).unwrap(),
        "wall": null, "state": "online", "since_ms": 0, "conditions": [],
        "links": [{"kind": "wired", "state": if up { "up" } else { "down" }}],
    });
    let path = root.join("run/failberry");
    fs::write(path.join(".uplink.new"), snapshot.to_string()).unwrap();
    fs::rename(path.join(".uplink.new"), path.join("uplink.json")).unwrap();
}

#[test]
fn on_demand_the_line_stays_down_until_the_wired_one_fails() {
    let config = "[modem]\napn = \"internet\"\ndial = \"on-demand\"\nidle-hangup-seconds = 10\n";
    let appliance = Appliance::start(Behaviour::Normal, config);
    wired(appliance.dir.path(), true);
    let ready = appliance.wait_state("standby");
    assert_eq!(ready["network"]["signal_dbm"], -73);
    assert_eq!(appliance.pppd(), None);
    wired(appliance.dir.path(), false);
    appliance.wait_state("connected");
    fs::write(appliance.path("run/failberry/requests/modem-dialer/hangup"), "").unwrap();
    appliance.wait_state("standby");
}
