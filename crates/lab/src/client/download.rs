//! A long download, as `curl --continue-at - --retry` does it: when nothing comes for some seconds the
//! connection is given up and the rest is asked for on a new one.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::{Shared, wrong};
use crate::error::Result;
use crate::net::http::large_byte;
use crate::net::internet::FLOW_HOST;

/// Bytes, and bytes a second: two minutes.
const BYTES: u64 = 3_840_000;
const RATE: u64 = 32_000;
/// No byte for this long: the connection is given up. Browsers are slower, package managers quicker.
const STALLED: Duration = Duration::from_secs(3);
/// Pause before the next try, where the kernel refuses at once.
const AGAIN: Duration = Duration::from_millis(200);

pub(super) fn run(shared: &Shared) -> Result<()> {
    let mut have = 0;
    while have < BYTES && !shared.is_over() {
        shared.seen().connections += 1;
        if !part(shared, &mut have)? {
            thread::sleep(AGAIN);
        }
    }
    shared.seen().complete = have == BYTES;
    Ok(())
}

/// Takes what comes on one connection; whether anything did.
fn part(shared: &Shared, have: &mut u64) -> Result<bool> {
    let begun = *have;
    let address = SocketAddr::from((FLOW_HOST, 80));
    let Ok(mut stream) = TcpStream::connect_timeout(&address, STALLED) else { return Ok(false) };
    let request = format!(
        "GET /large?bytes={BYTES}&rate={RATE} HTTP/1.1\r\nHost: web.test\r\nRange: bytes={begun}-\r\n\r\n"
    );
    if stream.set_read_timeout(Some(STALLED)).is_err() || stream.write_all(request.as_bytes()).is_err() {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    let mut in_body = false;
    while let Ok(length @ 1..) = stream.read(&mut chunk) {
        if shared.is_over() {
            break;
        }
        bytes.extend(&chunk[..length]);
        if !in_body {
            let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            if !bytes.starts_with(b"HTTP/1.1 206") {
                return Ok(false);
            }
            bytes.drain(..end + 4);
            in_body = true;
        }
        for byte in bytes.drain(..) {
            if byte != large_byte(*have) {
                return Err(wrong(&format!("byte {have} of the download is not its own")));
            }
            *have += 1;
        }
        shared.came();
    }
    Ok(*have > begun)
}
