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
pub(super) enum Verdict {
    /// All of it is fine.
    Ack,
    /// These would be fine.
    Nak(Vec<Opt>),
    /// These have no business here.
    Reject(Vec<Opt>),
}

/// What differs between the protocols.
pub(super) trait Options {
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
pub(super) enum Output {
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
pub(super) struct Negotiation<O> {
    /// The protocol's own part.
    pub(super) options: O,
    state: State,
    id: u8,
    tries: u32,
    naks: u32,
    /// Nothing said yet.
    silent: bool,
    restart_at: Option<Duration>,
}

impl<O: Options> Negotiation<O> {
    /// Starts with a request to the peer.
    pub(super) fn start(now: Duration, options: O) -> (Self, Vec<Output>) {
        let mut this = Self::listen(now, options);
        let request = this.request(now);
        (this, vec![request])
    }

    /// Starts in silence: speaks when spoken to, or when nothing was heard for a while. What is
    /// said before the peer's pppd has taken over the line from its dialling program is lost.
    pub(super) fn listen(now: Duration, options: O) -> Self {
        let restart_at = Some(now + RESTART);
        Self { options, state: State::RequestSent, id: 0, tries: 0, naks: 0, silent: true, restart_at }
    }

    /// Whether the layer is up.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Opened
    }

    /// When [`Self::tick`] has something to do.
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.restart_at
    }

    /// The restart timer: asks again, and gives up in the end.
    pub(super) fn tick(&mut self, now: Duration) -> Vec<Output> {
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

    /// Takes one of the codes 1 to 6; `None` when the code is another.
    pub(super) fn input(&mut self, now: Duration, packet: &Packet) -> Option<Vec<Output>> {
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
        self.silent = false;
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
        if self.silent || matches!(self.state, State::Opened | State::Stopped) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Wants option 1 with value 9, asks for option 2.
    #[derive(Debug)]
    struct Picky;

    impl Options for Picky {
        fn request(&self) -> Vec<Opt> {
            vec![Opt::new(2, [1])]
        }
        fn naked(&mut self, _suggested: &[Opt]) {}
        fn rejected(&mut self, _rejected: &[Opt]) {}
        fn judge(&mut self, asked: &[Opt]) -> Verdict {
            match asked {
                [] => Verdict::Ack,
                [only] if only.kind != 1 => Verdict::Reject(asked.to_vec()),
                [only] if only.value == [9] => Verdict::Ack,
                _ => Verdict::Nak(vec![Opt::new(1, [9])]),
            }
        }
    }

    const START: Duration = Duration::ZERO;

    fn configure(code: u8, id: u8, options: &[Opt]) -> Packet {
        Packet::new(code, id, Opt::write_all(options))
    }

    fn request_id(outputs: &[Output]) -> u8 {
        outputs
            .iter()
            .find_map(|output| match output {
                Output::Send(packet) if packet.code == code::CONFIGURE_REQUEST => Some(packet.id),
                _ => None,
            })
            .expect("a request among the outputs")
    }

    #[test]
    fn opens_in_either_order_of_the_two_acks() {
        let theirs = configure(code::CONFIGURE_REQUEST, 7, &[Opt::new(1, [9])]);
        for ack_first in [true, false] {
            let (mut this, outputs) = Negotiation::start(START, Picky);
            let ack = configure(code::CONFIGURE_ACK, request_id(&outputs), &[Opt::new(2, [1])]);
            let (first, second) = if ack_first { (&ack, &theirs) } else { (&theirs, &ack) };
            assert!(!this.input(START, first).unwrap().contains(&Output::Up));
            assert_eq!(this.input(START, second).unwrap().last(), Some(&Output::Up));
            assert!(this.is_open());
            assert_eq!(this.next_deadline(), None);
        }
    }

    #[test]
    fn a_listener_speaks_when_spoken_to_and_after_a_while_by_itself() {
        let mut this = Negotiation::listen(START, Picky);
        let theirs = configure(code::CONFIGURE_REQUEST, 1, &[]);
        assert_eq!(request_id(&this.input(START, &theirs).unwrap()), 1);
        let mut this = Negotiation::listen(START, Picky);
        assert!(this.tick(Duration::from_millis(2999)).is_empty());
        assert_eq!(request_id(&this.tick(RESTART)), 1);
    }

    #[test]
    fn naks_become_a_reject_in_the_end() {
        let (mut this, _) = Negotiation::start(START, Picky);
        let stubborn = configure(code::CONFIGURE_REQUEST, 1, &[Opt::new(1, [8])]);
        let codes: Vec<u8> = (0..=MAX_FAILURE)
            .map(|_| match &this.input(START, &stubborn).unwrap()[..] {
                [Output::Send(packet)] => packet.code,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(codes[..5], [code::CONFIGURE_NAK; 5]);
        assert_eq!(codes[5], code::CONFIGURE_REJECT);
    }

    #[test]
    fn an_answer_to_an_older_request_means_nothing() {
        let (mut this, outputs) = Negotiation::start(START, Picky);
        let stale = configure(code::CONFIGURE_ACK, request_id(&outputs).wrapping_sub(1), &[]);
        assert!(this.input(START, &stale).unwrap().is_empty());
        assert!(this.input(START, &configure(code::CONFIGURE_REQUEST, 1, &[])).unwrap().len() == 1);
        assert!(!this.is_open());
    }

    #[test]
    fn gives_up_on_a_silent_peer_after_ten_requests() {
        let (mut this, _) = Negotiation::start(START, Picky);
        let mut requests = 1;
        while let Some(at) = this.next_deadline() {
            match &this.tick(at)[..] {
                [Output::Send(_)] => requests += 1,
                other => assert_eq!(other, [Output::Finished]),
            }
        }
        assert_eq!(requests, MAX_CONFIGURE);
    }

    #[test]
    fn a_terminate_request_is_acknowledged_and_ends_the_layer() {
        let (mut this, outputs) = Negotiation::start(START, Picky);
        let ack = configure(code::CONFIGURE_ACK, request_id(&outputs), &[]);
        this.input(START, &ack);
        this.input(START, &configure(code::CONFIGURE_REQUEST, 1, &[]));
        let outputs = this.input(START, &Packet::new(code::TERMINATE_REQUEST, 4, vec![])).unwrap();
        let answer = Output::Send(Packet::new(code::TERMINATE_ACK, 4, vec![]));
        assert_eq!(outputs, [Output::Down, answer, Output::Finished]);
    }
}
