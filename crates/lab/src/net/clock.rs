//! Time servers of the internet, on the addresses the image asks, with the builder's own time.
//!
//! RFC 5905 (figure 8, section 14), as a server without any clock but this machine's. Without them
//! every scenario would be one of a house where NTP does not get through.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, SystemTime};

use crate::error::{Context, Error, Result};

/// IANA.
const PORT: u16 = 123;
/// Cloudflare, Google and Netnod: `crates/timekeeper/src/sources.rs`, and timesyncd's own list.
pub(crate) const ADDRESSES: [&str; 10] = [
    "162.159.200.1",
    "162.159.200.123",
    "216.239.35.0",
    "216.239.35.4",
    "194.58.200.20",
    "2606:4700:f1::1",
    "2606:4700:f1::123",
    "2001:4860:4806::",
    "2001:4860:4806:4::",
    "2a01:3f7::1",
];
/// The header, and without extensions the whole packet.
const LENGTH: usize = 48;
/// From 1900 to 1970 (RFC 5905 figure 4).
const UNIX_EPOCH: u64 = 2_208_988_800;
/// No leap second, version 4, server (figures 9 and 10).
const SERVER: u8 = 0b00_100_100;
const CLIENT: u8 = 3;

/// Serves the time from the calling thread's namespace, on every address, until the process ends.
///
/// # Errors
/// When a port cannot be taken.
pub(crate) fn serve() -> Result<()> {
    for address in ADDRESSES {
        let address: IpAddr =
            address.parse().map_err(|_| Error::Unexpected(format!("{address}: not an address")))?;
        let at = SocketAddr::new(address, PORT);
        // One socket each: the answer leaves by the address that was asked.
        let socket = UdpSocket::bind(at).context(format!("listen on {at}"))?;
        thread::spawn(move || {
            let mut request = [0; 256];
            loop {
                // An ICMP error of an earlier answer shows here; the next request may be well.
                let Ok((length, from)) = socket.recv_from(&mut request) else { continue };
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                if let Some(answer) = answer(&request[..length], now) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
    }
    Ok(())
}

/// The answer at the moment `now` after 1970; none to what is no request.
fn answer(request: &[u8], now: Duration) -> Option<[u8; LENGTH]> {
    let request: &[u8; LENGTH] = request.get(..LENGTH)?.try_into().ok()?;
    (request[0] & 7 == CLIENT).then_some(())?;
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    let stamp = ((now.as_secs() + UNIX_EPOCH) << 32 | fraction).to_be_bytes();
    let mut answer = [0; LENGTH];
    // Stratum 2, set just now, and the request's transmit timestamp given back.
    (answer[0], answer[1]) = (SERVER, 2);
    for at in [16, 32, 40] {
        answer[at..at + 8].copy_from_slice(&stamp);
    }
    answer[24..32].copy_from_slice(&request[40..]);
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_gets_the_time_and_its_own_timestamp_back() {
        let mut request = [0; LENGTH];
        request[0] = 4 << 3 | CLIENT;
        request[40..].copy_from_slice(b"cookie!!");
        let told = answer(&request, Duration::new(1_800_000_000, 500_000_000)).unwrap();
        assert_eq!((told[0], told[1]), (0x24, 2));
        assert_eq!(&told[24..32], b"cookie!!");
        // 1,800,000,000 + 2,208,988,800, and a half.
        assert_eq!(&told[40..], &[0xee, 0xf4, 0x50, 0x80, 0x80, 0, 0, 0]);
        assert_eq!(answer(&told, Duration::ZERO), None, "an answer is no request");
        assert_eq!(answer(&request[..47], Duration::ZERO), None);
    }

    #[test]
    fn every_address_is_one() {
        assert!(ADDRESSES.iter().all(|address| address.parse::<IpAddr>().is_ok()));
    }
}
