//! The network's side of a call: answers, carries, drops. Pure.

use std::time::Duration;

use super::fault::{self, Beginning};
use super::ppp::{Action, Seed, Session};
use super::{Auth, CallState, CarrierCommand, CarrierConfig, CarrierStats, Credentials};
use crate::fault::{Event, Fault, Faults, Kind};

/// What the network wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NetAction {
    /// The call is answered.
    Connected,
    /// The call is refused or over.
    Ended,
    /// The network is busy.
    Busy,
    /// Bytes for the subscriber.
    Line(Vec<u8>),
    /// An IP packet for the internet.
    Packet(Vec<u8>),
}

#[derive(Debug)]
enum Call {
    Idle,
    Dialling {
        answer_at: Duration,
        ipv6: bool,
    },
    /// Dialled, and nothing will be said.
    Silent,
    /// Connected to nobody.
    Nobody,
    /// Connected to noise.
    Noise {
        next_at: Duration,
    },
    Open(Box<Session>),
}

/// The network.
#[derive(Debug)]
pub(crate) struct Network {
    config: CarrierConfig,
    call: Call,
    stats: CarrierStats,
    random: u64,
    faults: Faults,
    /// The fault that spoils the current call from its beginning.
    spoilt_by: Option<Kind>,
    terminate_at: Option<Duration>,
    terminate_id: u8,
}

impl Network {
    /// A network whose sessions draw their randomness from `seed`.
    pub(crate) fn new(config: CarrierConfig, seed: u64) -> Self {
        Self {
            config,
            call: Call::Idle,
            stats: CarrierStats::default(),
            random: seed,
            faults: Faults::default(),
            spoilt_by: None,
            terminate_at: None,
            terminate_id: 0,
        }
    }

    /// What has been counted.
    pub(crate) fn stats(&self) -> CarrierStats {
        let call = match &self.call {
            Call::Idle => CallState::Idle,
            Call::Dialling { .. } | Call::Silent => CallState::Dialling,
            Call::Open(session) if session.is_open() => CallState::Open,
            Call::Open(_) | Call::Nobody | Call::Noise { .. } => CallState::Negotiating,
        };
        CarrierStats { call, ..self.stats }
    }

    /// When [`Self::tick`] has something to do.
    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let call = match &self.call {
            Call::Idle | Call::Silent | Call::Nobody => None,
            Call::Dialling { answer_at, .. } => Some(*answer_at),
            Call::Noise { next_at } => Some(*next_at),
            Call::Open(session) => session.next_deadline(),
        };
        [call, self.terminate_at, self.faults.next_deadline()].into_iter().flatten().min()
    }

    /// The subscriber dials.
    pub(crate) fn dial(&mut self, now: Duration, ipv6: bool) {
        self.call = Call::Dialling { answer_at: now + self.config.answer_delay, ipv6 };
    }

    /// The subscriber hangs up, or has gone.
    pub(crate) fn hang_up(&mut self) {
        self.call_is_over();
    }

    /// Faults that are on.
    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Switches a fault on.
    pub(crate) fn fault(&mut self, now: Duration, fault: Fault) -> Vec<NetAction> {
        let actions =
            if fault.kind == Kind::DailyCut { self.command(CarrierCommand::DropCall) } else { Vec::new() };
        self.faults.add(now, fault);
        if fault.kind == Kind::TerminateStorm && matches!(self.call, Call::Open(_)) {
            self.terminate_at = Some(now);
        }
        actions
    }

    /// Switches a fault off.
    pub(crate) fn clear(&mut self, kind: Kind) -> bool {
        self.faults.clear(kind)
    }

    /// Something happened to the stick that may heal.
    pub(crate) fn happened(&mut self, event: Event) {
        self.faults.event(event);
    }

    fn call_is_over(&mut self) {
        let spoilt = std::mem::take(&mut self.spoilt_by);
        let others = if matches!(self.call, Call::Open(_)) {
            fault::spoilers(&self.faults).collect()
        } else {
            Vec::new()
        };
        self.call = Call::Idle;
        self.terminate_at = None;
        for kind in others.into_iter().chain(spoilt) {
            self.faults.spoilt_call(kind);
        }
    }

    /// What a test wants.
    pub(crate) fn command(&mut self, command: CarrierCommand) -> Vec<NetAction> {
        match command {
            CarrierCommand::DropCall => {
                if matches!(self.call, Call::Idle) {
                    return Vec::new();
                }
                self.stats.dropped += 1;
                self.call_is_over();
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
        self.faults.tick(now);
        let mut actions = self.tick_call(now);
        if self.terminate_at.is_some_and(|at| now >= at) {
            self.terminate_at = Some(now + fault::EVERY);
            self.terminate_id = self.terminate_id.wrapping_add(1);
            actions.push(NetAction::Line(fault::terminate_request(self.terminate_id)));
        }
        actions
    }

    fn tick_call(&mut self, now: Duration) -> Vec<NetAction> {
        match &mut self.call {
            Call::Noise { next_at } if now >= *next_at => {
                *next_at = now + fault::EVERY;
                vec![NetAction::Line(fault::noise(self.draw()))]
            }
            Call::Dialling { answer_at, ipv6 } if now >= *answer_at => {
                let ipv6 = *ipv6;
                self.answer(now, ipv6)
            }
            Call::Open(session) if !session.is_open() || !self.faults.has(Kind::EchoDead) => {
                let actions = session.tick(now);
                self.carry(now, actions)
            }
            _ => Vec::new(),
        }
    }

    /// Bytes from the subscriber.
    pub(crate) fn line(&mut self, now: Duration, bytes: &[u8]) -> Vec<NetAction> {
        let Call::Open(session) = &mut self.call else { return Vec::new() };
        if session.is_open() && self.faults.has(Kind::EchoDead) {
            return Vec::new();
        }
        let actions = session.line(now, bytes);
        self.stats.spoofed = session.spoofed;
        self.carry(now, actions)
    }

    /// A packet from the internet.
    pub(crate) fn packet(&mut self, now: Duration, packet: &[u8]) -> Vec<NetAction> {
        let Call::Open(session) = &mut self.call else { return Vec::new() };
        if self.faults.has(Kind::EchoDead) || self.faults.has(Kind::NoTraffic) {
            return Vec::new();
        }
        let actions = session.packet(packet);
        if !actions.is_empty() {
            self.stats.down_packets += 1;
            self.stats.down_bytes += packet.len() as u64;
        }
        self.carry(now, actions)
    }

    fn answer(&mut self, now: Duration, ipv6: bool) -> Vec<NetAction> {
        let (beginning, because) = fault::beginning(&self.faults);
        let beginning = if self.stats.refusing { Beginning::Refused } else { beginning };
        self.spoilt_by = because;
        let call = match beginning {
            Beginning::Refused | Beginning::Busy => {
                self.call_is_over();
                self.stats.refused += 1;
                let busy = beginning == Beginning::Busy;
                return vec![if busy { NetAction::Busy } else { NetAction::Ended }];
            }
            Beginning::Silence => {
                self.call = Call::Silent;
                return Vec::new();
            }
            Beginning::Nobody => Call::Nobody,
            Beginning::Noise => Call::Noise { next_at: now },
            Beginning::Answered => self.session(now, ipv6),
        };
        self.call = call;
        self.stats.calls += 1;
        vec![NetAction::Connected]
    }

    fn session(&mut self, now: Duration, ipv6: bool) -> Call {
        let mut config = self.config.clone();
        if self.faults.has(Kind::AuthRefused) {
            config.auth = unsatisfiable(config.auth);
        }
        // The PDP type decides what is spoken: an IPv4 context has no IPV6CP.
        config.ipv6 = config.ipv6.filter(|_| ipv6);
        let seed = self.seed();
        Call::Open(Box::new(Session::start(now, config, seed)))
    }

    fn carry(&mut self, now: Duration, actions: Vec<Action>) -> Vec<NetAction> {
        let mut all = Vec::new();
        for action in actions {
            match action {
                Action::Line(bytes) => all.push(NetAction::Line(bytes)),
                Action::Packet(_) if self.faults.has(Kind::NoTraffic) => {}
                Action::Packet(packet) => {
                    self.stats.up_packets += 1;
                    self.stats.up_bytes += packet.len() as u64;
                    all.push(NetAction::Packet(packet));
                }
                Action::Up => {
                    if self.faults.has(Kind::TerminateStorm) {
                        self.terminate_at = Some(now);
                    }
                }
                Action::End => {
                    self.call_is_over();
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

/// Credentials nobody has: the subscriber must prove something and cannot.
fn unsatisfiable(auth: Auth) -> Auth {
    let credentials = Credentials { user: String::new(), password: "\0".to_owned() };
    Auth { credentials: Some(credentials), required: true, ..auth }
}
