use super::*;
use crate::events::Happening;
use crate::hooks::Spool;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

struct House {
    dir: tempfile::TempDir,
    root: Root,
    me: u32,
}

fn house() -> House {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::at(dir.path());
    fs::create_dir_all(root.path(SPOOL)).unwrap();
    let me = fs::metadata(dir.path()).unwrap().uid();
    House { dir, root, me }
}

impl House {
    fn hook(&self, event: &str, name: &str, mode: u32, script: &str) -> PathBuf {
        let folder = self.root.path(HOOKS).join(event);
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let path = folder.join(name);
        let text = script.replace("OUT", &self.dir.path().join("out").display().to_string());
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    fn happen(&self, event: &'static str, value: &str) {
        let environment = vec![("FAILBERRY_TO", value.to_owned())];
        let common = [("FAILBERRY_NAME", "attic".to_owned())];
        Spool::new(&self.root).leave(value.len() as u64, &common, &[Happening { event, environment }]);
    }

    fn out(&self) -> String {
        fs::read_to_string(self.dir.path().join("out")).unwrap_or_default()
    }

    fn notes(&self) -> usize {
        fs::read_dir(self.root.path(SPOOL)).unwrap().count()
    }
}

#[test]
fn hooks_run_in_order_with_what_they_need_to_know_and_once() {
    let house = house();
    house.hook("failover", "20-b", 0o755, "echo b >> OUT");
    house.hook("failover", "10-a", 0o755, "echo $FAILBERRY_EVENT $FAILBERRY_NAME $FAILBERRY_TO >> OUT");
    house.happen("failover", "cellular");
    run_all(&house.root, house.me, LIMIT);
    run_all(&house.root, house.me, LIMIT);
    assert_eq!(house.out(), "failover attic cellular\nb\n");
    assert_eq!(house.notes(), 0);
}

#[test]
fn without_a_hook_there_is_no_note() {
    let house = house();
    house.happen("failover", "cellular");
    assert_eq!(house.notes(), 0);
}

#[test]
fn what_others_could_have_written_is_not_run() {
    let house = house();
    for (name, mode) in [("group", 0o775), ("world", 0o757), ("plain", 0o644)] {
        let path = house.hook("alert", name, mode, "echo bad >> OUT");
        assert!(check(&path, house.me).is_err(), "{name}");
    }
    let good = house.hook("alert", "good", 0o755, "echo good >> OUT");
    assert_eq!(check(&good, house.me), Ok(()));
    assert_eq!(check(&good, house.me + 1), Err(Refusal::Owner(house.me)));
    std::os::unix::fs::symlink(&good, good.with_file_name("link")).unwrap();
    assert_eq!(check(&good.with_file_name("link"), house.me), Err(Refusal::NoFile));
    house.happen("alert", "x");
    run_all(&house.root, house.me, LIMIT);
    assert_eq!(house.out(), "good\n");
    fs::set_permissions(good.parent().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
    house.happen("alert", "x");
    run_all(&house.root, house.me, LIMIT);
    assert_eq!(house.out(), "good\n", "nor anything in a folder that others can write into");
}

#[test]
fn a_hook_that_hangs_is_ended_with_its_children_and_the_next_one_runs() {
    let house = house();
    house.hook("alert", "1", 0o755, "(sleep 60; echo late >> OUT) & sleep 60");
    house.hook("alert", "2", 0o755, "echo next >> OUT");
    house.happen("alert", "x");
    let started = Instant::now();
    run_all(&house.root, house.me, Duration::from_millis(300));
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(house.out(), "next\n");
}

#[test]
fn a_flood_of_happenings_leaves_a_bounded_spool() {
    let house = house();
    house.hook("alert", "1", 0o755, "echo x >> OUT");
    let mut spool = Spool::new(&house.root);
    let happening = Happening { event: "alert", environment: Vec::new() };
    for n in 0..100 {
        spool.leave(n, &[], std::slice::from_ref(&happening));
    }
    assert_eq!((house.notes(), spool.dropped), (MOST, 100 - MOST as u64));
    run_all(&house.root, house.me, LIMIT);
    assert_eq!(house.out().lines().count(), MOST);
}

#[test]
fn a_note_that_makes_no_sense_is_removed_and_does_not_stop_the_others() {
    let house = house();
    house.hook("alert", "1", 0o755, "echo $FAILBERRY_TO >> OUT");
    let spool = house.root.path(SPOOL);
    fs::write(spool.join("0-broken.json"), "{").unwrap();
    fs::write(spool.join("0-escape.json"), "{\"event\": \"../../etc\", \"environment\": []}").unwrap();
    house.happen("alert", "after");
    run_all(&house.root, house.me, LIMIT);
    assert_eq!((house.out().as_str(), house.notes()), ("after\n", 0));
}

#[test]
fn what_is_no_file_is_put_aside_and_what_cannot_even_be_renamed_stops_no_hook() {
    let house = house();
    house.hook("alert", "1", 0o755, "echo $FAILBERRY_TO >> OUT");
    let spool = house.root.path(SPOOL);
    fs::create_dir_all(spool.join("0-folder/full")).unwrap();
    house.happen("alert", "first");
    assert_eq!(run_all(&house.root, house.me, LIMIT), Left::Notes);
    assert!(spool.join(".0-folder").exists());
    // With a dot before it this name would be too long.
    fs::create_dir(spool.join("0".repeat(255))).unwrap();
    house.happen("alert", "second");
    assert_eq!(run_all(&house.root, house.me, LIMIT), Left::Stuck);
    assert_eq!(house.out(), "first\nsecond\n");
}
