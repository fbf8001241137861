//! The number of the packet filter's current rule set, so that a guard need not list it all to know
//! that nothing changed.
//!
//! Listing costs two processes; on a Pi 3 that every ten seconds would be the whole idle budget.

use crate::Error;
use crate::connection::{failed, open_protocol, refused, wait};
use nix::sys::socket::{MsgFlags, NetlinkAddr, SockProtocol, recv, sendto};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

const OPERATION: &str = "ask for the packet filter's generation";
/// The kernel answers within microseconds; this is for a machine that is on its knees.
const LIMIT: Duration = Duration::from_secs(2);

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
/// `struct nlmsghdr`.
const HEADER: usize = 16;
// linux/netfilter/nfnetlink.h: the subsystem is the upper byte of a type; `struct nfgenmsg` has 4 bytes.
const NFNL_SUBSYS_NFTABLES: u16 = 10 << 8;
const NFGENMSG: usize = 4;
// linux/netfilter/nf_tables.h
const NFT_MSG_NEWGEN: u16 = NFNL_SUBSYS_NFTABLES | 15;
const NFT_MSG_GETGEN: u16 = NFNL_SUBSYS_NFTABLES | 16;
const NFTA_GEN_ID: u16 = 1;
/// Length and type of an attribute, then the number.
const ATTRIBUTE_HEADER: usize = 4;

/// The generation of this network namespace's nftables rules; every change of any of them makes a new
/// one (`nf_tables_commit` in the kernel's `nf_tables_api.c`). Rules of the legacy tables are not counted.
///
/// # Errors
/// See [`Error`]; so on a kernel without nftables.
pub fn firewall_generation() -> Result<u32, Error> {
    let socket = open_protocol(SockProtocol::NetlinkNetFilter, 0)?;
    let request = request();
    sendto(socket.as_raw_fd(), &request, &NetlinkAddr::new(0, 0), MsgFlags::empty())
        .map_err(|e| failed(OPERATION, e))?;
    answer(&socket)
}

fn request() -> Vec<u8> {
    let length = u32::try_from(HEADER + NFGENMSG).unwrap_or_default();
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(NFT_MSG_GETGEN.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    // Sequence number and port: one question a socket needs neither; family, version, resource: none.
    bytes.extend([0; 8 + NFGENMSG]);
    bytes
}

fn answer(socket: &OwnedFd) -> Result<u32, Error> {
    let end = Instant::now() + LIMIT;
    let mut buffer = [0; 4096];
    loop {
        wait(socket, end, OPERATION)?;
        let length = match recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => length,
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EINTR) => continue,
            Err(e) => return Err(failed(OPERATION, e)),
        };
        if let Some(result) = decode(&buffer[..length]) {
            return result.map_err(|code| refused(OPERATION, String::new(), code));
        }
    }
}

/// The generation, or the kernel's error number; none when the message is about something else.
fn decode(message: &[u8]) -> Option<Result<u32, i32>> {
    let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    match kind {
        NLMSG_ERROR => Some(Err(i32::from_ne_bytes(message.get(HEADER..HEADER + 4)?.try_into().ok()?))),
        NFT_MSG_NEWGEN => attribute(message.get(HEADER + NFGENMSG..)?).map(Ok),
        _ => None,
    }
}

fn attribute(mut rest: &[u8]) -> Option<u32> {
    loop {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        if kind == NFTA_GEN_ID {
            // Big-endian, as all numbers of nftables.
            return Some(u32::from_be_bytes(value.try_into().ok()?));
        }
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torn_and_foreign_messages_are_no_answer() {
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[0; 64]), None);
        let mut answer = request();
        answer[4..6].copy_from_slice(&NFT_MSG_NEWGEN.to_ne_bytes());
        assert_eq!(decode(&answer), None);
        answer.extend([8, 0, 1]);
        assert_eq!(decode(&answer), None);
    }

    #[test]
    fn the_number_is_big_endian_behind_other_attributes() {
        let mut answer = request();
        answer[4..6].copy_from_slice(&NFT_MSG_NEWGEN.to_ne_bytes());
        for (kind, value) in [(2_u16, [0, 0, 0, 9]), (NFTA_GEN_ID, [0, 0, 1, 2])] {
            answer.extend(8_u16.to_ne_bytes());
            answer.extend(kind.to_ne_bytes());
            answer.extend(value);
        }
        assert_eq!(decode(&answer), Some(Ok(258)));
    }
}
