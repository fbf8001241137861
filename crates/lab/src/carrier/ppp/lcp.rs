//! LCP's options (RFC 1661 section 6, RFC 1662 section 7).

use super::super::AuthMethod;
use super::hdlc::Framing;
use super::negotiation::{Options, Verdict};
use super::option::Opt;

const MRU: u8 = 1;
const ACCM: u8 = 2;
const AUTH: u8 = 3;
const MAGIC: u8 = 5;
const PFC: u8 = 7;
const ACFC: u8 = 8;

/// Smallest MRU taken: IPv4's minimum (RFC 791).
const MRU_MIN: u16 = 68;
/// What everybody must be able to receive (RFC 1661 section 6.1).
const MRU_DEFAULT: u16 = 1500;

/// Our side of LCP.
#[derive(Debug)]
pub(super) struct Lcp {
    /// Authentication protocols still on offer, the preferred one first.
    methods: Vec<AuthMethod>,
    /// Whether all of them were refused.
    pub(super) auth_refused: bool,
    ask_accm: bool,
    magic: Option<u32>,
    /// How frames to the peer are to be written.
    pub(super) framing: Framing,
    /// Longest information field the peer takes.
    pub(super) peer_mru: u16,
}

impl Lcp {
    /// Asks for one of `methods`, if there are any; `magic` tells the ends of a line apart.
    pub(super) fn new(methods: Vec<AuthMethod>, magic: u32) -> Self {
        Self {
            methods,
            auth_refused: false,
            ask_accm: true,
            magic: Some(magic),
            framing: Framing::PLAIN,
            peer_mru: MRU_DEFAULT,
        }
    }

    /// The authentication both agreed on.
    pub(super) fn method(&self) -> Option<AuthMethod> {
        self.methods.first().copied()
    }

    /// The magic number for echo packets; zero when there is none.
    pub(super) fn magic(&self) -> u32 {
        self.magic.unwrap_or(0)
    }

    fn refuse_method(&mut self, suggested: Option<AuthMethod>) {
        if self.methods.is_empty() {
            return;
        }
        self.methods.remove(0);
        if let Some(at) = suggested.and_then(|wanted| self.methods.iter().position(|m| *m == wanted)) {
            self.methods.drain(..at);
        }
        self.auth_refused = self.methods.is_empty();
    }
}

/// Protocol number and, for CHAP, the algorithm: 5 is MD5 (RFC 1994 section 3).
fn auth_value(method: AuthMethod) -> Vec<u8> {
    match method {
        AuthMethod::Pap => vec![0xc0, 0x23],
        AuthMethod::Chap => vec![0xc2, 0x23, 5],
    }
}

impl Options for Lcp {
    fn request(&self) -> Vec<Opt> {
        let mut options = Vec::new();
        if self.ask_accm {
            // USB carries every byte: nothing needs escaping on the way to us.
            options.push(Opt::new(ACCM, [0; 4]));
        }
        options.extend(self.method().map(|method| Opt::new(AUTH, auth_value(method))));
        options.extend(self.magic.map(|magic| Opt::new(MAGIC, magic.to_be_bytes())));
        options
    }

    fn naked(&mut self, suggested: &[Opt]) {
        for option in suggested {
            match option.kind {
                AUTH => {
                    let wanted = [AuthMethod::Pap, AuthMethod::Chap]
                        .into_iter()
                        .find(|method| auth_value(*method) == option.value);
                    self.refuse_method(wanted);
                }
                ACCM => self.ask_accm = false,
                // Our own number came back: another one (RFC 1661 section 6.4).
                MAGIC => self.magic = self.magic.map(|magic| magic.rotate_left(7) ^ 0x5a5a_5a5a),
                _ => {}
            }
        }
    }

    fn rejected(&mut self, rejected: &[Opt]) {
        for option in rejected {
            match option.kind {
                AUTH => {
                    self.methods.clear();
                    self.auth_refused = true;
                }
                ACCM => self.ask_accm = false,
                MAGIC => self.magic = None,
                _ => {}
            }
        }
    }

    fn judge(&mut self, asked: &[Opt]) -> Verdict {
        let (mut framing, mut mru) = (Framing::PLAIN, MRU_DEFAULT);
        let (mut unknown, mut better) = (Vec::new(), Vec::new());
        for option in asked {
            match (option.kind, &option.value[..]) {
                (MRU, [high, low]) => {
                    mru = u16::from_be_bytes([*high, *low]);
                    if mru < MRU_MIN {
                        better.push(Opt::new(MRU, MRU_DEFAULT.to_be_bytes()));
                    }
                }
                (ACCM, [a, b, c, d]) => framing.accm = u32::from_be_bytes([*a, *b, *c, *d]),
                (MAGIC, value) if value.len() == 4 => {
                    if self.magic.is_some_and(|magic| magic.to_be_bytes()[..] == *value) {
                        better.push(Opt::new(MAGIC, (!self.magic()).to_be_bytes()));
                    }
                }
                (PFC, []) => framing.short_protocol = true,
                (ACFC, []) => framing.short_header = true,
                // Among them the peer's wish that we authenticate: networks do not.
                _ => unknown.push(option.clone()),
            }
        }
        if !unknown.is_empty() {
            Verdict::Reject(unknown)
        } else if !better.is_empty() {
            Verdict::Nak(better)
        } else {
            (self.framing, self.peer_mru) = (framing, mru);
            Verdict::Ack
        }
    }
}
