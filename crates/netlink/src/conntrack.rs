//! Connection tracking by mark: how many entries carry one, and deleting those in one order.
//!
//! The kernel filters itself (`ctnetlink_flush_conntrack` and `ctnetlink_filter_match` in
//! `nf_conntrack_netlink.c`): ten thousand entries need no ten thousand questions. A
//! kernel without marks refuses (`EOPNOTSUPP`) rather than flushing everything.
//!
//! By hand, as the packet filter's generation: two attributes out and a count back need no crate.

use crate::Error;
use crate::connection::{failed, open_protocol, refused, wait};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, NetlinkAddr, SockProtocol, recv, sendto};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

const COUNT: &str = "count tracked connections by mark";
const DELETE: &str = "delete tracked connections by mark";
/// A table at its largest (262144 entries on a machine with much memory) is walked well within this.
const LIMIT: Duration = Duration::from_secs(5);
/// A list whose answers came faster than they were read is asked for again this often.
const TRIES: usize = 3;
/// The kernel fills at most 32 KiB a message (`netlink_dump` in `af_netlink.c`).
const BUFFER: usize = 64 * 1024;

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
/// `struct nlmsghdr`, and where its type and the code of an error are.
const HEADER: usize = 16;
// linux/netfilter/nfnetlink.h: the subsystem is the upper byte of a type.
const NFNL_SUBSYS_CTNETLINK: u16 = 1 << 8;
// linux/netfilter/nfnetlink_conntrack.h
const IPCTNL_MSG_CT_NEW: u16 = NFNL_SUBSYS_CTNETLINK;
const IPCTNL_MSG_CT_GET: u16 = NFNL_SUBSYS_CTNETLINK | 1;
const IPCTNL_MSG_CT_DELETE: u16 = NFNL_SUBSYS_CTNETLINK | 2;
const CTA_MARK: u16 = 8;
const CTA_MARK_MASK: u16 = 21;

/// How many entries, of both families, have `mark` in those `bits`.
///
/// # Errors
/// See [`Error`]; so on a kernel without connection tracking over netlink.
pub fn count_connections(mark: u32, bits: u32) -> Result<u32, Error> {
    for _ in 0..TRIES {
        let socket = ask(COUNT, IPCTNL_MSG_CT_GET, NLM_F_DUMP, mark, bits)?;
        match listen(&socket, COUNT) {
            // Answers were lost: what was counted is worth nothing.
            Err(e) if e.errno() == Some(Errno::ENOBUFS as i32) => {}
            other => return other,
        }
    }
    Err(Error::Interrupted { operation: COUNT })
}

/// Deletes them; how many there were just before.
///
/// # Errors
/// See [`Error`].
pub fn forget_connections(mark: u32, bits: u32) -> Result<u32, Error> {
    let count = count_connections(mark, bits)?;
    if count > 0 {
        let socket = ask(DELETE, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, mark, bits)?;
        listen(&socket, DELETE)?;
    }
    Ok(count)
}

/// A socket of its own for each question: no answer to an earlier one can be taken for this one's.
fn ask(operation: &'static str, kind: u16, flags: u16, mark: u32, bits: u32) -> Result<OwnedFd, Error> {
    let socket = open_protocol(SockProtocol::NetlinkNetFilter, 0)?;
    let request = request(kind, flags, mark, bits);
    sendto(socket.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty())
        .map_err(|e| failed(operation, e))?;
    Ok(socket)
}

fn request(kind: u16, flags: u16, mark: u32, bits: u32) -> Vec<u8> {
    // `struct nfgenmsg`: no family, which is both of them; version and resource 0. Two attributes.
    let mut body = vec![0; 4];
    for (kind, number) in [(CTA_MARK, mark), (CTA_MARK_MASK, bits)] {
        body.extend(8_u16.to_ne_bytes());
        body.extend(kind.to_ne_bytes());
        // Big-endian, as all numbers of ctnetlink.
        body.extend(number.to_be_bytes());
    }
    let length = u32::try_from(HEADER + body.len()).unwrap_or_default();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
    // Sequence number and port: one question a socket needs neither.
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// Counts the entries in the answers until the last one.
fn listen(socket: &OwnedFd, operation: &'static str) -> Result<u32, Error> {
    let end = Instant::now() + LIMIT;
    let mut buffer = vec![0; BUFFER];
    let mut entries = 0;
    loop {
        wait(socket, end, operation)?;
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => length,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(e) => return Err(failed(operation, e)),
        };
        match read(&buffer[..length]) {
            (more, None) => entries += more,
            (more, Some(0)) => return Ok(entries + more),
            (_, Some(code)) => return Err(refused(operation, String::new(), code)),
        }
    }
}

/// The entries in a datagram and, where it is the last one, how it ended (0 is well).
fn read(mut bytes: &[u8]) -> (u32, Option<i32>) {
    let mut entries = 0;
    while let Some((length, kind)) = header(bytes) {
        match kind {
            NLMSG_ERROR | NLMSG_DONE => {
                let code = bytes.get(HEADER..HEADER + 4).and_then(|b| b.try_into().ok());
                return (entries, Some(code.map_or(0, i32::from_ne_bytes)));
            }
            IPCTNL_MSG_CT_NEW => entries += 1,
            _ => {}
        }
        bytes = &bytes[length.next_multiple_of(4).min(bytes.len())..];
    }
    (entries, None)
}

fn header(bytes: &[u8]) -> Option<(usize, u16)> {
    let length = u32::from_ne_bytes(bytes.get(..4)?.try_into().ok()?) as usize;
    let kind = u16::from_ne_bytes(bytes.get(4..6)?.try_into().ok()?);
    (HEADER..=bytes.len()).contains(&length).then_some((length, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 10]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn entries_are_counted_up_to_the_end() {
        let mut bytes = message(IPCTNL_MSG_CT_NEW, &[0; 8]);
        bytes.extend(message(IPCTNL_MSG_CT_NEW, &[0; 4]));
        assert_eq!(read(&bytes), (2, None));
        bytes.extend(message(NLMSG_DONE, &[0; 4]));
        assert_eq!(read(&bytes), (2, Some(0)));
        assert_eq!(read(&message(NLMSG_ERROR, &(-95_i32).to_ne_bytes())), (0, Some(-95)));
    }

    #[test]
    fn torn_datagrams_end_the_count_without_harm() {
        assert_eq!(read(&[]), (0, None));
        assert_eq!(read(&[255; 40]), (0, None));
        assert_eq!(read(&message(IPCTNL_MSG_CT_NEW, &[0; 8])[..10]), (0, None));
    }

    #[test]
    fn the_filter_is_mark_and_mask() {
        let bytes = request(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, 0x0020_0000, 0x00ff_0000);
        assert_eq!(bytes.len(), 36);
        assert_eq!(&bytes[20..], [8, 0, 8, 0, 0, 0x20, 0, 0, 8, 0, 21, 0, 0, 0xff, 0, 0]);
    }
}
