//! The network's side of a call: answers, carries, drops. Pure.

use std::time::Duration;

use super::ppp::{Action, Seed, Session};
use super::{CallState, CarrierCommand, CarrierConfig, CarrierStats};

/// What the network wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NetAction {
    /// The call is answered.
    Connected,
    /// The call is refused or over.
    Ended,
    /// Bytes for the subscriber.
    Line(Vec<u8>),
    /// An IP packet for the internet.
    Packet(Vec<u8>),
}

#[derive(Debug)]
enum Call {
    Idle,
    Dialling { answer_at: Duration, ipv6: bool },
    Open(Box<Session>),
}

/// The network.
#[derive(Debug)]
pub(crate) struct Network {
    config: CarrierConfig,
    call: Call,
    stats: CarrierStats,
    random: u64,
}

impl Network {
    /// A network whose sessions draw their randomness from `seed`.
    pub(crate) fn new(config: CarrierConfig, seed: u64) -> Self {
        Self { config, call: Call::Idle, stats: CarrierStats::default(), random: seed }
    }

    /// What has been counted.
    pub(crate) fn stats(&self) -> CarrierStats {
        let call = match &self.call {
            Call::Idle => CallState::Idle,
            Call::Dialling { .. } => CallState::Dialling,
            Call::Open(session) if session.is_open() => CallState::Open,
            Call::Open(_) => CallState::Negotiating,
        };
        CarrierStats { call, ..self.stats }
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        match &self.call {
            Call::Idle => None,
            Call::Dialling { answer_at, .. } => Some(*answer_at),
            Call::Open(session) => session.next_deadline(),
        }
    }

    /// The subscriber dials.
    pub(crate) fn dial(&mut self, now: Duration, ipv6: bool) {
        self.call = Call::Dialling { answer_at: now + self.config.answer_delay, ipv6 };
    }

    /// The subscriber hangs up, or has gone.
    pub(crate) fn hang_up(&mut self) {
        self.call = Call::Idle;
    }

    /// What a test wants.
    pub(crate) fn command(&mut self, command: CarrierCommand) -> Vec<NetAction> {
        match command {
            CarrierCommand::DropCall => {
                if matches!(self.call, Call::Idle) {
                    return Vec::new();
                }
                self.stats.dropped += 1;
                self.call = Call::Idle;
                vec![NetAction::Ended]
            }
            CarrierCommand::RefuseCalls => {
                self.stats.refusing = true;
                Vec::new()
            }
            CarrierCommand::AcceptCalls => {
                self.stats.refusing = false;
                Vec::new()
            }
        }
    }

    /// Runs the timers.
    pub(crate) fn tick(&mut self, now: Duration) -> Vec<NetAction> {
        match &mut self.call {
            Call::Dialling { answer_at, ipv6 } if now >= *answer_at => {
                let ipv6 = *ipv6;
                self.answer(now, ipv6)
            }
            Call::Open(session) => {
                let actions = session.tick(now);
                self.carry(actions)
            }
            _ => Vec::new(),
        }
    }

    /// Bytes from the subscriber.
    pub(crate) fn line(&mut self, now: Duration, bytes: &[u8]) -> Vec<NetAction> {
        let Call::Open(session) = &mut self.call else { return Vec::new() };
        let actions = session.line(now, bytes);
        self.stats.spoofed = session.spoofed;
        self.carry(actions)
    }

    /// A packet from the internet.
    pub(crate) fn packet(&mut self, packet: &[u8]) -> Vec<NetAction> {
        let Call::Open(session) = &mut self.call else { return Vec::new() };
        let actions = session.packet(packet);
        if !actions.is_empty() {
            self.stats.down_packets += 1;
            self.stats.down_bytes += packet.len() as u64;
        }
        self.carry(actions)
    }

    fn answer(&mut self, now: Duration, ipv6: bool) -> Vec<NetAction> {
        if self.stats.refusing {
            self.call = Call::Idle;
            self.stats.refused += 1;
            return vec![NetAction::Ended];
        }
        let mut config = self.config.clone();
        // The PDP type decides what is spoken: an IPv4 context has no IPV6CP.
        config.ipv6 = config.ipv6.filter(|_| ipv6);
        let seed = self.seed();
        self.call = Call::Open(Box::new(Session::start(now, config, seed)));
        self.stats.calls += 1;
        vec![NetAction::Connected]
    }

    fn carry(&mut self, actions: Vec<Action>) -> Vec<NetAction> {
        let mut all = Vec::new();
        for action in actions {
            match action {
                Action::Line(bytes) => all.push(NetAction::Line(bytes)),
                Action::Packet(packet) => {
                    self.stats.up_packets += 1;
                    self.stats.up_bytes += packet.len() as u64;
                    all.push(NetAction::Packet(packet));
                }
                Action::Up => {}
                Action::End => {
                    self.call = Call::Idle;
                    all.push(NetAction::Ended);
                }
            }
        }
        all
    }

    fn seed(&mut self) -> Seed {
        let mut challenge = [0; 16];
        for half in challenge.chunks_mut(8) {
            half.copy_from_slice(&self.draw().to_le_bytes());
        }
        let magic = u32::try_from(self.draw() >> 32).unwrap_or(1).max(1);
        Seed { magic, challenge }
    }

    /// Splitmix64 (Steele, Lea and Flood 2014): reproducible, and good enough for a lab.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.random ^ self.random >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}
