//! inotify on the snapshots a daemon follows and on its own requests.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use snapshot::DIRECTORY;
use sysio::Root;

use crate::Event;

/// A turn takes at most this many requests; the rest wait for the next one.
const REQUESTS_A_TURN: usize = 16;

#[derive(Debug)]
pub(crate) struct Watch {
    inotify: Inotify,
    snapshots: Option<WatchDescriptor>,
    requests: PathBuf,
}

impl Watch {
    pub(crate) fn new(root: &Root, daemon: &str, follows_any: bool) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let snapshots = if follows_any {
            // Snapshots arrive by rename.
            Some(inotify.add_watch(&root.path(DIRECTORY), AddWatchFlags::IN_MOVED_TO)?)
        } else {
            None
        };
        let requests = root.path(DIRECTORY).join("requests").join(daemon);
        // Made by tmpfiles, with the right owner, for those who take requests at all.
        let flags = AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CLOSE_WRITE;
        match inotify.add_watch(&requests, flags) {
            Ok(_) | Err(Errno::ENOENT) => {}
            Err(error) => log::warn!("no requests: watch {}: {error}", requests.display()),
        }
        Ok(Self { inotify, snapshots, requests })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Snapshots of `follows` that changed, and requests, which are removed as they are taken.
    pub(crate) fn take(&self, follows: &[&str]) -> Vec<Event> {
        let mut events = self.requests();
        let Ok(occurrences) = self.inotify.read_events() else { return events };
        for occurrence in occurrences {
            // After an overflow anything may have changed.
            let lost = occurrence.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
            let name =
                occurrence.name.as_ref().and_then(|n| n.to_str()).and_then(|n| n.strip_suffix(".json"));
            for daemon in follows {
                let hit = Some(occurrence.wd) == self.snapshots && name == Some(*daemon);
                let event = Event::SnapshotChanged((*daemon).to_owned());
                if (hit || lost) && !events.contains(&event) {
                    events.push(event);
                }
            }
        }
        events
    }

    fn requests(&self) -> Vec<Event> {
        let Ok(entries) = fs::read_dir(&self.requests) else { return Vec::new() };
        let mut events = Vec::new();
        for entry in entries.flatten().take(REQUESTS_A_TURN) {
            let name = entry.file_name().to_string_lossy().into_owned();
            // A name with a dot in front is still being written.
            if name.starts_with('.') {
                continue;
            }
            match fs::remove_file(entry.path()) {
                Ok(()) => events.push(Event::Request(name)),
                Err(error) => log::warn!("take request {name}: {error}"),
            }
        }
        events
    }
}
