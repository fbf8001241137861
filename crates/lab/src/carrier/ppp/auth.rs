//! The authenticator: PAP (RFC 1334 section 2) and CHAP with MD5 (RFC 1994).

use std::time::Duration;

use md5::{Digest, Md5};

use super::super::{AuthMethod, Credentials};
use super::option::Packet;

const PAP_REQUEST: u8 = 1;
const PAP_ACK: u8 = 2;
const PAP_NAK: u8 = 3;
const CHAP_CHALLENGE: u8 = 1;
const CHAP_RESPONSE: u8 = 2;
const CHAP_SUCCESS: u8 = 3;
const CHAP_FAILURE: u8 = 4;

/// Between challenges, and their number: as other requests of PPP (RFC 1661 section 4.6).
const RESTART: Duration = Duration::from_secs(3);
const MAX_CHALLENGES: u32 = 10;

/// Name in the challenge: what Qualcomm's sticks call themselves.
const NAME: &[u8] = b"UMTS_CHAP_SRVR";

/// What the authenticator has decided, with its answer for the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Say this; nothing is decided.
    Say(Packet),
    /// The peer is who it claims to be.
    Accept(Packet),
    /// It is not.
    Refuse(Packet),
    /// It never answered.
    GiveUp,
}

/// Authenticates one peer.
#[derive(Debug)]
pub(super) struct Authenticator {
    method: AuthMethod,
    credentials: Option<Credentials>,
    challenge: [u8; 16],
    id: u8,
    sent: u32,
    again_at: Option<Duration>,
}

impl Authenticator {
    /// Takes any credentials when there are none to compare with. `challenge` is random.
    pub(super) fn new(method: AuthMethod, credentials: Option<Credentials>, challenge: [u8; 16]) -> Self {
        Self { method, credentials, challenge, id: 0, sent: 0, again_at: None }
    }

    /// PPP protocol number.
    pub(super) fn protocol(&self) -> u16 {
        match self.method {
            AuthMethod::Pap => 0xc023,
            AuthMethod::Chap => 0xc223,
        }
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.again_at
    }

    /// The first packet, if it is ours to send.
    pub(super) fn start(&mut self, now: Duration) -> Option<Packet> {
        (self.method == AuthMethod::Chap).then(|| self.say_challenge(now))
    }

    /// Repeats an unanswered challenge.
    pub(super) fn tick(&mut self, now: Duration) -> Option<Judgement> {
        if self.again_at.is_none_or(|at| now < at) {
            return None;
        }
        if self.sent < MAX_CHALLENGES {
            return Some(Judgement::Say(self.say_challenge(now)));
        }
        self.again_at = None;
        Some(Judgement::GiveUp)
    }

    /// Takes a packet of its protocol; `None` for one that means nothing.
    pub(super) fn input(&mut self, packet: &Packet) -> Option<Judgement> {
        let (accepted, yes, no) = match (self.method, packet.code) {
            (AuthMethod::Pap, PAP_REQUEST) => (self.check_pap(&packet.data)?, PAP_ACK, PAP_NAK),
            (AuthMethod::Chap, CHAP_RESPONSE) if packet.id == self.id => {
                self.again_at = None;
                (self.check_chap(packet)?, CHAP_SUCCESS, CHAP_FAILURE)
            }
            _ => return None,
        };
        let answer = |code, text: &str| {
            let text = text.as_bytes();
            // PAP's message has a length byte before it, CHAP's runs to the packet's end.
            let mut data = if self.method == AuthMethod::Pap {
                vec![u8::try_from(text.len()).unwrap_or(0)]
            } else {
                Vec::new()
            };
            data.extend(text);
            Packet::new(code, packet.id, data)
        };
        Some(if accepted {
            Judgement::Accept(answer(yes, ""))
        } else {
            Judgement::Refuse(answer(no, "authentication failed"))
        })
    }

    fn say_challenge(&mut self, now: Duration) -> Packet {
        self.sent += 1;
        self.id = self.id.wrapping_add(1);
        self.again_at = Some(now + RESTART);
        let mut data = vec![16];
        data.extend(self.challenge);
        data.extend(NAME);
        Packet::new(CHAP_CHALLENGE, self.id, data)
    }

    fn check_pap(&self, data: &[u8]) -> Option<bool> {
        let (user, rest) = counted(data)?;
        let (password, _) = counted(rest)?;
        Some(
            self.credentials
                .as_ref()
                .is_none_or(|c| user == c.user.as_bytes() && password == c.password.as_bytes()),
        )
    }

    fn check_chap(&self, packet: &Packet) -> Option<bool> {
        let (value, name) = counted(&packet.data)?;
        let Some(credentials) = &self.credentials else { return Some(true) };
        let expected = Md5::new()
            .chain_update([packet.id])
            .chain_update(credentials.password.as_bytes())
            .chain_update(self.challenge)
            .finalize();
        Some(name == credentials.user.as_bytes() && value == &expected[..])
    }
}

/// A field with its length in the byte before it, and what follows.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials { user: "web".into(), password: "secret".into() }
    }

    fn pap(user: &str, password: &str) -> Packet {
        let mut data = vec![u8::try_from(user.len()).unwrap()];
        data.extend(user.bytes());
        data.push(u8::try_from(password.len()).unwrap());
        data.extend(password.bytes());
        Packet::new(PAP_REQUEST, 9, data)
    }

    #[test]
    fn pap_takes_the_right_password_only() {
        let mut authenticator = Authenticator::new(AuthMethod::Pap, Some(credentials()), [0; 16]);
        assert_eq!(authenticator.start(Duration::ZERO), None);
        assert!(
            matches!(authenticator.input(&pap("web", "secret")), Some(Judgement::Accept(p)) if p.id == 9)
        );
        assert!(matches!(authenticator.input(&pap("web", "wrong")), Some(Judgement::Refuse(_))));
        assert_eq!(authenticator.input(&Packet::new(PAP_REQUEST, 1, vec![200, 1])), None);
    }

    #[test]
    fn pap_takes_anything_where_nothing_is_asked() {
        let mut authenticator = Authenticator::new(AuthMethod::Pap, None, [0; 16]);
        assert!(matches!(authenticator.input(&pap("", "")), Some(Judgement::Accept(_))));
    }

    #[test]
    fn chap_checks_the_digest_of_id_secret_and_challenge() {
        let mut authenticator = Authenticator::new(AuthMethod::Chap, Some(credentials()), [7; 16]);
        let challenge = authenticator.start(Duration::ZERO).unwrap();
        for (secret, right) in [("secret", true), ("wrong", false)] {
            let input = [&[challenge.id], secret.as_bytes(), &challenge.data[1..17]].concat();
            let mut data = vec![16];
            data.extend(Md5::digest(input));
            data.extend(b"web");
            let judgement = authenticator.input(&Packet::new(CHAP_RESPONSE, challenge.id, data)).unwrap();
            assert_eq!(matches!(judgement, Judgement::Accept(_)), right);
        }
    }

    #[test]
    fn an_unanswered_challenge_is_repeated_and_given_up() {
        let mut authenticator = Authenticator::new(AuthMethod::Chap, None, [0; 16]);
        authenticator.start(Duration::ZERO);
        let mut said = 1;
        while let Some(at) = authenticator.next_deadline() {
            match authenticator.tick(at) {
                Some(Judgement::Say(_)) => said += 1,
                other => assert_eq!(other, Some(Judgement::GiveUp)),
            }
        }
        assert_eq!(said, 10);
    }
}
