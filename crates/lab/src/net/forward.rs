//! Doors from the builder's loopback into the house: so that a person can open the status page,
//! and nobody else on the builder's network can.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::error::{Context, Result};
use crate::net::Namespace;

/// How long the appliance may take to accept a forwarded connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Forwards a free port of 127.0.0.1 to `target` as seen from `namespace`, until the process ends.
///
/// # Errors
/// When no port can be taken.
pub fn forward(namespace: Arc<Namespace>, target: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("listen on 127.0.0.1")?;
    let address = listener.local_addr().context("read the address listened on")?;
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            let namespace = namespace.clone();
            thread::spawn(move || {
                let connect =
                    || TcpStream::connect_timeout(&target, CONNECT).context(format!("connect to {target}"));
                // The appliance may be rebooting: the near end closes, which says as much.
                if let Ok(far) = namespace.inside(connect) {
                    let _ = couple(&near, &far);
                }
            });
        }
    });
    Ok(address)
}

fn couple(near: &TcpStream, far: &TcpStream) -> io::Result<()> {
    let (near_in, far_out) = (near.try_clone()?, far.try_clone()?);
    let there = thread::spawn(move || pump(&near_in, &far_out));
    pump(far, near);
    let _ = there.join();
    Ok(())
}

fn pump(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
