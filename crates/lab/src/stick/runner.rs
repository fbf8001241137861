//! The stick's edge: one thread that polls QEMU's socket, the TUN device and the test's commands.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::thread::JoinHandle;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::handle::Shared;
use super::{StickCommand, StickConfig, StickError, StickHandle, StickState};
use crate::carrier;

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
    let mut edge = Edge { commands, wake: wake.into(), tun, shared };
    let thread = std::thread::Builder::new()
        .name("stick".into())
        .spawn(move || edge.run())
        .map_err(StickError::Thread)?;
    Ok((handle, thread))
}

struct Edge {
    commands: Receiver<StickCommand>,
    wake: File,
    tun: OwnedFd,
    shared: Arc<Shared>,
}

impl Edge {
    fn run(&mut self) {
        loop {
            self.shared.publish(StickState::default());
            let mut fds = [
                PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.tun.as_fd(), PollFlags::POLLIN),
            ];
            if poll(&mut fds, PollTimeout::NONE).is_err() {
                return;
            }
            let _ = self.wake.read(&mut [0; 64]);
            while let Ok(command) = self.commands.try_recv() {
                if command == StickCommand::Stop {
                    return;
                }
            }
        }
    }
}
