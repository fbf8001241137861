//! The loop.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use snapshot::Publisher;
use sysio::{Monotonic, Root, clock};

use crate::notify::Notifier;
use crate::signals::Signals;
use crate::watch::Watch;
use crate::{Daemon, Error, Event};

/// Time a daemon has to tear down after SIGTERM; systemd's own patience (90 s) is longer.
const TEARDOWN: Duration = Duration::from_secs(15);
/// How soon a snapshot that could not be written is tried again.
const PUBLISH_RETRY: Duration = Duration::from_secs(1);
/// How soon a watchdog ping that systemd did not take is repeated.
const NOTIFY_RETRY: Duration = Duration::from_secs(1);
/// A wait ends after this even if nobody asked, so that a clock error cannot become a sleep for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Runs `daemon` until it is told to stop, or is done.
///
/// # Errors
/// [`Error::Loop`] if the loop cannot be set up or polled, [`Error::Daemon`] if the daemon gave up.
pub fn run<D: Daemon>(root: &Root, name: &str, version: &str, daemon: &mut D) -> Result<(), Error<D::Error>> {
    let mut turn = Loop::new(root, name, version, daemon)
        .map_err(|source| Error::Loop { action: "set up the event loop", source })?;
    daemon.handle(clock::now(), Event::Start).map_err(Error::Daemon)?;
    turn.publish(daemon);
    turn.ready = turn.notifier.send("READY=1");
    let mut stop_by: Option<Monotonic> = None;
    while !daemon.done() {
        let events = turn.wait(daemon, stop_by).map_err(|source| Error::Loop { action: "poll", source })?;
        for event in events {
            if event == Event::Terminate {
                // Only a courtesy: nothing depends on its arrival.
                let _ = turn.notifier.send("STOPPING=1");
                stop_by.get_or_insert(clock::now() + TEARDOWN);
            }
            daemon.handle(clock::now(), event).map_err(Error::Daemon)?;
        }
        turn.publish(daemon);
        turn.ping();
        if let Some(limit) = stop_by
            && (daemon.finished() || clock::now() >= limit)
        {
            return Ok(());
        }
    }
    // Not "STOPPING=1": after that a unit with RemainAfterExit= would count as stopped all the same
    // (service_enter_stop_by_notify in systemd's service.c).
    Ok(())
}

struct Loop {
    notifier: Notifier,
    signals: Signals,
    watch: Watch,
    publisher: Publisher,
    /// Whether systemd knows that we are up.
    ready: bool,
    next_ping: Monotonic,
    publish_again: Option<Monotonic>,
    /// The daemon's revision of the last report.
    published: Option<u64>,
}

impl Loop {
    fn new<D: Daemon>(root: &Root, name: &str, version: &str, daemon: &D) -> io::Result<Self> {
        Ok(Self {
            notifier: Notifier::from_environment(),
            signals: Signals::catch()?,
            watch: Watch::new(root, name, !daemon.follows().is_empty())?,
            publisher: Publisher::new(root, name, version)?,
            ready: false,
            next_ping: clock::now(),
            publish_again: None,
            published: None,
        })
    }

    /// Waits for something to happen and says what, in the order: signals, requests, descriptors, time.
    fn wait<D: Daemon>(&self, daemon: &D, stop_by: Option<Monotonic>) -> io::Result<Vec<Event>> {
        let interests = daemon.interests();
        let mut fds: Vec<PollFd<'_>> = self
            .signals
            .fds()
            .chain([self.watch.fd()])
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        let own = fds.len();
        for interest in &interests {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, interest.read);
            flags.set(PollFlags::POLLOUT, interest.write);
            fds.push(PollFd::new(interest.fd, flags));
        }
        match poll(&mut fds, self.timeout(daemon, stop_by)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut events = self.signals.take();
        events.extend(self.watch.take(daemon.follows()));
        for (fd, interest) in fds[own..].iter().zip(&interests) {
            let got = fd.revents().unwrap_or(PollFlags::empty());
            let broken = got.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL);
            let readable = got.contains(PollFlags::POLLIN) || broken;
            let writable = got.contains(PollFlags::POLLOUT);
            if readable || writable {
                events.push(Event::Ready { token: interest.token, readable, writable });
            }
        }
        if daemon.deadline().is_some_and(|at| clock::now() >= at) {
            events.push(Event::Deadline);
        }
        Ok(events)
    }

    fn timeout<D: Daemon>(&self, daemon: &D, stop_by: Option<Monotonic>) -> PollTimeout {
        let now = clock::now();
        let ping = self.notifier.ping_interval().map(|_| self.next_ping);
        let publish = self.publish_again.unwrap_or(self.publisher.due());
        let next = [Some(publish), ping, daemon.deadline(), stop_by]
            .into_iter()
            .flatten()
            .map(|at| at.since(now))
            .fold(LONGEST_WAIT, Duration::min);
        // Rounded up: waking a fraction of a millisecond early would spin until the deadline.
        let millis = next.as_nanos().div_ceil(1_000_000);
        PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)
    }

    /// Publishes; a full or read-only /run is logged once, and tried again until it is over.
    fn publish<D: Daemon>(&mut self, daemon: &D) {
        let now = clock::now();
        let revision = daemon.revision();
        let nothing_new = revision.is_some() && revision == self.published;
        if nothing_new && self.publish_again.is_none() && now < self.publisher.due() {
            return;
        }
        self.published = revision;
        let result = self.publisher.publish(now, daemon.report(now));
        if let Err(error) = &result
            && self.publish_again.is_none()
        {
            log::error!("write snapshot: {error}");
        }
        self.publish_again = result.is_err().then(|| now + PUBLISH_RETRY);
    }

    fn ping(&mut self) {
        let now = clock::now();
        if !self.ready {
            self.ready = self.notifier.send("READY=1");
        }
        if let Some(interval) = self.notifier.ping_interval()
            && now >= self.next_ping
        {
            let heard = self.notifier.send("WATCHDOG=1");
            self.next_ping = now + if heard { interval } else { NOTIFY_RETRY };
        }
    }
}
