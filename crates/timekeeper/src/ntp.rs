//! One SNTP question and its answer (RFC 5905 sections 7.3 and 14, RFC 4330): bytes only.
//!
//! Everything in the question but version, mode and a random transmit timestamp is zero: the server
//! gives that timestamp back, so nobody who has not seen the question can answer it, and nothing is
//! told of a clock that is wrong.

use sysio::Monotonic;

use crate::utc::{BootedAt, Utc, millis};

/// Where NTP servers are (IANA).
pub const PORT: u16 = 123;
/// The header, and without extensions the whole packet (RFC 5905 figure 8).
pub const LENGTH: usize = 48;
/// From 1900 to 1970 (RFC 5905 figure 4).
const UNIX_EPOCH: u32 = 2_208_988_800;
/// RFC 5905 figure 9.
const MODE_CLIENT: u8 = 3;
const MODE_SERVER: u8 = 4;
const VERSION: u8 = 4;
/// RFC 5905 figure 10: the clock is unsynchronised.
const LEAP_UNKNOWN: u8 = 3;
/// RFC 5905 figure 11: from here on a server is not synchronised.
const STRATUM_END: u8 = 16;
/// RFC 5905 section 11.1, `MAXDIST`, in its short format: root distance above a second is no time to
/// set a clock by.
const DISTANCE_MOST: u32 = 1 << 16;
/// What clocks of different grain may differ when the server's part of the exchange is compared with
/// the whole of it.
const GRAIN_MS: i64 = 50;

/// The request; `cookie` is the random transmit timestamp.
pub fn request(cookie: u64) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    bytes[0] = VERSION << 3 | MODE_CLIENT;
    bytes[40..].copy_from_slice(&cookie.to_be_bytes());
    bytes
}

/// What a server that may be believed says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    received: u64,
    sent: u64,
}

/// Why a packet is not one to set a clock by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not an answer to this request; the right one may still come.
    Foreign,
    /// The server wants to be left alone (RFC 5905 section 7.4): for good, or for a while.
    Kiss {
        /// Four letters.
        code: String,
        /// `DENY` and `RSTR`: never again.
        for_good: bool,
    },
    /// It does not know the time itself.
    Unsynchronised,
    /// What it says cannot be.
    Nonsense(&'static str),
}

/// Judges a packet that came for the request with `cookie`.
///
/// # Errors
/// Why it is not believed.
pub fn read(bytes: &[u8], cookie: u64) -> Result<Reply, Refusal> {
    let bytes: &[u8; LENGTH] = bytes.try_into().map_err(|_| Refusal::Foreign)?;
    let (leap, version, mode) = (bytes[0] >> 6, bytes[0] >> 3 & 7, bytes[0] & 7);
    if mode != MODE_SERVER || be64(bytes, 24) != cookie {
        return Err(Refusal::Foreign);
    }
    if !(3..=VERSION).contains(&version) {
        return Err(Refusal::Nonsense("another version of the protocol"));
    }
    let stratum = bytes[1];
    if stratum == 0 {
        return Err(kiss(&bytes[12..16]));
    }
    if leap == LEAP_UNKNOWN || stratum >= STRATUM_END {
        return Err(Refusal::Unsynchronised);
    }
    // Half the root delay and the dispersion. A negative delay (NTPv3 allowed it) reads as a huge one.
    let distance = (be32(bytes, 4) / 2).saturating_add(be32(bytes, 8));
    if distance > DISTANCE_MOST {
        return Err(Refusal::Nonsense("more than a second away from any clock"));
    }
    let [reference, received, sent] = [be64(bytes, 16), be64(bytes, 32), be64(bytes, 40)];
    if received == 0 || sent == 0 {
        return Err(Refusal::Nonsense("an answer without a time"));
    }
    // RFC 5905 section 8 orders them so; timestamps wrap, so their difference is what is signed.
    if before(sent, received) || before(sent, reference) {
        return Err(Refusal::Nonsense("its times contradict each other"));
    }
    Ok(Reply { received, sent })
}

impl Reply {
    /// When this boot began by it: asked at `asked`, heard at `heard`. NTP's seconds are 32 bits; they
    /// mean the first such moment from `floor` on, so that 2036 is a year like any other.
    ///
    /// # Errors
    /// If the server claims to have taken longer than the whole exchange.
    pub fn booted_at(self, asked: Monotonic, heard: Monotonic, floor: Utc) -> Result<BootedAt, Refusal> {
        let (t1, t4) = (millis(asked), millis(heard));
        let (t2, t3) = (utc(self.received, floor).0, utc(self.sent, floor).0);
        if t3 < t2 || t3 - t2 > t4 - t1 + GRAIN_MS {
            return Err(Refusal::Nonsense("it took longer than the whole exchange"));
        }
        // RFC 5905 section 8: theta, with this boot's own clock for the client's.
        Ok(BootedAt(i64::midpoint(t2 - t1, t3 - t4)))
    }
}

fn kiss(code: &[u8]) -> Refusal {
    let for_good = matches!(code, b"DENY" | b"RSTR");
    let code = code.iter().map(|b| if b.is_ascii_alphanumeric() { char::from(*b) } else { '?' }).collect();
    Refusal::Kiss { code, for_good }
}

fn utc(stamp: u64, floor: Utc) -> Utc {
    let from = floor.0.div_euclid(1000);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the era is what is cut off")]
    let from_ntp = (from as u32).wrapping_add(UNIX_EPOCH);
    let seconds = (stamp >> 32) as u32;
    let ahead = seconds.wrapping_sub(from_ntp);
    let ms = ((stamp & 0xffff_ffff) * 1000) >> 32;
    Utc((from + i64::from(ahead)) * 1000 + i64::try_from(ms).unwrap_or(0))
}

fn before(one: u64, other: u64) -> bool {
    one.wrapping_sub(other).cast_signed() < 0
}

fn be32(bytes: &[u8; LENGTH], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn be64(bytes: &[u8; LENGTH], at: usize) -> u64 {
    u64::from(be32(bytes, at)) << 32 | u64::from(be32(bytes, at + 4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COOKIE: u64 = 0x0123_4567_89ab_cdef;
    const FLOOR: Utc = Utc::from_secs(1_767_225_600);

    fn stamp(utc: Utc) -> u64 {
        let ms = u64::try_from(utc.0).unwrap() + u64::from(UNIX_EPOCH) * 1000;
        // The era is what is cut off.
        ((ms / 1000) << 32) | (((ms % 1000) << 32) / 1000)
    }

    /// A stratum 2 server's answer.
    fn answer(received: Utc, sent: Utc) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION << 3 | MODE_SERVER;
        bytes[1] = 2;
        bytes[24..32].copy_from_slice(&COOKIE.to_be_bytes());
        bytes[32..40].copy_from_slice(&stamp(received).to_be_bytes());
        bytes[40..].copy_from_slice(&stamp(sent).to_be_bytes());
        bytes[16..24].copy_from_slice(&stamp(Utc(received.0 - 60_000)).to_be_bytes());
        bytes
    }

    fn good() -> [u8; LENGTH] {
        answer(Utc::from_secs(1_800_000_000), Utc::from_secs(1_800_000_000))
    }

    fn with(change: impl FnOnce(&mut [u8; LENGTH])) -> Result<Reply, Refusal> {
        let mut bytes = good();
        change(&mut bytes);
        read(&bytes, COOKIE)
    }

    #[test]
    fn the_time_is_the_middle_of_the_exchange() {
        let reply = read(&answer(Utc(1_800_000_000_500), Utc(1_800_000_000_750)), COOKIE).unwrap();
        let booted = reply.booted_at(Monotonic::from_millis(1000), Monotonic::from_millis(1450), FLOOR);
        assert_eq!(booted, Ok(BootedAt(1_800_000_000_625 - 1225)));
    }

    #[test]
    fn seconds_go_on_when_ntps_era_ends() {
        // 2036-02-07T06:28:16Z is second 0 of era 1 (RFC 5905 figure 4).
        let after = Utc::from_secs(2_085_978_496 + 10);
        let reply = read(&answer(after, after), COOKIE).unwrap();
        let booted = reply.booted_at(Monotonic::from_secs(1), Monotonic::from_secs(1), FLOOR).unwrap();
        assert_eq!(booted.at(Monotonic::from_secs(1)), after);
    }

    #[test]
    fn only_an_answer_to_this_very_request_is_heard() {
        assert_eq!(read(&good(), COOKIE ^ 1), Err(Refusal::Foreign));
        assert_eq!(read(&request(COOKIE), COOKIE), Err(Refusal::Foreign), "our own request come back");
        assert_eq!(read(&good()[..47], COOKIE), Err(Refusal::Foreign));
        assert_eq!(read(&[&good()[..], &[0]].concat(), COOKIE), Err(Refusal::Foreign));
        assert_eq!(with(|b| b[0] = VERSION << 3 | 5), Err(Refusal::Foreign), "a broadcast");
        assert!(with(|_| ()).is_ok());
    }

    #[test]
    fn who_does_not_know_the_time_is_not_believed() {
        assert_eq!(with(|b| b[0] |= 0xc0), Err(Refusal::Unsynchronised));
        assert_eq!(with(|b| b[1] = 16), Err(Refusal::Unsynchronised));
        for (at, value) in [(4, [0, 2, 0, 2]), (8, [0, 1, 0, 1]), (4, [0xff; 4])] {
            assert!(matches!(with(|b| b[at..at + 4].copy_from_slice(&value)), Err(Refusal::Nonsense(_))));
        }
        assert!(with(|b| b[8..12].copy_from_slice(&[0, 0, 0xff, 0xff])).is_ok());
        assert!(matches!(with(|b| b[40..].fill(0)), Err(Refusal::Nonsense(_))));
        assert!(matches!(with(|b| b[35] += 9), Err(Refusal::Nonsense(_))), "sent before it was received");
        assert!(matches!(with(|b| b[19] += 90), Err(Refusal::Nonsense(_))), "set by a clock of the future");
        assert!(matches!(with(|b| b[0] = 2 << 3 | MODE_SERVER), Err(Refusal::Nonsense(_))));
    }

    #[test]
    fn a_kiss_of_death_says_for_how_long() {
        let kissed = |code: &[u8; 4]| {
            with(|b| {
                b[1] = 0;
                b[12..16].copy_from_slice(code);
            })
        };
        for (code, word, for_good) in [
            (b"RATE", "RATE", false),
            (b"DENY", "DENY", true),
            (b"RSTR", "RSTR", true),
            (b"\n\0A\x1b", "??A?", false),
        ] {
            assert_eq!(kissed(code), Err(Refusal::Kiss { code: word.to_owned(), for_good }));
        }
    }

    #[test]
    fn a_server_cannot_have_taken_longer_than_everything() {
        let reply =
            read(&answer(Utc::from_secs(1_800_000_000), Utc::from_secs(1_800_000_002)), COOKIE).unwrap();
        let at = Monotonic::from_secs;
        assert!(reply.booted_at(at(5), at(6), FLOOR).is_err());
        assert!(reply.booted_at(at(5), at(8), FLOOR).is_ok());
    }

    proptest! {
        #[test]
        fn no_bytes_from_outside_make_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..64), asked in any::<u64>(), heard in any::<u64>(), floor in 0_i64..4_000_000_000,
        ) {
            let cookie = bytes.get(24..32).map_or(0, |b| u64::from_be_bytes(b.try_into().unwrap()));
            if let Ok(reply) = read(&bytes, cookie) {
                let (asked, heard) = (Monotonic::from_millis(asked >> 16), Monotonic::from_millis(heard >> 16));
                let _ = reply.booted_at(asked, heard, Utc::from_secs(floor));
            }
        }

        /// Most of a packet is right, so that the inner checks are reached.
        #[test]
        fn a_bent_answer_is_refused_or_within_its_era(at in 0_usize..48, to in any::<u8>()) {
            if let Ok(reply) = with(|b| b[at] = to) {
                let at = Monotonic::from_secs(100_000);
                if let Ok(booted) = reply.booted_at(Monotonic::from_secs(1), at, FLOOR) {
                    prop_assert!(booted.at(at) >= Utc(FLOOR.0 - 100_000_000));
                }
            }
        }
    }
}
