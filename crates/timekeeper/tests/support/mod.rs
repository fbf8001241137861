//! A small internet that knows the time, or does not: SNTP servers, a name server, web pages.
//!
//! The SNTP server is written from RFC 5905 (section 7.3, figure 8; section 14): there is no NTP
//! server among the tools these tests run with.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use testnet::Namespace;

/// How often a server looks whether it should end.
const TURN: Duration = Duration::from_millis(20);
/// A client that says nothing for so long is left alone.
const CLIENT: Duration = Duration::from_secs(5);
/// From 1900 to 1970 (RFC 5905 figure 4).
const UNIX_EPOCH: u64 = 2_208_988_800;

/// How NTP servers behave.
pub(crate) const RIGHT: u8 = 0;
pub(crate) const SILENT: u8 = 1;
pub(crate) const GARBAGE: u8 = 2;
pub(crate) const KISS: u8 = 3;
pub(crate) const FORGED: u8 = 4;

/// What the servers do, changed while they run.
#[derive(Debug, Default)]
pub(crate) struct Dials {
    /// Of all NTP servers.
    pub(crate) ntp: AtomicU8,
    /// Only the one at this place of the list answers wrongly, by so many seconds; 0: none.
    pub(crate) liar_secs: AtomicI64,
    /// Every page is somebody's login page.
    pub(crate) portal: AtomicBool,
    /// Seconds that pages' dates are off.
    pub(crate) page_secs: AtomicI64,
    /// Requests that NTP servers have had.
    pub(crate) asked: AtomicUsize,
    /// Requests that pages have had.
    pub(crate) visited: AtomicUsize,
}

/// Servers; they end with the value.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    pub(crate) dials: Arc<Dials>,
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Servers {
    /// An SNTP server on an address; `lies`: whether the liar's dial is meant for it.
    pub(crate) fn ntp(&mut self, at: &Namespace, address: IpAddr, lies: bool) {
        let socket = at.run(move || UdpSocket::bind((address, 123)).unwrap());
        socket.set_read_timeout(Some(TURN)).unwrap();
        let (end, dials) = (Arc::clone(&self.end), Arc::clone(&self.dials));
        self.threads.push(std::thread::spawn(move || {
            let mut buffer = [0; 128];
            while !end.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                assert_eq!(length, 48, "an SNTP request is 48 bytes");
                dials.asked.fetch_add(1, Ordering::SeqCst);
                let off = if lies { dials.liar_secs.load(Ordering::SeqCst) } else { 0 };
                for answer in answers(&buffer[..48], dials.ntp.load(Ordering::SeqCst), off) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        }));
    }

    /// A name server for everything: every name is at `web`.
    pub(crate) fn dns(&mut self, at: &Namespace, address: IpAddr, web: [u8; 4]) {
        let socket = at.run(move || UdpSocket::bind((address, 53)).unwrap());
        socket.set_read_timeout(Some(TURN)).unwrap();
        let end = Arc::clone(&self.end);
        self.threads.push(std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while !end.load(Ordering::SeqCst) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                // RFC 1035 section 4.1: the question given back, and one address of it.
                let mut answer = buffer[..length].to_vec();
                answer[2] |= 0x80;
                answer[7] = 1;
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
                answer.extend(web);
                let _ = socket.send_to(&answer, from);
            }
        }));
    }

    /// The pages, all of them, with the date.
    pub(crate) fn web(&mut self, at: &Namespace, address: IpAddr) {
        let listener = at.run(move || TcpListener::bind((address, 80)).unwrap());
        listener.set_nonblocking(true).unwrap();
        let (end, dials) = (Arc::clone(&self.end), Arc::clone(&self.dials));
        self.threads.push(std::thread::spawn(move || {
            while !end.load(Ordering::SeqCst) {
                let Ok((mut stream, _)) = listener.accept() else {
                    // std has no accept with a deadline.
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                stream.set_read_timeout(Some(CLIENT)).unwrap();
                let mut buffer = [0; 1024];
                let length = stream.read(&mut buffer).unwrap_or(0);
                dials.visited.fetch_add(1, Ordering::SeqCst);
                let _ =
                    stream.write_all(page(&String::from_utf8_lossy(&buffer[..length]), &dials).as_bytes());
            }
        }));
    }
}

fn page(request: &str, dials: &Dials) -> String {
    let off = dials.page_secs.load(Ordering::SeqCst);
    let date = httpdate::fmt_http_date(moved(off));
    if dials.portal.load(Ordering::SeqCst) {
        return format!("HTTP/1.1 302 Found\r\nDate: {date}\r\nLocation: http://login.hotel.test/\r\n\r\n");
    }
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    let (status, body) = match path {
        "/generate_204" => ("204 No Content", ""),
        "/success.txt" => ("200 OK", "success\n"),
        "/hotspot-detect.html" => ("200 OK", "<HTML><HEAD><TITLE>Success</TITLE></HEAD></HTML>"),
        _ => ("200 OK", "Microsoft Connect Test"),
    };
    format!("HTTP/1.1 {status}\r\nServer: test\r\nDate: {date}\r\nConnection: close\r\n\r\n{body}")
}

/// So many seconds from now, by the machine's own clock.
pub(crate) fn moved(secs: i64) -> SystemTime {
    let by = Duration::from_secs(secs.unsigned_abs());
    if secs < 0 { SystemTime::now() - by } else { SystemTime::now() + by }
}

fn answers(request: &[u8], manner: u8, off: i64) -> Vec<Vec<u8>> {
    let since = moved(off).duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    let stamp = ((since.as_secs() + UNIX_EPOCH) & 0xffff_ffff) << 32 | fraction;
    let mut answer = vec![0; 48];
    // No leap second, version 4, server; stratum 2.
    (answer[0], answer[1]) = (0o44, 2);
    answer[24..32].copy_from_slice(&request[40..48]);
    for at in [16, 32, 40] {
        answer[at..at + 8].copy_from_slice(&stamp.to_be_bytes());
    }
    match manner {
        RIGHT => vec![answer],
        SILENT => vec![],
        GARBAGE => vec![vec![0xff; 48], vec![0; 1400], answer[..47].to_vec(), request.to_vec()],
        KISS => {
            answer[1] = 0;
            answer[12..16].copy_from_slice(b"DENY");
            vec![answer]
        }
        // Somebody who has not seen the request answers first, with another time; then the server.
        FORGED => {
            let mut forged = answer.clone();
            forged[31] ^= 1;
            forged[32] ^= 1;
            forged[40] ^= 1;
            vec![forged; 5].into_iter().chain([answer]).collect()
        }
        _ => unreachable!("no such manner"),
    }
}

/// An address.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
