//! PPP in HDLC-like framing on an asynchronous line (RFC 1662).

const FLAG: u8 = 0x7e;
const ESCAPE: u8 = 0x7d;
const FLIP: u8 = 0x20;
const ADDRESS: u8 = 0xff;
const CONTROL: u8 = 0x03;
/// Residue of a good frame's checksum (RFC 1662 appendix C.2).
const GOOD_FCS: u16 = 0xf0b8;
/// Longest frame kept: information of 1500 bytes, twice over for a generous peer.
const FRAME_MAX: usize = 3000;

/// Checksum over `bytes`, continued from `fcs` (RFC 1662 appendix C.2, polynomial 0x8408).
fn fcs16(fcs: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(fcs, |fcs, byte| {
        (0..8).fold(fcs ^ u16::from(*byte), |fcs, _| if fcs & 1 == 0 { fcs >> 1 } else { fcs >> 1 ^ 0x8408 })
    })
}

/// How frames to the peer are written, as negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framing {
    /// Control characters to escape, one bit each (asynchronous control character map).
    pub accm: u32,
    /// Whether address and control bytes are left out (ACFC).
    pub short_header: bool,
    /// Whether protocol numbers below 256 take one byte (PFC).
    pub short_protocol: bool,
}

impl Framing {
    /// Before anything is negotiated, and for every LCP packet (RFC 1662 section 7).
    pub const PLAIN: Self = Self { accm: u32::MAX, short_header: false, short_protocol: false };

    /// One frame with its flags.
    pub fn frame(self, protocol: u16, information: &[u8]) -> Vec<u8> {
        let mut content = Vec::with_capacity(information.len() + 6);
        if !self.short_header {
            content.extend([ADDRESS, CONTROL]);
        }
        let [high, low] = protocol.to_be_bytes();
        if high != 0 || !self.short_protocol {
            content.push(high);
        }
        content.push(low);
        content.extend(information);
        let fcs = !fcs16(u16::MAX, &content);
        content.extend(fcs.to_le_bytes());

        let mut line = Vec::with_capacity(content.len() * 9 / 8 + 2);
        line.push(FLAG);
        for byte in content {
            let mapped = byte < 0x20 && self.accm & 1 << byte != 0;
            if mapped || byte == FLAG || byte == ESCAPE {
                line.extend([ESCAPE, byte ^ FLIP]);
            } else {
                line.push(byte);
            }
        }
        line.push(FLAG);
        line
    }
}

/// Finds frames in the bytes of the line.
#[derive(Debug, Default)]
pub struct Deframer {
    frame: Vec<u8>,
    escaped: bool,
    /// Frames thrown away: bad checksum, aborted or too long.
    pub bad_frames: u64,
}

impl Deframer {
    /// Takes bytes and gives the frames that end in them: protocol and information.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let mut frames = Vec::new();
        for byte in bytes {
            match *byte {
                FLAG => {
                    let aborted = std::mem::take(&mut self.escaped);
                    let frame = std::mem::take(&mut self.frame);
                    match check(&frame).filter(|_| !aborted) {
                        Some(good) => frames.push(good),
                        None if frame.is_empty() => {}
                        None => self.bad_frames += 1,
                    }
                }
                ESCAPE => self.escaped = true,
                byte if self.frame.len() < FRAME_MAX => {
                    let flip = if std::mem::take(&mut self.escaped) { FLIP } else { 0 };
                    self.frame.push(byte ^ flip);
                }
                // Too long: what is kept cannot have a good checksum.
                _ => {}
            }
        }
        frames
    }
}

/// Checks the FCS and strips the header, compressed or not.
fn check(frame: &[u8]) -> Option<(u16, Vec<u8>)> {
    if frame.len() < 4 || fcs16(u16::MAX, frame) != GOOD_FCS {
        return None;
    }
    let content = &frame[..frame.len() - 2];
    let content = content.strip_prefix(&[ADDRESS, CONTROL]).unwrap_or(content);
    // The last byte of a protocol number is odd, every byte before it even (RFC 1661 section 2).
    match content {
        [low, rest @ ..] if low & 1 == 1 => Some((u16::from(*low), rest.to_vec())),
        [high, low, rest @ ..] => Some((u16::from_be_bytes([*high, *low]), rest.to_vec())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPRESSED: Framing = Framing { accm: 0, short_header: true, short_protocol: true };

    #[test]
    fn checksum_matches_the_published_check_value() {
        // CRC-16/X-25 of "123456789" is 0x906e.
        assert_eq!(!fcs16(u16::MAX, b"123456789"), 0x906e);
    }

    #[test]
    fn frames_survive_the_line_however_they_are_cut() {
        let information: Vec<u8> = (0..=255).collect();
        for framing in [Framing::PLAIN, COMPRESSED] {
            for protocol in [0x0021, 0xc021] {
                let line = framing.frame(protocol, &information);
                let mut deframer = Deframer::default();
                let frames: Vec<_> = line.iter().flat_map(|byte| deframer.push(&[*byte])).collect();
                assert_eq!(frames, [(protocol, information.clone())]);
            }
        }
    }

    #[test]
    fn plain_framing_leaves_no_control_character_on_the_line() {
        let line = Framing::PLAIN.frame(0xc021, &(0..0x20).collect::<Vec<u8>>());
        assert!(line.iter().all(|byte| *byte >= 0x20));
    }

    #[test]
    fn a_damaged_or_aborted_frame_is_dropped_and_the_next_one_found() {
        let mut damaged = COMPRESSED.frame(0x21, b"first");
        damaged[3] ^= 1;
        let aborted = [FLAG, 0x21, b'x', ESCAPE, FLAG];
        let mut deframer = Deframer::default();
        let line = [&damaged[..], &aborted, &COMPRESSED.frame(0x21, b"second")].concat();
        assert_eq!(deframer.push(&line), [(0x21, b"second".to_vec())]);
        assert_eq!(deframer.bad_frames, 2);
    }

    #[test]
    fn an_endless_frame_does_not_grow_for_ever() {
        let mut deframer = Deframer::default();
        deframer.push(&vec![b'x'; 100_000]);
        assert!(deframer.frame.len() <= FRAME_MAX);
    }
}
