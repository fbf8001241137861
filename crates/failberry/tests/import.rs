//! The import, boot by boot, on a system of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use failberry::import::import;
use snapshot::{Report, Verdict};
use sysio::{Root, clock};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

struct System(tempfile::TempDir);

impl System {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["boot/firmware", "data/failberry", "run/failberry", "proc/sys/kernel/random", "etc"] {
            fs::create_dir_all(dir.path().join(sub)).unwrap();
        }
        let put = |path: &str, text: &str| fs::write(dir.path().join(path), text).unwrap();
        put("proc/sys/kernel/random/boot_id", "a-boot\n");
        put("proc/sys/kernel/hostname", "localhost\n");
        put("etc/group", "root:x:0:\n");
        Self(dir)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn card(&self, text: &str) {
        fs::write(self.path("boot/firmware/failberry.toml"), text).unwrap();
    }

    fn boot(&self) -> Report {
        import(&Root::at(self.0.path())).unwrap()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    fn apn(&self) -> Option<String> {
        let slices = self.path("run/failberry/config");
        let config = config::load_slice(&slices, "modem-dialer").unwrap();
        config.modem.apn.map(|apn| apn.as_str().to_owned())
    }
}

fn ids(report: &Report) -> Vec<&str> {
    report.conditions.iter().map(|c| c.id.as_str()).collect()
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

#[test]
fn a_valid_file_comes_into_force_and_is_kept_for_bad_days() {
    let system = System::new();
    system.card("[system]\r\nhostname = \"attic\"\r\n[modem]\r\napn = \"one\"\r\npin = \"1234\"\r\n");
    let report = system.boot();
    assert_eq!((report.state.as_str(), ids(&report)), ("imported", vec![]));
    assert_eq!(system.apn().as_deref(), Some("one"));
    assert_eq!(system.read("proc/sys/kernel/hostname"), "attic");
    assert_eq!(mode(&system.path("data/failberry/config/failberry.toml")), 0o600);
    assert_eq!(mode(&system.path("run/failberry/config/modem-dialer.toml")), 0o440);

    system.card("[modem]\napn = \"two\nrooming = true\n");
    let report = system.boot();
    assert_eq!((report.state.as_str(), ids(&report)), ("kept", vec!["config-invalid"]));
    assert_eq!(system.apn().as_deref(), Some("one"));

    system.card("[modem]\napn = \"two\"\n");
    assert_eq!(system.boot().state, "imported");
    assert_eq!(system.apn().as_deref(), Some("two"));
}

#[test]
fn every_mistake_is_in_the_snapshot_and_no_secret() {
    let system = System::new();
    system.card("[modem]\napm = \"x\"\npin = 98765\n\n[modme]\n");
    let report = system.boot();
    assert_eq!(report.state, "defaults");
    assert_eq!(report.fields["problems"].as_array().unwrap().len(), 3);
    let detail = &report.conditions[0].detail;
    for line in ["line 2", "line 3", "line 5"] {
        assert!(detail.contains(line), "{detail}");
    }
    let root = Root::at(system.0.path());
    let Verdict::Fresh(document) = snapshot::read(&root, "config-import", "a-boot", clock::now()) else {
        panic!("no snapshot")
    };
    assert_eq!(document.state, "defaults");
    assert!(!system.read("run/failberry/config-import.json").contains("9876"));
}

#[test]
fn without_any_file_the_defaults_are_in_force() {
    let system = System::new();
    let report = system.boot();
    assert_eq!((report.state.as_str(), ids(&report)), ("defaults", vec!["config-missing"]));
    assert_eq!(system.read("proc/sys/kernel/hostname"), "failberry");
    assert!(config::load_slice(&system.path("run/failberry/config"), "netguard").is_ok());
}

#[test]
fn a_card_that_cannot_be_read_leaves_the_last_good_configuration() {
    let system = System::new();
    system.card("[modem]\napn = \"one\"\n");
    system.boot();
    // What a laptop leaves behind when the card is pulled too early.
    system.card("");
    assert_eq!(system.boot().state, "kept");
    fs::remove_file(system.path("boot/firmware/failberry.toml")).unwrap();
    let report = system.boot();
    assert_eq!((report.state.as_str(), ids(&report)), ("kept", vec!["config-missing"]));
    // A directory in its place cannot be read as a file, whoever tries.
    fs::create_dir(system.path("boot/firmware/failberry.toml")).unwrap();
    assert_eq!(system.boot().state, "kept");
    assert_eq!(system.apn().as_deref(), Some("one"));
}

#[test]
fn an_import_without_news_writes_nothing_on_the_disk() {
    let system = System::new();
    system.card("[modem]\napn = \"one\"\n");
    fs::write(system.path("boot/firmware/authorized_keys"), format!("{KEY}\r\n")).unwrap();
    system.boot();
    let files = ["data/failberry/config/failberry.toml", "data/failberry/config/authorized_keys"];
    let inodes = || files.map(|f| std::os::unix::fs::MetadataExt::ino(&system.path(f).metadata().unwrap()));
    let before = inodes();
    system.boot();
    assert_eq!(inodes(), before);
}

#[test]
fn what_a_power_cut_left_behind_is_removed() {
    let system = System::new();
    system.card("[modem]\napn = \"one\"\n");
    system.boot();
    let leftover = system.path("data/failberry/config/.failberry.toml.77");
    fs::write(&leftover, "[mod").unwrap();
    system.boot();
    assert!(!leftover.exists());
}

#[test]
fn keys_are_cleaned_and_a_file_without_keys_locks_nobody_out() {
    let system = System::new();
    let card = system.path("boot/firmware/authorized_keys");
    fs::write(&card, format!("{KEY} me\r\nnot a key\r\n")).unwrap();
    assert_eq!(ids(&system.boot()), ["config-missing", "authorized-keys-invalid"]);
    let stored = "data/failberry/config/authorized_keys";
    assert_eq!(system.read(stored), format!("{KEY} me\n"));
    assert_eq!(mode(&system.path(stored)), 0o600);

    fs::write(&card, "nothing here\n").unwrap();
    system.boot();
    assert_eq!(system.read(stored), format!("{KEY} me\n"));
    fs::remove_file(&card).unwrap();
    system.boot();
    assert_eq!(system.read(stored), format!("{KEY} me\n"));
}

#[test]
fn a_broken_data_partition_does_not_keep_the_card_from_coming_into_force() {
    let system = System::new();
    system.card("[modem]\napn = \"one\"\n");
    fs::remove_dir(system.path("data/failberry")).unwrap();
    fs::write(system.path("data/failberry"), "not a directory").unwrap();
    let report = system.boot();
    assert_eq!((report.state.as_str(), ids(&report)), ("imported", vec!["config-not-saved"]));
    assert_eq!(system.apn().as_deref(), Some("one"));
}

#[test]
fn rules_on_the_card_are_kept_and_broken_ones_leave_those_before() {
    let system = System::new();
    system.card("[modem]\napn = \"one\"\n");
    let card = system.path("boot/firmware/rules.v4");
    let good = "*filter\r\n-A INPUT -s 203.0.113.7 -j ACCEPT\r\nCOMMIT\r\n";
    fs::write(&card, good).unwrap();
    assert_eq!(ids(&system.boot()), [""; 0]);
    assert_eq!(system.read("data/failberry/config/rules.v4"), good);
    assert_eq!(mode(&system.path("data/failberry/config/rules.v4")), 0o600);
    fs::write(&card, "*filter\n-A INPUT -j DROP\n").unwrap();
    let report = system.boot();
    assert_eq!(ids(&report), ["firewall-own-rules-refused"]);
    let detail = &report.conditions[0].detail;
    assert!(detail.starts_with("rules.v4 on the card: line 2: the table filter is not closed"), "{detail}");
    assert_eq!(system.read("data/failberry/config/rules.v4"), good);
    // A card without the file changes nothing.
    fs::remove_file(&card).unwrap();
    assert_eq!(ids(&system.boot()), [""; 0]);
    assert_eq!(system.read("data/failberry/config/rules.v4"), good);
}
