//! The stick's edge: one thread that polls QEMU's socket, the TUN device and the test's commands,
//! and carries bytes between them and the pure [`Stick`].

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::engine::Stick;
use super::handle::Shared;
use super::{StickCommand, StickConfig, StickError, StickHandle};
use crate::carrier;

/// Between two looks for QEMU's socket.
const RECONNECT: Duration = Duration::from_millis(100);
/// Read at once from the socket.
const CHUNK: usize = 64 * 1024;
/// Packets read from the TUN device before the others get their turn.
const PACKETS_PER_TURN: usize = 64;
/// Longest IP packet a TUN device hands over with its default MTU, and room to spare.
const PACKET_MAX: usize = 2048;

pub(super) fn start(config: StickConfig) -> Result<StickHandle, StickError> {
    spawn(config).map(|(handle, _)| handle)
}

pub(super) fn run_standalone(config: StickConfig) -> Result<(), StickError> {
    let (_handle, thread) = spawn(config)?;
    thread.join().map_err(|_| StickError::Thread(io::Error::other("it panicked")))
}

fn spawn(config: StickConfig) -> Result<(StickHandle, JoinHandle<()>), StickError> {
    let tun = carrier::tun::open(&config.carrier)
        .map_err(|source| StickError::Tun { name: config.carrier.tun.clone(), source })?;
    let (wake, wake_write) =
        nix::unistd::pipe2(OFlag::O_NONBLOCK | OFlag::O_CLOEXEC).map_err(|e| StickError::Thread(e.into()))?;
    let (sender, commands) = mpsc::channel();
    let shared = Arc::new(Shared::default());
    let handle = StickHandle::new(sender, File::from(wake_write), Arc::clone(&shared));
    let mut edge = Edge {
        stick: Stick::new(&config, seed()),
        path: config.socket,
        started: Instant::now(),
        commands,
        wake: wake.into(),
        tun: tun.into(),
        socket: None,
        connect_at: Duration::ZERO,
        unsent: Vec::new(),
        shared,
    };
    let thread = std::thread::Builder::new()
        .name("stick".into())
        .spawn(move || edge.run())
        .map_err(StickError::Thread)?;
    Ok((handle, thread))
}

/// Sessions need differing numbers, not secret ones.
fn seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) << 32 | since.as_secs() & 0xffff_ffff
}

struct Edge {
    stick: Stick,
    path: PathBuf,
    started: Instant,
    commands: Receiver<StickCommand>,
    wake: File,
    tun: File,
    socket: Option<UnixStream>,
    connect_at: Duration,
    unsent: Vec<u8>,
    shared: Arc<Shared>,
}

impl Edge {
    fn run(&mut self) {
        while self.turn() {}
    }

    /// One turn of the loop; false when the stick is to end.
    fn turn(&mut self) -> bool {
        let now = self.started.elapsed();
        self.connect(now);
        self.stick.tick(now);
        self.flush(now);
        self.shared.publish(self.stick.state());

        let ready = self.wait(now);
        let now = self.started.elapsed();
        if ready.socket {
            self.read_socket(now);
        }
        if ready.tun {
            self.read_tun(now);
        }
        !ready.wake || self.take_commands(now)
    }

    fn connect(&mut self, now: Duration) {
        if self.socket.is_some() || now < self.connect_at {
            return;
        }
        self.connect_at = now + RECONNECT;
        let Ok(socket) = UnixStream::connect(&self.path) else { return };
        if socket.set_nonblocking(true).is_ok() {
            log::info!("stick: attached to {}", self.path.display());
            self.socket = Some(socket);
            self.stick.attach(now);
        }
    }

    fn disconnect(&mut self, now: Duration, why: &dyn std::fmt::Display) {
        log::info!("stick: detached from {}: {why}", self.path.display());
        self.socket = None;
        self.unsent.clear();
        self.stick.detach(now);
    }

    fn wait(&self, now: Duration) -> Ready {
        let reconnect = self.socket.is_none().then_some(self.connect_at);
        let deadline = self.stick.next_deadline().into_iter().chain(reconnect).min();
        let timeout = deadline.map_or(PollTimeout::NONE, |at| {
            // Rounded up, or the last millisecond would be spent spinning.
            let left = at.saturating_sub(now) + Duration::from_micros(999);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = vec![
            PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.tun.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(socket) = &self.socket {
            let out = if self.unsent.is_empty() { PollFlags::empty() } else { PollFlags::POLLOUT };
            fds.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN | out));
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => log::error!("stick: poll: {error}"),
        }
        let ready = |at: usize| fds.get(at).and_then(PollFd::any).unwrap_or(false);
        Ready { wake: ready(0), tun: ready(1), socket: ready(2) }
    }

    fn read_socket(&mut self, now: Duration) {
        let Some(socket) = &mut self.socket else { return };
        let mut buffer = vec![0; CHUNK];
        match socket.read(&mut buffer) {
            Ok(0) => self.disconnect(now, &"closed by the machine"),
            Ok(length) => {
                if let Err(error) = self.stick.input(now, &buffer[..length]) {
                    self.disconnect(now, &error);
                }
            }
            Err(error) if is_temporary(&error) => {}
            Err(error) => self.disconnect(now, &error),
        }
    }

    fn read_tun(&mut self, now: Duration) {
        let mut packet = [0; PACKET_MAX];
        for _ in 0..PACKETS_PER_TURN {
            match self.tun.read(&mut packet) {
                Ok(length) => self.stick.packet(now, &packet[..length]),
                Err(error) if is_temporary(&error) => return,
                Err(error) => {
                    log::error!("carrier: read from the TUN device: {error}");
                    return;
                }
            }
        }
    }

    /// False when the stick is to end: on `Stop`, or when nobody holds a handle any more.
    fn take_commands(&mut self, now: Duration) -> bool {
        if matches!(self.wake.read(&mut [0; 64]), Ok(0)) {
            return false;
        }
        while let Ok(command) = self.commands.try_recv() {
            if command == StickCommand::Stop {
                return false;
            }
            self.stick.command(now, command);
        }
        true
    }

    fn flush(&mut self, now: Duration) {
        for packet in self.stick.take_packets() {
            // An interface that is down or full loses packets, as any does.
            if let Err(error) = self.tun.write(&packet) {
                log::debug!("carrier: packet of {} bytes lost: {error}", packet.len());
            }
        }
        self.unsent.extend(self.stick.take_output());
        while !self.unsent.is_empty() {
            let Some(socket) = &mut self.socket else { return };
            match socket.write(&self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(error) if is_temporary(&error) => return,
                Err(error) => return self.disconnect(now, &error),
            }
        }
    }
}

struct Ready {
    wake: bool,
    tun: bool,
    socket: bool,
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
