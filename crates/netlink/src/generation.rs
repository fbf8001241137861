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
/// Who made it: `current` of the commit (`nf_tables_fill_gen_info` in the kernel's `nf_tables_api.c`).
const NFTA_GEN_PROC_PID: u16 = 2;
const NFTA_GEN_PROC_NAME: u16 = 3;
/// Length and type of an attribute, then the number.
const ATTRIBUTE_HEADER: usize = 4;

/// A change of the packet filter that came into force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its number.
    pub generation: u32,
    /// The process that made it: number (of the first process namespace) and name, where the kernel says.
    pub by: Option<(u32, String)>,
}

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

/// The commits a datagram of the nftables group tells of; what else is in it is left out.
pub(crate) fn commits(mut bytes: &[u8]) -> Vec<Commit> {
    let mut list = Vec::new();
    while let Some(length) = bytes.get(..4).and_then(|b| b.try_into().ok()).map(u32::from_ne_bytes) {
        let length = length as usize;
        if length < HEADER || length > bytes.len() {
            break;
        }
        list.extend(commit(&bytes[..length]));
        bytes = bytes.get(length.next_multiple_of(ATTRIBUTE_HEADER)..).unwrap_or_default();
    }
    list
}

fn commit(message: &[u8]) -> Option<Commit> {
    let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    let rest = message.get(HEADER + NFGENMSG..)?;
    if kind != NFT_MSG_NEWGEN {
        return None;
    }
    let generation = number(attribute(rest, NFTA_GEN_ID)?)?;
    let pid = attribute(rest, NFTA_GEN_PROC_PID).and_then(number);
    let name = attribute(rest, NFTA_GEN_PROC_NAME).map(|name| {
        let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
        String::from_utf8_lossy(&name[..end]).into_owned()
    });
    Some(Commit { generation, by: pid.zip(name) })
}

/// The generation, or the kernel's error number; none when the message is about something else.
fn decode(message: &[u8]) -> Option<Result<u32, i32>> {
    let kind = u16::from_ne_bytes(message.get(4..6)?.try_into().ok()?);
    match kind {
        NLMSG_ERROR => Some(Err(i32::from_ne_bytes(message.get(HEADER..HEADER + 4)?.try_into().ok()?))),
        NFT_MSG_NEWGEN => commit(message).map(|commit| Ok(commit.generation)),
        _ => None,
    }
}

fn attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        let value = rest.get(ATTRIBUTE_HEADER..length)?;
        if kind == wanted {
            return Some(value);
        }
        rest = rest.get(length.next_multiple_of(ATTRIBUTE_HEADER)..)?;
    }
}

/// Big-endian, as all numbers of nftables.
fn number(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
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

    #[test]
    fn a_commit_names_its_process() {
        let mut event = request();
        event[4..6].copy_from_slice(&NFT_MSG_NEWGEN.to_ne_bytes());
        for (kind, value) in [
            (NFTA_GEN_ID, &[0, 0, 1, 2][..]),
            (NFTA_GEN_PROC_PID, &[0, 0, 0, 77]),
            (NFTA_GEN_PROC_NAME, b"nft\0"),
        ] {
            event.extend(8_u16.to_ne_bytes());
            event.extend(kind.to_ne_bytes());
            event.extend(value);
        }
        let length = u32::try_from(event.len()).unwrap();
        event[..4].copy_from_slice(&length.to_ne_bytes());
        let commit = Commit { generation: 258, by: Some((77, "nft".to_owned())) };
        assert_eq!(commits(&event), std::slice::from_ref(&commit));
        // Behind a message about something else, and torn.
        let two = [request(), event.clone()].concat();
        assert_eq!(commits(&two), [commit]);
        for end in 0..event.len() {
            assert_eq!(commits(&event[..end]), []);
        }
    }
}
