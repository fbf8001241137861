//! The PPP peer (RFC 1661): framing, LCP, authentication and the network protocols as one pure
//! machine. Bytes, packets and time go in, [`Action`]s come out.

mod auth;
pub mod hdlc;
mod ipcp;
mod lcp;
mod negotiation;
pub mod option;
mod router;

use std::time::Duration;

use super::CarrierConfig;
use auth::{Authenticator, Judgement};
use hdlc::{Deframer, Framing};
use ipcp::{Ipcp, Ipv6cp};
use lcp::Lcp;
use negotiation::{Negotiation, Options, Output};
use option::{Packet, code};

/// PPP protocol numbers (IANA registry "PPP DLL Protocol Numbers").
pub mod protocol {
    /// IPv4 packets.
    pub const IPV4: u16 = 0x0021;
    /// IPv6 packets.
    pub const IPV6: u16 = 0x0057;
    /// IPCP.
    pub const IPCP: u16 = 0x8021;
    /// IPV6CP.
    pub const IPV6CP: u16 = 0x8057;
    /// LCP.
    pub const LCP: u16 = 0xc021;
}

/// How long a refused subscriber may still read the reason before the call ends.
const REFUSAL_GRACE: Duration = Duration::from_secs(3);

/// Randomness of one session.
#[derive(Debug, Clone, Copy)]
pub struct Seed {
    /// LCP's magic number.
    pub magic: u32,
    /// CHAP's challenge.
    pub challenge: [u8; 16],
}

/// What the session wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Bytes for the subscriber's line.
    Line(Vec<u8>),
    /// An IP packet for the internet.
    Packet(Vec<u8>),
    /// A network protocol is up.
    Up,
    /// The session is over: end the call.
    End,
}

#[derive(Debug)]
enum Phase {
    Establish,
    Authenticate(Authenticator),
    /// Authenticated; the authenticator stays to repeat a lost answer.
    Network(Option<Authenticator>),
    Refused {
        until: Duration,
    },
    Dead,
}

/// One PPP session, from `CONNECT` to `NO CARRIER`.
#[derive(Debug)]
pub struct Session {
    config: CarrierConfig,
    seed: Seed,
    deframer: Deframer,
    phase: Phase,
    lcp: Negotiation<Lcp>,
    ipcp: Option<Negotiation<Ipcp>>,
    ipv6cp: Option<Negotiation<Ipv6cp>>,
    rejects: u8,
    /// Packets dropped because their source is not the subscriber's address.
    pub spoofed: u64,
    actions: Vec<Action>,
}

impl Session {
    /// Waits for the subscriber's first word. IPv6 is spoken when `config` has it.
    pub fn start(now: Duration, config: CarrierConfig, seed: Seed) -> Self {
        let lcp = Negotiation::listen(now, Lcp::new(config.auth.methods.clone(), seed.magic));
        Self {
            config,
            seed,
            deframer: Deframer::default(),
            phase: Phase::Establish,
            lcp,
            ipcp: None,
            ipv6cp: None,
            rejects: 0,
            spoofed: 0,
            actions: Vec::new(),
        }
    }

    /// Whether a network protocol is open.
    pub fn is_open(&self) -> bool {
        self.ipcp.as_ref().is_some_and(Negotiation::is_open) || self.ipv6_open()
    }

    /// When [`Self::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Duration> {
        let phase = match &self.phase {
            Phase::Authenticate(authenticator) => authenticator.next_deadline(),
            Phase::Refused { until } => Some(*until),
            Phase::Dead => return None,
            Phase::Establish | Phase::Network(_) => None,
        };
        let ipcp = self.ipcp.as_ref().and_then(Negotiation::next_deadline);
        let ipv6cp = self.ipv6cp.as_ref().and_then(Negotiation::next_deadline);
        [phase, self.lcp.next_deadline(), ipcp, ipv6cp].into_iter().flatten().min()
    }

    /// Runs the timers.
    pub fn tick(&mut self, now: Duration) -> Vec<Action> {
        let outputs = self.lcp.tick(now);
        self.lcp_outputs(now, outputs);
        if let Some(outputs) = self.ipcp.as_mut().map(|ipcp| ipcp.tick(now)) {
            self.ncp_outputs(protocol::IPCP, outputs);
        }
        if let Some(outputs) = self.ipv6cp.as_mut().map(|ipv6cp| ipv6cp.tick(now)) {
            self.ncp_outputs(protocol::IPV6CP, outputs);
        }
        match &mut self.phase {
            Phase::Authenticate(authenticator) => {
                if let Some(judgement) = authenticator.tick(now) {
                    self.judged(now, judgement);
                }
            }
            Phase::Refused { until } if now >= *until => self.end(),
            _ => {}
        }
        self.take()
    }

    /// Bytes from the subscriber's line.
    pub fn line(&mut self, now: Duration, bytes: &[u8]) -> Vec<Action> {
        for (protocol, information) in self.deframer.push(bytes) {
            if matches!(self.phase, Phase::Dead) {
                break;
            }
            self.frame(now, protocol, &information);
        }
        self.take()
    }

    /// An IP packet from the internet; dropped while its protocol is not up.
    pub fn packet(&mut self, packet: &[u8]) -> Vec<Action> {
        let version = packet.first().map_or(0, |byte| byte >> 4);
        let ipv4_open = self.ipcp.as_ref().is_some_and(Negotiation::is_open);
        match version {
            4 if ipv4_open => self.send(protocol::IPV4, packet),
            6 if self.ipv6_open() => self.send(protocol::IPV6, packet),
            _ => {}
        }
        self.take()
    }

    fn ipv6_open(&self) -> bool {
        self.ipv6cp.as_ref().is_some_and(Negotiation::is_open)
    }

    fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    fn send(&mut self, number: u16, information: &[u8]) {
        // LCP packets are always sent as if nothing was negotiated (RFC 1662 section 7).
        let framing = if number == protocol::LCP || !self.lcp.is_open() {
            Framing::PLAIN
        } else {
            self.lcp.options.framing
        };
        self.actions.push(Action::Line(framing.frame(number, information)));
    }

    fn end(&mut self) {
        if !matches!(self.phase, Phase::Dead) {
            self.phase = Phase::Dead;
            self.actions.push(Action::End);
        }
    }

    fn frame(&mut self, now: Duration, number: u16, information: &[u8]) {
        if number == protocol::LCP {
            if let Some(packet) = Packet::parse(information) {
                self.lcp_packet(now, &packet);
            }
            return;
        }
        if !self.lcp.is_open() {
            return;
        }
        match &mut self.phase {
            Phase::Authenticate(auth) | Phase::Network(Some(auth)) if auth.protocol() == number => {
                let judgement = Packet::parse(information).and_then(|packet| auth.input(&packet));
                if let Some(judgement) = judgement {
                    self.judged(now, judgement);
                }
            }
            Phase::Network(_) => self.network_frame(now, number, information),
            _ => {}
        }
    }

    fn network_frame(&mut self, now: Duration, number: u16, information: &[u8]) {
        match number {
            protocol::IPCP if self.ipcp.is_some() => {
                let packet = Packet::parse(information);
                let outputs = packet.and_then(|p| Some(ncp_input(now, self.ipcp.as_mut()?, &p)));
                self.ncp_outputs(number, outputs.unwrap_or_default());
            }
            protocol::IPV6CP if self.ipv6cp.is_some() => {
                let packet = Packet::parse(information);
                let outputs = packet.and_then(|p| Some(ncp_input(now, self.ipv6cp.as_mut()?, &p)));
                self.ncp_outputs(number, outputs.unwrap_or_default());
            }
            protocol::IPV4 if self.ipcp.as_ref().is_some_and(Negotiation::is_open) => {
                self.ipv4_of_subscriber(information);
            }
            protocol::IPV6 if self.ipv6_open() => self.ipv6_of_subscriber(information),
            // A protocol we speak, before its layer is up: silence (RFC 1661 section 3.5).
            protocol::IPV4 => {}
            protocol::IPV6 if self.ipv6cp.is_some() => {}
            _ => self.reject(number, information),
        }
    }

    /// Drops what does not come from the subscriber's address, as gateways do (BCP 38): this is
    /// where a box that forgot to masquerade its LAN is noticed.
    fn ipv4_of_subscriber(&mut self, packet: &[u8]) {
        if packet.get(12..16).is_some_and(|source| source == self.config.subscriber.octets()) {
            self.actions.push(Action::Packet(packet.to_vec()));
        } else {
            self.spoofed += 1;
        }
    }

    fn ipv6_of_subscriber(&mut self, packet: &[u8]) {
        let Some(ipv6) = self.config.ipv6 else { return };
        if router::is_solicitation(packet) {
            self.send(protocol::IPV6, &router::advertisement(ipv6.gateway_id, ipv6.prefix));
        } else if router::comes_from(packet, ipv6.prefix) {
            self.actions.push(Action::Packet(packet.to_vec()));
        } else if !router::is_link_local(packet) {
            self.spoofed += 1;
        }
    }

    fn reject(&mut self, number: u16, information: &[u8]) {
        self.rejects = self.rejects.wrapping_add(1);
        let mut data = number.to_be_bytes().to_vec();
        // Cut to the peer's MRU (RFC 1661 section 5.7).
        let room = usize::from(self.lcp.options.peer_mru).saturating_sub(6);
        data.extend(&information[..information.len().min(room)]);
        let packet = Packet::new(code::PROTOCOL_REJECT, self.rejects, data);
        self.send(protocol::LCP, &packet.bytes());
    }

    fn lcp_packet(&mut self, now: Duration, packet: &Packet) {
        if let Some(outputs) = self.lcp.input(now, packet) {
            self.lcp_outputs(now, outputs);
            return;
        }
        match packet.code {
            code::ECHO_REQUEST if self.lcp.is_open() => {
                let mut data = self.lcp.options.magic().to_be_bytes().to_vec();
                data.extend(packet.data.get(4..).unwrap_or_default());
                self.send(protocol::LCP, &Packet::new(code::ECHO_REPLY, packet.id, data).bytes());
            }
            code::PROTOCOL_REJECT => self.rejected(packet),
            code::CODE_REJECT | code::ECHO_REQUEST | code::ECHO_REPLY | code::DISCARD_REQUEST => {}
            _ => {
                let reject = Packet::new(code::CODE_REJECT, packet.id, packet.bytes());
                self.send(protocol::LCP, &reject.bytes());
            }
        }
    }

    fn rejected(&mut self, packet: &Packet) {
        match packet.data.first_chunk().map(|number| u16::from_be_bytes(*number)) {
            Some(protocol::IPCP) => self.ipcp = None,
            Some(protocol::IPV6CP) => self.ipv6cp = None,
            _ => {}
        }
    }

    fn lcp_outputs(&mut self, now: Duration, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(packet) => self.send(protocol::LCP, &packet.bytes()),
                Output::Up => self.authenticate(now),
                Output::Down => {
                    self.phase = Phase::Establish;
                    (self.ipcp, self.ipv6cp) = (None, None);
                }
                Output::Finished => self.end(),
            }
        }
    }

    fn ncp_outputs(&mut self, number: u16, outputs: Vec<Output>) {
        for output in outputs {
            match output {
                Output::Send(packet) => self.send(number, &packet.bytes()),
                Output::Up => {
                    self.actions.push(Action::Up);
                    if let (protocol::IPV6CP, Some(ipv6)) = (number, self.config.ipv6) {
                        self.send(protocol::IPV6, &router::advertisement(ipv6.gateway_id, ipv6.prefix));
                    }
                }
                Output::Down => {}
                Output::Finished => self.ncp_finished(number),
            }
        }
    }

    /// A session without any network protocol is of no use: the stick hangs up.
    fn ncp_finished(&mut self, number: u16) {
        match number {
            protocol::IPCP => self.ipcp = None,
            _ => self.ipv6cp = None,
        }
        if self.ipcp.is_none() && self.ipv6cp.is_none() {
            self.end();
        }
    }

    fn authenticate(&mut self, now: Duration) {
        let options = &self.lcp.options;
        if options.auth_refused && self.config.auth.required {
            self.phase = Phase::Refused { until: now };
            return;
        }
        let Some(method) = options.method() else {
            self.open_network(now, None);
            return;
        };
        let mut authenticator =
            Authenticator::new(method, self.config.auth.credentials.clone(), self.seed.challenge);
        let first = authenticator.start(now);
        let number = authenticator.protocol();
        self.phase = Phase::Authenticate(authenticator);
        if let Some(packet) = first {
            self.send(number, &packet.bytes());
        }
    }

    fn judged(&mut self, now: Duration, judgement: Judgement) {
        let (Phase::Authenticate(auth) | Phase::Network(Some(auth))) = &self.phase else { return };
        let number = auth.protocol();
        match judgement {
            Judgement::Say(packet) => self.send(number, &packet.bytes()),
            Judgement::Accept(packet) => {
                self.send(number, &packet.bytes());
                // A repeated request after a lost answer is answered again, and that is all.
                match std::mem::replace(&mut self.phase, Phase::Establish) {
                    Phase::Authenticate(auth) => self.open_network(now, Some(auth)),
                    phase => self.phase = phase,
                }
            }
            Judgement::Refuse(packet) => {
                self.send(number, &packet.bytes());
                self.phase = Phase::Refused { until: now + REFUSAL_GRACE };
            }
            Judgement::GiveUp => self.end(),
        }
    }

    fn open_network(&mut self, now: Duration, authenticator: Option<Authenticator>) {
        self.phase = Phase::Network(authenticator);
        let CarrierConfig { gateway, subscriber, dns, ipv6, .. } = self.config;
        let (ipcp, outputs) = Negotiation::start(now, Ipcp::new(gateway, subscriber, dns));
        self.ipcp = Some(ipcp);
        self.ncp_outputs(protocol::IPCP, outputs);
        if let Some(ipv6) = ipv6 {
            let options = Ipv6cp::new(ipv6.gateway_id, ipv6.subscriber_id);
            let (ipv6cp, outputs) = Negotiation::start(now, options);
            self.ipv6cp = Some(ipv6cp);
            self.ncp_outputs(protocol::IPV6CP, outputs);
        }
    }
}

/// One packet of a network protocol; codes of LCP only are rejected there.
fn ncp_input<O: Options>(now: Duration, ncp: &mut Negotiation<O>, packet: &Packet) -> Vec<Output> {
    ncp.input(now, packet)
        .unwrap_or_else(|| vec![Output::Send(Packet::new(code::CODE_REJECT, packet.id, packet.bytes()))])
}

#[cfg(test)]
mod tests;
