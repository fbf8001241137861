//! Saves without making the loop wait.
//!
//! A card takes hundreds of milliseconds for a sync, a worn one seconds (so do all that are asked to
//! erase just then), and in that time the loop would miss the answers to its probes: a slow card would
//! look like a lossy line. So one named thread does the waiting.

use super::store::Store;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Duration;

/// The thread and what is under way.
#[derive(Debug)]
pub(crate) struct Saver {
    jobs: SyncSender<String>,
    done: Receiver<Result<(), String>>,
    busy: bool,
}

impl Saver {
    /// Starts the thread; it ends with the value.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(crate) fn start(mut store: Store) -> io::Result<Self> {
        let (jobs, inbox) = sync_channel::<String>(1);
        let (outbox, done) = sync_channel(1);
        thread::Builder::new().name("usage-saver".to_owned()).spawn(move || {
            for text in inbox {
                if outbox.send(store.save(&text)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { jobs, done, busy: false })
    }

    /// Whether the last state is still on its way.
    pub(crate) fn busy(&self) -> bool {
        self.busy
    }

    /// Hands a state over; while one is on its way, nothing happens.
    pub(crate) fn save(&mut self, text: String) {
        if !self.busy {
            self.busy = self.jobs.try_send(text).is_ok();
        }
    }

    /// How it went, once it is over.
    pub(crate) fn result(&mut self) -> Option<Result<(), String>> {
        match self.done.try_recv() {
            Ok(result) => {
                self.busy = false;
                Some(result)
            }
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(self.ended()),
        }
    }

    /// Waits for what is on its way, at most so long.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<Result<(), String>> {
        if !self.busy {
            return None;
        }
        match self.done.recv_timeout(limit) {
            Ok(result) => {
                self.busy = false;
                Some(result)
            }
            Err(RecvTimeoutError::Timeout) => Some(Err("the card takes too long".to_owned())),
            Err(RecvTimeoutError::Disconnected) => Some(self.ended()),
        }
    }

    /// A thread that panicked; systemd's next start brings another.
    fn ended(&mut self) -> Result<(), String> {
        self.busy = false;
        Err("the thread that saves has ended".to_owned())
    }
}
