//! The option negotiation automaton (RFC 1661 section 4), the same for LCP, IPCP and IPV6CP.
//!
//! The lower layer is up and the protocol open from its start to its end, so of the ten states
//! those that wait for an administrator do not occur here.

use std::time::Duration;

use super::option::{Opt, Packet, code};

/// Restart timer (RFC 1661 section 4.6).
const RESTART: Duration = Duration::from_secs(3);
/// Max-Configure (same section).
const MAX_CONFIGURE: u32 = 10;
/// Max-Failure (same section): Naks before an option is rejected.
const MAX_FAILURE: u32 = 5;

/// What a protocol thinks of the peer's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All of it is fine.
    Ack,
    /// These would be fine.
    Nak(Vec<Opt>),
    /// These have no business here.
    Reject(Vec<Opt>),
}

/// What differs between the protocols.
pub trait Options {
    /// What we ask for.
    fn request(&self) -> Vec<Opt>;
    /// The peer does not like these values, and suggests.
    fn naked(&mut self, suggested: &[Opt]);
    /// The peer does not know these.
    fn rejected(&mut self, rejected: &[Opt]);
    /// The peer asks for these; with [`Verdict::Ack`] they are to be remembered.
    fn judge(&mut self, asked: &[Opt]) -> Verdict;
}

/// What came of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A packet for the peer.
    Send(Packet),
    /// The layer is up (This-Layer-Up).
    Up,
    /// The layer is not up any more (This-Layer-Down).
    Down,
    /// The layer has ended (This-Layer-Finished).
    Finished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RequestSent,
    AckReceived,
    AckSent,
    Opened,
    Stopped,
}

/// One protocol's negotiation.
#[derive(Debug)]
pub struct Negotiation<O> {
    /// The protocol's own part.
    pub options: O,
    state: State,
    id: u8,
    tries: u32,
    naks: u32,
    restart_at: Option<Duration>,
}

impl<O: Options> Negotiation<O> {
    /// Starts with a request to the peer.
    pub fn start(now: Duration, options: O) -> (Self, Vec<Output>) {
        let mut this =
            Self { options, state: State::RequestSent, id: 0, tries: 0, naks: 0, restart_at: None };
        let request = this.request(now);
        (this, vec![request])
    }

    /// Whether the layer is up.
    pub fn is_open(&self) -> bool {
        self.state == State::Opened
    }

    /// When [`Self::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.restart_at
    }

    /// The restart timer: asks again, and gives up in the end.
    pub fn tick(&mut self, now: Duration) -> Vec<Output> {
        if self.restart_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        if self.tries >= MAX_CONFIGURE {
            self.restart_at = None;
            self.state = State::Stopped;
            return vec![Output::Finished];
        }
        if self.state == State::AckReceived {
            self.state = State::RequestSent;
        }
        vec![self.request(now)]
    }

    /// Asks for a changed set of options, from the start.
    pub fn renegotiate(&mut self, now: Duration) -> Vec<Output> {
        let mut outputs = self.leave_open();
        self.state = State::RequestSent;
        self.tries = 0;
        outputs.push(self.request(now));
        outputs
    }

    /// Takes one of the codes 1 to 6; `None` when the code is another.
    pub fn input(&mut self, now: Duration, packet: &Packet) -> Option<Vec<Output>> {
        Some(match packet.code {
            code::CONFIGURE_REQUEST => self.configure_request(now, packet),
            code::CONFIGURE_ACK => self.configure_ack(now, packet),
            code::CONFIGURE_NAK | code::CONFIGURE_REJECT => self.configure_nak(now, packet),
            code::TERMINATE_REQUEST => self.terminate_request(packet),
            code::TERMINATE_ACK => Vec::new(),
            _ => return None,
        })
    }

    fn request(&mut self, now: Duration) -> Output {
        self.id = self.id.wrapping_add(1);
        self.tries += 1;
        self.restart_at = Some(now + RESTART);
        Output::Send(Packet::new(code::CONFIGURE_REQUEST, self.id, Opt::write_all(&self.options.request())))
    }

    fn leave_open(&mut self) -> Vec<Output> {
        if self.state == State::Opened { vec![Output::Down] } else { Vec::new() }
    }

    fn configure_request(&mut self, now: Duration, packet: &Packet) -> Vec<Output> {
        let Some(asked) = Opt::parse_all(&packet.data) else { return Vec::new() };
        let mut outputs = self.leave_open();
        if matches!(self.state, State::Opened | State::Stopped) {
            self.state = State::RequestSent;
            self.tries = 0;
            outputs.push(self.request(now));
        }
        let (code, options) = match self.options.judge(&asked) {
            Verdict::Ack => (code::CONFIGURE_ACK, asked),
            Verdict::Nak(better) if self.naks < MAX_FAILURE => (code::CONFIGURE_NAK, better),
            Verdict::Nak(mut better) => {
                better.retain(|option| asked.iter().any(|a| a.kind == option.kind));
                (code::CONFIGURE_REJECT, better)
            }
            Verdict::Reject(unknown) => (code::CONFIGURE_REJECT, unknown),
        };
        outputs.push(Output::Send(Packet::new(code, packet.id, Opt::write_all(&options))));
        if code == code::CONFIGURE_ACK {
            self.naks = 0;
            outputs.extend(self.ack_sent());
        } else {
            self.naks += u32::from(code == code::CONFIGURE_NAK);
            if self.state == State::AckSent {
                self.state = State::RequestSent;
            }
        }
        outputs
    }

    fn ack_sent(&mut self) -> Option<Output> {
        match self.state {
            State::AckReceived => {
                self.state = State::Opened;
                self.restart_at = None;
                Some(Output::Up)
            }
            State::RequestSent => {
                self.state = State::AckSent;
                None
            }
            _ => None,
        }
    }

    fn configure_ack(&mut self, now: Duration, packet: &Packet) -> Vec<Output> {
        if packet.id != self.id {
            return Vec::new();
        }
        match self.state {
            State::RequestSent => {
                self.state = State::AckReceived;
                self.tries = 0;
                Vec::new()
            }
            State::AckSent => {
                self.state = State::Opened;
                self.restart_at = None;
                vec![Output::Up]
            }
            // Crossed or unexpected: start over (RFC 1661 section 4.1, table).
            State::AckReceived | State::Opened => {
                let mut outputs = self.leave_open();
                self.state = State::RequestSent;
                outputs.push(self.request(now));
                outputs
            }
            State::Stopped => Vec::new(),
        }
    }

    fn configure_nak(&mut self, now: Duration, packet: &Packet) -> Vec<Output> {
        let Some(options) = Opt::parse_all(&packet.data) else { return Vec::new() };
        if packet.id != self.id || self.state == State::Stopped {
            return Vec::new();
        }
        if packet.code == code::CONFIGURE_NAK {
            self.options.naked(&options);
        } else {
            self.options.rejected(&options);
        }
        let mut outputs = self.leave_open();
        if self.state != State::AckSent {
            self.state = State::RequestSent;
        }
        outputs.push(self.request(now));
        outputs
    }

    fn terminate_request(&mut self, packet: &Packet) -> Vec<Output> {
        let mut outputs = self.leave_open();
        self.state = State::Stopped;
        self.restart_at = None;
        outputs.push(Output::Send(Packet::new(code::TERMINATE_ACK, packet.id, packet.data.clone())));
        outputs.push(Output::Finished);
        outputs
    }
}
