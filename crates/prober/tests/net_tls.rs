//! The daemon against nginx with a certificate of one's own that is about to expire.

use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sysio::{Runner, clock};
use testnet::Namespace;

/// Three rounds of ten seconds, and a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);
const BOOT: &str = "boot-of-the-test";

fn openssl(dir: &Path, line: &str) {
    let words = line.replace("DIR", &dir.display().to_string());
    Runner::new("openssl", words.split_whitespace(), PATIENCE).run().unwrap();
}

/// An authority, and a certificate of it with five days left.
fn certificate(dir: &Path) {
    let curve = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    openssl(dir, &format!("req -x509 {curve} -days 30 -subj /CN=own -keyout DIR/ca.key -out DIR/ca.pem"));
    openssl(dir, &format!("req {curve} -subj /CN=server -keyout DIR/key.pem -out DIR/csr"));
    fs::write(dir.join("ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n").unwrap();
    openssl(
        dir,
        "x509 -req -in DIR/csr -CA DIR/ca.pem -CAkey DIR/ca.key -days 5 -extfile DIR/ext -out DIR/server.pem",
    );
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|kind| format!("{kind}_temp_path DIR/tmp-{kind}; ")).concat();
    let configuration = format!(
        "daemon off; master_process off; pid DIR/pid; error_log DIR/error.log; events {{}}\n\
         http {{ access_log off; {temporary} server {{ listen 127.0.0.1:4433 ssl; ssl_certificate DIR/server.pem; \
         ssl_certificate_key DIR/key.pem; return 200 well; }} }}\n"
    );
    let configuration = configuration.replace("DIR", &dir.display().to_string());
    fs::write(dir.join("nginx.conf"), configuration).unwrap();
}

/// The files of an appliance whose one line is loopback.
fn files(root: &Path) {
    for sub in [
        "run/failberry/requests/prober",
        "run/failberry-prober",
        "data/failberry/prober",
        "proc/sys/kernel/random",
    ] {
        fs::create_dir_all(root.join(sub)).unwrap();
    }
    fs::write(root.join("proc/sys/kernel/random/boot_id"), BOOT).unwrap();
    let targets = "targets = [\"https://127.0.0.1:4433/ every=10 line=wired match=well\"]";
    fs::write(root.join("prober.toml"), format!("[prober]\n{targets}\n")).unwrap();
    // Ahead of the clock, so that it does not grow stale while a test waits.
    let at = clock::now().as_millis() + 600_000;
    let link =
        json!({"name": "wired", "interface": "lo", "state": "up", "way": true, "metered": false, "dns": []});
    let snapshot = json!({
        "schema": 1, "daemon": "uplink", "version": "0", "boot_id": BOOT, "monotonic_ms": at, "wall": null,
        "state": "online", "since_ms": 1, "conditions": [], "active": "wired", "links": [link],
    });
    fs::write(root.join("run/failberry/uplink.json"), snapshot.to_string()).unwrap();
}

/// Processes that end with the test.
struct Running(Vec<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// nginx and the daemon in a network of their own.
fn start(dir: &Path, root: &Path) -> Running {
    let quiet = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let nginx = quiet(Command::new("nginx").arg("-p").arg(dir).arg("-c").arg(dir.join("nginx.conf")));
    let mut running = Running(vec![nginx]);
    let begin = Instant::now();
    while TcpStream::connect("127.0.0.1:4433").is_err() {
        assert!(begin.elapsed() < PATIENCE, "nginx does not answer");
        thread::sleep(Duration::from_millis(20));
    }
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_prober"));
    daemon.arg("--root").arg(root).arg("--config").arg(root.join("prober.toml"));
    running.0.push(quiet(daemon.env_remove("NOTIFY_SOCKET").env_remove("WATCHDOG_USEC")));
    running
}

fn wait_until(root: &Path, what: &str, is: impl Fn(&Value) -> bool) -> Value {
    let begin = Instant::now();
    loop {
        let text = fs::read_to_string(root.join("run/failberry/prober.json")).unwrap_or_default();
        let snapshot: Value = serde_json::from_str(&text).unwrap_or_default();
        if is(&snapshot) {
            return snapshot;
        }
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n{snapshot:#}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_authority_of_ones_own_is_trusted_once_it_is_given_and_an_expiring_certificate_is_told() {
    let (dir, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    certificate(dir.path());
    files(root.path());
    let net = Namespace::new();
    let (at, of) = (dir.path().to_owned(), root.path().to_owned());
    let _running = net.run(move || start(&at, &of));
    let untrusted =
        wait_until(root.path(), "untrusted", |snapshot| snapshot["conditions"][0]["id"] == "probe-failing");
    let target = &untrusted["targets"][0];
    assert_eq!((&target["phase"], &target["status"]), (&"tls".into(), &Value::Null));
    assert!(target["connect_ms"].is_number() && target["tls_ms"].is_null(), "{target}");
    let why = target["why"].as_str().unwrap();
    assert!(why.contains("unknown issuer") && why.contains("/data/failberry/prober/ca.pem"), "{why}");

    // Looked at anew for each request: nothing is to be restarted.
    fs::copy(dir.path().join("ca.pem"), root.path().join("data/failberry/prober/ca.pem")).unwrap();
    let trusted = wait_until(root.path(), "trusted", |snapshot| snapshot["targets"][0]["state"] == "ok");
    assert!(trusted["targets"][0]["tls_ms"].is_number());
    let conditions = trusted["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 1);
    assert_eq!(conditions[0]["id"], "probe-certificate-expiring");
    let detail = conditions[0]["detail"].as_str().unwrap();
    assert!(detail.contains("4 days left"), "{detail}");
}
