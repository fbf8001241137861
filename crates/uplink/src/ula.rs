//! Our own IPv6 prefix for the LAN: made once, kept for good (RFC 4193).
//!
//! A prefix that changed with every start would leave a dead one behind on every device each time.

use std::io::Read;
use std::net::Ipv6Addr;
use sysio::{Root, file};

/// Where it is kept.
const FILE: &str = "/data/failberry/uplink/ula-prefix";
const FILE_LIMIT: u64 = 64;
const MODE: u32 = 0o644;
/// `fd00::/8`: locally assigned.
const LOCAL: u8 = 0xfd;
/// The random part (RFC 4193, section 3.2: 40 bits, never zero by design of ours).
const RANDOM: usize = 5;

/// The prefix of this box, a /64; a new one is kept if that is possible. None without randomness: a
/// prefix that others have too is worse than none.
pub(crate) fn load(root: &Root) -> Option<Ipv6Addr> {
    let path = root.path(FILE);
    let kept = file::read_bounded(&path, FILE_LIMIT).ok().and_then(|t| parse(&String::from_utf8_lossy(&t)));
    if kept.is_some() {
        return kept;
    }
    let mut random = [0; RANDOM];
    std::fs::File::open("/dev/urandom").and_then(|mut f| f.read_exact(&mut random)).ok()?;
    let prefix = make(random)?;
    if let Some(folder) = path.parent()
        && let Err(error) = std::fs::create_dir_all(folder)
            .and_then(|()| file::write_durable(&path, format!("{prefix}\n").as_bytes(), MODE))
    {
        log::warn!(
            "write {}: {error}; the LAN's own IPv6 prefix changes with the next start",
            path.display()
        );
    }
    Some(prefix)
}

fn make(random: [u8; RANDOM]) -> Option<Ipv6Addr> {
    let mut octets = [0; 16];
    octets[0] = LOCAL;
    octets[1..=RANDOM].copy_from_slice(&random);
    (random != [0; RANDOM]).then(|| Ipv6Addr::from(octets))
}

/// Only what [`make`] can have made.
fn parse(text: &str) -> Option<Ipv6Addr> {
    let octets = text.trim().parse::<Ipv6Addr>().ok()?.octets();
    let made = make(octets[1..=RANDOM].try_into().ok()?)?;
    (made.octets() == octets).then_some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_made_once_and_a_broken_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at(dir.path());
        let first = load(&root).unwrap();
        assert_eq!(first.octets()[0], 0xfd);
        assert_eq!(first.octets()[6..], [0; 10]);
        assert_eq!(load(&root), Some(first));
        for broken in ["", "2001:db8::", "fd00::1", "nonsense", "fd00::"] {
            std::fs::write(dir.path().join(&FILE[1..]), broken).unwrap();
            let made = load(&root).unwrap();
            assert!(made != first && load(&root) == Some(made), "{broken}");
        }
    }
}
