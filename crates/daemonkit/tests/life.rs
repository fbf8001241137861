//! A daemon's life in the loop: start, requests, followed snapshots, deadline, orderly end.

use std::convert::Infallible;
use std::fs;
use std::path::Path;
use std::time::Duration;

use daemonkit::{Daemon, Event, Interest, run};
use nix::sys::signal::{Signal, raise};
use snapshot::Report;
use sysio::{Monotonic, Root, clock};

/// Answers every event with the next step of a small story, and remembers what it saw.
struct Story {
    root: Root,
    seen: Vec<Event>,
    deadline: Option<Monotonic>,
}

impl Daemon for Story {
    type Error = Infallible;

    fn interests(&self) -> Vec<Interest<'_>> {
        Vec::new()
    }

    fn handle(&mut self, now: Monotonic, event: Event) -> Result<(), Infallible> {
        match &event {
            Event::Start => self.request("redial"),
            Event::Request(_) => self.neighbour_publishes(),
            Event::SnapshotChanged(_) => self.deadline = Some(now + Duration::from_millis(20)),
            Event::Deadline => {
                self.deadline = None;
                raise(Signal::SIGTERM).unwrap();
            }
            _ => {}
        }
        self.seen.push(event);
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        self.deadline
    }

    fn report(&self, _: Monotonic) -> Report {
        Report::new("telling").field("events", self.seen.len())
    }

    fn follows(&self) -> &[&str] {
        &["modem-dialer"]
    }
}

impl Story {
    fn request(&self, name: &str) {
        fs::write(self.root.path("/run/failberry/requests/story").join(name), "").unwrap();
    }

    fn neighbour_publishes(&self) {
        sysio::file::write_atomic(&self.root.path("/run/failberry/modem-dialer.json"), b"{}", 0o644).unwrap();
    }
}

fn system(dir: &Path) -> Root {
    for sub in ["proc/sys/kernel/random", "run/failberry/requests/story"] {
        fs::create_dir_all(dir.join(sub)).unwrap();
    }
    fs::write(dir.join("proc/sys/kernel/random/boot_id"), "a-boot\n").unwrap();
    Root::at(dir)
}

#[test]
fn events_arrive_in_order_and_sigterm_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = system(dir.path());
    let mut story = Story { root: root.clone(), seen: Vec::new(), deadline: None };
    run(&root, "story", "1", &mut story).unwrap();
    let expected = [
        Event::Start,
        Event::Request("redial".into()),
        Event::SnapshotChanged("modem-dialer".into()),
        Event::Deadline,
        Event::Terminate,
    ];
    assert_eq!(story.seen, expected);
    let verdict = snapshot::read(&root, "story", "a-boot", clock::now());
    assert_eq!(verdict.fresh().expect("fresh").fields["events"], expected.len());
    assert_eq!(fs::read_dir(dir.path().join("run/failberry/requests/story")).unwrap().count(), 0);
}

/// Done as soon as it has begun.
struct Brief;

impl Daemon for Brief {
    type Error = Infallible;

    fn interests(&self) -> Vec<Interest<'_>> {
        Vec::new()
    }

    fn handle(&mut self, _: Monotonic, event: Event) -> Result<(), Infallible> {
        assert_eq!(event, Event::Start);
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        None
    }

    fn report(&self, _: Monotonic) -> Report {
        Report::new("over")
    }

    fn done(&self) -> bool {
        true
    }
}

#[test]
fn who_is_done_ends_and_leaves_its_last_word() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::at(dir.path());
    fs::create_dir_all(root.path("/run/failberry")).unwrap();
    fs::create_dir_all(root.path("/proc/sys/kernel/random")).unwrap();
    fs::write(root.path("/proc/sys/kernel/random/boot_id"), "a-boot").unwrap();
    run(&root, "brief", "0", &mut Brief).unwrap();
    let read = snapshot::read(&root, "brief", "a-boot", clock::now());
    assert_eq!(read.fresh().map(|document| document.state.as_str()), Some("over"));
}
