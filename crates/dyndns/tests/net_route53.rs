//! The command and the conversation against moto's Route 53 (Debian's python3-moto).
//!
//! What moto 5.1 does not check, and the model in `failover/model_tests.rs` does: that failover sets have
//! one policy and one of each role, that a health check named by a record exists, references of deleted
//! checks, versions of checks, addresses no checker reaches. It knows no `lastfailurereason`, has no pages
//! for health checks, and checks no signature.

mod support;

use std::fs;
use std::io::Write as _;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dyndns::deliver::{Heard, Job, run};
use dyndns::failover::{CELLULAR_SET, WIRED_SET, cli};
use dyndns::provider::route53::health::{HealthCheck, HealthChecks};
use dyndns::provider::route53::xml::{RecordSet, RecordSets};
use dyndns::settings::settings;
use dyndns::talk::{Answer, Http, Order, Verdict};
use serde_json::{Value, json};
use support::{Server, say};
use sysio::{Root, clock};

/// A Python program starts in seconds, beside other work in more.
const PATIENCE: Duration = Duration::from_secs(60);
const PORT: u16 = 5353;
const SECRET: &str = "SuP3R/5eCR3T+key";
const NAME: &str = "home.example.org";
const WIRED: &str = "203.0.113.5";
const CELLULAR: &str = "198.51.100.7";
const XMLNS: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// moto with one zone, and an appliance's files; the namespace around it has nothing but a loopback.
struct World {
    moto: Child,
    dir: tempfile::TempDir,
    zone: String,
    /// All that was printed.
    said: String,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.moto.kill();
        let _ = self.moto.wait();
    }
}

fn ask(method: &'static str, path: &str, body: &str) -> Result<Answer, String> {
    let scope = "20270115/us-east-1/route53/aws4_request";
    let signed = format!("AWS4-HMAC-SHA256 Credential=AK/{scope}, SignedHeaders=host, Signature=0");
    let headers = vec![("authorization", signed), ("content-type", "application/xml".to_owned())];
    let url = format!("http://127.0.0.1:{PORT}/2013-04-01{path}");
    dyndns::web::ask(&Http { method, url, headers, body: body.as_bytes().to_vec() }, None, None, None)
}

impl World {
    fn new(name: &str) -> Self {
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

    fn configure(&self, name: &str) {
        let account = format!(
            "aws: route53 zone={} key-id=AKIDEXAMPLE secret={SECRET} url=http://127.0.0.1:{PORT}",
            self.zone
        );
        let text = format!("[dyndns]\nnames = [\"{name}\"]\naccounts = [\"{account}\"]\n");
        fs::write(self.path("dyndns.toml"), text).unwrap();
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("moto.log")).unwrap_or_default()
    }

    /// Runs the command; its exit code and what it printed.
    fn dns(&mut self, words: &str) -> (u8, String) {
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
    fn at_a_desk(&mut self, verb: &str) -> (u8, String) {
        self.dns(&format!("{verb} --wired {WIRED} --cellular {CELLULAR}"))
    }

    fn sets(&self) -> Vec<RecordSet> {
        let answer = ask("GET", &format!("/hostedzone/{}/rrset", self.zone), "").unwrap();
        RecordSets::parse(&answer.body).unwrap().sets
    }

    fn set(&self, identifier: &str) -> RecordSet {
        let sets = self.sets().into_iter();
        let mut found = sets.filter(|set| set.kind == "A" && set.identifier.as_deref() == Some(identifier));
        found.next().unwrap_or_else(|| panic!("no set {identifier}"))
    }

    /// Somebody at the console.
    fn by_hand(&self, action: &str, set: &str) {
        let body = format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"{XMLNS}\"><ChangeBatch><Changes><Change><Action>{action}</Action>\
             <ResourceRecordSet>{set}</ResourceRecordSet></Change></Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        );
        let answer = ask("POST", &format!("/hostedzone/{}/rrset", self.zone), &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

fn checks() -> Vec<HealthCheck> {
    HealthChecks::parse(&ask("GET", "/healthcheck", "").unwrap().body).unwrap().checks
}

fn record(name: &str, role: &str, value: &str, tail: &str) -> String {
    format!(
        "<Name>{name}.</Name><Type>A</Type>{role}<TTL>300</TTL><ResourceRecords><ResourceRecord><Value>{value}</Value>\
         </ResourceRecord></ResourceRecords>{tail}"
    )
}

fn in_a_namespace(work: impl FnOnce() + Send + 'static) {
    testnet::Namespace::new().run(work);
}

#[test]
fn applied_twice_gives_no_second_change_and_others_records_stay() {
    in_a_namespace(|| {
        let mut world = World::new("account=aws failover=yes family=both");
        world.by_hand("CREATE", &record("www.example.org", "", "192.0.2.80", ""));
        let by_hand = format!(
            "<CreateHealthCheckRequest xmlns=\"{XMLNS}\"><CallerReference>by-hand</CallerReference><HealthCheckConfig>\
             <IPAddress>192.0.2.80</IPAddress><Port>80</Port><Type>HTTP</Type></HealthCheckConfig></CreateHealthCheckRequest>"
        );
        assert_eq!(ask("POST", "/healthcheck", &by_hand).unwrap().status, 201);
        let (sets, theirs) = (world.sets(), checks());
        let addresses =
            format!("--wired {WIRED} --cellular {CELLULAR} --wired 2001:db8:1::5 --cellular 2001:db8:2::7");
        let (code, said) = world.dns(&format!("plan {addresses}"));
        assert_eq!(code, cli::CHANGES);
        assert!(
            said.contains(
                "+ health check of http://203.0.113.5:9000/health/wired, every 30 s by each checker"
            ),
            "{said}"
        );
        assert!(said.contains("+ record set failberry-wired (PRIMARY): 2001:db8:1::5, ttl 60 s"), "{said}");
        assert_eq!((world.sets(), checks()), (sets.clone(), theirs.clone()), "a plan changes nothing");
        assert_eq!(world.dns(&format!("apply {addresses}")).0, cli::USAGE, "no terminal and no --yes");
        assert_eq!(world.sets(), sets);
        let (code, said) = world.dns(&format!("apply --yes --wait {addresses}"));
        assert!(code == cli::OK && said.contains("6 changes made"), "{said}");
        assert!(world.path("run/failberry/requests/dyndns/retry").exists());
        let (made, made_checks) = (world.sets(), checks());
        assert_eq!((made.len(), made_checks.len()), (sets.len() + 4, theirs.len() + 2));
        for verb in ["plan", "apply --yes", "plan"] {
            let (code, said) = world.dns(&format!("{verb} {addresses}"));
            assert!(code == cli::OK && said.contains("nothing to do"), "{said}");
            assert_eq!((world.sets(), checks()), (made.clone(), made_checks.clone()));
        }
        assert!(sets.iter().all(|set| made.contains(set)) && theirs.iter().all(|c| made_checks.contains(c)));
        let (code, json) = world.dns(&format!("plan --json {addresses}"));
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((code, &json["changes"], &json["names"][1]["type"]), (cli::OK, &0.into(), &"AAAA".into()));
        assert!(!world.said.contains(SECRET) && !world.said.contains("AKIDEXAMPLE"), "{}", world.said);
    });
}

#[test]
fn what_somebody_changed_or_deleted_is_mended() {
    in_a_namespace(|| {
        let mut world = World::new("account=aws failover=yes");
        assert_eq!(world.at_a_desk("apply --yes").0, cli::OK);
        let (primary, check) = (world.set(WIRED_SET), checks().remove(0));
        let role = format!("<SetIdentifier>{WIRED_SET}</SetIdentifier><Failover>PRIMARY</Failover>");
        world.by_hand("UPSERT", &record(NAME, &role, "192.0.2.99", ""));
        let (code, said) = world.at_a_desk("plan");
        assert!(
            code == cli::CHANGES && said.contains("address 192.0.2.99 → 203.0.113.5, ttl 300 → 60"),
            "{said}"
        );
        assert_eq!(world.at_a_desk("apply --yes").0, cli::OK);
        assert_eq!(world.set(WIRED_SET), primary);
        // Somebody else's idea of the check.
        let other = "<UpdateHealthCheckRequest xmlns=\"x\"><Port>80</Port><Disabled>true</Disabled></UpdateHealthCheckRequest>";
        assert_eq!(ask("POST", &format!("/healthcheck/{}", check.id), other).unwrap().status, 200);
        let (_, said) = world.at_a_desk("apply --yes");
        assert!(said.contains("port 80 → 9000, disabled yes → no"), "{said}");
        assert_eq!(checks(), std::slice::from_ref(&check));
        assert!(ask("DELETE", &format!("/healthcheck/{}", check.id), "").unwrap().status < 300);
        assert_eq!(world.at_a_desk("status").0, cli::FAILED);
        let (_, said) = world.at_a_desk("apply --yes");
        assert!(said.contains("2 changes made"), "{said}");
        assert_eq!(checks()[0].config, check.config);
        assert_eq!(world.set(WIRED_SET).health_check, Some(checks()[0].id.clone()));
        assert_eq!(world.at_a_desk("plan").0, cli::OK);
    });
}

#[test]
fn a_simple_record_gives_way_and_anothers_failover_does_not() {
    in_a_namespace(|| {
        let mut world = World::new("account=aws failover=yes");
        world.by_hand("CREATE", &record(NAME, "", "192.0.2.1", ""));
        let (code, said) = world.at_a_desk("plan");
        assert!(code == cli::CHANGES && said.contains("- record without a role (192.0.2.1)"), "{said}");
        assert_eq!(world.at_a_desk("apply --yes").0, cli::OK);
        assert_eq!(world.set(CELLULAR_SET).values, [CELLULAR]);
        assert!(world.sets().iter().all(|set| set.name != format!("{NAME}.") || set.identifier.is_some()));
        assert_eq!(world.at_a_desk("plan").0, cli::OK);
        // Another name, of which somebody has failover already.
        world.configure("club.example.org account=aws failover=yes");
        let role = "<SetIdentifier>by-hand</SetIdentifier><Failover>PRIMARY</Failover>";
        world.by_hand("CREATE", &record("club.example.org", role, "192.0.2.1", ""));
        let before = (world.sets(), checks());
        let (code, said) = world.at_a_desk("apply --yes");
        assert!(code == cli::FAILED && said.contains("! another record set, by-hand, is PRIMARY"), "{said}");
        assert_eq!((world.sets(), checks()), before);
        // A line nobody reaches.
        world.configure("third.example.org account=aws failover=yes");
        let (code, said) = world.dns(&format!("apply --yes --wired {WIRED} --cellular 100.64.3.4"));
        assert!(code == cli::FAILED && said.contains("100.64.3.4") && said.contains("apn"), "{said}");
        assert_eq!(world.dns(&format!("plan --wired {WIRED} --cellular 100.64.3.4")).0, cli::FAILED);
    });
}

#[test]
fn afterwards_each_set_follows_its_line_and_the_health_check_the_wired_one() {
    in_a_namespace(|| {
        let mut world = World::new("account=aws failover=yes");
        let text = fs::read(world.path("dyndns.toml")).unwrap();
        let records = settings(&config::parse(&text).unwrap()).records;
        let tell = |at: usize, address: &str| {
            let order = Order { name: NAME.into(), address: address.parse().unwrap(), ttl: 60 };
            let job = Job::Tell { account: records[at].account.clone(), order, way: None };
            match run(&job, &Root::at("/nonexistent")) {
                Heard::Told { verdict } => verdict,
                other => panic!("{other:?}"),
            }
        };
        let early = tell(0, WIRED);
        assert!(
            matches!(&early, Verdict::Later { why, .. } if why.contains("failberry dns apply")),
            "{early:?}"
        );
        assert_eq!(world.at_a_desk("apply --yes").0, cli::OK);
        let changed = |address: &str| Verdict::Changed { address: address.parse().unwrap() };
        let same = |address: &str| Verdict::Same { address: address.parse().unwrap() };
        assert_eq!(tell(0, WIRED), same(WIRED));
        assert_eq!(tell(0, "203.0.113.77"), changed("203.0.113.77"));
        assert_eq!(tell(1, "198.51.100.99"), changed("198.51.100.99"));
        assert_eq!(world.set(WIRED_SET).values, ["203.0.113.77"]);
        assert_eq!(world.set(CELLULAR_SET).values, ["198.51.100.99"]);
        let found = checks();
        assert_eq!((found.len(), found[0].config.address), (1, Some("203.0.113.77".parse().unwrap())));
        assert_eq!(world.set(WIRED_SET).health_check, Some(found[0].id.clone()));
        let now = "plan --wired 203.0.113.77 --cellular 198.51.100.99";
        assert_eq!(world.dns(now).0, cli::OK);
    });
}

const BOOT: &str = "boot-of-the-test";

impl World {
    /// A daemon's snapshot, ahead of the clock, so that it does not grow stale while a test waits.
    fn says(&self, daemon: &str, own: &Value) {
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

    fn lines(&self, wired: &str, cellular: &str) {
        let link = |name: &str, address: &str| json!({"name": name, "interface": "lo", "usable": true, "addresses": [address]});
        self.says(
            "uplink",
            &json!({"active": "wired", "links": [link("wired", wired), link("cellular", cellular)]}),
        );
    }
}

#[test]
fn on_the_appliance_the_addresses_are_those_the_daemons_know() {
    in_a_namespace(|| {
        let mut world = World::new("account=aws failover=yes");
        let asked = Server::new("127.0.0.1:0", None, |_, stream| say(stream, 200, "203.0.113.55\n"));
        let text = fs::read_to_string(world.path("dyndns.toml")).unwrap();
        let ask = format!("ask = \"http://{}/\"\n", asked.address);
        fs::write(world.path("dyndns.toml"), text + &ask).unwrap();
        world.lines("192.168.1.5", CELLULAR);
        // Nobody has asked yet, so the command does.
        let (code, said) = world.dns("plan");
        assert!(code == cli::CHANGES && said.contains("(PRIMARY): 203.0.113.55"), "{said}");
        assert!(said.contains("(SECONDARY): 198.51.100.7"), "{said}");
        let [heard] = &asked.heard()[..] else { panic!("asked once") };
        assert!(heard.text.starts_with("GET / ") && heard.from.ip().is_loopback(), "{heard:?}");
        world.says("dyndns", &json!({"outside": {"wired": WIRED}}));
        let (_, said) = world.dns("plan");
        assert!(said.contains("(PRIMARY): 203.0.113.5,") && asked.heard().len() == 1, "{said}");
        let (_, said) = world.dns("plan --wired 203.0.113.99");
        assert!(said.contains("(PRIMARY): 203.0.113.99"), "{said}");
    });
}

#[test]
fn the_daemon_waits_for_the_records_goes_on_once_they_are_made_and_keeps_all_three_addresses() {
    in_a_namespace(|| {
        let mut world = World::new("account=aws failover=yes");
        for folder in ["data/failberry/dyndns", "etc"] {
            fs::create_dir_all(world.path(folder)).unwrap();
        }
        world.lines(WIRED, CELLULAR);
        let daemon = Command::new(env!("CARGO_BIN_EXE_dyndns"))
            .args(["--root".as_ref(), world.dir.path().as_os_str()])
            .args(["--config".as_ref(), world.path("dyndns.toml").as_os_str()])
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(world.path("daemon.log")).unwrap())
            .spawn()
            .unwrap();
        let _daemon = Daemon(daemon);
        let states = |world: &World, state: &str| {
            let text = fs::read_to_string(world.path("run/failberry/dyndns.json")).unwrap_or_default();
            let snapshot: Value = serde_json::from_str(&text).unwrap_or_default();
            let all = snapshot["records"].as_array().cloned().unwrap_or_default();
            all.len() == 2 && all.iter().all(|record| record["state"] == state)
        };
        let wait = |world: &World, what: &str, is: &dyn Fn(&World) -> bool| {
            let begin = Instant::now();
            while !is(world) {
                let log = fs::read_to_string(world.path("daemon.log")).unwrap_or_default();
                assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}\n{log}");
                std::thread::sleep(Duration::from_millis(50));
            }
            begin.elapsed()
        };
        wait(&world, "both sets are missing", &|world| states(world, "retrying"));
        let (code, said) = world.dns("apply --yes");
        assert!(code == cli::OK && said.contains("3 changes made"), "{said}");
        // Its own backoff is half a minute at least: the command has woken it.
        let woken = wait(&world, "both sets are told", &|world| states(world, "current"));
        assert!(woken < Duration::from_secs(20), "{woken:?}");
        world.lines("203.0.113.200", "198.51.100.201");
        let moved = |world: &World| {
            let check = checks()[0].config.address.map(|address| address.to_string());
            (world.set(WIRED_SET).values, world.set(CELLULAR_SET).values, check)
                == (vec!["203.0.113.200".into()], vec!["198.51.100.201".into()], Some("203.0.113.200".into()))
        };
        println!("followed after {:?}", wait(&world, "all three addresses follow", &moved));
        let log = fs::read_to_string(world.path("daemon.log")).unwrap();
        assert!(!log.contains(SECRET), "{log}");
    });
}

/// Ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_person_at_a_terminal_is_asked_and_only_yes_means_yes() {
    in_a_namespace(|| {
        let world = World::new("account=aws failover=yes");
        let answer = |typed: &str| {
            let command = format!(
                "{} dns apply --wired {WIRED} --cellular {CELLULAR} --config {}",
                env!("CARGO_BIN_EXE_dyndns"),
                world.path("dyndns.toml").display()
            );
            // It gives the command a terminal, types what it reads, and ends with its exit code.
            let mut script = Command::new("script")
                .args(["--quiet", "--return", "--command", &command, "/dev/null"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            script.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
            let output = script.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            println!("{said}");
            assert!(said.contains("make 3 changes? [y/N]"), "{said}");
            output.status.code()
        };
        assert_eq!(answer("\n"), Some(cli::FAILED.into()));
        assert_eq!(answer("what?\n"), Some(cli::FAILED.into()));
        assert!(checks().is_empty() && world.sets().len() == 2, "NS and SOA alone");
        assert_eq!(answer("y\n"), Some(cli::OK.into()));
        assert_eq!((checks().len(), world.sets().len()), (1, 4));
    });
}

/// A resolver that says `answer` to everything.
fn resolver(answer: [u8; 4]) {
    let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let mut said = buffer[..length].to_vec();
            // RFC 1035, 4.1.1: an answer with one record; its name points to the question's.
            said[2..8].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1]);
            said.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            said.extend(answer);
            let _ = socket.send_to(&said, from);
        }
    });
}

#[test]
fn status_shows_records_checkers_and_what_the_world_resolves() {
    in_a_namespace(|| {
        let mut world = World::new("account=aws failover=yes");
        resolver([203, 0, 113, 5]);
        let status = format!("status --wired {WIRED} --cellular {CELLULAR} --resolver 127.0.0.1");
        let (code, said) = world.dns(&status);
        assert!(code == cli::FAILED && said.contains("failberry dns apply makes them"), "{said}");
        assert_eq!(world.at_a_desk("apply --yes").0, cli::OK);
        let (code, said) = world.dns(&status);
        assert_eq!(code, cli::OK, "{said}");
        for words in [
            "failberry-wired (PRIMARY): 203.0.113.5",
            "failberry-cellular (SECONDARY): 198.51.100.7",
            "healthy: 1 of 1 checkers",
            "127.0.0.1: 203.0.113.5",
            "as it should be",
        ] {
            assert!(said.contains(words), "{words}\n{said}");
        }
        let (_, json) = world.dns(&format!("{status} --json"));
        let json: Value = serde_json::from_str(&json).unwrap();
        let name = &json["names"][0];
        assert_eq!((&json["fits"], &name["health_check"]["healthy"]), (&true.into(), &true.into()));
        assert_eq!(name["resolvers"][0]["addresses"][0], WIRED);
        // Another zone answers.
        let role = format!("<SetIdentifier>{CELLULAR_SET}</SetIdentifier><Failover>SECONDARY</Failover>");
        world.by_hand("UPSERT", &record(NAME, &role, "198.51.100.8", ""));
        assert_eq!(world.dns(&status).0, cli::FAILED);
        assert!(!world.said.contains(SECRET), "{}", world.said);
    });
}

#[test]
fn a_zone_that_is_not_there_and_a_service_that_is_not_there_are_told() {
    in_a_namespace(|| {
        let mut world = World::new("account=aws failover=yes");
        let zone = std::mem::replace(&mut world.zone, "ZNONE".into());
        world.configure(&format!("{NAME} account=aws failover=yes"));
        let (code, said) = world.at_a_desk("plan");
        assert!(code == cli::FAILED && said.contains("list the record sets of the name"), "{said}");
        world.zone = zone;
        world.configure(&format!("{NAME} account=aws failover=yes"));
        world.moto.kill().unwrap();
        world.moto.wait().unwrap();
        let (code, said) = world.at_a_desk("apply --yes");
        assert!(code == cli::FAILED && said.contains("list the health checks: "), "{said}");
        assert!(!world.said.contains(SECRET), "{}", world.said);
    });
}
