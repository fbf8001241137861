//! inotify on the snapshots a daemon follows and on its own requests.

use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use snapshot::DIRECTORY;
use sysio::Root;

use crate::Event;

/// A turn takes at most this many requests; the rest wait for the next one.
const REQUESTS_A_TURN: usize = 16;
/// The most a request may have to say; an AT command is a tenth of it.
pub const REQUEST_LIMIT: u64 = 1024;

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
            let content = content(&entry.path());
            if let Err(error) = fs::remove_file(entry.path()) {
                log::warn!("take request {name}: {error}");
                continue;
            }
            match content {
                Ok(content) if content.is_empty() => events.push(Event::Request(name)),
                Ok(content) => events.push(Event::RequestWith { name, content }),
                Err(error) => log::warn!("read request {name}: {error}; it is dropped"),
            }
        }
        events
    }
}

/// What a request says. The folder is root's; a file in it that is somebody else's came by a link
/// or a rename that nobody should have been able to make, and is not listened to.
fn content(path: &Path) -> io::Result<String> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let data = file.metadata()?;
    let folder = path.parent().map_or_else(|| Err(io::ErrorKind::NotFound.into()), fs::metadata)?;
    if !data.is_file() || data.uid() != folder.uid() {
        return Err(io::Error::other("not a file of the folder's owner"));
    }
    let mut content = String::new();
    file.take(REQUEST_LIMIT + 1).read_to_string(&mut content)?;
    if content.len() as u64 > REQUEST_LIMIT {
        return Err(io::Error::other(format!("more than {REQUEST_LIMIT} bytes")));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched() -> (tempfile::TempDir, PathBuf, Watch) {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        let requests = root.path(DIRECTORY).join("requests/tester");
        fs::create_dir_all(&requests).unwrap();
        let watch = Watch::new(&root, "tester", false).unwrap();
        (dir, requests, watch)
    }

    #[test]
    fn a_request_may_say_something_and_is_gone_once_taken() {
        let (_dir, requests, watch) = watched();
        fs::write(requests.join("redial"), "").unwrap();
        assert_eq!(watch.take(&[]), [Event::Request("redial".into())]);
        fs::write(requests.join("at-1"), "AT+CSQ").unwrap();
        let said = Event::RequestWith { name: "at-1".into(), content: "AT+CSQ".into() };
        assert_eq!(watch.take(&[]), [said]);
        assert_eq!(watch.take(&[]), []);
        assert_eq!(fs::read_dir(&requests).unwrap().count(), 0);
    }

    #[test]
    fn what_is_too_long_no_text_or_a_link_is_dropped() {
        let (dir, requests, watch) = watched();
        fs::write(requests.join("long"), vec![b'x'; 2000]).unwrap();
        fs::write(requests.join("binary"), [0xff, 0xfe]).unwrap();
        let secret = dir.path().join("secret");
        fs::write(&secret, "x").unwrap();
        std::os::unix::fs::symlink(&secret, requests.join("link")).unwrap();
        assert_eq!(watch.take(&[]), []);
        assert_eq!(fs::read_dir(&requests).unwrap().count(), 0);
        assert!(secret.exists());
    }
}
