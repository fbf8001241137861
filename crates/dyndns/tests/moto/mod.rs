//! moto's Route 53 with one zone, an appliance's files around it, and somebody at AWS's console.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dyndns::provider::route53::health::{HealthCheck, HealthChecks};
use dyndns::provider::route53::xml::{RecordSet, RecordSets};
use dyndns::talk::{Answer, Http};
use serde_json::{Value, json};
use sysio::clock;

/// A Python program starts in seconds, beside other work in more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const PORT: u16 = 5353;
pub(crate) const SECRET: &str = "SuP3R/5eCR3T+key";
pub(crate) const NAME: &str = "home.example.org";
pub(crate) const WIRED: &str = "203.0.113.5";
pub(crate) const CELLULAR: &str = "198.51.100.7";
pub(crate) const XMLNS: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// moto with one zone, and an appliance's files; the namespace around it has nothing but a loopback.
pub(crate) struct World {
    pub(crate) moto: Child,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) zone: String,
    /// All that was printed.
    pub(crate) said: String,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.moto.kill();
        let _ = self.moto.wait();
    }
}

pub(crate) fn ask(method: &'static str, path: &str, body: &str) -> Result<Answer, String> {
    let scope = "20270115/us-east-1/route53/aws4_request";
    let signed = format!("AWS4-HMAC-SHA256 Credential=AK/{scope}, SignedHeaders=host, Signature=0");
    let headers = vec![("authorization", signed), ("content-type", "application/xml".to_owned())];
    let url = format!("http://127.0.0.1:{PORT}/2013-04-01{path}");
    dyndns::web::ask(&Http { method, url, headers, body: body.as_bytes().to_vec() }, None, None, None)
}

impl World {
    pub(crate) fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let moto = Command::new("/usr/bin/moto_server")
            .args(["-H", "127.0.0.1", "-p", &PORT.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.path().join("moto.log")).unwrap())
            .spawn()
            .expect("moto_server, which is in the SDK");
        let mut world = Self { moto, dir, zone: String::new(), said: String::new() };
        let begin = Instant::now();
        let zone = format!(
            "<CreateHostedZoneRequest xmlns=\"{XMLNS}\"><Name>example.org.</Name><CallerReference>1</CallerReference>\
             </CreateHostedZoneRequest>"
        );
        let made = loop {
            match ask("POST", "/hostedzone", &zone) {
                Ok(answer) if answer.status == 201 => break answer.text(),
                other => assert!(begin.elapsed() < PATIENCE, "no moto: {other:?}\n{}", world.log()),
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        let (_, rest) = made.split_once("<Id>/hostedzone/").expect(&made);
        rest.split('<').next().unwrap().clone_into(&mut world.zone);
        world.configure(&format!("{NAME} {name}"));
        fs::create_dir_all(world.path("run/failberry/requests/dyndns")).unwrap();
        world
    }

    pub(crate) fn configure(&self, name: &str) {
        let account = format!(
            "aws: route53 zone={} key-id=AKIDEXAMPLE secret={SECRET} url=http://127.0.0.1:{PORT}",
            self.zone
        );
        let text = format!("[dyndns]\nnames = [\"{name}\"]\naccounts = [\"{account}\"]\n");
        fs::write(self.path("dyndns.toml"), text).unwrap();
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("moto.log")).unwrap_or_default()
    }

    /// Runs the command; its exit code and what it printed.
    pub(crate) fn dns(&mut self, words: &str) -> (u8, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_dyndns"))
            .arg("dns")
            .args(words.split_whitespace())
            .args(["--config".as_ref(), self.path("dyndns.toml").as_os_str()])
            .args(["--root".as_ref(), self.dir.path().as_os_str()])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        println!("$ failberry dns {words}\n{said}");
        self.said.push_str(&said);
        (u8::try_from(output.status.code().unwrap()).unwrap(), said)
    }

    /// With the addresses of both lines given.
    pub(crate) fn at_a_desk(&mut self, verb: &str) -> (u8, String) {
        self.dns(&format!("{verb} --wired {WIRED} --cellular {CELLULAR}"))
    }

    pub(crate) fn sets(&self) -> Vec<RecordSet> {
        let answer = ask("GET", &format!("/hostedzone/{}/rrset", self.zone), "").unwrap();
        RecordSets::parse(&answer.body).unwrap().sets
    }

    pub(crate) fn set(&self, identifier: &str) -> RecordSet {
        let sets = self.sets().into_iter();
        let mut found = sets.filter(|set| set.kind == "A" && set.identifier.as_deref() == Some(identifier));
        found.next().unwrap_or_else(|| panic!("no set {identifier}"))
    }

    /// Somebody at the console.
    pub(crate) fn by_hand(&self, action: &str, set: &str) {
        let body = format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"{XMLNS}\"><ChangeBatch><Changes><Change><Action>{action}</Action>\
             <ResourceRecordSet>{set}</ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        );
        let answer = ask("POST", &format!("/hostedzone/{}/rrset", self.zone), &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

pub(crate) fn checks() -> Vec<HealthCheck> {
    HealthChecks::parse(&ask("GET", "/healthcheck", "").unwrap().body).unwrap().checks
}

pub(crate) fn record(name: &str, role: &str, value: &str, tail: &str) -> String {
    format!(
        "<Name>{name}.</Name><Type>A</Type>{role}<TTL>300</TTL><ResourceRecords><ResourceRecord><Value>{value}</Value>\
         </ResourceRecord></ResourceRecords>{tail}"
    )
}

pub(crate) fn in_a_namespace(work: impl FnOnce() + Send + 'static) {
    testnet::Namespace::new().run(work);
}

const BOOT: &str = "boot-of-the-test";

impl World {
    /// A daemon's snapshot, ahead of the clock, so that it does not grow stale while a test waits.
    pub(crate) fn says(&self, daemon: &str, own: &Value) {
        fs::create_dir_all(self.path("proc/sys/kernel/random")).unwrap();
        fs::write(self.path("proc/sys/kernel/random/boot_id"), BOOT).unwrap();
        let mut snapshot = json!({
            "schema": 1, "daemon": daemon, "version": "0", "boot_id": BOOT, "wall": null, "state": "online",
            "monotonic_ms": clock::now().as_millis() + 600_000, "since_ms": 1, "conditions": [],
        });
        snapshot.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        let path = self.path("run/failberry").join(format!("{daemon}.json"));
        sysio::file::write_atomic(&path, snapshot.to_string().as_bytes(), 0o644).unwrap();
    }

    pub(crate) fn lines(&self, wired: &str, cellular: &str) {
        let link = |name: &str, address: &str| json!({"name": name, "interface": "lo", "usable": true, "addresses": [address]});
        self.says(
            "uplink",
            &json!({"active": "wired", "links": [link("wired", wired), link("cellular", cellular)]}),
        );
    }
}

/// Ends with the test.
pub(crate) struct Daemon(pub(crate) Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
