//! Signals as events, through self-pipes: children inherit no blocked mask.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::Event;

#[derive(Debug)]
pub(crate) struct Signals {
    pipes: Vec<(UnixStream, Event)>,
}

impl Signals {
    pub(crate) fn catch() -> io::Result<Self> {
        let wanted = [
            (SIGTERM, Event::Terminate),
            (SIGINT, Event::Terminate),
            (SIGHUP, Event::Reload),
            (SIGCHLD, Event::ChildEnded),
        ];
        let mut pipes = Vec::new();
        for (signal, event) in wanted {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            writer.set_nonblocking(true)?;
            pipe::register(signal, writer)?;
            pipes.push((reader, event));
        }
        Ok(Self { pipes })
    }

    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pipes.iter().map(|(reader, _)| reader.as_fd())
    }

    /// What arrived since the last call; several signals of a kind are one event.
    pub(crate) fn take(&self) -> Vec<Event> {
        self.pipes.iter().filter(|(reader, _)| drained(reader)).map(|(_, event)| event.clone()).collect()
    }
}

/// Empties a self-pipe; whether there was anything in it.
fn drained(mut reader: &UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut any = false;
    while matches!(reader.read(&mut buffer), Ok(n) if n > 0) {
        any = true;
    }
    any
}
