//! `sd_notify`(3): readiness, watchdog, stopping.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager's ear, if there is one.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How long systemd waits for a sign of life.
    watchdog: Option<Duration>,
}

impl Notifier {
    pub(crate) fn from_environment() -> Self {
        let watchdog = env::var("WATCHDOG_USEC").ok().and_then(|v| v.parse().ok()).map(Duration::from_micros);
        let for_us = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        Self { socket: socket(), watchdog: watchdog.filter(|_| for_us) }
    }

    /// How often to ping: half the limit, as `sd_watchdog_enabled`(3) recommends.
    pub(crate) fn ping_interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// Whether it was heard, or nobody listens; systemd's queue may be full for a moment.
    #[must_use]
    pub(crate) fn send(&self, state: &str) -> bool {
        let Some((socket, address)) = &self.socket else { return true };
        let sent = socket.send_to_addr(state.as_bytes(), address);
        if let Err(error) = &sent {
            log::debug!("tell systemd {state}: {error}");
        }
        sent.is_ok()
    }
}

fn socket() -> Option<(UnixDatagram, SocketAddr)> {
    let path = env::var_os("NOTIFY_SOCKET")?;
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let socket = UnixDatagram::unbound().ok()?;
    // A full queue must not stop the daemon that reports to it.
    socket.set_nonblocking(true).ok()?;
    Some((socket, address.ok()?))
}
