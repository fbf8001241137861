//! The command and the conversation against moto's Route 53 (Debian's python3-moto).
//!
//! What moto 5.1 does not check, and the model in `failover/model_tests.rs` does: that failover sets have
//! one policy and one of each role, that a health check named by a record exists, references of deleted
//! checks, versions of checks, addresses no checker reaches. It knows no `lastfailurereason`, has no pages
//! for health checks, and checks no signature.

mod moto;
mod support;

use std::fs;
use std::io::Write as _;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dyndns::deliver::{Heard, Job, run};
use dyndns::failover::{CELLULAR_SET, WIRED_SET, cli};
use dyndns::settings::settings;
use dyndns::talk::{Order, Verdict};
use moto::{
    CELLULAR, Daemon, NAME, PATIENCE, SECRET, WIRED, World, XMLNS, ask, checks, in_a_namespace, record,
};
use serde_json::{Value, json};
use support::{Server, say};
use sysio::Root;

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
