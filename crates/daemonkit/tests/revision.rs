//! How often a daemon that wakes often is asked what it has to say. A file of its own: the signal that
//! ends it is the process's.

use daemonkit::{Daemon, Event, Interest, run};
use nix::sys::signal::{Signal, raise};
use snapshot::Report;
use std::cell::Cell;
use std::convert::Infallible;
use std::fs;
use std::time::Duration;
use sysio::{Monotonic, Root, clock};

/// Wakes often and has nothing new to say but once.
struct Busy {
    turns: u32,
    next: Monotonic,
    asked: Cell<u32>,
}

impl Daemon for Busy {
    type Error = Infallible;

    fn interests(&self) -> Vec<Interest<'_>> {
        Vec::new()
    }

    fn handle(&mut self, now: Monotonic, event: Event) -> Result<(), Infallible> {
        if event == Event::Deadline {
            self.turns += 1;
            self.next = now + Duration::from_millis(5);
            if self.turns == 20 {
                raise(Signal::SIGTERM).unwrap();
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Option<Monotonic> {
        Some(self.next)
    }

    fn report(&self, _: Monotonic) -> Report {
        self.asked.set(self.asked.get() + 1);
        Report::new("busy").field("half", self.turns / 10)
    }

    fn revision(&self) -> Option<u64> {
        Some(u64::from(self.turns / 10))
    }
}

#[test]
fn a_daemon_that_names_its_revisions_is_asked_once_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let root = Root::at(dir.path());
    fs::create_dir_all(root.path("proc/sys/kernel/random")).unwrap();
    fs::create_dir_all(root.path("run/failberry")).unwrap();
    fs::write(root.path("proc/sys/kernel/random/boot_id"), "a-boot\n").unwrap();
    let mut busy = Busy { turns: 0, next: clock::now(), asked: Cell::default() };
    run(&root, "busy", "0", &mut busy).unwrap();
    assert_eq!(busy.asked.get(), 3, "revisions 0, 1 and 2 in {} turns", busy.turns);
    let text = fs::read_to_string(root.path("/run/failberry/busy.json")).unwrap();
    assert!(text.contains("\"half\":2"), "{text}");
}
