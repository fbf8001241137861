//! A VPN: it keeps its socket whatever happens, as `WireGuard` does, and sends on.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::Shared;
use crate::error::{Context, Result};
use crate::net::internet::{FLOW_HOST, FLOW_PORT};

/// Between two packets: as a call over a VPN, thinned out. A gap is known to this.
const EVERY: Duration = Duration::from_millis(100);
/// Length of the number in front of every packet.
const NUMBER: usize = 8;

pub(super) fn run(shared: &Shared) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0").context("open the flow's socket")?;
    socket.connect(SocketAddr::from((FLOW_HOST, FLOW_PORT))).context("connect the flow")?;
    let mut answer = [0; 128];
    while !shared.is_over() {
        let number = {
            let mut seen = shared.seen();
            seen.sent += 1;
            seen.sent
        };
        // "Unreachable" of a moment ago shows here; a VPN goes on.
        let _ = socket.send(&number.to_be_bytes());
        let next = Instant::now() + EVERY;
        loop {
            let left = next.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left)).context("limit the flow's wait")?;
            let Ok(length) = socket.recv(&mut answer) else { continue };
            let from = std::str::from_utf8(answer.get(NUMBER..length).unwrap_or_default()).ok();
            if let Some(from) = from.and_then(|text| text.parse().ok()) {
                shared.seen().from = Some(from);
                shared.came();
            }
        }
    }
    Ok(())
}
